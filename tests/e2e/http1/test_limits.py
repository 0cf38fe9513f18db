"""Each limit of the HTTP server, with a client that breaks it and one that just keeps it.

Times are set low here. Where a test takes time, that is the pace of a slow client: `idle` waits
that long, and fails if the other side sends something meanwhile.
"""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.harness import Runtime, running, wait_until, write_app
from tests.support.rawclient import Cut, RawClient, Reply, client_of, request

KB = 1024
HEAD_S = 0.3
IDLE_S = 0.4
BODY_S = 0.8
SEND_S = 0.8
SOON_S = 1.5  # deadlines are checked four times a second, and the machine may be busy
APP_S = 0.25  # the app's own timeout, shorter than what a client may take

SETTINGS = {
    "RUNTIME_REQUEST_LINE_MAX": "1kb",
    "RUNTIME_HEADERS_MAX": "2kb",
    "RUNTIME_HEADER_FIELDS_MAX": "10",
    "RUNTIME_HEAD_TIMEOUT": f"{HEAD_S}s",
    "RUNTIME_KEEPALIVE_TIMEOUT": f"{IDLE_S}s",
    "RUNTIME_BODY_TIMEOUT": f"{BODY_S}s",
    "RUNTIME_SEND_TIMEOUT": f"{SEND_S}s",
    "RUNTIME_BODY_SIZE_DEFAULT": "10kb",
    "RUNTIME_BODY_SIZE_MAX": "20kb",
}

APP = """
import threading
from buntime import Response

told = []
gates = {}

def opened(request):
    gates.setdefault(request.query["id"], threading.Event()).set()
    return Response("open")

def length(request):
    if "id" in request.query:
        assert gates.setdefault(request.query["id"], threading.Event()).wait(20)
    return Response(str(sum(map(len, request.stream()))))

def endless(request):
    try:
        while True:
            yield b"x" * 65536
    finally:
        told.append("left in endless")

def megabytes(request):
    for _ in range(16 * int(request.query["n"])):
        yield b"x" * 65536

def upload(request):
    try:
        return length(request)
    except BaseException as exc:
        told.append(f"{type(exc).__name__} in upload")
        raise

PAGES = {
    "/": lambda request: Response("page"),
    "/length": length,
    "/open": opened,
    "/upload": upload,
    "/endless": lambda request: Response(endless(request)),
    "/megabytes": lambda request: Response(megabytes(request)),
    "/told": lambda request: Response.json(told),
}

def fetch(request):
    return PAGES[request.path](request)
"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("apps")
    write_app(folder / "c", {"app.py": APP}, ttl=600, maxRequests=10**6)
    write_app(folder / "own", {"app.py": APP}, ttl=600, maxRequests=10**6, maxBodySize=5 * KB)
    write_app(folder / "greedy", {"app.py": APP}, ttl=600, maxRequests=10**6, maxBodySize="1gb")
    write_app(folder / "hasty", {"app.py": APP}, ttl=600, maxRequests=10**6, timeout=f"{APP_S}s")
    write_app(folder / "site", {"index.html": "", "24.bin": "x" * (24 * KB * KB)})
    with running(folder, env=SETTINGS) as runtime:
        for app in ("c", "own", "greedy", "hasty"):  # so that no test waits for a worker
            wait_until(lambda app=app: is_served(runtime, app), what=f"the app {app}")
        yield runtime


def is_served(runtime: Runtime, app: str) -> bool:
    """Whether its worker is ready; one app's timeout is shorter than its start may take."""
    with client_of(runtime) as client:
        return client.get(f"/{app}/").status == 200


@pytest.fixture
def client(runtime: Runtime) -> Iterator[RawClient]:
    with client_of(runtime) as client:
        yield client


def check_last(client: RawClient, reply: Reply) -> None:
    """The answer says that it is the last one, and it is."""
    assert reply.get("connection") == "close"
    client.expect_end()


def idle(client: RawClient, seconds: float) -> None:
    """Waits as a slow client does; the other side must send nothing meanwhile."""
    assert not select.select([client.sock], [], [], seconds)[0], "it did not wait"


def told(runtime: Runtime, what: str) -> int:
    with client_of(runtime) as other:
        return int(other.get("/c/told").json.count(what))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


# Sizes of a head


