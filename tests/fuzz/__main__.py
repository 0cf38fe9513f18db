"""`python -m tests.fuzz [--seconds 60] [--seed N]`: run all targets in turn."""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections import Counter

from tests.fuzz.targets import TARGETS

_ROUND = 200  # inputs of one target before it is the next one's turn


def fuzz(seconds: float, seed: int) -> tuple[Counter[str], int]:
    """Fuzz for this long; returns the number of inputs of each target, and of findings."""
    inputs: Counter[str] = Counter()
    findings = 0
    until = time.monotonic() + seconds
    number = 0
    while time.monotonic() < until and findings < 10:
        for target in TARGETS:
            number += 1
            source = f"{seed}-{number}"
            chance = random.Random(source)
            for _ in range(_ROUND):
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
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None, help="default: another one each time")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.randrange(10**9)
    print(f"fuzzing for {arguments.seconds:g} s with seed {seed}", flush=True)
    inputs, findings = fuzz(arguments.seconds, seed)
    print(", ".join(f"{name}: {count}" for name, count in inputs.items()), f"findings: {findings}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
