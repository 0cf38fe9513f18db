"""`python -m artifacts.chart`: write stale files; with --check, list them and fail."""

import sys

from artifacts.chart.files import CHART, ROOT, stale, write


def main(args: list[str]) -> int:
    folder = CHART.relative_to(ROOT)
    if args == ["--check"]:
        for name in stale():
            sys.stdout.write(f"{folder / name} is stale: run `python3 build.py chart`\n")
        return 1 if stale() else 0
    for name in write():
        sys.stdout.write(f"{folder / name} written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
