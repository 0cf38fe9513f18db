"""Who connects over loopback: whether the other end of a connection may belong to an app.

The address proves little, because apps run on this machine too, with the same address. Two things
depend on the answer. In development, a browser on this machine gets a session without a key. And a
session's cookie is sent to all ports of a host, so an app that listens at a port of its own gets it
when its page is opened; the cookie must be useless to the app.

So the kernel's table of connections shows whose the other end is, and the processes that apps have
started (see `peers`) are checked for having it open. A process of an app that cannot be inspected
might have it, such as a worker with secrets if the runtime is not root; and so might one that
starts during the check, which is not rare: an app with `ttl: 0` has a new one for each request.
While there is one, only visible clients are let in: a process of the connection's user, or of root,
that no app has started and that has the connection open.

An app can hold a socket where /proc/PID/fd does not show it: in a thread with a table of its own,
behind a main thread that has ended, on its way through a unix socket. So all threads of apps are
looked at, and no descriptor may be on its way to them.

The check looks at all processes, which takes some milliseconds, so it runs on a thread, once for
each connection. Linux only: elsewhere there is no sandbox either.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address

from buntime.core.values.tuples import NamedTuple
from buntime.server.admin.peers import Peers

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_TABLE_LOOKS = 3  # a row may be missed while others come and go
# One look in ten misses a socket that two processes hand to each other all the time.
_LOOKS_LEAST = 6
_LOOKS_MAX = 16
_DESCRIPTORS_MAX = 200_000  # of a process, those of each thread counted: a second or two


class _End(NamedTuple):
    """One end of a connection, as the kernel's table shows it."""

    address: str
    uid: int
    inode: str


class Nearby:
    """Checks connections."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._uid = os.geteuid()
        self._peers = Peers()

    def refusal(self, client: tuple[str, int], port: int, *, is_ours: bool = False) -> str:
        """Why the client at (address, port), connected to `port`, may be an app; "" if it is not.

        `is_ours`: it must belong to the runtime's user, or to root.
        """
        if sys.platform != "linux":
            return ""
        ends = next(filter(None, (_ends_at(client, port) for _ in range(_TABLE_LOOKS))), [])
        if not ends:
            return "its connection cannot be seen in /proc/net/tcp"
        for end in ends:
            if is_ours and end.uid not in (self._uid, 0):
                return "it belongs to another user"
            if self._uid not in (0, end.uid):
                continue  # apps run as our own user, unless we are root
            why = self._held_by_app(end)
            if why:
                return why
        return ""

    def _held_by_app(self, end: _End) -> str:
        """Why an app may have a socket open.

        Looks several times, since processes could hand it to each other meanwhile, and again while
        apps start new ones, to which they could hand it too.
        """
        wanted = f"socket:[{end.inode}]"
        of_apps: set[int] = set()
        others: set[int] = set()
        doubt = ""
        for look in range(_LOOKS_MAX):
            fresh = {pid for pid in _pids() if pid != self._pid} - of_apps - others
            started = self._started_by_apps(fresh)
            others |= fresh - started
            of_apps |= started
            if not started and (look >= _LOOKS_LEAST or not of_apps):
                break
            for pid in of_apps:
                why = _why_of_app(pid, wanted)
                if why:
                    return why
                if why is None:
                    doubt = "an app may have started it: some processes of apps cannot be seen"
        else:
            doubt = doubt or "an app may have started it: apps keep starting processes"
        if doubt and not any(self._is_seen_with(pid, wanted, end.uid) for pid in others):
            return doubt
        return ""

    def _started_by_apps(self, pids: set[int]) -> set[int]:
        """Those of the processes that may be apps'. Most have a parent with a lower number, so that
        each is looked at once, and not for all that are below it."""
        clear: set[int] = set()
        for pid in sorted(pids):
            if not self._peers.origin(pid, clear):
                clear.add(pid)
        return pids - clear

    def _is_seen_with(self, pid: int, wanted: str, uid: int) -> bool:
        """Whether a process of this user, or of root, that no app has started is seen to have it
        open."""
        try:
            is_theirs = os.stat(f"/proc/{pid}").st_uid in (uid, 0)
        except OSError:
            return False  # it has ended
        # Another process may have got its number since it was looked at.
        return is_theirs and bool(_has_open(pid, wanted)) and not self._peers.origin(pid)


def _ends_at(client: tuple[str, int], port: int) -> list[_End]:
    address, own_port = client
    return [each for each in _ends(own_port, port) if each.address == address]


def _ends(port: int, remote_port: int) -> Iterator[_End]:
    """Those with these ports. A machine has thousands of others, whose addresses do not matter."""
    local, remote = (b":%04X" % each for each in (port, remote_port))
    for table in _TABLES:
        with suppress(OSError, ValueError, IndexError), open(table, "rb") as file:
            next(file)
            for line in file:
                if local not in line or remote not in line:
                    continue
                fields = line.split()
                is_open = fields[9] != b"0"  # else nobody has it open any more
                if is_open and fields[1].endswith(local) and fields[2].endswith(remote):
                    address = _address(fields[1].removesuffix(local))
                    yield _End(address, int(fields[7]), fields[9].decode("ascii"))


def _address(text: bytes) -> str:
    """`b"0100007F"` -> "127.0.0.1": words in the machine's byte order."""
    raw = b"".join(
        int(text[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(text), 8)
    )
    address = ip_address(raw)
    return str(getattr(address, "ipv4_mapped", None) or address)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _why_of_app(pid: int, wanted: str) -> str | None:
    """Why a process of an app may have this open; None if that cannot be seen."""
    left = _DESCRIPTORS_MAX
    try:
        for tid in os.listdir(f"/proc/{pid}/task"):
            folder = f"/proc/{pid}/task/{tid}"
            for fd in _names(f"{folder}/fd"):
                left -= 1
                target = _target(f"{folder}/fd/{fd}")
                if target == wanted:
                    return "an app has started it"
                if target.startswith("socket:") and _carries(f"{folder}/fdinfo/{fd}"):
                    return "an app passes on descriptors, and it may be one of them"
            if left < 0:
                return "an app has too many threads and descriptors to look at"
    except (FileNotFoundError, ProcessLookupError):
        return ""  # it has ended
    except OSError:
        return None
    return ""


def _has_open(pid: int, wanted: str) -> bool | None:
    """Whether a process has this open; None if that cannot be seen."""
    folder = f"/proc/{pid}/fd"
    try:
        return any(_target(f"{folder}/{fd}") == wanted for fd in _names(folder))
    except OSError:
        return None


def _names(folder: str) -> list[str]:
    """The names in a folder of a process or thread; none if that has ended."""
    try:
        return os.listdir(folder)
    except (FileNotFoundError, ProcessLookupError):
        return []


def _carries(fdinfo: str) -> bool:
    """Whether descriptors wait in this unix socket to be received."""
    try:
        with open(fdinfo, "rb") as file:
            waiting = [line for line in file if line.startswith(b"scm_fds:")]
    except (FileNotFoundError, ProcessLookupError):
        return False  # closed meanwhile
    return any(int(line.partition(b":")[2]) for line in waiting)


def _target(path: str) -> str:
    """Where a link in /proc leads; "" if it is gone."""
    try:
        return os.readlink(path)
    except (FileNotFoundError, ProcessLookupError):
        return ""
