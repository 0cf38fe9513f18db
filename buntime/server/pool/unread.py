"""How much data is in a pipe or socket, for readers that take only what is there."""

import array
import contextlib
import fcntl
import termios


def unread_bytes(fd: int) -> int:
    """How many bytes can be read now; 0 also if that is unknown."""
    count = array.array("i", [0])
    with contextlib.suppress(OSError):
        fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]
