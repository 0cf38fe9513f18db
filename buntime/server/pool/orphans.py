"""Finds processes that apps have left behind, and kills them when their worker is gone.

A worker's process group dies with it. A process that has left the group (a double fork, a daemon)
does not; but the kernel gives it to the runtime when its parent has died, as the runtime is a
"child subreaper" or process 1 of a container. There it is found among the runtime's children, and
killed once there is no worker that it can come from.

A process limit shows which worker it comes from. Before its app is loaded, each worker lowers
RLIMIT_LOCKS, which Linux ignores, by the worker's number below the runtime's. A process inherits
it, whatever its environment, session, group and user are, and can only lower it further: then it
appears to come from a later worker, or from one that never existed. Anybody may read the limit, so
a root without CAP_SYS_PTRACE recognises orphans of other users.

- A process without that limit (a program that `docker exec` has started) is not ours, unless its
  environment says so in WORKER_ID.
- A process that forks faster than this looks is not found. The service manager's limits are for
  that.
- Ended processes are reaped; otherwise a container's process table would fill up. A zombie that was
  not recognised while it lived waits for 2 s, in case it belongs to a thread of the runtime.
- Only the children of the main thread are checked: orphans become its children, and programs that
  other threads have started, such as pip, do not.
- macOS has nothing like it: there this does nothing.
"""

import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping

from buntime.confine import NotConfined, c_function
from buntime.server.defence.ended import has_ended
from buntime.server.defence.mark import mark_of
from buntime.server.telemetry.logs import Log
from buntime.wire import MARK_LIMIT, mark_ceiling

_PATIENCE_S = 2.0
_END_S = 1.0  # for those that remain when the runtime ends
_END_POLL_S = 0.01
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_OWNER = b"WORKER_ID="
_ENDED_MAX = 1000  # workers whose logs are kept for what they leave behind


def become_subreaper() -> bool:
    """Ask the kernel to give us the orphans of our workers; False if it cannot."""
    if sys.platform != "linux":
        return False
    try:
        prctl = c_function("prctl")
    except NotConfined:  # a Python that was built without libffi
        return False
    return prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


class Orphans:
    """The runtime's children that it has not started."""

    def __init__(self, log: Log, environ: Mapping[str, str] = os.environ) -> None:
        """`environ` is the runtime's own: it may itself have been started by a worker."""
        self._log = log
        self._path = f"/proc/self/task/{os.getpid()}/children"
        self._not_ours = environ.get("WORKER_ID", "").encode()
        self._ceiling = mark_ceiling(resource.getrlimit(MARK_LIMIT)[1])
        self._owners: dict[int, str] = {}  # by pid; "" if nothing points to a worker
        self._zombies: dict[int, float] = {}  # since when
        self._ended: dict[str, Log] = {}  # by worker; the log names its app
        self._has_warned = False  # that some cannot be seen

    def sweep(self, workers: Mapping[str, int], now: float) -> bool:
        """Kill orphans whose worker is not among `workers` (name -> pid), and reap the dead.

        Returns whether some that must go are left. Takes 20 us, and 1 us for each worker.
        """
        orphans = self._children() - set(workers.values())
        for known in (self._owners, self._zombies):
            for pid in known.keys() - orphans:
                del known[pid]
        left = [self._judge(pid, workers, now) for pid in orphans]
        return any(left)

    def note_end(self, worker: str, log: Log) -> None:
        """This worker has ended; `log` is what it and its app are named by."""
        self._ended[worker] = log
        if len(self._ended) > _ENDED_MAX:
            del self._ended[next(iter(self._ended))]

    def end(self) -> None:
        """All workers are gone: end what they have left, and its children."""
        deadline = time.monotonic() + _END_S
        while self.sweep({}, now := time.monotonic()) and now < deadline:
            time.sleep(_END_POLL_S)

    def _children(self) -> set[int]:
        try:
            with open(self._path, "rb") as children:
                return set(map(int, children.read().split()))
        except OSError:  # no /proc, or a kernel without this file
            return set()

    def _judge(self, pid: int, workers: Mapping[str, int], now: float) -> bool:
        try:
            name, state, group = _status(pid)
        except OSError:
            self._judge_unseen(pid, now)
            return False
        owner = self._owners.get(pid, "")
        if state == "Z":
            if owner or now - self._zombies.setdefault(pid, now) >= _PATIENCE_S:
                _reap(pid)
            return bool(owner)
        if not owner:
            owner = self._owners[pid] = self._owner(pid)
        if not owner or owner in workers:
            return False
        log = self._ended.get(owner) or self._log.child(worker=owner)
        log.info("orphan.killed", "killed a process that outlived its worker", pid=pid, name=name)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL) if group == pid else os.kill(pid, signal.SIGKILL)
        return True

    def _judge_unseen(self, pid: int, now: float) -> None:
        """Reap it if it is dead; it may have been reaped by its owner, or be hidden (`hidepid`)."""
        try:
            is_dead = has_ended(pid)
        except ChildProcessError:
            return
        if is_dead:
            if now - self._zombies.setdefault(pid, now) >= _PATIENCE_S:
                _reap(pid)
        elif not self._has_warned:
            self._has_warned = True
            self._log.warn(
                "orphan.hidden",
                "cannot see what apps of other users leave behind, as /proc hides it (ProtectProc)",
                pid=pid,
            )

    def _owner(self, pid: int) -> str:
        """The worker that a process comes from, "" if unknown."""
        mark = mark_of(pid)
        if mark is not None and 0 <= mark < self._ceiling:
            return f"w{self._ceiling - mark}"
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                entries = file.read().split(b"\0")
        except OSError:
            return ""
        owners = [entry.removeprefix(_OWNER) for entry in entries if entry.startswith(_OWNER)]
        return owners[0].decode("latin-1") if owners and owners[0] != self._not_ours else ""


def _status(pid: int) -> tuple[str, str, int]:
    """Its name, its state as a letter, its process group. Raises OSError when it is gone."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        head, _, rest = file.read().rpartition(")")
    state, _, group = rest.split()[:3]
    return head.partition("(")[2], state, int(group)


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
