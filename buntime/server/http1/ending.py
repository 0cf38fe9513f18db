"""How a client's socket ends: has its other side left; closed by half; a close that is a cut."""

import select
import socket

# Linux tells of a FIN behind what is unread; elsewhere only a connection's end is told of.
_HANGUP = getattr(select, "POLLRDHUP", 0)
_RESET = socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"  # on, 0 s: close sends RST


def has_hung_up(sock: socket.socket) -> bool:
    """Has the other side left, though it is not read?"""
    poll = select.poll()
    poll.register(sock, _HANGUP)
    return bool(poll.poll(0))


def has_left(sock: socket.socket) -> bool:
    """Has the other side left without a word, or behind a reset?"""
    try:
        return not sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def shut(sock: socket.socket) -> bool:
    """Say that nothing more will be sent; False where nobody is there to hear it."""
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        return False
    return True


def reset_at_close(sock: socket.socket) -> None:
    """Its close shall be a reset."""
    sock.setsockopt(socket.SOL_SOCKET, *_RESET)
