"""Stands in for systemd: hears the runtime's notices, hands over sockets, reads its log."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.harness import (
    START_S,
    STOP_S,
    UNDER_TEST,
    Runtime,
    begin,
    command,
    write_app,
)
from tests.support.keptclients import KeptClients
from tests.support.launcher import Launched, is_read_late, launch


class NotifySocket:
    """The other end of NOTIFY_SOCKET: what the runtime reported, in order."""

    def __init__(self, address: str) -> None:
        """`address` is a path, or "@name" for an abstract one."""
        self.address = address
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind("\0" + address[1:] if address.startswith("@") else address)

    def close(self) -> None:
        self._sock.close()

    def next(self, name: str, timeout_s: float = START_S) -> dict[str, str]:
        """The next message that assigns `name`; others are skipped."""
        deadline = time.monotonic() + timeout_s
        while True:
            self._sock.settimeout(max(0.001, deadline - time.monotonic()))
            text = self._sock.recv(4096).decode()
            told = dict(line.split("=", 1) for line in text.split("\n"))
            if name in told:
                return told


@contextlib.contextmanager
def notify_socket(tmp_path: Path) -> Iterator[NotifySocket]:
    made = NotifySocket(str(tmp_path / "notify"))
    try:
        yield made
    finally:
        made.close()


def start(
    *words: str | Path,
    env: Mapping[str, str] | None = None,
    sockets: Sequence[socket.socket] = (),
    names: str = "",
    is_afresh: bool = False,
) -> subprocess.Popen[str] | Launched:
    """Start a runtime as a service; `sockets` become its descriptors from 3 on.

    It is forked, as in the harness, unless it has sockets and `is_afresh`.
    """
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environ |= {"RUNTIME_LOG_FORMAT": "json", "RUNTIME_ENV": "production", **(env or {})}
    environ.setdefault("RUNTIME_SPARE_WORKERS", "0")
    environ.setdefault("RUNTIME_ADMIN_LISTEN", "none")  # another runtime may have its port
    line = list(map(str, words))
    if not sockets:
        return begin(line, environ)
    environ |= {"LISTEN_FDS": str(len(sockets)), **({"LISTEN_FDNAMES": names} if names else {})}
    if not is_afresh and UNDER_TEST is None and is_read_late(environ):
        return launch(line, environ, sockets=[sock.fileno() for sock in sockets])
    line = [*command(), *line]
    # bash moves them to their numbers and becomes the runtime, so it knows the runtime's pid.
    moves = [f"{fd}<&{sock.fileno()}" for fd, sock in enumerate(sockets, 3)]
    numbers = [sock.fileno() for sock in sockets]
    spare = [f"{number}<&-" for number in numbers if number >= 3 + len(sockets)]
    script = f'exec {" ".join([*moves, *spare])}; LISTEN_PID=$$ exec "$@"'
    return subprocess.Popen(
        ["bash", "-c", script, "bash", *line],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        pass_fds=numbers,
    )


@contextlib.contextmanager
def service(
    *words: str | Path,
    env: Mapping[str, str] | None = None,
    sockets: Sequence[socket.socket] = (),
    names: str = "",
    is_afresh: bool = False,
) -> Iterator[Runtime]:
    """Like `start`, until the end of the block."""
    process = start(*words, env=env, sockets=sockets, names=names, is_afresh=is_afresh)
    runtime: Runtime | None = None
    try:
        runtime = Runtime(process)
        yield runtime
    finally:
        process.terminate()
        process.wait(STOP_S)
        if runtime is not None:
            runtime._reader.join(STOP_S)  # before the pipe is closed
        if process.stdout is not None:
            process.stdout.close()


ECHO = "from buntime import Response\ndef fetch(request): return Response(request.query['n'])\n"


def lost_by_restarts(
    apps: Path,
    sock: socket.socket,
    address: tuple[str, int],
    *,
    env: Mapping[str, str],
    clients: int,
    restarts: int,
    answers: int,
) -> list[str]:
    """What so many busy clients at the address lose, while a runtime that serves `apps` and an echo
    from the socket is restarted, each time after so many answers."""
    write_app(apps / "echo", {"app.py": ECHO}, ttl=600, concurrency=20)
    with KeptClients(address, ["/echo/?n={}"] * clients, comes_back=True) as kept:
        for _ in range(restarts):
            with service(apps, sockets=[sock], env=env) as runtime:
                kept.wait_for(answers)
                assert runtime.stop() == 0
        with service(apps, sockets=[sock], env=env):
            kept.leave()
    return kept.lost


class Load:
    """Clients that send requests all the time, each over a new connection; every answer counts."""

    def __init__(self, address: tuple[str, int], path: str, clients: int = 4) -> None:
        self.answers: list[bytes] = []
        self.faults: list[str] = []
        self._address = address
        self._request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        while not self._is_over.is_set():
            try:
                self.answers.append(self._one())
            except OSError as exc:
                self.faults.append(repr(exc))
                return

    def _one(self) -> bytes:
        with socket.create_connection(self._address, timeout=30) as sock:
            sock.sendall(self._request)
            answer = b""
            while piece := sock.recv(65536):
                answer += piece
        if not answer.startswith(b"HTTP/1.1 200 "):
            self.faults.append(f"answered {answer[:200]!r}")
        return answer.rpartition(b"\r\n\r\n")[2]
