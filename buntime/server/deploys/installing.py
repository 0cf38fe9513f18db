"""Reports what pip prints while it installs the packages of a release.

pip writes to a file in the environment (server/pythons/installer.py), which is read meanwhile: as
the app's user, if it has one of its own, and only if it is a regular file. Code that builds a
package may write there, and could replace the file with a link to something that only the runtime
may read.
"""

import contextlib
import os
import stat
from pathlib import Path

from buntime.server.pythons.identity import CannotBecome, Identity, run_as

_LINE_MAX_CHARS = 500
_PIECE_MAX_BYTES = 65_536


class Tail:
    """Reads the log of the newest environment in a folder. Waits for the disk, in a thread."""

    def __init__(self, home: Path, user: Identity | None = None) -> None:
        self._home = home
        self._user = user
        self._path = ""
        self._place = 0
        self._rest = b""

    def __repr__(self) -> str:
        return f"Tail({self._path or self._home}, {self._place} bytes)"

    def read(self) -> list[str]:
        """The new lines.

        It has none if the environment is moved to its place, or removed, meanwhile: the next call
        finds what there is then.
        """
        with contextlib.suppress(CannotBecome, FileNotFoundError):
            return run_as(self._user, self._read)
        return []

    def _read(self) -> list[str]:
        found = sorted(self._home.glob(".venv-*/install.log"), key=_changed_ns)
        if not found:
            return []
        if str(found[-1]) != self._path:
            self._path, self._place, self._rest = str(found[-1]), 0, b""
        data = _piece(self._path, self._place)
        self._place += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        shown = [line.decode("utf-8", "replace").strip()[:_LINE_MAX_CHARS] for line in lines]
        return [line for line in shown if line]


def _changed_ns(path: Path) -> int:
    return os.stat(path, follow_symlinks=False).st_mtime_ns


def _piece(path: str, place: int) -> bytes:
    """What the file holds from there on; nothing if it is not a regular file."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    log = os.open(path, flags)
    try:
        is_file = stat.S_ISREG(os.fstat(log).st_mode)
        return os.pread(log, _PIECE_MAX_BYTES, place) if is_file else b""
    finally:
        os.close(log)
