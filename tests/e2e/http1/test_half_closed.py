"""Clients that shut their side after their request, as `printf ... | nc` does, and those that
leave: TCP shows no difference until something is sent to them."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.harness import Runtime, running, wait_until, write_app
from tests.support.rawclient import RawClient, client_of, request

APP = """
import time
from buntime import Response

def fetch(request):
    if request.path == "/slow":
        print("begun", request.query["name"])
        while not request.is_cancelled():
            time.sleep(0.01)
        print("left", request.query["name"])
    if request.path == "/late":
        time.sleep(0.4)
    if request.path == "/events":
        return Response.events(events(), heartbeat=None)
    if request.path == "/pieces":
        return Response(pieces())
    return Response(str(len(request.bytes())))

def pieces():
    for number in range(14):
        yield b"x" * 1000
        time.sleep(0.1)

def events():
    try:
        while True:
            yield "tick"
            time.sleep(0.02)
    finally:
        print("left events")
"""

ONE = """
import time
from buntime import Response

order = []

def fetch(request):
    order.append(request.query["name"])
    if request.query["name"] == "first":
        time.sleep(0.8)
    return Response(",".join(order))
"""
ONCE = """
from buntime import Response
def fetch(request):
    return Response(str(len(request.bytes())))
"""
SITE = 3_000_000  # more than the kernel takes at once


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder: Path = tmp_path_factory.mktemp("apps")
    write_app(folder / "h", {"app.py": APP}, ttl=600, concurrency=40)
    write_app(folder / "one", {"app.py": ONE}, ttl=600, concurrency=1)
    write_app(folder / "once", {"app.py": ONCE})
    write_app(folder / "site", {"index.html": "x" * SITE}, injectBase=False)
    with running(folder) as runtime:
        with client_of(runtime) as client:
            assert client.get("/h/").status == 200
        yield runtime


@contextlib.contextmanager
def asking(runtime: Runtime, *requests: bytes) -> Iterator[RawClient]:
    """A client that has sent everything and has shut its side."""
    with client_of(runtime) as client:
        client.send(b"".join(requests))
        client.sock.shutdown(socket.SHUT_WR)
        yield client


def chunks(data: bytes) -> bytes:
    head = request("POST /h/late", "Transfer-Encoding: chunked")
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)


@pytest.mark.parametrize(
    ("sent", "answers"),
    [
        ([request("GET /h/late")], [b"0"]),
        ([b"GET /h/late HTTP/1.0\r\n\r\n"], [b"0"]),
        ([request("GET /health")], [None]),
        ([request("GET /nobody/")], [None]),
        ([request("GET /once/")], [b"0"]),
        ([request("POST /h/late", body=b"x" * 20)], [b"20"]),
        ([request("POST /h/late", body=b"x" * 400_000)], [b"400000"]),
        ([request("POST /once/", body=b"x" * 400_000)], [b"400000"]),
        ([chunks(b"x" * 20)], [b"20"]),
        ([chunks(b"x" * 400_000)], [b"400000"]),
        ([request("GET /h/late"), request("POST /h/late", body=b"abc")], [b"0", b"3"]),
        ([request("GET /h/late"), request("GET /site/"), b"GET /h/"], [b"0", b"x" * SITE]),
        ([request("GET /site/"), request("GET /site/")], [b"x" * SITE] * 2),
        ([request("GET /h/pieces")], [b"x" * 14_000]),
    ],
    ids=lambda value: None if isinstance(value, list) else "",
)
def test_what_was_asked_is_answered(
    runtime: Runtime, sent: list[bytes], answers: list[bytes | None]
) -> None:
    """Each request is answered, in order, whatever answers; then the connection closes cleanly."""
    with asking(runtime, *sent) as client:
        for body in answers:
            reply = client.read()
            assert body is None or reply.body == body
        client.expect_end()


def test_many_that_have_left_are_let_go(runtime: Runtime) -> None:
    """After a second without an answer such a client counts as gone: its handler learns of it, and
    its connection is closed without an answer, however many there are."""
    begun_s = time.monotonic()
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(asking(runtime, request(f"GET /h/slow?name=n{number}")))
            for number in range(30)
        ]
        for client in clients:
            client.expect_end()
        assert 0.9 < time.monotonic() - begun_s < 5
    for number in (0, 29):
        runtime.wait_for_line(f"left n{number}", app="h")


def test_one_that_leaves_is_still_noticed(runtime: Runtime) -> None:
    """A close after a request is noticed about a second later, a reset at once."""
    for name, linger in (("closed", b"\0" * 8), ("reset", b"\1\0\0\0\0\0\0\0")):
        with client_of(runtime) as client:
            client.send(request(f"GET /h/slow?name={name}"))
            runtime.wait_for_line(f"begun {name}", app="h")
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        begun_s = time.monotonic()
        runtime.wait_for_line(f"left {name}", app="h")
        assert time.monotonic() - begun_s < (0.5 if name == "reset" else 1.6)


def test_an_event_stream_is_not_for_them(runtime: Runtime) -> None:
    """An event stream, which never ends by itself, is ended for such a client."""
    begun_s = time.monotonic()
    with asking(runtime, request("GET /h/events")) as client:
        runtime.wait_for_line("left events", app="h")
        while client.receive():
            pass
    assert time.monotonic() - begun_s < 1.5


def test_they_wait_behind_all_others(runtime: Runtime) -> None:
    """A client that may have left gets a worker once nobody else waits for one, and is answered."""

    def queued() -> Any:
        with client_of(runtime) as other:
            apps = other.get("/api/workers").json["apps"]
        return next((app["queued"] for app in apps if app["app"] == "one"), 0)

    def busy() -> Any:
        with client_of(runtime) as other:
            workers = other.get("/api/workers").json["workers"]
        return sum(each["inHand"] for each in workers if each["app"] == "one")

    with client_of(runtime) as first:
        first.send(request("GET /one/?name=first"))
        wait_until(lambda: busy() == 1, what="the first to begin")
        with (
            asking(runtime, request("GET /one/?name=half")) as half,
            client_of(runtime) as whole,
        ):
            wait_until(lambda: queued() == 1, what="the first to queue")
            whole.send(request("GET /one/?name=whole"))
            assert first.read().body == b"first"
            assert whole.read().body == b"first,whole"
            assert half.read().body == b"first,whole,half"