@pytest.mark.parametrize("size", [1024, 1025])
def test_request_line(client: RawClient, size: int) -> None:
    """A request line of the limit is read, one byte more is 414."""
    query = "x" * (size - len("GET /c/? HTTP/1.1"))
    reply = client.get(f"/c/?{query}")
    assert reply.status == (200 if size == 1024 else 414)
    if size > 1024:
        assert reply.code == "target_too_long"
        check_last(client, reply)


def test_a_request_line_without_an_end(client: RawClient) -> None:
    """An endless request line is 414 as soon as it is too long, not when its time is over."""
    begun = time.monotonic()
    client.send(b"GET /" + b"x" * 1100)
    reply = client.read()
    assert reply.status == 414
    assert time.monotonic() - begun < HEAD_S
    check_last(client, reply)


@pytest.mark.parametrize("size", [2048, 2049])
def test_header_section(client: RawClient, size: int) -> None:
    """Header fields of 2 KiB together are read, one byte more is 431."""
    filler = "x" * (size - len("Host: localhost\r\nX-Filler: \r\n"))
    reply = client.get("/c/", f"X-Filler: {filler}")
    assert reply.status == (200 if size == 2048 else 431)
    if size > 2048:
        assert reply.code == "headers_too_large"
        check_last(client, reply)


def test_a_header_section_without_an_end(client: RawClient) -> None:
    """Endless fields are 431 as soon as they have too many bytes."""
    begun = time.monotonic()
    client.send(b"GET /c/ HTTP/1.1\r\nHost: a\r\nX-Filler: " + b"x" * 2100)
    reply = client.read()
    assert reply.status == 431
    assert time.monotonic() - begun < HEAD_S
    check_last(client, reply)


@pytest.mark.parametrize("count", [10, 11])
def test_header_fields(client: RawClient, count: int) -> None:
    """Ten fields are read, eleven are 431."""
    reply = client.get("/c/", *["X-A: 1"] * (count - 1))
    assert reply.status == (200 if count == 10 else 431)
    if count > 10:
        assert reply.code == "too_many_headers"
        check_last(client, reply)


# Times


def test_head_timeout(client: RawClient) -> None:
    """A head that is not complete in time is 408."""
    begun = time.monotonic()
    client.send(b"GET /c/ HTTP/1.1\r\nHost: a\r\n")
    reply = client.read()
    assert (reply.status, reply.code) == (408, "request_timeout")
    assert time.monotonic() - begun >= HEAD_S
    check_last(client, reply)


def test_a_trickled_head(client: RawClient) -> None:
    """The time is for the whole head: a byte now and then does not prolong it."""
    head = iter(request("GET /c/", "X-Long: " + "x" * 200))
    begun = time.monotonic()
    while not select.select([client.sock], [], [], 0.05)[0]:
        assert time.monotonic() - begun < 5 * HEAD_S
        client.send(bytes([next(head)]))
    assert client.read().status == 408
    assert time.monotonic() - begun >= HEAD_S


def test_the_head_of_a_later_request(client: RawClient) -> None:
    """Each request's head has the whole time: a connection's age does not count."""
    head = request("GET /c/")
    begun = time.monotonic()
    while time.monotonic() - begun < 1.5 * HEAD_S:
        client.send(head[:10])
        idle(client, HEAD_S / 4)
        client.send(head[10:])
        assert client.read().status == 200


@pytest.mark.parametrize("framing", ["Content-Length: 10", "Transfer-Encoding: chunked"])
def test_body_timeout(runtime: Runtime, client: RawClient, framing: str) -> None:
    """A body that pauses too long is 408; the app that reads it gets an error, not half of it."""
    before = told(runtime, "ClientGone in upload")
    client.send(request("POST /c/upload", framing) + b"3\r\nabc\r\n")
    begun = time.monotonic()
    reply = client.read()
    assert (reply.status, reply.code) == (408, "request_timeout")
    assert time.monotonic() - begun >= BODY_S * 0.9
    check_last(client, reply)
    wait_until(lambda: told(runtime, "ClientGone in upload") > before, what="the app's notice")


def test_a_trickled_body(client: RawClient) -> None:
    """As long as bytes come, a body may take its time."""
    client.send(request("POST /c/length", "Content-Length: 12"))
    begun = time.monotonic()
    for _ in range(12):
        idle(client, BODY_S / 6)
        client.send(b"x")
    assert client.read().body == b"12"
    assert time.monotonic() - begun > BODY_S


