"""Who comes by the loopback: in development a browser there gets a session without a key.

Its address says little, as apps run on this machine too, with the same one. So the kernel's table
of connections is asked whose the other end is: it must be of the runtime's user or root, and each
process that has it open must be one that no app has started (see `peers`). Where none can be seen
nobody is let in so: there are keys for that.

Takes some milliseconds, for a look at all processes, so it is done on a thread. Linux alone: where
there is no sandbox, an app can read local.key as well.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from typing import NamedTuple

from buntime.server.admin.peers import Peers

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")


class _End(NamedTuple):
    """One end of a connection, as the kernel's table has it."""

    address: str
    port: int
    remote_port: int
    uid: int
    inode: str


class Nearby:
    """Judges them."""

    def __init__(self) -> None:
        self._uid = os.geteuid()
        self._peers = Peers()

    def refusal(self, client: tuple[str, int] | None, port: int) -> str:
        """Why who is at (address, port), connected to our `port`, is none of us; "" if he is."""
        if sys.platform != "linux":
            return ""
        if client is None:
            return "it does not come by TCP"
        ends = [
            each
            for each in _ends()
            if (each.address, each.port, each.remote_port) == (*client, port)
        ]
        if not ends:
            return "its connection cannot be seen in /proc/net/tcp"
        for end in ends:
            why = self._refusal_of(end)
            if why:
                return why
        return ""

    def _refusal_of(self, end: _End) -> str:
        if end.uid not in (self._uid, 0):
            return "it is of another user"
        pids = list(_holders(end.inode))
        if not pids:
            return "its process cannot be seen in /proc"
        return next(filter(None, map(self._peers.origin, pids)), "")


def _ends() -> Iterator[_End]:
    for table in _TABLES:
        with suppress(OSError, ValueError, IndexError), open(table, "rb") as file:
            next(file)
            for line in file:
                fields = line.decode("ascii").split()
                if fields[9] != "0":  # else nobody has it any more
                    address, port = _place(fields[1])
                    yield _End(address, port, _place(fields[2])[1], int(fields[7]), fields[9])


def _place(text: str) -> tuple[str, int]:
    """`"0100007F:1F40"` -> ("127.0.0.1", 8000): words in the machine's order."""
    words, _, port = text.partition(":")
    raw = b"".join(
        int(words[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(words), 8)
    )
    address = ip_address(raw)
    plain = getattr(address, "ipv4_mapped", None) or address
    return str(plain), int(port, 16)


def _holders(inode: str) -> Iterator[int]:
    """The processes that have a socket open, as far as they can be seen."""
    wanted = f"socket:[{inode}]"
    for pid in filter(str.isdigit, os.listdir("/proc")):
        folder = f"/proc/{pid}/fd"
        with suppress(OSError):
            if any(_leads_to(f"{folder}/{fd}", wanted) for fd in os.listdir(folder)):
                yield int(pid)


def _leads_to(path: str, wanted: str) -> bool:
    try:
        return os.readlink(path) == wanted
    except OSError:
        return False
