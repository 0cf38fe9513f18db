"""A runtime as a systemd service: what it reports, what it takes over, and what it logs."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.harness import IS_BINARY, command, write_app
from tests.support.launcher import workers_afresh
from tests.support.manager import (
    ECHO,
    Load,
    NotifySocket,
    lost_by_restarts,
    notify_socket,
    service,
    start,
)
from tests.support.rawclient import RawClient, request

ENVIRON = """
import json, os

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    fds = sorted(int(name) for name in os.listdir("/proc/self/fd"))
    listening = [fd for fd in fds if os.path.exists(f"/proc/self/fd/{fd}")
                 and os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")]
    return [json.dumps({"environ": dict(os.environ), "sockets": len(listening)}).encode()]
"""
PID = """
import os

def fetch(request):
    from buntime import Response
    return Response(str(os.getppid()))
"""


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apps")
    write_app(folder / "environ", {"wsgi.py": ENVIRON}, ttl=600)
    write_app(folder / "pid", {"app.py": PID}, ttl=600)
    write_app(folder / "echo", {"app.py": ECHO}, ttl=600, concurrency=20)
    return folder


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A listening socket, as a .socket unit makes it."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as sock:
        yield sock


def test_states(apps: Path, tmp_path: Path) -> None:
    """READY when it takes requests, RELOADING and READY at SIGHUP, the watchdog all the while, and
    STOPPING at the end with the time that it may take."""
    with notify_socket(tmp_path) as manager:
        env = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "300000"}
        with service(apps, "--port", "0", env=env) as runtime:
            told = manager.next("READY")
            assert told["READY"] == "1"
            assert told["STATUS"] == f"Serving 3 apps at {runtime.url}"
            assert httpx.get(f"{runtime.url}/pid/", verify=False).status_code == 200
            for _ in range(3):
                assert manager.next("WATCHDOG") == {"WATCHDOG": "1"}
            before_us = time.monotonic_ns() // 1000
            os.kill(runtime.pid, signal.SIGHUP)
            told = manager.next("RELOADING")
            assert before_us <= int(told["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
            assert manager.next("READY")["STATUS"].startswith("Serving ")
            assert runtime.stop() == 0
            told = manager.next("STOPPING")
            assert told["STATUS"] == "Stopping, no connections are left"
            assert int(told["EXTEND_TIMEOUT_USEC"]) >= 60_000_000


def test_an_abstract_socket(apps: Path) -> None:
    """A NOTIFY_SOCKET without a file (an abstract one) gets messages too."""
    manager = NotifySocket(f"@buntime-test-{os.getpid()}")
    try:
        with service(apps, "--port", "0", env={"NOTIFY_SOCKET": manager.address}):
            assert manager.next("READY")["READY"] == "1"
    finally:
        manager.close()


def test_nobody_listens(apps: Path, tmp_path: Path) -> None:
    """A manager that has gone does no harm; the log says so once."""
    env = {"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "100000"}
    with service(apps, "--port", "0", env=env) as runtime:
        runtime.wait_for_record("supervisor.unreachable")
        assert httpx.get(f"{runtime.url}/pid/", verify=False).status_code == 200
        assert runtime.stop() == 0
    told = [r for r in runtime.records if r["event"] == "supervisor.unreachable"]
    assert len(told) == 1


def test_sockets(apps: Path, tmp_path: Path, listening: socket.socket) -> None:
    """Sockets that are handed over, TCP and unix, are served in place of HOST and PORT; they and
    their files stay when the runtime ends. Workers get neither the sockets nor their variables."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))
        unix.listen(10)
        env = {"NOTIFY_SOCKET": "@nobody", "WATCHDOG_USEC": "1000000000", "JOURNAL_STREAM": "1:2"}
        sockets, names = [listening, unix], "web:local"
        with service(
            apps, "--port", "1", env=env, sockets=sockets, names=names, is_afresh=True
        ) as runtime:
            port = listening.getsockname()[1]
            urls = runtime.wait_for_record("runtime.listening")["urls"]
            assert urls == [f"http://127.0.0.1:{port}", f"unix:{path}"]
            told = httpx.get(f"http://127.0.0.1:{port}/environ/", verify=False).json()
            words = ("LISTEN_", "NOTIFY_", "WATCHDOG_", "JOURNAL_")
            assert [name for name in told["environ"] if name.startswith(words)] == []
            assert told["sockets"] == 1  # its channel
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(path))
                assert RawClient(sock).get("/pid/").status == 200
            assert runtime.stop() == 0
        assert path.exists()
        with socket.create_connection(("127.0.0.1", port)):  # the next runtime's
            pass


