"""Slow clients of apps with a worker per request keep no worker from other clients."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.support.client import fetch, workers_of
from tests.support.harness import Runtime, read_until, running, wait_until, write_app

APP = """
from buntime import Response

def fetch(request):
    if request.path == "/unread":
        return Response("fine")
    return Response(str(len(request.bytes())))
"""
PROMPT_S = 3.0
EVERY_S = 0.25


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    apps = tmp_path_factory.mktemp("apps")
    write_app(apps / "once", {"app.py": APP}, ttl=0)
    write_app(apps / "small", {"app.py": APP}, ttl=0, maxBodySize=1000)
    write_app(apps / "locked", {"app.py": APP}, ttl=0, visibility="protected")
    env = {
        "RUNTIME_EPHEMERAL_CONCURRENCY": "4",
        "RUNTIME_EPHEMERAL_QUEUE_LIMIT": "2",
        "RUNTIME_BODY_TIMEOUT": "3s",
        "RUNTIME_SHUTDOWN_TIMEOUT": "1",
    }
    with running(apps, env=env) as started:
        yield started


@pytest.fixture
def runtime(shared: Runtime) -> Runtime:
    """The runtime, when all slots are free again."""
    wait_until(lambda: not workers_of(shared, "once"), what="free slots")
    return shared


def post(path: str, *fields: bytes) -> bytes:
    lines = (b"POST %s HTTP/1.1" % path.encode(), b"Host: a", *fields, b"", b"")
    return b"\r\n".join(lines)


@contextlib.contextmanager
def dripping(runtime: Runtime, number: int, first: bytes, every_s: float) -> Iterator[None]:
    """This many clients, each of which sends a byte of its body from time to time."""
    stop = threading.Event()
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(runtime.connect()) for _ in range(number)]
        for sock in socks:
            sock.sendall(first)

        def drip() -> None:
            while not stop.wait(every_s):
                for sock in socks:
                    with contextlib.suppress(OSError):
                        sock.send(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@pytest.mark.parametrize("every_s", [EVERY_S, 2.0], ids=["all the time", "with pauses"])
def test_bodies_that_drip_leave_slots(runtime: Runtime, every_s: float) -> None:
    """Clients that never pause hold no worker; those that do hold half of the slots at most."""
    with dripping(runtime, 10, post("/once/", b"Content-Length: 100000"), every_s):
        time.sleep(2.2)  # the pace of the slow clients: two of their pauses
        for _ in range(5):
            begun = time.monotonic()
            assert fetch(runtime, "/once/unread").body == b"fine"
            assert time.monotonic() - begun < PROMPT_S
        assert len(workers_of(runtime, "once", status="once")) <= 2


def test_a_body_comes_before_the_worker(runtime: Runtime) -> None:
    """A body comes before its worker, however it is split, by length and in chunks."""
    chunks = b"".join(b"a\r\n0123456789\r\n" for _ in range(20)) + b"0\r\n\r\n"
    for head, body, size in (
        (post("/once/", b"Content-Length: 200"), b"x" * 200, b"200"),
        (post("/once/", b"Transfer-Encoding: chunked"), chunks, b"200"),
    ):
        with runtime.connect() as sock:
            sock.sendall(head)
            for start in range(0, len(body), 50):
                time.sleep(0.05)
                assert not workers_of(runtime, "once", status="once")
                sock.sendall(body[start : start + 50])
            assert read_until(sock, size).startswith(b"HTTP/1.1 200 ")


def test_a_large_body_goes_on_by_and_by(runtime: Runtime) -> None:
    """A worker starts after the first 128 KiB."""
    with runtime.connect() as sock:
        sock.sendall(post("/once/", b"Content-Length: 300000") + b"x" * 200_000)
        wait_until(lambda: workers_of(runtime, "once", status="once"), 10, "a worker")
        sock.sendall(b"x" * 100_000)
        assert read_until(sock, b"300000").startswith(b"HTTP/1.1 200 ")


def test_a_client_that_waits_for_its_answer_gets_it(runtime: Runtime) -> None:
    """An app may answer before the body has come."""
    with runtime.connect() as sock:
        sock.sendall(post("/once/unread", b"Content-Length: 100000") + b"x")
        assert read_until(sock, b"fine").startswith(b"HTTP/1.1 200 ")


def test_a_client_that_pauses_for_good_is_refused(runtime: Runtime) -> None:
    """Those that pause get 408 in time, while they hold the two slots for slow clients."""
    first = post("/once/", b"Content-Length: 100000") + b"x"
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(runtime.connect()) for _ in range(4)]
        for sock in socks:
            sock.sendall(first)
        for sock in socks:
            assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 408 ")
    assert fetch(runtime, "/once/unread").body == b"fine"


ASKS = b"Expect: 100-continue"


def test_who_asks_first_is_told_by_the_runtime(runtime: Runtime) -> None:
    """The runtime sends 100 before any worker has the request, and the worker sends none."""
    with runtime.connect() as sock:
        sock.sendall(post("/once/", b"Content-Length: 5", ASKS))
        assert read_until(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert not workers_of(runtime, "once", status="once")
        sock.sendall(b"01234")
        assert read_until(sock, b"\r\n\r\n5").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("path", "field", "status"),
    [
        ("/locked/", b"Content-Length: 5", b"401"),
        ("/small/", b"Content-Length: 5000", b"413"),
        ("/nobody/", b"Content-Length: 5", b"404"),
    ],
)
def test_who_is_refused_is_not_told_to_go_on(
    runtime: Runtime, path: str, field: bytes, status: bytes
) -> None:
    """A refusal by access or size comes instead of 100."""
    with runtime.connect() as sock:
        sock.sendall(post(path, field, ASKS))
        assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 " + status)


def test_chunks_beyond_the_apps_limit_are_refused(runtime: Runtime) -> None:
    """Chunks beyond the app's limit are refused while the body is still being collected."""
    with runtime.connect() as sock:
        sock.sendall(post("/small/", b"Transfer-Encoding: chunked") + b"7d0\r\n" + b"x" * 2000)
        assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 413 ")


def test_a_client_that_leaves_meanwhile(runtime: Runtime) -> None:
    """The request of a client that leaves is over, and no worker gets it."""
    with runtime.connect() as sock:
        sock.sendall(post("/once/left", b"Content-Length: 5"))
        time.sleep(0.1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    record = runtime.wait_for_record("request.access", path="/once/left")
    assert (record["status"], record.get("worker")) == (499, None)
