"""Reads the log files of one app, forwards or backwards, while they are written and rotated.

The newest file is opened first: one that is renamed meanwhile appears again under its next name,
and is recognised by its inode. All lines of a file have larger numbers than those of older files. A
file is read in pieces, with other threads running in between; the place to begin is found by
bisection.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from buntime.core.telemetry.applines import HEAD_BYTES, seq_of
from buntime.core.telemetry.lognames import file_of
from buntime.server.telemetry.appfiles import PIECES

_PIECE_BYTES = 64 * 1024
_NEAR_BYTES = 64 * 1024  # where bisection ends, and reading begins

IsBefore = Callable[[bytes], bool]  # for a line: whether it and all lines before it are unwanted


def read_forwards(folder: str, app: str, is_before: IsBefore) -> Iterator[bytes]:
    """The lines of an app that are whole, the oldest first, from the first that is not before."""
    with _opened(folder, app) as fds:
        fds.reverse()
        heads = [os.pread(fd, HEAD_BYTES, 0) for fd in fds]
        start = max(
            (n for n, head in enumerate(heads) if seq_of(head) and is_before(head)), default=0
        )
        for fd in fds[start:]:
            size = os.fstat(fd).st_size
            at = _find(fd, size, is_before)
            for line in _lines(fd, at, size):
                if seq_of(line) and not is_before(line):
                    yield line


def read_backwards(folder: str, app: str) -> Iterator[bytes]:
    """The lines of an app that are whole, the newest first."""
    with _opened(folder, app) as fds:
        for fd in fds:
            for line in _lines_backwards(fd, os.fstat(fd).st_size):
                if seq_of(line):
                    yield line


@contextmanager
def _opened(folder: str, app: str) -> Iterator[list[int]]:
    """Its files, the newest first."""
    fds: dict[int, int] = {}  # inode -> descriptor
    path = os.path.join(folder, file_of(app))
    try:
        for name in (path, *(f"{path}.{number}" for number in range(1, PIECES))):
            with suppress(OSError):
                fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
                state = os.fstat(fd)
                if state.st_ino in fds or not stat.S_ISREG(state.st_mode):
                    os.close(fd)
                else:
                    fds[state.st_ino] = fd
        yield list(fds.values())
    finally:
        for fd in fds.values():
            os.close(fd)


def _find(fd: int, size: int, is_before: IsBefore) -> int:
    """The start of an unwanted line that has at most a few unwanted ones after it."""
    low, high = 0, size
    while high - low > _NEAR_BYTES:
        middle = (low + high) // 2
        line, at = _line_at(fd, middle, high)
        if seq_of(line) and is_before(line):
            low = at
        else:
            high = middle
    return low


def _line_at(fd: int, at: int, end: int) -> tuple[bytes, int]:
    """The head of the first line that begins after a position, and its start; b"" for none."""
    while at < end:
        piece = os.pread(fd, _PIECE_BYTES, at)
        found = piece.find(b"\n")
        if found >= 0:
            at += found + 1
            return (os.pread(fd, HEAD_BYTES, at), at) if at < end else (b"", end)
        if not piece:
            break
        at += len(piece)
    return b"", end


def _lines(fd: int, at: int, end: int) -> Iterator[bytes]:
    """Whole lines, each with its newline."""
    rest = b""
    while at < end:
        piece = os.pread(fd, min(_PIECE_BYTES, end - at), at)
        if not piece:
            return
        at += len(piece)
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line + b"\n" for line in lines)


def _lines_backwards(fd: int, at: int) -> Iterator[bytes]:
    # What was read of a line whose start is further in front; None before the last newline.
    rest: bytes | None = None
    while at > 0:
        size = min(_PIECE_BYTES, at)
        at -= size
        first, *lines = os.pread(fd, size, at).split(b"\n")
        if not lines:
            rest = None if rest is None else first + rest
            continue
        last = lines.pop()
        if rest is not None:
            yield last + rest + b"\n"
        yield from (line + b"\n" for line in reversed(lines))
        rest = first
    if rest is not None:
        yield rest + b"\n"
