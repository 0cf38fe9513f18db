"""Starts runtimes and commands by forking a process that has imported them: a third of the cost of
a start.

`launch(args, env)` is like a `subprocess.Popen` of `buntime.py ARGS` with this environment, and
`complete(args, env, cwd)` like a `subprocess.run`. This file is also the program of the process
that forks; each process of the tests has one. For each start it reads a JSON line with four
descriptors: the first three become stdin, stdout and stderr, the last takes the pid and, at the
end, the exit code.

A fork differs from a start in two things. The initial environment and the command line, which /proc
shows, are those of the process that forks. And at its end it does not free its memory, which takes
as long as ten forks. Tests that look at these start a runtime afresh.
"""

from __future__ import annotations

import atexit
import contextlib
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
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = str(ROOT / "buntime.py")
# What a start imports, and what runtimes of many tests import later.
IMPORTED = (
    "buntime.server.runtime",
    *(f"buntime.commands.{file.stem}" for file in sorted((ROOT / "buntime/commands").glob("*.py"))),
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
    """A forked runtime or command, with those methods of a Popen that tests use."""

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
    output, their_output = os.pipe()
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        told = _ask(args, env, os.getcwd(), first, [nothing, their_output, their_output])
    finally:
        os.close(nothing)
        os.close(their_output)
    return Launched(output, told)


def complete(
    args: Sequence[str],
    env: Mapping[str, str],
    cwd: str,
    timeout_s: float,
    *,
    stdin: int,
    is_apart: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run `buntime.py ARGS` in this folder to its end.

    `stdin` is a descriptor. Unless stderr is apart, it goes to stdout. Kills the command after
    `timeout_s` and raises TimeoutError.
    """
    pipes = [os.pipe() for _ in range(1 + is_apart)]
    try:
        told = _ask(args, env, cwd, "", [stdin, pipes[0][1], pipes[-1][1]])
    finally:
        for _, theirs in pipes:
            os.close(theirs)
    process = Launched(pipes[0][0], told)
    errors = [os.fdopen(ours, encoding="utf-8") for ours, _ in pipes[1:]]
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(each) for each in (process.stdout, *errors)]
        threads = stack.enter_context(ThreadPoolExecutor(len(streams)))
        try:
            texts = [*threads.map(lambda stream: stream.read(), streams, timeout=timeout_s)]
        except TimeoutError:
            process.kill()
            process.wait()
            raise
        return subprocess.CompletedProcess([PROGRAM, *args], process.wait(timeout_s), *texts)


def _ask(
    args: Sequence[str], env: Mapping[str, str], cwd: str, first: str, streams: Sequence[int]
) -> int:
    """Ask for a start with these standard streams; returns the descriptor that tells the pid and
    the exit code."""
    asked = json.dumps({"args": list(args), "env": dict(env), "cwd": cwd, "first": first})
    told, their_told = os.pipe()
    try:
        socket.send_fds(_launcher(), [asked.encode() + b"\n"], [*streams, their_told])
    finally:
        os.close(their_told)
    return told


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
    """Fork for each line that comes, and tell the end of each fork."""
    sys.path[0] = str(ROOT)
    run = importlib.import_module("buntime.__main__").main
    for name in IMPORTED:
        importlib.import_module(name)
    _compile_patterns()
    gc.collect()
    gc.freeze()
    told: dict[int, int] = {}  # pid -> where its exit code goes
    woken, wakes = socket.socketpair()
    wakes.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes.fileno())
    with socket.socket(fileno=int(sys.argv[1])) as asks:
        while True:
            if woken in select.select([asks, woken], [], [])[0]:
                woken.recv(1 << 16)
                _reap(told)
            elif (got := _next(asks)) is None:
                return 0
            else:
                asked, (*streams, tell) = got
                pid = os.fork()
                if pid == 0:
                    for each in (asks, woken, wakes):
                        each.close()
                    _become(asked, streams, [tell, *told.values()])
                    _run(run)
                os.write(tell, b"%d\n" % pid)
                told[pid] = tell
                for each in streams:
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


def _compile_patterns() -> None:
    """Compile the `regex` patterns that each runtime would compile; the cache of `re` keeps
    them."""
    kind = type(importlib.import_module("buntime.core.values.regex").regex(""))
    for module in tuple(sys.modules.values()):
        for value in tuple(vars(module).values()):
            if isinstance(value, kind):
                value.fullmatch  # noqa: B018  # what is asked for compiles it


def _next(asks: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    data, fds, _, _ = socket.recv_fds(asks, 1 << 16, 4)
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


def _become(asked: dict[str, Any], streams: list[int], others: list[int]) -> None:
    """Give this process all that a start would have given it, and close the `others`."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for its, ours in enumerate(streams):
        os.dup2(ours, its)
    for ours in (*streams, *others):
        os.close(ours)
    os.chdir(asked["cwd"])
    for name in set(os.environ) - {"LC_CTYPE"}:  # Python itself sets this at its start
        del os.environ[name]
    os.environ.update(asked["env"])
    sys.argv = [PROGRAM, *asked["args"]]
    if asked["first"]:
        importlib.import_module(asked["first"])


if __name__ == "__main__":
    raise SystemExit(main())
