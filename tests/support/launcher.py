"""Starts runtimes by forking a process that has imported them: a third of the cost of a start.

`launch(args, env)` is like a `subprocess.Popen` of `buntime.py ARGS` with this environment. This
file is also the program of the process that forks; each process of the tests has one. For each
start it reads a JSON line with two descriptors: one becomes stdout and stderr, the other takes the
pid and, at the end, the exit code.

A fork differs from a start in one thing: the initial environment and the command line, which /proc
shows, are those of the process that forks. Tests that look at these start a runtime afresh.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = str(ROOT / "buntime.py")
# What a start imports, and what runtimes of many tests import later.
IMPORTED = (
    "buntime.server.runtime",
    *(f"buntime.commands.{name}" for name in ("serve", "masterkey", "appfolders")),
    *(
        f"buntime.server.admin.{name}"
        for name in ("pages", "census", "exposition", "operatorsessions")
    ),
    "buntime.server.deploys.carrier",
    "buntime.server.filesteps",
    "buntime.server.pythons.installer",
    "buntime.server.websocket.socketlink",
    "buntime.core.apps.yamldocument",
    "buntime.core.websocket.deflate",
    "sqlite3",
)


class Launched:
    """A forked runtime, with those methods of a Popen that tests use."""

    def __init__(self, stdout: int, told: int) -> None:
        self.stdout = os.fdopen(stdout, encoding="utf-8", errors="backslashreplace")
        self._told = os.fdopen(told, "rb", buffering=0)
        self.returncode: int | None = None
        self.pid = int(self._told.readline())

    def poll(self) -> int | None:
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._look(timeout)
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(PROGRAM, timeout)
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


def launch(args: Sequence[str], env: Mapping[str, str], first: str = "") -> Launched:
    """`buntime.py ARGS` in the present folder, without stdin; stderr goes to stdout.

    `first` is a module of the tests that it imports before: the module may change parts of the
    runtime.
    """
    asked = json.dumps({"args": list(args), "env": dict(env), "cwd": os.getcwd(), "first": first})
    output, their_output = os.pipe()
    told, their_told = os.pipe()
    try:
        socket.send_fds(_launcher(), [asked.encode() + b"\n"], [their_output, their_told])
    finally:
        os.close(their_output)
        os.close(their_told)
    return Launched(output, told)


@functools.cache
def _launcher() -> socket.socket:
    """Our end of the channel to the process that forks, which ends when this process does."""
    ours, theirs = socket.socketpair()
    with theirs:
        environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        line = [sys.executable, __file__, str(theirs.fileno())]
        process = subprocess.Popen(
            line, env=environ, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


# The process that forks


def main() -> int:
    """Fork for each line that comes; in a fork, returns the runtime's exit code."""
    sys.path[0] = str(ROOT)
    run = importlib.import_module("buntime.__main__").main
    for name in IMPORTED:
        importlib.import_module(name)
    _compile_patterns()
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as asks:
        while (got := _next(asks)) is not None:
            asked, (output, told) = got
            if os.fork() == 0:
                asks.close()
                _fork_and_watch(output, told)
                _become(asked, output)
                break
            os.close(output)
            os.close(told)
            _reap()
        else:
            return 0
    code: int = run()
    return code


def _compile_patterns() -> None:
    """Compile the `regex` patterns that each runtime would compile; the cache of `re` keeps
    them."""
    kind = type(importlib.import_module("buntime.core.values.regex").regex(""))
    for module in tuple(sys.modules.values()):
        for value in tuple(vars(module).values()):
            if isinstance(value, kind):
                value.fullmatch  # noqa: B018  # what is asked for compiles it


def _next(asks: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    data, fds, _, _ = socket.recv_fds(asks, 1 << 16, 2)
    while data and not data.endswith(b"\n"):
        data += asks.recv(1 << 16)
    return (json.loads(data), fds) if data else None


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _fork_and_watch(output: int, told: int) -> None:
    """Return in a child; this process reports the child's pid and, when it ends, its exit code."""
    pid = os.fork()
    if pid == 0:
        os.close(told)
        return
    os.close(output)
    os.write(told, b"%d\n" % pid)
    _, status = os.waitpid(pid, 0)
    os.write(told, b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _become(asked: dict[str, Any], output: int) -> None:
    """Give this process all that a start would have given it."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for ours, its in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(ours, its)
    os.close(nothing)
    os.close(output)
    os.chdir(asked["cwd"])
    for name in set(os.environ) - {"LC_CTYPE"}:  # Python itself sets this at its start
        del os.environ[name]
    os.environ.update(asked["env"])
    sys.argv = [PROGRAM, *asked["args"]]
    if asked["first"]:
        importlib.import_module(asked["first"])


if __name__ == "__main__":
    raise SystemExit(main())
