"""A worker that writes what no worker should to its channel harms only itself."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buntime import wire
from tests.support.client import fetch
from tests.support.harness import Runtime, read_all, running, wait_until, write_app
from tests.support.pressure import KERNEL_MAX, memory
from tests.support.rawclient import request
from tests.support.rawsocket import handshake
from tests.support.workerchannel import CHANNEL

MB = 1024 * 1024
CALM = "from buntime import Response\ndef fetch(request):\n    return Response('fine')\n"
# Writes what a request asks for to the channel, then the same again and again.
HOSTILE = (
    CHANNEL
    + """
import time

def say(first, again, most_bytes):
    fd = channel()
    sent = os.write(fd, first)
    while sent < most_bytes:
        sent += os.write(fd, again)
    time.sleep(3600)

def line(**fields):
    import json
    return (json.dumps(fields) + "\\n").encode()

HEAD = line(type="RESPONSE", id=1, status=200, headers=[], end=False)
BODY = line(type="BODY", id=1, size=65536, end=False) + bytes(65536)
OPENED = line(type="ACCEPT", id=1, subprotocol=None, headers=[], open_ended=False)
MESSAGE = line(type="MESSAGE", id=1, kind="bytes", size=65536, end=True) + bytes(65536)
WINDOW = line(type="WINDOW", id=1, credit=10**15)

def fetch(request):
    what = request.path.strip("/")
    if what == "body":
        say(HEAD, BODY, 400 * 1024 * 1024)
    elif what == "credit":
        say(b"", WINDOW, len(WINDOW))
    elif what.startswith("say-"):
        say(b"", bytes.fromhex(what[4:]), 1)

def websocket(ws):
    say(OPENED, MESSAGE, 400 * 1024 * 1024)
"""
)

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="memory and descriptors are read from /proc"
)


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    """A runtime whose memory nobody has used before."""
    with served(tmp_path) as started:
        yield started


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    with served(tmp_path_factory.mktemp("shared")) as started:
        yield started


@contextlib.contextmanager
def served(tmp_path: Path) -> Iterator[Runtime]:
    write_app(tmp_path / "calm", {"app.py": CALM}, ttl=600)
    write_app(tmp_path / "hostile", {"app.py": HOSTILE}, ttl=600, timeout=20, maxBodySize="1gb")
    with running(tmp_path, env={"RUNTIME_BODY_SIZE_MAX": "1gb"}) as started:
        assert fetch(started, "/calm/").body == b"fine"
        yield started
        started.stop(signal.SIGKILL)  # it would give the workers that hang some time to end


@contextlib.contextmanager
def asking(runtime: Runtime, head: bytes) -> Iterator[socket.socket]:
    """A client that sends a request and reads nothing."""
    with socket.socket() as sock:
        sock.settimeout(20)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", runtime.port))
        sock.sendall(head)
        yield sock


@pytest.mark.parametrize(
    "head",
    [request("GET /hostile/body"), handshake("/hostile/socket")],
    ids=["body", "messages"],
)
def test_an_answer_beyond_its_credit(runtime: Runtime, head: bytes) -> None:
    """For a slow client no more is held than its window; the worker is killed, the log says why."""
    before = memory(runtime, "VmRSS")
    with asking(runtime, head) as sock:
        record = runtime.wait_for_record("worker.protocol_broken", app="hostile")
        assert "beyond its credit" in record["why"]
        runtime.wait_for_record("worker.died", worker=record["worker"])
        assert fetch(runtime, "/calm/").body == b"fine"
        answer = read_all(sock)
        assert len(answer) < KERNEL_MAX
        assert not answer.endswith(b"0\r\n\r\n")  # cut off, so that it does not look complete
    assert memory(runtime, "VmHWM") - before < 20 * MB


def test_a_credit_without_bounds(runtime: Runtime) -> None:
    """An app that does not read slows its client down, whatever credit its worker claims."""
    before = memory(runtime, "VmRSS")
    with asking(runtime, request("POST /hostile/credit", "Content-Length: 400000000")) as sock:
        sock.settimeout(2.0)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 100 * MB:
                sent += sock.send(bytes(65536))
        assert sent < 20 * MB
        assert fetch(runtime, "/calm/").body == b"fine"
        assert memory(runtime, "VmHWM") - before < 20 * MB


SAID = {
    "nonsense": b"GET / HTTP/1.1\r\n\r\n",
    "a READY more": wire.encode(
        {"type": "READY", "kind": "fetch", "concurrency": 8, "boot_ms": 1.0}
    ),
    "a READY with an endless number": b'{"type":"READY","concurrency":1e999,"kind":"a"}\n',
    "an UP more": wire.encode({"type": "UP"}),
    "another's request": wire.encode({"type": "BODY", "id": 2, "size": 1, "end": True}) + b"x",
    "a reason that is not text": wire.encode(
        {"type": "CLOSE", "id": 1, "code": 1000, "reason": {}, "end": True}
    ),
    "a deep list": b'{"type":"WINDOW","id":1,"credit":' + b"[" * 700 + b"]" * 700 + b"}\n",
}


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
def test_what_no_worker_says(shared: Runtime, said: bytes) -> None:
    """The request fails, its worker is killed, the log says why; no internal error is logged."""
    before = dead(shared)
    answer = fetch(shared, f"/hostile/say-{said.hex()}", method="POST")
    assert answer.status == 502
    wait_until(lambda: dead(shared) - before, what="the end of its worker")
    [worker] = dead(shared) - before
    [broken] = [
        each
        for each in shared.records
        if (each["event"], each.get("worker")) == ("worker.protocol_broken", worker)
    ]
    assert broken["level"] == "error"
    assert fetch(shared, "/calm/").body == b"fine"
    assert "runtime.internal_error" not in {each["event"] for each in shared.records}


ODD_HEADERS: tuple[Any, ...] = (
    [{"Set-Cookie": 0, "bt=x; Path=/": 0}],
    [{"x": 0, "y": 0}, ["Set-Cookie", "sid=x; Path=/"]],
    ["ab", ["Set-Cookie", "sid=x; Path=/"]],
    ["ab", {"Connection": 0, "ab": 0}],
)


def test_headers_in_another_form(runtime: Runtime) -> None:
    """Headers are lists of two texts. In another form they would escape what reads them as such:
    what keeps cookies to the app's path, and the runtime's own from being set."""
    for number, headers in enumerate(ODD_HEADERS, 1):
        said = wire.encode(
            {"type": "RESPONSE", "id": number, "status": 200, "headers": headers, "end": True}
        )
        answer = fetch(runtime, f"/hostile/say-{said.hex()}", method="POST")
        assert (answer.status, answer.headers.get_all("set-cookie")) == (502, None)


def dead(runtime: Runtime) -> set[str]:
    """The workers that the log says have died."""
    return {each["worker"] for each in runtime.records if each["event"] == "worker.died"}
