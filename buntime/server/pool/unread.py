"""How much lies in a pipe or socket, for those who read what is there and no more."""

import array
import contextlib
import fcntl
import termios


def unread_bytes(fd: int) -> int:
    """How many bytes can be read now; 0 also where that cannot be known."""
    count = array.array("i", [0])
    with contextlib.suppress(OSError):
        fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]
