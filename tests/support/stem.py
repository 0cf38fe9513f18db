"""The stem: the process that the workers of forked runtimes are forked from, see offshoots.py.

`python -I -S -X utf8 stem.py LISTENER ALIVE` is started as a worker is, and does what a worker does
up to the call of its `main`. There it waits, and forks for each connection to the socket LISTENER.
A fork goes on with `main`. So an app finds in it what it finds in a worker that was started: the
same modules, path, flags, threads and state of the garbage collector. It ends when nobody holds
the other end of ALIVE.

A connection takes one request and tells of one worker:

    REQUEST with 5 descriptors -> "pid 123" ... "code -9" -> closed: the zombie is reaped
                               -> "refused" or "errno 11"

Its zombie stays until then, so that nothing else gets its number, as if it were the runtime's own.
A start is refused if it is not of the stem's kind: another folder of the worker's code, or another
of those things that a process inherits. The first start decides what they are.
"""

from __future__ import annotations

import _socket
import marshal
import posix
import resource
import select
import sys
from _signal import SIG_IGN, signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Request = dict[str, Any]

DESCRIPTORS = 5  # stdout, stderr, channel, lifeline, stacks
_INHERITED = (
    "Umask",
    "Uid",
    "Gid",
    "Groups",
    "SigBlk",
    "SigIgn",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "Seccomp_filters",
    "Cpus_allowed",
    "Mems_allowed",
)
_OWN = ("_socket", "select")  # modules above that a worker has not


def inherited() -> dict[str, Any]:
    """What a process that is started has from the one that starts it, apart from what is in a
    request."""
    with open("/proc/self/status", encoding="utf-8") as status:
        lines = dict(line.rstrip().split(":", 1) for line in status)
    facts: dict[str, Any] = {name: lines.get(name, "").strip() for name in _INHERITED}
    for name in ("cgroup", "oom_score_adj"):
        with open(f"/proc/self/{name}", encoding="utf-8") as file:
            facts[name] = file.read()
    facts["nice"] = posix.getpriority(posix.PRIO_PROCESS, 0)
    facts["session"] = posix.getsid(0)
    for number in range(16):  # RLIM_NLIMITS
        soft, hard = resource.getrlimit(number)
        # A worker sets its own soft limit of open files.
        facts[f"limit {number}"] = hard if number == resource.RLIMIT_NOFILE else (soft, hard)
    return facts


