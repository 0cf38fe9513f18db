"""`python -m tests.fuzz [--seconds 60 | --rounds 12] [--seed N]`: run all targets in turn."""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
import traceback
from collections import Counter

from tests.fuzz.targets import TARGETS, worker

_ROUND = 1000  # inputs of one target before it is the next one's turn
_COSTLY = {worker: 200}  # an input of this one takes 5 ms, of the others 0.1 ms


def fuzz(seconds: float, seed: int, rounds: float = math.inf) -> tuple[Counter[str], int]:
    """Fuzz for this long, or for so many rounds if that is less.

    Returns the number of inputs of each target, and of findings.
    """
    inputs: Counter[str] = Counter()
    findings = 0
    until = time.monotonic() + seconds
    number = 0
    while time.monotonic() < until and number < rounds * len(TARGETS) and findings < 10:
        for target in TARGETS:
            number += 1
            source = f"{seed}-{number}"
            chance = random.Random(source)
            for _ in range(_COSTLY.get(target, _ROUND)):
                inputs[target.__name__] += 1
                try:
                    target(chance)
                except Exception:  # the edge of a round: a finding, or any other fault
                    findings += 1
                    print(f"FINDING in {target.__name__}, round {source}:", flush=True)
                    traceback.print_exc(limit=-3, file=sys.stdout)
                    break
    return inputs, findings


def main() -> int:
    parser = argparse.ArgumentParser(prog="build.py fuzz")
    parser.add_argument("--seconds", type=float, default=None, help="default: 60")
    parser.add_argument("--rounds", type=int, default=None, help="end after so many, not by time")
    parser.add_argument("--seed", type=int, default=None, help="default: another one each time")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.randrange(10**9)
    seconds, rounds = arguments.seconds, arguments.rounds or math.inf
    if seconds is None:
        seconds = 60.0 if arguments.rounds is None else math.inf
    length = f"{seconds:g} s" if seconds < math.inf else f"{rounds} rounds"
    print(f"fuzzing for {length} with seed {seed}", flush=True)
    inputs, findings = fuzz(seconds, seed, rounds)
    print(", ".join(f"{name}: {count}" for name, count in inputs.items()), f"findings: {findings}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
