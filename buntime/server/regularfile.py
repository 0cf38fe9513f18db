"""Reads files whose content, and whose very kind, somebody else decides.

A path may lead to a FIFO that nobody writes to, to a device that has no end, to a file of 10 GB.
None of them is waited for, and no more is read than the caller can use.
"""

import errno
import os
import stat
from typing import NamedTuple

# O_NONBLOCK: a FIFO is opened without a writer, and refused then. O_NOCTTY: a terminal is not
# taken for this process's own.
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Content(NamedTuple):
    """What was read, and the state of the file then."""

    data: bytes
    state: os.stat_result


def read_regular(path: str | os.PathLike[str], max_bytes: int) -> Content:
    """The content of a regular file, of which at most `max_bytes` + 1 are read.

    More than `max_bytes` are the caller's to refuse. Links are followed. Raises OSError, with
    EINVAL where the path leads to anything else.
    """
    fd = os.open(path, _FLAGS)
    try:
        state = os.fstat(fd)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        with open(fd, "rb", closefd=False) as file:
            return Content(file.read(max_bytes + 1), state)
    finally:
        os.close(fd)
