"""What the operating system lets a worker do: limits, priority, and user."""

from __future__ import annotations

import posix  # for `os`, see main.py
import resource  # 0.7 ms
import sys
from _stat import S_ISFIFO

from buntime.wire import MARK_LIMIT, mark_ceiling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from buntime.wire import Message

# The runtime has raised its own limit for its many connections; an app that leaks files should
# notice. It may raise this one itself, up to the hard limit.
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
    # A dump contains all of the app's memory, and takes as much space on the disk.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _mark()


def _mark() -> None:
    """Mark everything that comes from this worker with its number, see the runtime's orphans.py."""
    name = posix.environ.get(b"WORKER_ID", b"")[1:]
    if sys.platform == "linux" and name.isdigit():
        mark = mark_ceiling(resource.getrlimit(MARK_LIMIT)[1]) - int(name)
        if mark >= 0:
            resource.setrlimit(MARK_LIMIT, (mark, mark))


def take_place(init: Message, lifeline: int) -> None:
    """Adopt priority, limits and user of INIT. Raises OSError if that is not allowed.

    This happens before any code of the app, so its import already runs as that user. `lifeline` is
    given to the user too, because every process that the app forks opens it again.
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
    posix.setuid(uid)  # last, because it permanently removes the right to do the rest


def _give_away(descriptor: int, uid: int, gid: int) -> None:
    """Let the user reopen a pipe, as programs that write to /dev/stderr do."""
    try:
        if S_ISFIFO(posix.fstat(descriptor).st_mode):
            posix.fchown(descriptor, uid, gid)
    except OSError:  # closed, or a container without CAP_CHOWN: those programs say so themselves
        return
