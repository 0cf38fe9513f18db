"""`python -m tests.siege [ATTACK...] [--rounds 5] [--seconds 3]`: attack, time others."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.siege.attacks import ATTACKS
from tests.siege.siege import BOUND_S, besiege


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="build.py siege", description="exit code 1 where one is not held"
    )
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help=", ".join(ATTACKS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    args = parser.parse_args()
    unknown = [name for name in args.attacks if name not in ATTACKS]
    if unknown:
        parser.error(f"no attack {unknown[0]}; there are {', '.join(ATTACKS)}")
    print(f"bound: p99 at most {BOUND_S * 1000:g} ms above that without the attacker", flush=True)
    is_held = True
    for name in args.attacks or ATTACKS:
        with tempfile.TemporaryDirectory(prefix="siege-") as folder:
            outcome = besiege(Path(folder), name, rounds=args.rounds, seconds=args.seconds)
        print(outcome, flush=True)
        is_held = is_held and outcome.is_held
    return 0 if is_held else 1


if __name__ == "__main__":
    sys.exit(main())