def test_a_body_that_nobody_asked_for(client: RawClient) -> None:
    """The body's time does not run while the client waits for 100 Continue, only after it."""
    client.send(request("POST /c/length", "Expect: 100-continue", "Content-Length: 3"))
    reply = client.read()
    assert (reply.status, reply.interim) == (408, [100])
    check_last(client, reply)


def test_a_body_that_the_app_lets_wait(runtime: Runtime, client: RawClient) -> None:
    """The body's time does not run while the app is not reading: the client is not the slow one."""
    head = request("POST /c/length?id=body", "Expect: 100-continue", "Content-Length: 3000")
    client.send(head + b"x" * 1000)
    idle(client, 1.7 * BODY_S)
    with client_of(runtime) as other:
        assert other.get("/c/open?id=body").status == 200
    client.send(b"x" * 2000)
    reply = client.read()
    assert (reply.interim, reply.body) == ([100], b"3000")


@pytest.mark.parametrize(("requests", "limit_s"), [(0, HEAD_S), (1, IDLE_S)])
def test_a_silent_connection(client: RawClient, requests: int, limit_s: float) -> None:
    """A connection without a request is closed silently when its time is over: at its start the
    time for a head, between two requests the keep-alive timeout."""
    for _ in range(requests):
        assert client.get("/c/").status == 200
    begun = time.monotonic()
    client.expect_end()
    assert time.monotonic() - begun >= limit_s * 0.9


TLS_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
# What a client sends piece by piece, without end, and never becomes a request.
NEVER_A_REQUEST = {
    "carriage return, line feed": [b"\r", b"\n"],
    "empty lines": [b"\r\n\r\n"],
    "request line": [b"G"],
    "fields": [b"GET / HTTP/1.1\r\nHost: a\r\n", *[b"X: y\r\n"] * 5],
    "TLS": [TLS_HELLO],
    "handshake": [
        b"GET /c/ HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
        *[b"Sec-WebSocket-Version: 13\r\n"] * 3,
        *[b"Sec-WebSocket-Key: "] * 20,
    ],
}


@pytest.mark.parametrize("requests", [0, 1])
@pytest.mark.parametrize("what", NEVER_A_REQUEST)
def test_what_never_becomes_a_request(client: RawClient, what: str, requests: int) -> None:
    """Trickling bytes do not keep a connection open: it ends within the idle time and the time for
    a head, with 408 or 400 if a request had begun."""
    for _ in range(requests):
        assert client.get("/c/").status == 200
    begun = time.monotonic()
    pieces = itertools.cycle(NEVER_A_REQUEST[what])
    while not select.select([client.sock], [], [], 0.02)[0]:
        assert time.monotonic() - begun < HEAD_S + requests * IDLE_S + SOON_S
        client.send(next(pieces))
    if what in ("carriage return, line feed", "empty lines"):
        with contextlib.suppress(Cut):  # reset because of the line feed that was on its way
            assert client.receive() == b""
    else:
        assert client.read().status in (400, 408, 431)


def test_a_client_that_half_closes(client: RawClient) -> None:
    """The connection of a client that can send no request any more is closed at once."""
    client.sock.shutdown(socket.SHUT_WR)
    client.expect_end()


def test_requests_prolong_a_connection(client: RawClient) -> None:
    """The idle time starts anew with each answer."""
    begun = time.monotonic()
    while time.monotonic() - begun < 1.5 * IDLE_S:
        assert client.get("/c/").status == 200
        idle(client, IDLE_S / 3)


def test_send_timeout(runtime: Runtime, client: RawClient) -> None:
    """A client that reads nothing of its answer for too long is cut off, and the app told so."""
    before = told(runtime, "left in endless")
    begun = time.monotonic()
    client.send(request("GET /c/endless"))
    wait_until(lambda: told(runtime, "left in endless") > before, what="the app's notice")
    assert time.monotonic() - begun >= SEND_S
    assert runtime.wait_for_record("request.access", path="/c/endless")["status"] == 200


@pytest.mark.parametrize("target", ["/c/megabytes?n=24", "/site/24.bin"])
def test_a_slow_reader(client: RawClient, target: str) -> None:
    """As long as the client reads bytes, an answer may take its time, from an app or a file."""
    client.send(request(f"GET {target}", version="1.0"))
    begun = time.monotonic()
    taken = 0
    while data := client.sock.recv(128 * KB):
        taken += len(data)
        if time.monotonic() - begun < 2 * SEND_S:
            idle_reading(0.01)
    assert taken >= 24 * KB * KB
    assert time.monotonic() - begun > 1.5 * SEND_S


