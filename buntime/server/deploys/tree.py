"""Writes the files of a release below one folder, through descriptors: no link can lead out of it.

Nothing is opened by a path of more than one name, and no link is followed. Links are made at the
end. Anyone else who writes there meanwhile can make a release fail, but not have a file written
elsewhere.
"""

import contextlib
import os
from collections.abc import Iterable
from types import TracebackType

from buntime.core.deploys.members import Entry, Kind, Link

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER_MODE = 0o755  # whatever the umask: the app may have a user of its own


class Tree:
    """A new folder that is being filled. Raises OSError; used by one thread."""

    def __init__(self, folder: str) -> None:
        """Makes `folder`, in a folder that exists."""
        os.mkdir(folder, _FOLDER_MODE)
        self._top = os.open(folder, _FOLDER)
        os.fchmod(self._top, _FOLDER_MODE)
        self._last: tuple[tuple[str, ...], int] | None = None  # the folder that was opened last

    def __enter__(self) -> "Tree":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close_last()
        os.close(self._top)

    def write(self, entry: Entry, pieces: Iterable[bytes]) -> None:
        """Make what an entry describes; `pieces` is a file's content."""
        if entry.kind is Kind.FOLDER:
            self._open(entry.parts)
            return
        parent, name = self._open(entry.parts[:-1]), entry.parts[-1]
        if entry.kind is Kind.HARD_LINK:
            self._link(entry, parent, name)
            return
        file = os.open(name, _FRESH, entry.mode, dir_fd=parent)
        try:
            os.fchmod(file, entry.mode)
            for piece in pieces:
                _write_all(file, piece)
        finally:
            os.close(file)

    def link(self, links: Iterable[Link]) -> None:
        """Make the links; nothing may be written after them."""
        for each in links:
            os.symlink(each.target, each.parts[-1], dir_fd=self._open(each.parts[:-1]))

    def _link(self, entry: Entry, parent: int, name: str) -> None:
        with contextlib.ExitStack() as stack:
            other = self._walk(entry.target[:-1])
            stack.callback(os.close, other)
            os.link(
                entry.target[-1], name, src_dir_fd=other, dst_dir_fd=parent, follow_symlinks=False
            )

    def _open(self, parts: tuple[str, ...]) -> int:
        """The folder, made if it is missing; it stays open until the next one is asked for."""
        if self._last is None or self._last[0] != parts:
            folder = self._walk(parts)
            self._close_last()
            self._last = parts, folder
        return self._last[1]

    def _walk(self, parts: tuple[str, ...]) -> int:
        folder = os.dup(self._top)
        for part in parts:
            try:
                below = _enter(folder, part)
            finally:
                os.close(folder)
            folder = below
        return folder

    def _close_last(self) -> None:
        if self._last is not None:
            os.close(self._last[1])
            self._last = None


def _enter(folder: int, name: str) -> int:
    try:
        os.mkdir(name, _FOLDER_MODE, dir_fd=folder)
    except FileExistsError:
        return os.open(name, _FOLDER, dir_fd=folder)
    below = os.open(name, _FOLDER, dir_fd=folder)
    os.fchmod(below, _FOLDER_MODE)
    return below


def _write_all(file: int, piece: bytes) -> None:
    left = memoryview(piece)
    while left:
        left = left[os.write(file, left) :]
