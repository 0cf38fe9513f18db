"""The name of the running program on this machine, for commands that people paste.

buntime                     on the PATH: of a wheel, or the binary
./buntime, ./buntime.pyz    files that can be run
python3 buntime.py          a checkout, and an archive that only Python can run
python3 -m buntime
"""

import os
import sys
from collections.abc import Sequence
from shlex import quote

NAME = "buntime"


def pasted(*words: str, program: str = "") -> str:
    """A line for a shell: `("check", "my apps")` -> "python3 buntime.py check 'my apps'"."""
    return " ".join([program or program_name(), *map(quote, words)])


def program_name() -> str:
    """What people type to start the running program, quoted for a shell."""
    return name_of(sys.argv[0], sys.orig_argv, os.environ.get("PATH", ""))


def name_of(script: str, line: Sequence[str], path: str) -> str:
    """`script` is what was started, `line` the whole command line, `path` the value of PATH."""
    base = os.path.basename(script)
    python = quote(line[0] if line else "python3")
    if base == "__main__.py":
        return f"{python} -m {NAME}"
    if not base.startswith(NAME):
        return NAME  # a program that contains Buntime, such as that of the tests
    if base.endswith(".py") or (base.endswith(".pyz") and not os.access(script, os.X_OK)):
        return f"{python} {quote(script)}"
    if "/" not in script or _is_on_path(script, path):
        return quote(base)
    return quote(script)


def _is_on_path(script: str, path: str) -> bool:
    """Whether a shell finds exactly this file by its name alone."""
    name = os.path.basename(script)
    for folder in path.split(os.pathsep):
        found = os.path.join(folder, name)
        if folder and os.access(found, os.X_OK):
            return os.path.realpath(found) == os.path.realpath(script)
    return False