def idle_reading(seconds: float) -> None:
    """Let bytes wait: this client reads no faster."""
    select.select([], [], [], seconds)


def test_a_slow_upload_is_not_the_apps_fault(client: RawClient) -> None:
    """While the app waits for its client's body, the app's timeout does not run."""
    client.send(request("POST /hasty/length", "Content-Length: 2"))
    for _ in range(2):
        idle(client, 2 * APP_S)
        client.send(b"x")
    assert client.read().body == b"2"


def test_a_slow_download_is_not_the_apps_fault(client: RawClient) -> None:
    """While the client does not read what the app gives, the app's timeout does not run."""
    client.send(request("GET /hasty/megabytes?n=24", version="1.0"))
    idle_reading(2 * APP_S)
    taken = 0
    while data := client.receive():
        taken += len(data)
    assert taken > 24 * KB * KB


# Sizes of a body


@pytest.mark.parametrize(("app", "limit"), [("c", 10 * KB), ("own", 5 * KB), ("greedy", 20 * KB)])
def test_max_body_size_by_length(client: RawClient, app: str, limit: int) -> None:
    """A Content-Length above the app's maxBodySize, the default, or the runtime's cap is 413 at
    once, before any of the body is sent; one at the limit is read."""
    client.send(request(f"POST /{app}/length", body=b"x" * limit))
    assert client.read().body == str(limit).encode()
    client.send(request(f"POST /{app}/length", f"Content-Length: {limit + 1}"))
    reply = client.read()
    assert (reply.status, reply.code) == (413, "body_too_large")
    check_last(client, reply)


def test_a_cap_is_told(runtime: Runtime) -> None:
    """A maxBodySize above the runtime's cap causes a warning that names both."""

    def is_told() -> bool:
        warnings = [str(each) for each in tuple(runtime.records) if each["level"] == "warn"]
        return any(all(word in text for word in ("greedy", "1gb", "20kb")) for text in warnings)

    wait_until(is_told, what="the warning")


