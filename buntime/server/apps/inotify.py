"""Has the kernel report what happens in a folder: inotify, on Linux only.

The standard library has no such calls, so they are made through ctypes. An event is a reason to
look, and no more. Changes made on other machines that share the folder are not reported.
"""

import errno
import os
import struct
import sys
from collections.abc import Iterator
from typing import Any

from buntime.core.values.tuples import NamedTuple

try:
    import ctypes  # server/pool/orphans loads it anyway
except ImportError:
    ctypes = None  # type: ignore[assignment]  # checked before it is used

# inotify(7)
_CLOEXEC, _NONBLOCK = os.O_CLOEXEC, os.O_NONBLOCK
_ATTRIB, _CLOSE_WRITE = 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF = 0x400, 0x800
_OVERFLOW, _IGNORED = 0x4000, 0x8000
_ONLYDIR = 0x1000000
_WANTED = (
    _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
)
_HEAD = struct.Struct("iIII")  # watch, mask, cookie, length of the name

READ_BYTES = 16 * 1024  # per read: some 300 to 1000 events, parsed in a millisecond


class Happening(NamedTuple):
    """Something happened to a name in a folder; the name is "" for the folder itself."""

    folder: str
    name: str


class Inotify:
    """Watches folders. One thread may call `add` and `keep_only` while another reads."""

    def __init__(self, fd: int, library: Any) -> None:
        self.fd = fd
        self._library = library
        self._folders: dict[int, str] = {}
        self._watches: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"Inotify({len(self._folders)} folders)"

    def has(self, folder: str) -> bool:
        return folder in self._watches

    def keep_only(self, folders: set[str]) -> None:
        """Stop watching all other folders."""
        for folder in self._watches.keys() - folders:
            watch = self._watches.pop(folder)
            if self._folders.get(watch) == folder:
                self._forget(watch)

    def _forget(self, watch: int) -> None:
        del self._folders[watch]
        self._library.inotify_rm_watch(self.fd, watch)

    def add(self, folder: str) -> bool:
        """Watch one more folder; False if it is not there. Raises OSError if there are too many.

        What a name stood for before does not matter: it is looked up again. If a folder has two
        names, events give the one added last.
        """
        path = os.fsencode(folder)
        watch = self._library.inotify_add_watch(self.fd, path, _WANTED | _ONLYDIR)
        if watch < 0:
            number = ctypes.get_errno()
            if number in (errno.ENOSPC, errno.ENOMEM, errno.EMFILE):
                raise OSError(number, os.strerror(number), folder)
            return False
        before = self._watches.get(folder, watch)
        if before != watch and self._folders.get(before) == folder:  # another one is there now
            self._forget(before)
        self._watches[folder] = watch
        self._folders[watch] = folder
        return True

    def read(self) -> list[Happening] | None:
        """What has happened, as much as one read returns; None if the kernel lost some of it."""
        try:
            data = os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return []
        happened: list[Happening] | None = []
        for watch, mask, name in _events(data):
            if mask & _OVERFLOW:
                happened = None
            if mask & _IGNORED:  # the folder is gone
                folder = self._folders.pop(watch, "")
                self._watches.pop(folder, None)
            elif happened is not None and watch in self._folders:
                happened.append(Happening(self._folders[watch], name))
        return happened

    def close(self) -> None:
        os.close(self.fd)


def open_inotify() -> Inotify | None:
    """None if this system has no inotify. Raises OSError if it has no more instances to give."""
    if sys.platform != "linux" or ctypes is None:
        return None
    library = ctypes.CDLL(None, use_errno=True)
    fd = library.inotify_init1(_CLOEXEC | _NONBLOCK)
    if fd < 0:
        number = ctypes.get_errno()
        if number == errno.ENOSYS:
            return None
        raise OSError(number, os.strerror(number))
    return Inotify(fd, library)


def _events(data: bytes) -> Iterator[tuple[int, int, str]]:
    at = 0
    while at < len(data):
        watch, mask, _, length = _HEAD.unpack_from(data, at)
        at += _HEAD.size + length
        yield watch, mask, os.fsdecode(data[at - length : at].rstrip(b"\0"))