class _Stem:
    """Takes requests, and tells of the workers."""

    def __init__(self, listener: int, alive: int) -> None:
        self._listener = _socket.socket(fileno=listener)
        self._alive = alive
        self._asking: set[int] = set()  # connections whose request is still to come
        self._workers: dict[int, tuple[int, int]] = {}  # pidfd -> connection, pid
        self._told: dict[int, int] = {}  # connection -> pid of its worker, 0 while that lives
        self._poll = select.poll()
        self._poll.register(listener, select.POLLIN)
        self._poll.register(alive, 0)
        self.bundle = ""
        self._own: dict[str, Any] = {}

    def next_request(self) -> tuple[int, Request, list[int]]:
        """Wait for a request; returns its connection, and what came."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._alive:
                    posix._exit(0)
                if descriptor == self._listener.fileno():
                    asking = self._listener._accept()[0]
                    self._asking.add(asking)
                    self._poll.register(asking)
                elif descriptor in self._workers:
                    self._on_ended(descriptor)
                elif descriptor in self._told:
                    self._on_closed(descriptor)
                elif descriptor in self._asking:
                    self._asking.remove(descriptor)
                    self._poll.unregister(descriptor)
                    request, descriptors = _received(descriptor)
                    if request is not None:
                        return descriptor, request, descriptors
                    posix.close(descriptor)

    def fork(self, connection: int, request: Request, descriptors: list[int]) -> bool:
        """Whether this is the fork."""
        try:
            pid = posix.fork()
        except OSError as exc:
            self.answer(connection, f"errno {exc.errno}", descriptors)
            return False
        if pid == 0:
            self._let_go(connection)
            _become(request, descriptors)
            return True
        posix.setpgid(pid, pid)  # it does so too; whoever is first
        pidfd = posix.pidfd_open(pid)
        self._workers[pidfd] = connection, pid
        self._told[connection] = 0
        self._poll.register(pidfd)
        self._poll.register(connection, 0)
        _tell(connection, f"pid {pid}")
        for each in descriptors:
            posix.close(each)
        return False

    def refuses(self, request: Request) -> bool:
        """Whether it is of another kind than the first one."""
        return bool(request["bundle"] != self.bundle or request["inherited"] != self._own)

    def adopt(self, request: Request) -> None:
        """The first request decides the kind."""
        ignored = int(request["inherited"]["SigIgn"], 16)
        for number in range(1, 64):
            if ignored >> (number - 1) & 1:
                signal(number, SIG_IGN)
        self._own = inherited()
        self.bundle = request["bundle"]

    def answer(self, connection: int, text: str, descriptors: list[int]) -> None:
        """The last answer on this connection."""
        _tell(connection, text)
        for each in (connection, *descriptors):
            posix.close(each)

    def _on_ended(self, pidfd: int) -> None:
        connection, pid = self._workers.pop(pidfd)
        self._poll.unregister(pidfd)
        posix.close(pidfd)
        end = posix.waitid(posix.P_PID, pid, posix.WEXITED | posix.WNOWAIT)
        code = end.si_status if end.si_code == posix.CLD_EXITED else -end.si_status
        if connection in self._told:
            self._told[connection] = pid
            _tell(connection, f"code {code}")
        else:  # the runtime has gone before
            posix.waitpid(pid, 0)

    def _on_closed(self, connection: int) -> None:
        self._poll.unregister(connection)
        posix.close(connection)
        pid = self._told.pop(connection)
        if pid:
            posix.waitpid(pid, 0)

    def _let_go(self, connection: int) -> None:
        self._listener.close()
        for each in (self._alive, connection, *self._asking, *self._workers, *self._told):
            posix.close(each)


def _received(connection: int) -> tuple[Request | None, list[int]]:
    sock = _socket.socket(fileno=connection)
    try:
        size = 4 * DESCRIPTORS
        data, ancillary, _, _ = sock.recvmsg(1 << 17, _socket.CMSG_SPACE(size))
    except ConnectionResetError:
        return None, []
    finally:
        sock.detach()
    if not data:
        return None, []
    ((_, _, numbers),) = ancillary
    return marshal.loads(data), [
        int.from_bytes(numbers[at : at + 4], sys.byteorder) for at in range(0, size, 4)
    ]


def _tell(connection: int, text: str) -> None:
    try:
        posix.write(connection, text.encode())
    except (BrokenPipeError, ConnectionResetError):
        return  # the runtime has gone


def _become(request: Request, descriptors: list[int]) -> None:
    """Give the fork all that a start would have given it."""
    posix.setpgid(0, 0)
    for its, ours in enumerate(descriptors[:2], 1):
        posix.dup2(ours, its)
        posix.close(ours)
    for each in descriptors[2:]:
        posix.set_inheritable(each, True)
    posix.chdir(request["cwd"])
    for name in posix.environ:
        posix.unsetenv(name)
    posix.environ.clear()
    posix.environ.update(request["environ"])
    for name, value in request["environ"].items():
        posix.putenv(name, value)
    line = [*request["line"], *map(str, descriptors[2:])]
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[:] = line
    sys.argv[:] = line[line.index(f"{request['bundle']}/__main__.py") :]
    importers = sys.path_importer_cache
    importers[sys.argv[0]] = importers.pop(__file__)


def _stash(bundle: str) -> Any:
    folder = __file__.rpartition("/")[0]
    sys.path.append(folder)
    import stash

    sys.path.remove(folder)
    del sys.modules["stash"], sys.path_importer_cache[folder]
    return stash.Stash(bundle, _OWN)


def _then_forks(modules: list[Any], stem: _Stem, first: tuple[Any, ...]) -> Iterator[Any]:
    """The worker's modules; behind the last one the stem stays for ever, and its forks go on."""
    yield from modules
    modules.clear()
    stash = _stash(stem.bundle)
    got = first
    while True:
        connection, request, descriptors = got
        if stem.refuses(request):
            stem.answer(connection, "refused", descriptors)
        elif stem.fork(connection, request, descriptors):
            sys.meta_path.insert(0, stash)
            return
        got = stem.next_request()


def main() -> None:
    """Load the code of the first request's kind, as launch.py does, and serve."""
    from _frozen_importlib_external import MAGIC_NUMBER

    stem = _Stem(int(sys.argv[1]), int(sys.argv[2]))
    while True:
        first = connection, request, descriptors = stem.next_request()
        bundle = request["bundle"]
        cache = f"{bundle}/modules-{MAGIC_NUMBER.hex()}.bin"
        stem.adopt(request)
        try:
            with open(cache, "rb") as file:
                code, modules = marshal.loads(file.read())
        except (OSError, EOFError, TypeError, ValueError):  # the first worker that starts writes it
            stem.answer(connection, "refused", descriptors)
            continue
        sys.modules.pop("__future__", None)
        scope: dict[str, Any] = {"__name__": "buntime.worker.start"}
        exec(code, scope)
        scope["start"](bundle, cache, code, _then_forks(modules, stem, first))


if __name__ == "__main__":
    main()
