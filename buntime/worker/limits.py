"""What a worker may do, as the operating system enforces it: limits, priority, and whose it is."""

from __future__ import annotations

import posix  # for `os`, see main.py
import resource  # 0.7 ms
import sys
from _stat import S_ISFIFO

from buntime.wire import MARK_LIMIT, mark_ceiling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from buntime.wire import Message

# The runtime has raised its own limit for the sake of its many connections; an app that leaks
# files should come to know. It may raise this one itself, up to the hard limit.
OPEN_FILES = 4096

# Keys of the manifest, and the limits that they set.
_LIMITS = (
    ("maxAddressSpace", resource.RLIMIT_AS),
    ("maxFileSize", resource.RLIMIT_FSIZE),
    ("maxProcesses", resource.RLIMIT_NPROC),
)


def limit() -> None:
    """Set what is the same for all workers: open files, and no core dumps."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    # A dump holds all that the app had in memory, and takes as much of the disk.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _mark()


def _mark() -> None:
    """Have all that comes from this worker bear its number, see the runtime's orphans.py."""
    name = posix.environ.get(b"WORKER_ID", b"")[1:]
    if sys.platform == "linux" and name.isdigit():
        mark = mark_ceiling(resource.getrlimit(MARK_LIMIT)[1]) - int(name)
        if mark >= 0:
            resource.setrlimit(MARK_LIMIT, (mark, mark))


def take_place(init: Message, lifeline: int) -> None:
    """Take on priority, limits and user of INIT. Raises OSError where that is not allowed.

    Before any code of the app: what it does at its import is done as that user. `lifeline` becomes
    the user's, too, since every process that the app forks opens it once more.
    """
    config = init["config"]
    nice = config.get("nice", 0)
    if nice:
        posix.nice(nice)
    for key, number in _LIMITS:
        most = config.get(key)
        if most is not None:
            _lower(number, most)
    user = init.get("user")
    if user is not None:
        _become(user["uid"], user["gid"], user["groups"], pipes=(1, 2, lifeline))


def _lower(number: int, most: int) -> None:
    """Set a limit that cannot be raised again, unless the system has a lower one."""
    _, hard = resource.getrlimit(number)
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(number, (most, most))


def _become(uid: int, gid: int, groups: list[int], *, pipes: tuple[int, ...]) -> None:
    for pipe in pipes:
        _give_away(pipe, uid, gid)
    posix.setgroups(groups)
    posix.setgid(gid)
    posix.setuid(uid)  # last: it takes away the right to do the rest, for good


def _give_away(descriptor: int, uid: int, gid: int) -> None:
    """Let the user open a pipe once more, as programs do that write to /dev/stderr."""
    try:
        if S_ISFIFO(posix.fstat(descriptor).st_mode):
            posix.fchown(descriptor, uid, gid)
    except OSError:  # closed, or a container without CAP_CHOWN: those programs say so themselves
        return
