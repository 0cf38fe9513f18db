"""A low limit of open files, with clients and apps that take as many as they can."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.http1.test_listener import started
from tests.support.harness import Runtime, look_into, wait_until, write_app
from tests.support.rawclient import RawClient, client_of, request
from tests.support.rawsocket import handshake, socket_of

LIMIT = 150
APP = """
from buntime import Response

def fetch(request):
    return Response("fine")

def websocket(ws):
    for message in ws:
        ws.send(message)
"""


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apps")
    for number in range(8):
        write_app(folder / f"app{number}", {"app.py": APP}, ttl=600)
    write_app(folder / "once", {"app.py": APP}, ttl=0)
    write_app(folder / "site", {"index.html": "<p>fine</p>"})
    for name in ("large.txt", "large.txt.gz", "other.txt"):
        (folder / "site" / name).write_bytes(bytes(16 << 20))
    return folder


@contextlib.contextmanager
def limited(apps: Path) -> Iterator[Runtime]:
    """A runtime with few descriptors, which must never log an error."""
    with started(apps, before=f"ulimit -n {LIMIT}") as runtime:
        yield runtime
        assert [each for each in runtime.records if each["level"] == "error"] == []


@pytest.fixture(scope="module")
def shared(apps: Path) -> Iterator[Runtime]:
    with limited(apps) as runtime:
        yield runtime


@pytest.fixture
def runtime(apps: Path) -> Iterator[Runtime]:
    with limited(apps) as runtime:
        yield runtime


def most(runtime: Runtime) -> int:
    record = runtime.wait_for_record("runtime.connections_limited")
    assert int(runtime.wait_for_record("runtime.workers_limited")["workers"]) >= 1
    return int(record["connections"])


def slow(runtime: Runtime) -> RawClient:
    """A client with a small buffer."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.settimeout(15)
    sock.connect(("127.0.0.1", runtime.port))
    return RawClient(sock)


HOLDS: dict[str, Callable[[int], bytes]] = {
    "one file": lambda _: request("GET /site/large.txt"),
    "files in turns": lambda number: request("GET /site/" + ("other.txt", "large.txt")[number % 2]),
    "compressed": lambda _: request("GET /site/large.txt", "Accept-Encoding: gzip"),
    "a range": lambda _: request("GET /site/large.txt", "Range: bytes=5-9000000"),
    "ranges": lambda _: request("GET /site/large.txt", "Range: bytes=0-8000000,9000000-"),
    "in a row": lambda _: request("GET /site/large.txt") * 20,
    "WebSockets": lambda _: handshake("/app0/"),
}


# How they are held, and the apps that are asked then: all of them once, in turns afterwards.
ASKED = {how: [number] for number, how in enumerate(HOLDS)} | {"one file": [*range(8)]}


@pytest.mark.parametrize("how", HOLDS)
def test_all_connections_but_one_are_held(shared: Runtime, how: str) -> None:
    """Another client still gets the descriptors it needs: for a file, for a worker that starts, for
    a search for apps; and none leak."""
    runtime, folder = shared, look_into(shared.pid) / "fd"
    with contextlib.ExitStack() as stack:
        for number in range(most(runtime) - 1):
            client = slow(runtime)
            stack.callback(client.close)
            client.send(HOLDS[how](number))
            assert client.sock.recv(12) in (b"HTTP/1.1 200", b"HTTP/1.1 206", b"HTTP/1.1 101")
        paths = [*(f"/app{number}/" for number in ASKED[how]), "/once/", "/site/large.txt"]
        for path in paths:
            with client_of(runtime) as client:
                assert client.get(path).status == 200, path
            assert len(os.listdir(folder)) < LIMIT
    wait_until(lambda: len(os.listdir(folder)) < LIMIT // 2, what="their descriptors")


def test_more_than_there_can_be(runtime: Runtime) -> None:
    """Clients beyond the limit wait, and none gets an error."""
    with contextlib.ExitStack() as stack:
        clients = [slow(runtime) for _ in range(2 * most(runtime))]
        for client in clients:
            stack.callback(client.close)
            client.send(request("GET /site/large.txt"))
        runtime.wait_for_record("connections.full")
        for client in clients[: most(runtime)]:
            client.close()
        for client in clients[most(runtime) :]:
            assert client.sock.recv(12) == b"HTTP/1.1 200"


def test_newcomers_at_many_addresses(apps: Path, tmp_path: Path) -> None:
    """Where all connections are taken, no more wait at four addresses together than at one, but
    one at each."""
    paths = [str(tmp_path / name) for name in ("a", "b", "c")]
    listen = ",".join(["127.0.0.1:0", *(f"unix:{path}" for path in paths)])
    with (
        started(apps, env={"RUNTIME_LISTEN": listen}, before=f"ulimit -n {LIMIT}") as runtime,
        contextlib.ExitStack() as stack,
    ):
        folder, places = look_into(runtime.pid) / "fd", most(runtime)
        held = [stack.enter_context(socket_of(runtime, "/app0/")) for _ in range(places)]
        before = len(os.listdir(folder))
        for path in paths:
            for _ in range(places + 5):
                sock = stack.enter_context(socket.socket(socket.AF_UNIX))
                sock.connect(path)
        for _ in range(5):  # turns of the loop
            held[0].send_text("turn")
            assert held[0].read().payload == b"turn"
        assert 3 <= len(os.listdir(folder)) - before <= places + len(paths)
