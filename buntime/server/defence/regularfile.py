"""Reads files whose content, and whose very kind, somebody else decides.

A path may lead to a FIFO that nobody writes to, to a device that has no end, to a file of 10 GB.
None of them is waited for, and no more is read than the caller can use.
"""

import errno
import fcntl
import os
import stat
import sys

from buntime.core.values.tuples import NamedTuple

# O_NONBLOCK: a FIFO is opened without a writer, and refused then. O_NOCTTY: a terminal is not
# taken for this process's own.
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Content(NamedTuple):
    """What was read, and the state of the file then."""

    data: bytes
    state: os.stat_result


class OutsideError(Exception):
    """A path leads out of the folder that it should stay in."""


def read_regular(
    path: str | os.PathLike[str], max_bytes: int, *, inside: str | None = None
) -> Content:
    """The content of a regular file, of which at most `max_bytes` + 1 are read.

    More than `max_bytes` are the caller's to refuse. Links are followed, but not out of the folder
    `inside`, whose own path has no links. Raises OutsideError, and OSError, with EINVAL where the
    path leads to what is no regular file.
    """
    fd = os.open(path, _FLAGS)
    try:
        state = os.fstat(fd)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        if inside is not None and not _lies_in(fd, path, inside):
            raise OutsideError(path)
        with open(fd, "rb", closefd=False) as file:
            return Content(file.read(max_bytes + 1), state)
    finally:
        os.close(fd)


def _lies_in(fd: int, path: str | os.PathLike[str], folder: str) -> bool:
    """Whether an open file lies below a folder: asked of what was opened, not of its name."""
    try:
        if sys.platform == "darwin":
            real = fcntl.fcntl(fd, fcntl.F_GETPATH, bytes(1024)).partition(b"\0")[0]
        else:
            real = os.readlink(os.fsencode(f"/proc/self/fd/{fd}"))
    except OSError:  # no /proc: the name has to do
        real = os.fsencode(os.path.realpath(path))
    return real.startswith(os.fsencode(folder).rstrip(b"/") + b"/")
