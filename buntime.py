"""Start Buntime from a checkout: `python3 buntime.py DIR...`. All else is in the package beside."""

from buntime.__main__ import main

if __name__ == "__main__":
    raise SystemExit(main())