@pytest.mark.parametrize("size", [5 * KB, 5 * KB + 1])
@pytest.mark.parametrize("pieces", [1, 2, 1000])
def test_max_body_size_in_chunks(client: RawClient, size: int, pieces: int) -> None:
    """A chunked body is counted as it comes, however it comes; the app never sees its end."""
    body = b"x" * size
    step = -(-size // pieces)
    encoded = b"".join(chunk(body[at : at + step]) for at in range(0, size, step))
    head = request("POST /own/length", "Transfer-Encoding: chunked")
    client.send(head + encoded + b"0\r\n\r\n")
    reply = client.read()
    if size == 5 * KB:
        assert reply.body == str(size).encode()
    else:
        assert (reply.status, reply.code) == (413, "body_too_large")
        check_last(client, reply)


def test_max_body_size_while_the_app_reads(runtime: Runtime, client: RawClient) -> None:
    """A body that grows too large while the app reads: 413 for the client, an error for the app."""
    before = told(runtime, "ClientGone in upload")
    client.send(request("POST /c/upload", "Expect: 100-continue", "Transfer-Encoding: chunked"))
    assert client.receive() == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(chunk(b"x" * 6 * KB))
    client.send(chunk(b"x" * 6 * KB))
    reply = client.read()
    assert reply.status == 413
    check_last(client, reply)
    wait_until(lambda: told(runtime, "ClientGone in upload") > before, what="the app's notice")


# Connections


FEW = 3


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """A runtime that takes few connections, with no other limit low."""
    folder = tmp_path_factory.mktemp("apps")
    write_app(
        folder / "c", {"app.py": APP}, ttl=600, maxRequests=10**6, maxBodySize=5, concurrency=9
    )
    with running(folder, env={"RUNTIME_CONNECTIONS_MAX": str(FEW)}) as runtime:
        wait_until(lambda: is_served(runtime, "c"), what="the app")
        yield runtime


@contextlib.contextmanager
def pouring(client: RawClient, data: bytes) -> Iterator[None]:
    """Send the same without end, and read what comes back."""

    def send() -> None:
        with contextlib.suppress(OSError):
            while True:
                client.send(data)

    def take() -> None:
        with contextlib.suppress(OSError, Cut):
            while client.receive():
                pass

    threads = [threading.Thread(target=each) for each in (send, take)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            client.sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def linger(client: RawClient) -> None:
    """Send more than the limit; the answer has come, and the runtime waits for the rest."""
    client.send(request("POST /c/length", "Content-Length: 1000000") + b"x")
    assert client.read().status == 413
    client.expect_end()


# How a client holds a connection without a request under way.
HOLDS: dict[str, Callable[[RawClient], object]] = {
    "silence": lambda client: None,
    "keep-alive": lambda client: client.get("/c/"),
    "carriage return": lambda client: client.send(b"\r"),
    "half a line": lambda client: client.send(b"GET / HT"),
    "half a head": lambda client: client.send(b"GET / HTTP/1.1\r\nHost: a\r\n"),
    "half a handshake": lambda client: client.send(
        b"GET /c/ HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    ),
    "TLS": lambda client: client.send(TLS_HELLO),
    "lingering": linger,
}


@pytest.mark.parametrize("how", HOLDS)
def test_connections_max(narrow: Runtime, how: str) -> None:
    """At the limit the connection that has been without a request for the longest is closed; a
    newcomer is served at once."""
    with ExitStack() as stack:
        holding = []
        for _ in range(FEW):
            holding.append(stack.enter_context(client_of(narrow)))
            HOLDS[how](holding[-1])
        for longest in holding:
            begun = time.monotonic()
            coming = stack.enter_context(client_of(narrow))
            assert coming.get("/health").status == 200
            assert time.monotonic() - begun < SOON_S
            with contextlib.suppress(Cut):
                while longest.receive():
                    pass
            HOLDS[how](coming)


def test_connections_max_of_those_who_are_busy(narrow: Runtime) -> None:
    """A client with a request under way stays; newcomers wait, and come in when one is answered or
    leaves. The answer says that it is the last one."""
    with ExitStack() as stack:
        busy = [stack.enter_context(client_of(narrow)) for _ in range(FEW)]
        for client in busy:
            client.send(request("POST /c/length", "Expect: 100-continue", "Content-Length: 2"))
            assert client.receive().startswith(b"HTTP/1.1 100 ")
        waiting = [stack.enter_context(client_of(narrow)) for _ in range(FEW)]
        for client in waiting:
            client.send(request("POST /c/length", "Expect: 100-continue", "Content-Length: 2"))
        narrow.wait_for_record("connections.full", connections_max=FEW)
        assert not select.select([client.sock for client in waiting], [], [], 0)[0]
        for leaving, coming in zip(busy, waiting, strict=True):
            if leaving is busy[0]:
                leaving.close()
            else:
                leaving.send(b"xx")
                check_last(leaving, leaving.read())
            assert coming.receive().startswith(b"HTTP/1.1 100 ")
        for client in waiting:
            client.send(b"xx")
            assert client.read().status == 200


def test_connections_max_of_those_who_send_in_a_row(narrow: Runtime) -> None:
    """A client that always has its next request sent already does not stay for ever either."""
    many = request("GET /health") * 500
    with ExitStack() as stack:
        busy = [stack.enter_context(client_of(narrow)) for _ in range(FEW)]
        for client in busy:
            stack.enter_context(pouring(client, many))
        for _ in range(FEW):
            begun = time.monotonic()
            with client_of(narrow) as coming:
                assert coming.get("/health").status == 200
            assert time.monotonic() - begun < 2 * SOON_S


def test_many_connections(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Two hundred connections at once are nothing special: all are served and stay open."""
    folder = tmp_path_factory.mktemp("apps")
    write_app(folder / "c", {"app.py": APP}, ttl=600, maxRequests=10**6)
    with running(folder) as runtime, ExitStack() as stack:
        clients = [stack.enter_context(client_of(runtime)) for _ in range(200)]
        for client in clients:
            client.send(request("GET /c/"))
        assert [client.read().status for client in clients] == [200] * 200
        assert [client.get("/c/").status for client in clients[::20]] == [200] * 10


def test_bad_clients_left_nothing_behind(runtime: Runtime) -> None:
    """After all of them the workers have nothing in hand, and no callback has raised."""

    def in_hand() -> int:
        with client_of(runtime) as client:
            return sum(each["inHand"] for each in client.get("/api/workers").json["workers"])

    wait_until(lambda: in_hand() == 0, what="all workers to be idle")
    assert not [record for record in runtime.records if record["event"] == "runtime.internal_error"]
