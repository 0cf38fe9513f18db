"""Reads files whose content, and even kind, somebody else controls.

A path may lead to a FIFO that nobody writes to, to an endless device, or to a file of 10 GB. This
waits for none of them, and reads no more than the caller can use.
"""

import errno
import fcntl
import os
import stat
import sys

from buntime.core.values.tuples import NamedTuple

# O_NONBLOCK: a FIFO opens without a writer, and is then refused. O_NOCTTY: a terminal does not
# become this process's own.
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_PIECE_BYTES = 64 * 1024


class Content(NamedTuple):
    """What was read, and the file's state at that time."""

    data: bytes
    state: os.stat_result


class OutsideError(Exception):
    """A path leads out of the folder where it should stay."""


def read_regular(
    path: str | os.PathLike[str], max_bytes: int, *, inside: str | None = None
) -> Content:
    """The content of a regular file, of which at most `max_bytes` + 1 are read.

    The caller must refuse more than `max_bytes`. Links are followed, but not out of the folder
    `inside`, whose own path has no links. Raises OutsideError, and OSError, with EINVAL if the
    path does not lead to a regular file.
    """
    fd = os.open(path, _FLAGS)
    try:
        state = os.fstat(fd)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        if inside is not None and not _was_opened_in(fd, path, inside):
            raise OutsideError(path)
        return Content(read_open(fd, max_bytes + 1), state)
    finally:
        os.close(fd)


def read_open(fd: int, most: int) -> bytes:
    """What is in an open file, up to this many bytes, whatever size it says it has."""
    pieces = []
    while most > 0 and (piece := os.read(fd, min(most, _PIECE_BYTES))):
        pieces.append(piece)
        most -= len(piece)
    return b"".join(pieces)


def _was_opened_in(fd: int, path: str | os.PathLike[str], folder: str) -> bool:
    """Whether an open file is below a folder, judged by what was opened, not by its name."""
    try:
        if sys.platform == "darwin":
            real = fcntl.fcntl(fd, fcntl.F_GETPATH, bytes(1024)).partition(b"\0")[0]
        else:
            real = os.readlink(os.fsencode(f"/proc/self/fd/{fd}"))
    except OSError:  # no /proc: the name has to do
        real = os.fsencode(os.path.realpath(path))
    return real.startswith(os.fsencode(folder).rstrip(b"/") + b"/")
