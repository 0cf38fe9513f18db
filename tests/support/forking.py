"""Starts processes by forking one that has imported what they need.

A module with such a process's program calls `Forks` where the tests run, and `fork_for_each` in the
process that forks. For each start this reads a JSON line with descriptors: the last takes the pid
and, at the end, the exit code; what becomes of the others is the program's matter.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

ROOT = os.path.realpath(f"{os.path.dirname(__file__)}/../..")
AGAIN = "again"  # asks for a fork that forks as well
# What the process that forks calls in each fork, with what was asked and the descriptors; it
# returns what is run there.
Become = Callable[[dict[str, Any], list[int]], Callable[[], int]]


class Forked:
    """A forked process, with those methods of a Popen that tests use."""

    def __init__(self, told: int) -> None:
        self._told = os.fdopen(told, "rb", buffering=0)
        self.returncode: int | None = None
        self.pid = int(self._told.readline())

    def poll(self) -> int | None:
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._look(timeout)
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _look(self, timeout_s: float | None) -> int | None:
        if self.returncode is None and select.select([self._told], [], [], timeout_s)[0]:
            self.returncode = int(self._told.readline())
            self._told.close()
        return self.returncode


class Forks:
    """A process that forks, which ends when this process does."""

    def __init__(
        self, line: Sequence[str], env: Mapping[str, str], like: Forks | None = None
    ) -> None:
        """`line` starts it, in our root folder; the number of its descriptor comes behind. If there
        is one `like` it, which a parent of this process has started, it is forked from that."""
        self._process: subprocess.Popen[bytes] | Forked
        self._socket, theirs = socket.socketpair()
        with theirs:
            if like is not None:
                self._process = Forked(like.start({AGAIN: True}, [theirs.fileno()]))
            else:
                self._process = subprocess.Popen(
                    [*line, str(theirs.fileno())],
                    cwd=ROOT,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                )
        atexit.register(self._end)

    def start(self, asked: Mapping[str, object], descriptors: Sequence[int]) -> int:
        """Ask for a fork, which gets copies of these descriptors; returns what tells of it."""
        told, their_told = os.pipe()
        try:
            data = [json.dumps(asked).encode() + b"\n"]
            socket.send_fds(self._socket, data, [*descriptors, their_told])
        finally:
            os.close(their_told)
        return told

    def _end(self) -> None:
        self._socket.close()
        self._process.wait()


# The process that forks


def fork_for_each(number: int, become: Become) -> int:
    """Fork for each line that comes from this descriptor, and tell the end of each fork."""
    told: dict[int, int] = {}  # pid -> where its exit code goes
    woken, wakes = socket.socketpair()
    wakes.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes.fileno())
    with socket.socket(fileno=number) as asks:
        while True:
            if woken in select.select([asks, woken], [], [])[0]:
                woken.recv(1 << 16)
                _reap(told)
            elif (got := _next(asks)) is None:
                return 0
            else:
                asked, (*descriptors, tell) = got
                pid = os.fork()
                if pid == 0:
                    for each in (asks, woken, wakes):
                        each.close()
                    _begin([tell, *told.values()])
                    if AGAIN in asked:
                        _run(functools.partial(fork_for_each, descriptors[0], become))
                    _run(become(asked, descriptors))
                os.write(tell, b"%d\n" % pid)
                told[pid] = tell
                for each in descriptors:
                    os.close(each)


def _next(asks: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    data, fds, _, _ = socket.recv_fds(asks, 1 << 16, 8)
    while data and not data.endswith(b"\n"):
        data += asks.recv(1 << 16)
    return (json.loads(data), fds) if data else None


def _reap(told: dict[int, int]) -> None:
    while told:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        tell = told.pop(pid)
        with contextlib.suppress(BrokenPipeError):  # the test no longer asks
            os.write(tell, b"%d\n" % os.waitstatus_to_exitcode(status))
        os.close(tell)


def _begin(others: list[int]) -> None:
    """Let go of what only the process that forks needs."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for each in others:
        os.close(each)


def _run(run: Callable[[], int]) -> NoReturn:
    """Run it and exit as Python does, but without freeing all memory: that takes longer than most
    commands."""
    code = 1
    try:
        code = run()
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
        if isinstance(exc.code, str):
            print(exc.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    threading._shutdown()  # type: ignore[attr-defined]  # joins threads that are no daemons
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
