"""INIT with a program: this process becomes it, as the app's user and in its sandbox.

A worker becomes another program by exec: what it has adopted before (limits, user, sandbox) applies
to the program from its first instruction on, and so do its number, output and lifeline.
"""

from __future__ import annotations

import posix  # for `os`, see main.py

from buntime.worker.adoption import take_environment
from buntime.worker.lifeline import keep_on_exec
from buntime.worker.report import BootError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from signal import SIG_DFL, SIGPIPE, SIGXFSZ, signal
    from typing import NoReturn

    from buntime.wire import Message
else:
    from _signal import SIG_DFL, SIGPIPE, SIGXFSZ, signal  # `signal` imports enum, 5 ms

# ENOENT, EACCES, ENOTDIR, alike on all systems: the next folder of PATH may have it.
_GO_ON = (2, 13, 20)


def become(init: Message) -> NoReturn:
    """Run the program of INIT in the app's folder. Raises BootError if that fails."""
    words: list[str] = init["program"]
    take_environment(init)
    posix.chdir(init["dir"])
    for number in (SIGPIPE, SIGXFSZ):  # Python ignores them, and exec would keep that
        signal(number, SIG_DFL)
    keep_on_exec()
    for descriptor in init.get("closes", ()):  # that this process had for its own start
        posix.close(descriptor)
    failure: OSError | None = None
    for path in _places(words[0], init["env"].get("PATH", "")):
        try:
            posix.execve(path, words, posix.environ)
        except OSError as exc:
            if exc.errno not in _GO_ON:
                raise BootError(f"{path} cannot be run: {exc.strerror}") from exc
            failure = exc if failure is None or exc.errno == _GO_ON[1] else failure
    why = "" if failure is None else f" ({failure.strerror})"
    raise BootError(
        f"{words[0]} cannot be run{why}; it is looked for beside the app's Python and on the PATH"
    )


def _places(name: str, path: str) -> Iterator[str]:
    if "/" in name:
        yield name
        return
    for folder in path.split(":"):
        if folder:
            yield f"{folder}/{name}"
