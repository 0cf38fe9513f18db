"""An app that hangs is noticed by its own timeout, whatever its client does meanwhile.

The client counts as the slow one only while the app waits for it: when the app has read all that
came of the body and asks for more, or has sent as much of its answer as it may.
"""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from tests.support.client import fetch
from tests.support.harness import Runtime, read_all, read_until, running, wait_until, write_app

TIMEOUT_S = 1.0
EVERY_S = 0.2  # a client sends or reads a little, several times per timeout of the app
BODY_S = 2.0  # the client's own limit for a pause

FETCH = """
import time
from buntime import Response

def pieces(sizes):
    for size in sizes:
        yield b"x" * size
    time.sleep(3600)

def fetch(request):
    what = request.path.strip("/")
    if what == "sleep":
        time.sleep(3600)
    if what == "read-once":
        next(iter(request.stream()))
        time.sleep(3600)
    if what == "read":
        return Response(str(sum(map(len, request.stream()))))
    if what == "slow-start":
        time.sleep(0.8 * TIMEOUT_S)
        return Response(str(sum(map(len, request.stream()))))
    if what == "little":
        return Response(pieces([10]))
    if what == "some":
        return Response(pieces([60_000]))
    if what == "endless":
        return Response(b"x" * 50_000 for _ in range(10**9))
    return Response("fine")
""".replace("TIMEOUT_S", str(TIMEOUT_S))

ASGI = """
import asyncio, time

async def body(receive):
    while True:
        message = await receive()
        yield message.get("body", b"")
        if not message.get("more_body"):
            return

async def app(scope, receive, send):
    what = scope["path"].rstrip("/").rpartition("/")[2]
    if what == "sleep":
        await asyncio.sleep(3600)
    if what == "block":
        await receive()
        time.sleep(3600)
    if what == "read-once":
        await receive()
        await asyncio.sleep(3600)
    if what == "read":
        async for _ in body(receive):
            pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"fine", "more_body": False})
"""

