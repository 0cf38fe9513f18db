"""Forks the workers of a forked runtime from a process that has imported what they need: an eighth
of the cost of a start.

`Stem` is that process, started where the tests run; stem.py is its program. `install(address)`, in
a runtime, has `buntime.server.pool.process` ask it for each worker. Whatever is not a plain start
happens afresh: another user, Python or sandbox at the start, variables that are read before the
program begins, and all that the stem refuses. So does a start when there is no Linux.
`python -m tests.support.offshoots NAME PROGRAM ARGS...` is a runtime that has it installed and
is itself started afresh.

A forked worker is a child of the stem. So what leaves its process group and outlives it does not
become the runtime's, and nothing shows that the runtime is above it. /proc shows the command line
and the first environment of the stem, and memory that they share. Its imports are quick, see
stash.py. Tests of these have their workers started afresh, see `workers_afresh` in launcher.py.
"""

from __future__ import annotations

import importlib
import marshal
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.support import stem
from tests.support.forking import ROOT

FLAGS = ("-I", "-S", "-X", "utf8")
IS_SUPPORTED = sys.platform == "linux" and hasattr(os, "pidfd_open")
# All that a worker's first environment may contain; the others of INHERITED_NAMES are read at once.
_PLAIN = {"PATH", "HOME", "WORKER_ID"}
_ANSWER_S = 20.0


class Stem:
    """The process that workers are forked from; it ends with this one."""

    def __init__(self) -> None:
        self.name = f"buntime-stem-{os.getpid()}-{secrets.token_hex(8)}"
        self.address = f"\0{self.name}"
        alive, self._alive = os.pipe()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
                listener.bind(self.address)
                listener.listen(64)
                passed = (listener.fileno(), alive)
                self._process = subprocess.Popen(
                    [sys.executable, *FLAGS, stem.__file__, *map(str, passed)],
                    cwd=ROOT,
                    env={name: os.environ[name] for name in _PLAIN & os.environ.keys()},
                    stdin=subprocess.DEVNULL,
                    # As those of a worker, which cannot be sought in.
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    pass_fds=passed,
                )
        finally:
            os.close(alive)
        self.pid = self._process.pid

    def end(self) -> None:
        """Fails if it has printed something: it has nothing to say but its end by mistake."""
        os.close(self._alive)
        printed = self._process.communicate()[0]
        assert not printed, printed.decode()


# In a runtime


class Offshoot:
    """A forked worker: as much of a Popen as the runtime uses."""

    def __init__(self, connection: socket.socket, pid: int, stdout: int, stderr: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout = os.fdopen(stdout, "rb")
        self.stderr = os.fdopen(stderr, "rb")
        self.connection = connection

    def wait(self) -> int:
        """Its exit code; before this it stays a zombie."""
        if self.returncode is None:
            told = self.connection.recv(64)
            self.returncode = int(told.split()[1]) if told else -signal.SIGKILL
            self.connection.close()
        return self.returncode


class _Watch:
    """Reports once when it has died."""

    def __init__(self, loop: Any, offshoot: Offshoot, on_dead: Callable[[], None]) -> None:
        self._loop = loop
        self._offshoot = offshoot
        self._on_dead = on_dead
        loop.register(offshoot.connection.fileno(), 1, self)  # EVENT_READ

    def on_ready(self, events: int) -> None:
        self._loop.unregister(self._offshoot.connection.fileno())
        self._on_dead()

    def abort(self) -> None:
        if self._offshoot.returncode is None:
            self._loop.unregister(self._offshoot.connection.fileno())
            self._offshoot.connection.close()


def install(address: str) -> None:
    """Have this runtime fork its workers from the stem at this address."""
    from buntime.server.pool import process

    start, watch = process._start, process._watch_exit

    def fork_or_start(
        line: Sequence[str], environ: Mapping[str, str], passed: Sequence[int], user: Any
    ) -> Any:
        if user is None and _is_plain(line, environ):
            offshoot = _fork(address, line, environ, passed)
            if offshoot is not None:
                return offshoot
        return start(line, environ, passed, user)

    def watch_exit(loop: Any, popen: Any, on_dead: Callable[[], None]) -> None:
        kind = _Watch if isinstance(popen, Offshoot) else watch
        kind(loop, popen, on_dead)

    process._start, process._watch_exit = fork_or_start, watch_exit


def _is_plain(line: Sequence[str], environ: Mapping[str, str]) -> bool:
    """A thread of its own has changed its rights, which the worker shall inherit."""
    is_own = threading.current_thread() is threading.main_thread()
    return is_own and environ.keys() <= _PLAIN and tuple(line[:5]) == (sys.executable, *FLAGS)


def _fork(
    address: str, line: Sequence[str], environ: Mapping[str, str], passed: Sequence[int]
) -> Offshoot | None:
    """None if it must be started afresh. Raises OSError, as a start does."""
    request = {
        "bundle": os.path.dirname(line[5]),
        "line": list(line[: -len(passed)]),
        "environ": {os.fsencode(name): os.fsencode(value) for name, value in environ.items()},
        "cwd": os.getcwd(),
        "inherited": stem.inherited(),
    }
    opened: list[int] = []
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        for _ in range(2):
            opened += os.pipe()
        out, their_out, err, their_err = opened
        connection.settimeout(_ANSWER_S)
        connection.connect(address)
        socket.send_fds(connection, [marshal.dumps(request)], [their_out, their_err, *passed])
        kind, number = [*connection.recv(64).decode().split(), "0", "0"][:2]
    except (ConnectionRefusedError, ConnectionResetError, BrokenPipeError):
        kind = "refused"  # the tests have ended, and their stem
    except BaseException:
        for each in opened:
            os.close(each)
        connection.close()
        raise
    os.close(their_out)
    os.close(their_err)
    if kind == "pid":
        connection.setblocking(True)
        return Offshoot(connection, int(number), out, err)
    connection.close()
    os.close(out)
    os.close(err)
    if kind == "errno":
        raise OSError(int(number), os.strerror(int(number)))
    return None


def main() -> int:
    """Be the runtime of this command line."""
    _, name, *sys.argv = sys.argv
    install(f"\0{name}")
    return int(importlib.import_module("buntime.__main__").main())


if __name__ == "__main__":
    raise SystemExit(main())
