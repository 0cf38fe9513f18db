"""The only entry point: of `python -m buntime`, a wheel's `buntime`, `buntime.py`, .pyz and binary.

The last two unpack this package, and the packages it needs, before they start it; see artifacts/.
"""

import gc
import os
import sys

if sys.version_info < (3, 11):  # noqa: UP036  # before an import needs a newer Python
    sys.exit("buntime: error: Python 3.11 or newer is needed, this is " + sys.version.split()[0])
if sys.platform == "win32":
    sys.exit("buntime: error: Windows is not supported: workers need Unix sockets and signals")

gc.disable()  # nothing that imports create is garbage

from buntime.commands.modulecode import find_by_file  # noqa: E402  # after the checks above

find_by_file()

if sys.argv[1:2] == ["--names"]:  # a shell completes a word: the other imports would be too slow
    from buntime.commands.names import print_names

    print_names(sys.argv[2:], os.environ)
    raise SystemExit(0)

from buntime.commands.lightimports import import_lightly  # noqa: E402  # found by the file

import_lightly()

from buntime.commands.cli import main as run_command  # noqa: E402  # the same
from buntime.core.settings.setting import Mode  # noqa: E402  # the same

_CARRIED = os.path.join(os.path.dirname(__file__), "carried")  # only in a wheel, see pyproject.toml


def main(mode: Mode | None = None) -> int:
    """Run the command line; returns the exit code.

    `buntime.py`, the .pyz and the binary pass their `mode`; `python -m buntime` and the script that
    pip makes pass none.
    """
    gc.freeze()  # else the first collection would look at all of it
    gc.enable()
    is_installed = os.path.isdir(_CARRIED)
    try:
        return run_command(sys.argv[1:], mode=mode or ("wheel" if is_installed else "checkout"))
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] == "buntime":
            raise
        repair = "pip install buntime" if is_installed else "python3 build.py run"
        sys.exit(
            f"buntime: error: the Python package {exc.name} is missing; "
            f"`{repair}` sets up all that is needed"
        )


if __name__ == "__main__":
    raise SystemExit(main())