WSGI = """
import time

def app(environ, start_response):
    what, read = environ["PATH_INFO"].strip("/"), environ["wsgi.input"].read
    if what == "sleep":
        time.sleep(3600)
    if what == "read-once":
        read(1)
        time.sleep(3600)
    if what == "read":
        read()
    start_response("200 OK", [])
    return [b"fine"]
"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    apps = tmp_path_factory.mktemp("apps")
    for name, text in {"fetch": FETCH, "asgi": ASGI, "wsgi": WSGI}.items():
        write_app(apps / name, {"app.py": text}, timeout=TIMEOUT_S, ttl=600, workers=4)
    write_app(apps / "once", {"app.py": FETCH}, timeout=TIMEOUT_S)
    env = {"RUNTIME_BODY_TIMEOUT": f"{BODY_S}s", "RUNTIME_SEND_TIMEOUT": f"{BODY_S}s"}
    with running(apps, env=env) as started:
        yield started
        started.stop(signal.SIGKILL)  # it would give the workers that hang some time to end


def be_ready(runtime: Runtime, path: str) -> None:
    """Wait until the app has a worker that is not stuck: the start of one may take its timeout."""
    app = path.split("/")[1]
    wait_until(lambda: fetch(runtime, f"/{app}/").status == 200, what=f"{app} to serve")


@contextmanager
def dripping(sock: socket.socket, piece: bytes) -> Iterator[None]:
    """Meanwhile the client sends a piece from time to time."""
    stop = threading.Event()

    def drip() -> None:
        with suppress(OSError):
            while not stop.wait(EVERY_S):
                sock.sendall(piece)

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


LENGTH = b"Content-Length: 100000\r\n"
LARGE = b"Content-Length: 1000000\r\n"  # with `ttl: 0` a worker gets it once 128 KiB have come
CHUNKED = b"Transfer-Encoding: chunked\r\n"
ASKS = b"Content-Length: 100000\r\nExpect: 100-continue\r\n"


def post(path: str, framing: bytes) -> bytes:
    return b"POST %s HTTP/1.1\r\nHost: a\r\n%s\r\n" % (path.encode(), framing)


def at_once(check: Callable[..., None], *cases: tuple[Any, ...]) -> None:
    """Check each case, those of one app one after the other; a case begins with its path."""
    apps: dict[str, list[tuple[Any, ...]]] = {}
    for case in cases:
        apps.setdefault(case[0].split("/")[1], []).append(case)

    def check_all(these: list[tuple[Any, ...]]) -> None:
        for case in these:
            check(*case)

    with ThreadPoolExecutor(len(apps)) as threads:
        for _ in threads.map(check_all, apps.values()):
            pass


def has_record(runtime: Runtime, since: int, event: str, **fields: object) -> bool:
    """Whether there is such a record; `wait_for_record` would take those of other threads."""
    records = runtime.records[since:]
    return any(each["event"] == event and fields.items() <= each.items() for each in records)


def test_a_dripping_body_hides_no_hung_app(runtime: Runtime) -> None:
    """If the app neither answers nor reads on: 504 at its timeout, and its worker is replaced."""

    def check(path: str, framing: bytes, first: bytes, piece: bytes) -> None:
        be_ready(runtime, path)
        since, begun = len(runtime.records), time.monotonic()
        with runtime.connect() as sock:
            sock.sendall(post(path, framing) + first)
            with dripping(sock, piece):
                head = read_until(sock, b"HTTP/1.1 504 ")
        assert b"HTTP/1.1 504 " in head, (path, framing, first)
        assert time.monotonic() - begun < TIMEOUT_S + 2.5, (path, framing, first)
        late = {"event": "app.timeout", "path": path}
        wait_until(lambda: has_record(runtime, since, **late), what=f"app.timeout of {path}")
        told = next(each for each in runtime.records[since:] if late.items() <= each.items())
        if not path.startswith("/asgi") or path.endswith("block"):  # otherwise it obeys CANCEL
            stuck = {"event": "worker.stuck", "worker": told["worker"]}
            wait_until(lambda: has_record(runtime, since, **stuck), what=f"the end of {path}")

    at_once(
        check,
        ("/fetch/sleep", LENGTH, b"", b"x"),
        ("/fetch/sleep", LENGTH, b"x" * 50_000, b"x" * 500),
        ("/fetch/sleep", ASKS, b"", b"x"),
        ("/fetch/read-once", LENGTH, b"", b"x"),
        ("/fetch/read-once", CHUNKED, b"1\r\nx\r\n", b"1\r\nx\r\n"),
        ("/once/sleep", LARGE, b"x" * 131_072, b"x"),
        ("/asgi/sleep", LENGTH, b"", b"x"),
        ("/asgi/read-once", CHUNKED, b"", b"1\r\nx\r\n"),
        ("/asgi/block", LENGTH, b"", b"x"),
        ("/wsgi/sleep", LENGTH, b"", b"x"),
        ("/wsgi/read-once", LENGTH, b"x" * 9000, b"x"),
    )
    runtime.records.clear()


READS = ("/fetch/read", "/once/read", "/asgi/read", "/wsgi/read")


@pytest.mark.parametrize("framing", [LENGTH, CHUNKED], ids=["length", "chunks"])
def test_an_app_that_reads_is_not_blamed(runtime: Runtime, framing: bytes) -> None:
    """An app that has read all and waits for more may take longer than its timeout, to the end."""
    piece = b"x" * 10_000 if framing is LENGTH else b"2710\r\n" + b"x" * 10_000 + b"\r\n"

    def check(path: str) -> None:
        be_ready(runtime, path)
        with runtime.connect() as sock:
            sock.sendall(post(path, framing))
            for _ in range(10):
                time.sleep(EVERY_S)
                sock.sendall(piece)
            if framing is CHUNKED:
                sock.sendall(b"0\r\n\r\n")
            assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 200 "), path

    at_once(check, *((path,) for path in READS))


def test_a_client_that_pauses_is_blamed_itself(runtime: Runtime) -> None:
    """408 after the client's own limit, which is longer than the app's; the app is not blamed."""

    def check(path: str) -> None:
        be_ready(runtime, path)
        with runtime.connect() as sock:
            begun = time.monotonic()
            sock.sendall(post(path, LENGTH) + b"x" * 3000)
            assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 408 "), path
        assert time.monotonic() - begun > BODY_S - 0.5, path

    at_once(check, *((path,) for path in READS))
    assert not has_record(runtime, 0, "app.timeout")


def test_each_wait_for_the_client_starts_the_apps_time_anew(runtime: Runtime) -> None:
    """After an app that started late has waited for its client, its time starts anew."""
    be_ready(runtime, "/fetch/")
    with runtime.connect() as sock:
        sock.sendall(post("/fetch/slow-start", b"Content-Length: 2\r\n") + b"x")
        time.sleep(1.4 * TIMEOUT_S)
        sock.sendall(b"x")
        assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("path", ["/fetch/little", "/fetch/some"])
def test_a_client_that_takes_slowly_hides_no_hung_app(runtime: Runtime, path: str) -> None:
    """If the app could send more and does not, its answer is cut off at its timeout."""
    be_ready(runtime, path)
    begun = time.monotonic()
    sock = socket.socket()
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sock.settimeout(15)
        sock.connect(("127.0.0.1", runtime.port))
        sock.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
        runtime.wait_for_record("app.timeout", 2 * TIMEOUT_S + 2, path=path)
    assert time.monotonic() - begun < TIMEOUT_S + 2.5
    runtime.records.clear()


def test_a_client_that_takes_nothing_is_blamed_itself(runtime: Runtime) -> None:
    """If the app has sent all it may, its client is cut off at its own limit, the app not late."""
    be_ready(runtime, "/fetch/")
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sock.settimeout(15)
        sock.connect(("127.0.0.1", runtime.port))
        sock.sendall(b"GET /fetch/endless HTTP/1.1\r\nHost: a\r\n\r\n")
        runtime.wait_for_record("request.access", 2 * BODY_S + 4, path="/fetch/endless")
        read_all(sock)
    assert not [each for each in runtime.records if each["event"] == "app.timeout"]
