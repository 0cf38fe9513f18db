"""Runs chaos and prints its figures; exit code 1 if anything fails."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.chaos.run import run
from tests.siege.attacks import ATTACKS


def main() -> int:
    parser = argparse.ArgumentParser(prog="build.py chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--env", choices=["production", "development"], default="production")
    parser.add_argument("--attack", choices=list(ATTACKS), default="", help="beside the traffic")
    parser.add_argument("--keep", type=Path, help="keep apps and log in this new folder")
    args = parser.parse_args()
    print(f"seed {args.seed}, {args.seconds:g} s in {args.env}", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
        folder = args.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        verdict = run(
            folder, seconds=args.seconds, seed=args.seed, env=args.env, attack=args.attack
        )
    print(verdict)
    return 1 if verdict.failures else 0


if __name__ == "__main__":
    sys.exit(main())
