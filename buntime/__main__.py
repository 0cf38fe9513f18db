"""The one entry: `python -m buntime`, `buntime.py`, the .pyz and the binary.

The last two unpack this package, and the packages it needs, before they start it; see artifacts/.
"""

import gc
import os
import sys

if sys.version_info < (3, 11):  # noqa: UP036  # said before anything newer is imported
    sys.exit("buntime: error: Python 3.11 or newer is needed, this is " + sys.version.split()[0])
if sys.platform == "win32":
    sys.exit("buntime: error: Windows is not supported: workers need Unix sockets and signals")

gc.disable()  # what imports make stays

if sys.argv[1:2] == ["--names"]:  # for a shell's Tab, which has no time for the other imports
    from buntime.commands.names import print_names

    print_names(sys.argv[2:], os.environ)
    raise SystemExit(0)

from buntime.commands.cli import main as run_command  # noqa: E402  # behind the line above
from buntime.core.settings.setting import Mode  # noqa: E402  # the same


def main(mode: Mode = "checkout") -> int:
    """Run the command line; returns the exit code. `mode` is told by what started this."""
    gc.enable()
    try:
        return run_command(sys.argv[1:], mode=mode)
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] == "buntime":
            raise
        sys.exit(
            f"buntime: error: the Python package {exc.name} is missing; "
            "`python3 build.py run` sets up all that is needed and starts"
        )


if __name__ == "__main__":
    raise SystemExit(main())