def test_what_cannot_be_listened_on(apps: Path) -> None:
    """A descriptor that takes no connections is an error that says what the unit needs."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        process = start(apps, sockets=[sock], names="dns")
        assert process.stdout is not None
        with process.stdout as stdout:
            output = stdout.read()
        assert process.wait(20) == 2
    assert "descriptor 3 (dns) from LISTEN_FDS is not a socket that accepts connections" in output


@pytest.mark.skipif(IS_BINARY, reason="its bootloader hands LISTEN_PID on as its child's")
def test_another_ones_descriptors(apps: Path) -> None:
    """Descriptors that LISTEN_PID gives to another process are left alone."""
    env = {"LISTEN_PID": "1", "LISTEN_FDS": "1"}
    with service(apps, "--port", "0", "--host", "127.0.0.1", env=env) as runtime:
        assert runtime.url.startswith("http://127.0.0.1:")


def test_a_restart_under_load(apps: Path, listening: socket.socket) -> None:
    """No request is lost while the runtime stops and starts again: requests in between wait in the
    socket that the manager holds."""
    address = listening.getsockname()
    with workers_afresh(), Load(address, "/pid/") as load:  # the runtime is their parent
        seen: list[int] = []
        for _ in range(2):
            with service(apps, sockets=[listening]) as runtime:
                seen.append(runtime.pid)
                expected, done = str(runtime.pid).encode(), len(load.answers)
                deadline = time.monotonic() + 20
                while expected not in load.answers[done:] or len(load.answers) < done + 30:
                    assert time.monotonic() < deadline, load.faults
                    time.sleep(0.01)
                assert runtime.stop() == 0
        with service(apps, sockets=[listening]):  # for clients that still wait
            load.__exit__()
    assert load.faults == []
    assert {int(answer) for answer in load.answers} >= set(seen)


def test_a_restart_under_kept_connections(apps: Path, listening: socket.socket) -> None:
    """The same with clients that keep their connections, and send on them while it stops."""
    address = listening.getsockname()
    lost = lost_by_restarts(apps, listening, address, env={}, clients=20, restarts=3, answers=200)
    assert lost == []


def test_a_restart_in_maintenance(apps: Path, listening: socket.socket, tmp_path: Path) -> None:
    """No request reaches an app that is closed, not even the first one of a start."""
    host, port = listening.getsockname()
    env = {"RUNTIME_STATE_DIR": str(tmp_path / "state"), "RUNTIME_MASTER_KEY": "k"}
    url = f"http://{host}:{port}/api/apps/echo/maintenance"
    with service(apps, sockets=[listening], env=env):
        told = httpx.put(url, json={}, headers={"x-api-key": "k"}, verify=False)
        assert told.status_code == 200
    for _ in range(3):
        with socket.create_connection((host, port), timeout=20) as sock:
            client = RawClient(sock)
            client.send(request("GET /echo/?n=1"))
            with service(apps, sockets=[listening], env=env):
                assert client.read().code == "maintenance"


def test_systemd_socket_activate(apps: Path) -> None:
    """systemd's own program starts the runtime at the first request, which is answered."""
    program = shutil.which("systemd-socket-activate")
    if program is None:
        pytest.skip("there is no systemd-socket-activate here")
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    environ = ["-E", "PATH", "-E", "HOME"]
    line = [program, "-l", f"127.0.0.1:{port}", *environ, "--fdname=web", *command(), str(apps)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            deadline = time.monotonic() + 20
            while True:
                try:
                    answer = httpx.get(
                        f"http://127.0.0.1:{port}/environ/", timeout=20, verify=False
                    )
                    break
                except httpx.ConnectError:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
            assert answer.status_code == 200
            assert answer.json()["sockets"] == 1
        finally:
            process.terminate()


def journal_lines(apps: Path, *flags: str, env: dict[str, str] | None = None) -> list[str]:
    """What the journal, here a pipe, gets from a runtime that answers two requests."""
    reader, writer = os.pipe()
    state = os.fstat(writer)
    environ = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    environ |= {"JOURNAL_STREAM": f"{state.st_dev}:{state.st_ino}", "RUNTIME_ENV": "production"}
    # Higher than the limit of open files allows would give a warning as the first line.
    environ["RUNTIME_CONNECTIONS_MAX"] = "100"
    # So would a state folder or an operators' address that another runtime of this machine holds.
    environ["RUNTIME_STATE_DIR"] = str(apps.parent / "state")
    environ["RUNTIME_ADMIN_LISTEN"] = "none"
    environ["RUNTIME_SPARE_WORKERS"] = "0"
    line = [*command(), str(apps), "--port", "0", "--host", "127.0.0.1", *flags]
    with subprocess.Popen(line, env=environ | (env or {}), stdout=writer) as process:
        os.close(writer)
        with os.fdopen(reader) as log:
            first = log.readline()
            url = "http://" + first.partition("http://")[2].split(" ")[0].split('"')[0]
            try:
                httpx.get(f"{url}/nowhere", verify=False)
                httpx.get(f"{url}/broken/", verify=False)
            finally:
                process.terminate()
            return [first, *log]


def test_the_journal(tmp_path: Path) -> None:
    """Pretty lines get a priority and no time, even each line of a stack; JSON stays JSON, and the
    log's file stays as it is."""
    write_app(tmp_path / "apps/broken", {"app.py": "1 / 0\n"})
    file = tmp_path / "log"
    lines = journal_lines(tmp_path / "apps", "--log-format", "pretty", "--log-file", str(file))
    assert lines[0].startswith("<6>listening url=http://127.0.0.1:")
    assert any(line.startswith("<6>GET /nowhere 404 ") for line in lines)
    assert any(line.startswith("<3>app failed to load ") for line in lines)
    assert "<3>        ZeroDivisionError: division by zero\n" in lines
    assert [line for line in lines if not line.startswith(("<6>", "<4>", "<3>"))] == []
    assert "<6>" not in file.read_text()
    assert " INFO  GET /nowhere 404 " in file.read_text()
    lines = journal_lines(tmp_path / "apps", "--log-format", "json")
    assert all(line.startswith('{"time":"') for line in lines)


def test_a_journal_that_is_another_stream(tmp_path: Path) -> None:
    """If stdout was redirected, JOURNAL_STREAM does not apply to it."""
    (tmp_path / "apps").mkdir()
    env = {"JOURNAL_STREAM": "1:1"}
    lines = journal_lines(tmp_path / "apps", "--log-format", "pretty", env=env)
    assert " INFO  listening url=" in lines[0]
