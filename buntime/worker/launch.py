"""What a worker's interpreter runs: the bundle folder holds this file as its `__main__.py`.

Both `python BUNDLE …` and `python BUNDLE/__main__.py …` work; the latter spares the interpreter
runpy and what that imports, 8 ms of CPU on 3.11 and 20 ms on 3.9.
"""

import sys

bundle = __file__.rpartition("/")[0]
if bundle not in sys.path:
    sys.path.insert(0, bundle)

from buntime.worker.main import main  # noqa: E402  # found by the line above

main(sys.argv)
