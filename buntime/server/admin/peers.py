"""Who may use the control socket: an operator on this machine, and nothing that an app has started.

The kernel says which process has connected (SO_PEERCRED). It is let in if

1. it belongs to root and the runtime does not; or
2. it belongs to the runtime's user, and
3. none of its ancestors is the runtime, and all of them can be read: below the runtime are workers,
   what they have started, and their orphans, which the kernel gives to the runtime; and
4. it has no mark of a worker (server/defence/mark.py): a process that outlives both its worker and
   the runtime has lost that ancestor, but still has the mark; and
5. it has not entered a sandbox that the runtime itself has not: no_new_privs and filters of system
   calls stay with a process and all that it starts; and
6. it is still alive, so it is the process that was checked, and not another that got its number.

A connection that is passed on counts as its maker's. One thing cannot be prevented: an app of the
runtime's user with `sandbox: off` can make other programs of that user act for it (cron, a shell's
profile, debugging a running command), see docs/security.md.
"""

import os
import resource
import select
import socket
import struct
from collections.abc import Container

from buntime.core.values.tuples import NamedTuple
from buntime.server.defence.mark import mark_of
from buntime.wire import MARK_LIMIT, mark_ceiling

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
_SO_PEERPIDFD = 77  # Linux 6.5; include/uapi/asm-generic/socket.h
_ANCESTORS_MAX = 1000


class Peer(NamedTuple):
    """The process that has connected. `pid` is 0 if it cannot be seen from here."""

    pid: int
    uid: int


class _Process(NamedTuple):
    parent: int
    no_new_privs: int
    filters: int


class Peers:
    """Checks them."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._uid = os.geteuid()
        self._ceiling = mark_ceiling(resource.getrlimit(MARK_LIMIT)[1])
        self._own = _look(self._pid)

    def refusal(self, sock: socket.socket) -> tuple[Peer, str]:
        """The peer of a connection, and why it is refused; "" if it is let in."""
        size = _CREDENTIALS.size
        pid, uid, _ = _CREDENTIALS.unpack(
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        )
        peer = Peer(pid, uid)
        if uid == 0 != self._uid:
            return peer, ""
        if uid != self._uid:
            return peer, "it belongs to another user"
        handle = _handle_of(sock)
        try:
            return peer, self._judge(pid) or ("" if _lives(handle) else "it has ended")
        finally:
            if handle is not None:
                os.close(handle)

    def _judge(self, pid: int) -> str:
        first = _look(pid)
        if first is None or self._own is None:
            return "it cannot be seen in /proc"
        if first.no_new_privs > self._own.no_new_privs or first.filters > self._own.filters:
            return "it is in a sandbox"
        return self.origin(pid)

    def origin(self, pid: int, clear: Container[int] = ()) -> str:
        """Why a process may be an app's; "" if it is not.

        `clear` are processes of which it was just found that they are not.
        """
        mark = mark_of(pid)
        if mark is not None and 0 <= mark < self._ceiling:
            return "an app has started it"
        for _ in range(_ANCESTORS_MAX):
            if pid == self._pid:
                return "the runtime has started it"
            process = _look(pid)
            if process is None:
                return "a process above it cannot be seen in /proc"
            if process.parent == 0 or process.parent in clear:
                return ""
            pid = process.parent
        return "too many processes are above it"


def _look(pid: int) -> _Process | None:
    """What /proc says of a process; None if it is gone, or hidden."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            status = file.read()
        process = _Process(
            parent=_number(status, b"PPid", without=-1),
            no_new_privs=_number(status, b"NoNewPrivs", without=0),
            filters=_number(status, b"Seccomp_filters", without=0),
        )
    except (OSError, ValueError, IndexError):
        return None
    return process if process.parent >= 0 else None


def _number(status: bytes, name: bytes, without: int) -> int:
    """A field's number, or `without` the field, which an older kernel lacks."""
    _, is_there, rest = status.partition(b"\n%s:" % name)  # names of processes have no line's end
    return int(rest.split(None, 1)[0]) if is_there else without


def _handle_of(sock: socket.socket) -> int | None:
    """A descriptor of the process itself, even if its pid is reused; None on older kernels."""
    try:
        data = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD, 4)
    except OSError:
        return None
    return int(struct.unpack("i", data)[0])


def _lives(handle: int | None) -> bool:
    if handle is None:
        return True
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return not poll.poll(0)
