"""Where the runtime listens, why it does not, and how it stops."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from buntime.server.lifetime.shutdown import ECHO_S
from tests.support.client import Gates
from tests.support.harness import (
    ROOT,
    STOP_S,
    Runtime,
    begin,
    command,
    is_alive,
    wait_until,
    write_app,
)
from tests.support.rawclient import Cut, RawClient, client_of, request
from tests.support.runs import run

SOON_S = 5.0  # far less than the runtime's own waits

APP = """
import os, time
from buntime import Response

def until(path):
    while not os.path.exists(path):
        time.sleep(0.005)

def wait(request):
    open(request.query["begun"], "w").close()
    until(request.query["go"])
    return Response("waited")

def pieces(request):
    yield b"begun "
    until(request.query["go"])
    yield b"ended"

def endless(request):
    while True:
        yield b"x" * 1000
        time.sleep(0.005)

PAGES = {
    "/": lambda request: Response.json(request.client),
    "/wait": wait,
    "/pieces": lambda request: Response(pieces(request)),
    "/endless": lambda request: Response(endless(request)),
    "/length": lambda request: Response(str(len(request.bytes()))),
}

def fetch(request):
    return PAGES[request.path](request)
"""


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apps")
    write_app(folder / "c", {"app.py": APP}, ttl=600)
    return folder


@contextlib.contextmanager
def started(
    apps: Path,
    host: str = "127.0.0.1",
    env: Mapping[str, str] | None = None,
    before: str = "",
) -> Iterator[Runtime]:
    """A runtime in a session of its own, listening at `host`; a shell runs `before`, if any."""
    environ = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    environ |= {"RUNTIME_LOG_FORMAT": "json", "HOST": host, "PORT": "0", **(env or {})}
    shell = ["/bin/sh", "-c", f'{before}; exec "$@"', "sh", *command()]
    process = begin([str(apps)], environ, start=shell if before else None, leads=True)
    try:
        yield Runtime(process)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(STOP_S)
        assert process.stdout is not None
        process.stdout.close()


def refusal(*args: str, **env: str) -> str:
    """The one line that a runtime prints if it does not start."""
    done = run(*args, cwd=Path.cwd(), env=env)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("buntime: error: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def unix_client(path: Path, runtime: Runtime | None = None) -> RawClient:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(15)
    sock.connect(str(path))
    return RawClient(sock, runtime)


# Why it does not listen


def test_port_in_use(apps: Path) -> None:
    """A port that is taken is one line that says so, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = refusal(str(apps), "--port", port, "--host", "127.0.0.1")
    assert f"127.0.0.1 port {port}" in line
    assert "PORT" in line


@pytest.mark.parametrize("host", ["203.0.113.7", "2001:db8::7"])
def test_an_address_of_another_machine(apps: Path, host: str) -> None:
    """An address that this machine does not have is one line that names it."""
    line = refusal(str(apps), "--host", host, "--port", "0")
    assert host in line


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["/no/such/folder"], "/no/such/folder"),
        ([], "RUNTIME_WORKER_DIRS"),
        ([str(ROOT / "README.md")], "README.md"),
        ([".", "--port", "70000"], "70000"),
        ([".", "--host", "not a host"], "not a host"),
        ([".", "--host", "unix:"], "HOST"),
        ([".", "--host", "unix:/no/such/folder/socket"], "/no/such/folder/socket"),
        ([".", "--host", "unix:/tmp/" + "x" * 200], "x" * 50),
    ],
    ids=["folder", "no-folder", "file", "port", "host", "no-path", "path", "long-path"],
)
def test_what_cannot_be_served(args: list[str], named: str) -> None:
    """A folder, port or host that cannot be used is one line that names it."""
    assert named in refusal(*args)


def test_a_file_is_not_taken_for_a_socket(apps: Path, tmp_path: Path) -> None:
    """A path to something else than a socket is refused, and what is there is left alone."""
    path = tmp_path / "file"
    path.write_text("precious")
    assert str(path) in refusal(str(apps), "--host", f"unix:{path}")
    assert path.read_text() == "precious"


# Where it listens


