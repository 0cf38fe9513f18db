"""How a client's socket ends: whether its other side has left, a half close, a reset."""

import fcntl
import select
import socket
import sys
import termios
from contextlib import suppress

from buntime.core.values.enums import Enum, auto

# Linux reports a FIN even behind unread bytes; elsewhere only a connection's full end shows.
_HALF = getattr(select, "POLLRDHUP", 0)
_GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL
# macOS: the option SO_NWRITE has what Linux has as an ioctl.
_MACOS_NWRITE = 0x1024
_RESET = socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"  # on, 0 s: close sends RST


class Ending(Enum):
    """What is known about whether the other side has ended."""

    NONE = auto()
    HALF = auto()  # it sends no more; whether it reads is unknown
    GONE = auto()


def ending_of(sock: socket.socket) -> Ending:
    """Has the other side left? Found out without reading."""
    poll = select.poll()
    poll.register(sock, _HALF)
    for _, events in poll.poll(0):
        return Ending.GONE if events & _GONE else Ending.HALF
    return Ending.NONE


def unacknowledged_bytes(sock: socket.socket) -> int:
    """How many bytes the kernel has taken from us that the other side has not received."""
    if sys.platform == "darwin":
        with suppress(OSError):
            return sock.getsockopt(socket.SOL_SOCKET, _MACOS_NWRITE)
        return 0
    told = fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0\0\0\0")
    return int.from_bytes(told, sys.byteorder)


def has_left(sock: socket.socket) -> bool:
    """Has the other side left without sending anything more, or with a reset?"""
    try:
        return not sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def shut(sock: socket.socket) -> bool:
    """Say that nothing more will be sent; False if nobody is there to hear it."""
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        return False
    return True


def reset_at_close(sock: socket.socket) -> None:
    """Make closing this socket send a reset."""
    sock.setsockopt(socket.SOL_SOCKET, *_RESET)
