"""Apps and their children that write without end hold up only themselves."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import pytest

from tests.support.client import fetch
from tests.support.harness import Runtime, running, wait_until, write_app
from tests.support.rawclient import RawClient, client_of, request
from tests.support.rawsocket import PING, handshake, write_frame

CALM = "from buntime import Response\ndef fetch(request):\n    return Response('fine')\n"
FLOODS = '''
import os, subprocess, sys, threading, time
from buntime import Response

WINDOWS = """
import os, sys
while True:
    os.write(int(sys.argv[1]), (b'{"type":"WINDOW","id":1,"credit":1}' + bytes([10])) * 500)
"""

def is_socket(fd):
    try:
        return os.readlink("/proc/self/fd/" + fd).startswith("socket:")
    except OSError:
        return False

def newlines():
    while True:
        os.write(1, b"\\n" * 65536)

def fetch(request):
    if request.path == "/thread":
        threading.Thread(target=newlines, daemon=True).start()
        return Response("writing")
    if request.path == "/sleep":
        time.sleep(3)
        return Response("slept")
    if request.path == "/channel":
        [fd] = [int(fd) for fd in os.listdir("/proc/self/fd") if is_socket(fd)]
        subprocess.Popen(["setsid", sys.executable, "-c", WINDOWS, str(fd)], pass_fds=[fd])
    else:
        subprocess.Popen(["setsid", "yes"])
    time.sleep(0.2)
    os._exit(1)

def websocket(ws):
    for message in ws:
        ws.send(message)
'''


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    with served(tmp_path / "apps") as started:
        yield started


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """A runtime for clients that flood: these leave nothing behind."""
    with served(tmp_path_factory.mktemp("apps")) as started:
        yield started


@contextlib.contextmanager
def served(apps: Path) -> Iterator[Runtime]:
    write_app(apps / "calm", {"app.py": CALM}, ttl=600)
    write_app(apps / "floods", {"app.py": FLOODS}, ttl=600)
    # Nothing reads its log while it floods: the test is about what the runtime does with the flood.
    with running(apps) as started:
        assert fetch(started, "/calm/").body == b"fine"
        yield started


def asked(runtime: Runtime) -> float:
    """How many seconds the calm app takes to answer."""
    begun = time.monotonic()
    assert fetch(runtime, "/calm/").body == b"fine"
    return time.monotonic() - begun


@pytest.mark.skipif(sys.platform != "linux", reason="the app looks into /proc")
@pytest.mark.parametrize("path", ["/floods/pipes", "/floods/channel"])
def test_a_child_that_keeps_what_was_a_dead_worker_s(runtime: Runtime, path: str) -> None:
    """The worker's death is noticed and gives 502; what its child still writes holds up nothing."""
    assert fetch(runtime, path).status == 502
    assert median(asked(runtime) for _ in range(8)) < 0.25
    assert runtime.stop() == 0


def test_a_thread_that_prints_without_end(runtime: Runtime) -> None:
    """Other apps answer soon, and the log says how many lines it left out."""
    assert fetch(runtime, "/floods/thread").body == b"writing"
    assert median(asked(runtime) for _ in range(8)) < 0.25
    record = runtime.wait_for_record("app.output_dropped")
    assert record["lines"] > 10_000
    wait_until(lambda: asked(runtime) < 0.25, what="a quick answer")
    assert runtime.stop() == 0


def in_background(act: Callable[[], object]) -> threading.Thread:
    """Do something with a connection that may end meanwhile."""

    def run() -> None:
        with contextlib.suppress(OSError):
            act()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def swallow(client: RawClient) -> None:
    while client.sock.recv(1 << 20):
        pass


@pytest.mark.parametrize(
    ("first", "flood"),
    [
        (b"", request("GET /health") * 1000),
        (b"", request("GET /nobody/here") * 1000),
        (handshake("/floods/socket"), write_frame(PING) * 20_000),
        (
            request("POST /floods/sleep", "Transfer-Encoding: chunked"),
            b"1\r\nx\r\n" * 20_000,
        ),
    ],
    ids=["pipelined", "pipelined 404", "pings", "tiny chunks"],
)
def test_much_at_once_on_one_connection(shared: Runtime, first: bytes, flood: bytes) -> None:
    """A client that sends much at once waits for turns of the loop; others hardly notice."""
    with client_of(shared) as client:
        threads = [
            in_background(lambda: swallow(client)),
            in_background(lambda: client.send(first + flood)),
        ]
        assert median(asked(shared) for _ in range(8)) < 0.25
        client.sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