def test_a_unix_socket(apps: Path, tmp_path: Path) -> None:
    """HOST=unix:/path listens there; its clients have no address; the socket goes at the end. A
    second runtime is refused there, and the first can still be reached; if it is killed, the socket
    that it leaves behind does not keep the next one from starting."""
    path = tmp_path / "socket"
    with started(apps, f"unix:{path}") as runtime:
        assert runtime.url == f"unix:{path}"
        assert str(path) in refusal(str(apps), "--host", f"unix:{path}")
        with contextlib.closing(unix_client(path, runtime)) as client:
            reply = client.get("/c/")
            assert (reply.status, reply.json) == (200, None)
            assert runtime.wait_for_record("request.access", path="/c/")["client"] == "unix"
            assert client.get("/api/workers").status == 200
        runtime.stop(signal.SIGKILL)
    assert path.is_socket()
    with started(apps, f"unix:{path}") as runtime:
        with contextlib.closing(unix_client(path)) as client:
            assert client.get("/c/").status == 200
        assert runtime.stop() == 0
    assert not path.exists()


def test_a_socket_whose_backlog_is_full(apps: Path, tmp_path: Path) -> None:
    """A listener that accepts nobody counts as running all the same: it is not waited for."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listening, contextlib.ExitStack() as stack:
        listening.bind(str(path))
        listening.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                waiting.connect(str(path))
        assert str(path) in refusal(str(apps), "--host", f"unix:{path}")


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this machine has no IPv6")
def test_ipv6(apps: Path) -> None:
    """The runtime listens on an IPv6 address, which is in brackets in its URL."""
    with started(apps, "::1") as runtime:
        assert runtime.url == f"http://[::1]:{runtime.port}"
        with socket.create_connection(("::1", runtime.port), timeout=15) as sock:
            assert RawClient(sock).get("/c/").json[0] == "::1"


# How it stops


class Held(NamedTuple):
    """A request that an app has in hand until `let_go`."""

    client: RawClient
    go: Path

    def let_go(self) -> None:
        self.go.touch()


@contextlib.contextmanager
def holding(runtime: Runtime) -> Iterator[Held]:
    gates = Gates()
    begun, go = gates.folder / "begun", gates.folder / "go"
    with client_of(runtime) as client:
        client.send(request(f"GET /c/wait?begun={begun}&go={go}"))
        wait_until(begun.exists, what="the request to begin")
        yield Held(client, go)


def begin_stopping(runtime: Runtime, number: int) -> None:
    """Sends the signal, and waits until the runtime reacts to it."""
    runtime.process.send_signal(number)
    runtime.wait_for_record("runtime.stopping", signal=signal.Signals(number).name)


def ends_by_itself(runtime: Runtime) -> int:
    """The exit code; fails if the runtime waits for something it need not wait for."""
    return runtime.process.wait(SOON_S)


def test_a_signal_drains(apps: Path, tmp_path: Path) -> None:
    """What is in hand is finished, and closed; idle and new clients are turned away meanwhile, and
    half a head is refused; then the workers end, and the runtime exits with 0."""
    with (
        started(apps) as runtime,
        client_of(runtime) as idle,
        client_of(runtime) as half,
        client_of(runtime) as stream,
        client_of(runtime) as upload,
        holding(runtime) as held,
    ):
        assert idle.get("/c/").status == 200
        half.send(b"GET /c/ HT")
        held.client.send(request("GET /c/"))
        stream.send(request(f"GET /c/pieces?go={held.go}"))
        first = stream.receive()
        assert b"connection" not in first
        upload.send(request("POST /c/length", "Expect: 100-continue", "Content-Length: 10"))
        assert upload.receive().startswith(b"HTTP/1.1 100 ")
        workers = runtime.children()
        assert workers
        begin_stopping(runtime, signal.SIGTERM)
        idle.expect_end()
        assert half.read().status == 408
        with pytest.raises(ConnectionRefusedError):
            runtime.connect()
        assert runtime.process.poll() is None
        # A request is in hand once its head has come: the rest of its body is still read.
        upload.send(b"x" * 10)
        assert upload.read().body == b"10"
        upload.expect_end()
        held.let_go()
        # The request behind this one is not begun: the client is told of the close.
        reply = held.client.read()
        assert (reply.body, reply.get("connection")) == (b"waited", "close")
        held.client.expect_end()
        # This answer's head had promised to keep the connection, which is closed after a moment:
        # else runtime and client would wait for each other.
        rest = first
        while data := stream.receive():
            rest += data
        assert rest.endswith(b"5\r\nended\r\n0\r\n\r\n")
        assert ends_by_itself(runtime) == 0
        assert not any(map(is_alive, workers))
        runtime.wait_for_record("runtime.stopped")


def test_ctrl_c_reaches_the_runtime_alone(apps: Path, tmp_path: Path) -> None:
    """Ctrl-C signals the whole group: the workers ignore it and end with the runtime."""
    with started(apps) as runtime, holding(runtime) as held:
        os.killpg(runtime.process.pid, signal.SIGINT)
        runtime.wait_for_record("runtime.stopping", signal="SIGINT")
        held.let_go()
        assert held.client.read().body == b"waited"
        assert ends_by_itself(runtime) == 0


def test_a_second_signal_ends_at_once(apps: Path) -> None:
    """A second signal ends all at once: the request in hand is cut, and no worker is left."""
    with started(apps) as runtime, holding(runtime) as held:
        workers = runtime.children()
        begin_stopping(runtime, signal.SIGINT)
        time.sleep(ECHO_S * 1.5)  # an earlier one would be taken for the first one's echo
        runtime.process.send_signal(signal.SIGTERM)
        assert ends_by_itself(runtime) == 0
        with pytest.raises(Cut):
            held.client.read()
        wait_until(lambda: not any(map(is_alive, workers)), what="the workers' end")


def test_an_echo_is_no_second_signal(apps: Path, tmp_path: Path) -> None:
    """If a signal comes twice at once, the request in hand is still answered."""
    with started(apps) as runtime, holding(runtime) as held:
        os.kill(runtime.process.pid, signal.SIGTERM)
        os.kill(runtime.process.pid, signal.SIGINT)
        runtime.wait_for_record("runtime.stopping")
        held.let_go()
        assert held.client.read().body == b"waited"
        assert ends_by_itself(runtime) == 0


def test_the_shutdown_timeout(apps: Path) -> None:
    """An answer that has not ended when the time is over is cut; the log says how many were."""
    env = {"RUNTIME_SHUTDOWN_TIMEOUT": "300ms"}
    with started(apps, env=env) as runtime, client_of(runtime) as client:
        client.send(request("GET /c/endless"))
        select.select([client.sock], [], [], 15)  # it has begun
        begun = time.monotonic()
        begin_stopping(runtime, signal.SIGTERM)
        with pytest.raises(Cut):
            client.read()
        assert time.monotonic() - begun >= 0.3
        assert ends_by_itself(runtime) == 0
        runtime.wait_for_record("runtime.connections_cut", connections=1)


# Descriptors


def test_what_a_supervisor_leaves(apps: Path) -> None:
    """The runtime runs without a descriptor 0, and the soft limit of descriptors that it is started
    with does not decide how many clients there can be."""
    with (
        started(apps, before="ulimit -Sn 64; exec <&-") as runtime,
        contextlib.ExitStack() as stack,
    ):
        clients = [stack.enter_context(client_of(runtime)) for _ in range(100)]
        for client in clients:
            client.send(request("GET /c/"))
        assert [client.read().status for client in clients] == [200] * 100
        assert runtime.stop() == 0


def test_a_hard_limit_of_descriptors_is_lived_with(apps: Path) -> None:
    """If the hard limit is low, the runtime says so, keeps some descriptors for workers, and closes
    idle connections when new clients need theirs."""
    env = {"RUNTIME_POOL_SIZE": "2", "RUNTIME_SPARE_WORKERS": "0"}
    with (
        started(apps, env=env, before="ulimit -n 200") as runtime,
        contextlib.ExitStack() as stack,
    ):
        possible = runtime.wait_for_record(
            "runtime.connections_limited",
            connections_max=10_000,
        )["connections"]
        assert 40 <= possible < 200

        def served(count: int) -> list[RawClient]:
            clients = [stack.enter_context(client_of(runtime)) for _ in range(count)]
            for client in clients:
                client.send(request("GET /c/"))
            assert [client.read().status for client in clients] == [200] * count
            return clients

        clients, more = served(possible), 3
        clients += served(more)

        def ended() -> int:
            return len(select.select([client.sock for client in clients], [], [], 0)[0])

        wait_until(lambda: ended() >= more, what="the end of idle connections")
        assert ended() == more
    assert not [each for each in runtime.records if each["level"] == "error"]
