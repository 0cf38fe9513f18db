"""Ways to die while SQLite writes: at an instruction of its machine, or at a system call.

`at_step`: as SQLite's machine begins its Nth instruction. `at_write`: in the Nth system call by
which SQLite changes a file, with writes done only halfway. Call either one in the process that
should die, before it opens anything.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import os
import signal
import sqlite3
from collections.abc import Callable
from typing import Any

counted = 0  # instructions or calls of this process
PAGES = 4  # pages in the log before it is written back: that happens at about each commit


class Mortal(sqlite3.Connection):
    """A connection that counts instructions, and dies at one."""

    die_at = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.die_at:
            super().set_progress_handler(self.step, 1)
        self.execute(f"PRAGMA wal_autocheckpoint={PAGES}")

    def step(self) -> int:
        if count() == self.die_at:
            die()
        return 0

    def set_progress_handler(self, *args: Any) -> None:
        pass  # the runtime would set its own, for its check


def count() -> int:
    global counted
    counted += 1
    return counted


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_step(number: int) -> None:
    """0 means never."""
    Mortal.die_at = number
    connect = sqlite3.connect
    sqlite3.connect = lambda path, **options: connect(path, factory=Mortal, **options)  # type: ignore[assignment]


class _Vfs(ctypes.Structure):
    """`struct sqlite3_vfs`, only the members used: https://sqlite.org/c3ref/vfs.html"""

    _fields_ = (
        *[(name, ctypes.c_int) for name in ("iVersion", "szOsFile", "mxPathname")],
        *[(name, ctypes.c_void_p) for name in ("pNext", "zName", "pAppData")],
        *[(f"method{number}", ctypes.c_void_p) for number in range(13)],
        ("xSetSystemCall", ctypes.c_void_p),
        ("xGetSystemCall", ctypes.c_void_p),
    )


_SET = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_GET = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)
_WRITE = ctypes.CFUNCTYPE(
    ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64
)
_TRUNCATE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int64)
_UNLINK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p)
_OPEN = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_int)
_kept: list[object] = []  # kept alive, because SQLite may call them


def default_vfs() -> int | None:
    """The address of the default vfs; None if this Python's SQLite does not export it."""
    try:
        find = ctypes.CDLL(_sqlite3.__file__).sqlite3_vfs_find
    except (AttributeError, OSError):  # perhaps built into the interpreter
        return None
    find.restype = ctypes.c_void_p
    address: int | None = find(None)
    return address


def at_write(number: int) -> None:
    """Raises LookupError if SQLite's calls cannot be replaced."""
    address = default_vfs()
    if address is None:
        raise LookupError("this Python's SQLite shows no vfs")
    vfs = _Vfs.from_address(address)
    calls = _Calls(number)

    def put(name: bytes, form: Any, make: Callable[[Any], Callable[..., int]]) -> None:
        found = _GET(vfs.xGetSystemCall)(address, name)
        if found:
            replaced = form(make(form(found)))
            _kept.append(replaced)
            _SET(vfs.xSetSystemCall)(address, name, ctypes.cast(replaced, ctypes.c_void_p))

    for name in (b"pwrite", b"pwrite64"):
        put(name, _WRITE, calls.writing)
    put(b"ftruncate", _TRUNCATE, calls.changing)
    put(b"unlink", _UNLINK, calls.changing)
    put(b"open", _OPEN, calls.opening)


class _Calls:
    """Replaces SQLite's system calls."""

    def __init__(self, die_at: int) -> None:
        self.die_at = die_at

    def is_last(self) -> bool:
        return count() == self.die_at

    def writing(self, real: Callable[..., int]) -> Callable[..., int]:
        def call(fd: int, data: int, size: int, offset: int) -> int:
            if self.is_last():
                real(fd, data, size // 2, offset)
                die()
            return real(fd, data, size, offset)

        return call

    def changing(self, real: Callable[..., int]) -> Callable[..., int]:
        def call(*values: Any) -> int:
            if self.is_last():
                die()
            return real(*values)

        return call

    def opening(self, real: Callable[..., int]) -> Callable[..., int]:
        def call(path: bytes, flags: int, mode: int) -> int:
            if flags & os.O_CREAT and self.is_last():
                die()
            return real(path, flags, mode)

        return call
