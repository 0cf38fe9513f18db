"""One client's connection to a running runtime, with an app behind it.

What needs no worker is tested in tests/server/http1/test_connection.py.
"""

from __future__ import annotations

import re
import select
import socket
import struct
from collections.abc import Iterator

import pytest

from tests.support.harness import Runtime, running, wait_until, write_app
from tests.support.rawclient import Cut, RawClient, Reply, client_of, request

MB = 1024 * 1024
# The fields that the runtime sets for every app.
OWN_FIELDS = "x-forwarded-proto x-forwarded-for x-forwarded-host x-base x-request-id".split()

APP = """
import threading
from buntime import Response

gates = {}
told = []

def gate(request):
    return gates.setdefault(request.query["id"], threading.Event())

def echo(request):
    return Response.json({
        "method": request.method,
        "headers": request.headers.items(),
        "body": request.text(),
    })

def length(request):
    told.append("in length")
    if "id" in request.query:
        assert gate(request).wait(20)
    return Response(str(sum(map(len, request.stream()))))

def unread(request):
    return Response("unread")

def wait(request):
    told.append("in wait")
    assert gate(request).wait(20)
    return Response("waited")

def opened(request):
    gate(request).set()
    return Response("open")

def pieces(request):
    return Response(piece for piece in ("one ", "two ", "three"))

def cookies(request):
    made = Response("cookies", headers=[("X-Tag", "1"), ("Link", "<a>"), ("X-Tag", "2")])
    made.set_cookie("b", "1")
    made.set_cookie("a", "2")
    made.set_cookie("b", "3")
    return made

def hops(request):
    return Response("hops", headers=[
        ("Connection", "X-Gone, close"), ("X-Gone", "1"), ("Keep-Alive", "timeout=9"),
        ("Transfer-Encoding", "gzip"), ("Upgrade", "h2c"), ("Trailer", "X-End"), ("TE", "trailers"),
        ("Proxy-Authenticate", "Basic"), ("X-Kept", "2"), ("Date", "yesterday"),
        ("X-Request-Id", "of the app"),
    ])

def endless(request):
    try:
        while True:
            yield b"x" * 1000
    finally:
        told.append("left in endless")

def upload(request):
    try:
        for piece in request.stream():
            pass
    finally:
        told.append("left in upload")
    return Response("whole")

def broken(request):
    yield b"first"
    raise RuntimeError("in the middle")

PAGES = {
    "/echo": echo, "/length": length, "/unread": unread, "/wait": wait, "/open": opened,
    "/pieces": pieces, "/cookies": cookies, "/hops": hops, "/upload": upload,
    "/endless": lambda request: Response(endless(request)),
    "/broken": lambda request: Response(broken(request)),
    "/told": lambda request: Response.json(told),
}

def fetch(request):
    return PAGES[request.path](request)
"""

# What an app's framework should not let through, and the runtime must not.
LIAR = """
import sys
from buntime import Response

sys.modules["buntime.worker.exchange"]._declared = lambda headers: None

def raw(body, *pairs):
    made = Response(body)
    made.headers._pairs.extend(pairs)
    return made

PAGES = {
    "/short": lambda: raw(b"12345", ("content-length", "10")),
    "/long": lambda: raw(b"1234567890", ("content-length", "5")),
    "/short-pieces": lambda: raw(iter([b"123", b"45"]), ("content-length", "10")),
    "/long-pieces": lambda: raw(iter([b"123", b"4567890"]), ("content-length", "5")),
    "/two-lengths": lambda: raw(b"12345", ("content-length", "5"), ("content-length", "6")),
    "/no-length": lambda: raw(b"12345", ("content-length", "five")),
    "/value": lambda: raw(b"", ("x-a", "1\\r\\nset-cookie: evil=1")),
    "/newline": lambda: raw(b"", ("x-a", "1\\nset-cookie: evil=1")),
    "/name": lambda: raw(b"", ("x-a: 1\\r\\nset-cookie", "evil=1")),
    "/split": lambda: raw(b"", ("x-a", "1\\r\\n\\r\\nHTTP/1.1 200 OK\\r\\n\\r\\n")),
    "/wide": lambda: raw(b"", ("x-a", "\\u010d\\u010a")),
    "/ok": lambda: raw(b"ok", ("content-length", "2")),
}

def fetch(request):
    return PAGES[request.path]()
"""

WSGI = """
def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/value":
        start_response("200 OK", [("X-A", "1\\r\\nSet-Cookie: evil=1")])
    elif path == "/status":
        start_response("200 OK\\r\\nSet-Cookie: evil=1", [])
    elif path == "/short":
        start_response("200 OK", [("Content-Length", "10")])
    elif path == "/body":
        body = environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [f"{environ['CONTENT_LENGTH']} {len(body)}".encode()]
    elif path == "/hops":
        start_response("200 OK", [("Connection", "x-gone"), ("X-Gone", "1"), ("X-Kept", "2")])
    return iter([b"12", b"345"])
"""

ASGI = """
FIELDS = {
    "/a/value": [(b"x-a", b"1\\r\\nset-cookie: evil=1")],
    "/a/name": [(b"x-a: 1\\r\\nset-cookie", b"evil=1")],
    "/a/short": [(b"content-length", b"10")],
    "/a/long": [(b"content-length", b"3")],
    "/a/none": [],
    "/a/endless": [],
}

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": FIELDS[scope["path"]]})
    await send({"type": "http.response.body", "body": b"12", "more_body": True})
    while scope["path"] == "/a/endless":
        await send({"type": "http.response.body", "body": b"x" * 9999, "more_body": True})
    await send({"type": "http.response.body", "body": b"345"})
"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("apps")
    write_app(folder / "c", {"app.py": APP}, ttl=600, maxRequests=10**6)
    write_app(folder / "liar", {"app.py": LIAR}, ttl=600, maxRequests=10**6)
    write_app(folder / "w", {"wsgi.py": WSGI}, ttl=600, maxRequests=10**6, maxBodySize="1mb")
    write_app(folder / "once", {"wsgi.py": WSGI}, maxBodySize="1mb")
    write_app(folder / "a", {"asgi.py": ASGI}, ttl=600, maxRequests=10**6)
    with running(folder) as runtime:
        yield runtime


@pytest.fixture
def client(runtime: Runtime) -> Iterator[RawClient]:
    with client_of(runtime) as client:
        yield client


def told(runtime: Runtime, what: str) -> int:
    """How often the app has noted this."""
    with client_of(runtime) as other:
        return int(other.get("/c/told").json.count(what))


def is_silent(client: RawClient) -> bool:
    """Whether there is nothing to read."""
    return not select.select([client.sock], [], [], 0)[0]


def chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


# Keep-alive and order


def test_a_connection_serves_many_requests(client: RawClient) -> None:
    """An HTTP/1.1 connection stays open, and no field says so."""
    for _ in range(3):
        reply = client.get("/c/unread")
        assert (reply.status, reply.body, reply.get("connection")) == (200, b"unread", None)


def test_pipelined_requests_are_answered_in_order(runtime: Runtime, client: RawClient) -> None:
    """Requests sent at once are answered one after another, also those after a slow one, a body and
    an error."""
    client.send(
        request("GET /c/wait?id=pipe")
        + request("POST /c/echo", body=b"second")
        + request("GET /missing/")
        + request("GET /c/pieces")
        + request("GET /c/unread", "Connection: close")
    )
    wait_until(lambda: told(runtime, "in wait"), what="the first request")
    assert is_silent(client)
    with client_of(runtime) as other:
        assert other.get("/c/open?id=pipe").status == 200
    assert client.read().body == b"waited"
    assert client.read().json["body"] == "second"
    assert client.read().code == "app_not_found"
    assert client.read().body == b"one two three"
    assert client.read().body == b"unread"
    client.expect_end()


def test_many_pipelined_requests(client: RawClient) -> None:
    """A hundred requests sent at once get as many answers, in order."""
    client.send(b"".join(request(f"GET /c/echo?{i}", f"X-Number: {i}") for i in range(100)))
    for i in range(100):
        assert ["x-number", str(i)] in client.read().json["headers"]


# Heads


def test_head_has_no_body(client: RawClient) -> None:
    """HEAD gets the head of the GET, with its length, and the connection stays open."""
    for page in ("unread", "pieces", "endless"):
        client.send(request(f"HEAD /c/{page}") + request("GET /c/unread"))
        reply = client.read("HEAD")
        assert (reply.status, reply.body) == (200, b"")
        assert reply.get("content-length") == ("6" if page == "unread" else None)
        assert client.read().body == b"unread"


def test_head_ends_an_endless_answer(runtime: Runtime, client: RawClient) -> None:
    """An app with an endless answer is told to stop if nobody asked for its body."""
    client.send(request("HEAD /a/endless"))
    assert client.read("HEAD").status == 200
    wait_until(lambda: busy(runtime, "a") == 0, what="the worker to be idle")


def test_a_clients_request_id_is_kept(runtime: Runtime, client: RawClient) -> None:
    """A client's own id is passed on, sent back and logged."""
    reply = client.get("/c/echo", "X-Request-ID: a-client-s.id")
    assert reply.get("x-request-id") == "a-client-s.id"
    assert [value for name, value in reply.json["headers"] if name == "x-request-id"] == [
        "a-client-s.id"
    ]
    assert runtime.wait_for_record("request.access", request_id="a-client-s.id")["status"] == 200


def test_nobody_else_tells_an_app_its_base(client: RawClient) -> None:
    """x-base comes only from the runtime: a client's own value would lead links elsewhere."""
    reply = client.get("/c/echo", "X-Base: /evil", "X-base: //evil.example")
    assert [pair[1] for pair in reply.json["headers"] if pair[0] == "x-base"] == ["/c"]


def test_hop_by_hop_fields_do_not_reach_the_app(client: RawClient) -> None:
    """Hop-by-hop fields, and fields named in Connection, do not reach the app."""
    gone = (
        "Connection: X-Gone, keep-alive",
        "X-Gone: 1",
        "Keep-Alive: 5",
        "TE: trailers",
        "Trailer: X-End",
        "Upgrade: h2c",
        "Proxy-Authorization: Basic x",
        "Proxy-Connection: keep-alive",
    )
    reply = client.get("/c/echo", *gone, "X-Kept: 2")
    names = [name for name, _ in reply.json["headers"]]
    assert names == ["host", "x-kept", *OWN_FIELDS]


def test_hop_by_hop_fields_do_not_reach_the_client(runtime: Runtime, client: RawClient) -> None:
    """An app's hop-by-hop fields are dropped, and so are fields that its Connection names; it may
    only say that the connection is to end."""
    reply = client.get("/c/hops")
    assert reply.body == b"hops"
    assert {name for name, _ in reply.fields} == {
        "content-type",
        "content-length",
        "x-kept",
        "x-request-id",
        "connection",
        "date",
    }
    assert reply.get("x-request-id") != "of the app"
    assert reply.get("connection") == "close"
    client.expect_end()
    with client_of(runtime) as other:
        for _ in range(2):
            assert other.get("/w/hops").get("x-gone") is None


def test_repeated_fields_keep_their_order(client: RawClient) -> None:
    """Set-Cookie and other repeated fields arrive one by one, as the app gave them."""
    reply = client.get("/c/cookies")
    assert [value.partition(";")[0] for value in reply.all("set-cookie")] == ["b=1", "a=2", "b=3"]
    names = [name for name, _ in reply.fields if name in ("x-tag", "link", "set-cookie")]
    assert names == ["x-tag", "link", "x-tag", *["set-cookie"] * 3]
    assert reply.all("x-tag") == ["1", "2"]


# Bodies


def test_a_chunked_upload_reaches_the_app(client: RawClient) -> None:
    """A chunked body reaches the app whole and unframed, and the connection stays open."""
    pieces = [bytes([i]) * (i * 997) for i in range(1, 60)]
    head = request("POST /c/length", "Transfer-Encoding: chunked")
    client.send(head + chunks(*pieces) + request("GET /c/unread"))
    assert client.read().body == str(sum(map(len, pieces))).encode()
    assert client.read().body == b"unread"


@pytest.mark.parametrize("app", ["w", "once"])
def test_a_chunked_upload_reaches_wsgi(runtime: Runtime, app: str) -> None:
    """A chunked body gets a length for WSGI, which knows no other; the app's limit still holds."""
    head = request(f"POST /{app}/body", "Transfer-Encoding: chunked")
    with client_of(runtime) as client:
        for pieces in ((b"hello", b" ", b"world"), (b"x" * 65536,) * 12):
            client.send(head + chunks(*pieces))
            size = sum(map(len, pieces))
            assert client.read().body == b"%d %d" % (size, size)
        client.send(head + chunks(*(b"x" * 65536,) * 17))
        assert client.read().code == "body_too_large"


def test_a_body_of_unknown_length_is_chunked(client: RawClient) -> None:
    """A body of unknown length is sent in chunks, and the connection stays open."""
    reply = client.get("/c/pieces")
    assert (reply.get("transfer-encoding"), reply.get("content-length")) == ("chunked", None)
    assert reply.body == b"one two three"
    assert client.get("/c/unread").status == 200


def segments_in(client: RawClient) -> int:
    """Segments with data that the kernel has received on this connection."""
    info = client.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
    return int(struct.unpack_from("I", info, 152)[0])  # tcpi_data_segs_in, since Linux 4.6


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="only Linux counts segments")
@pytest.mark.parametrize("target", ["/c/unread", "/missing/", "/api/health"])
def test_a_small_answer_is_one_segment(client: RawClient, target: str) -> None:
    """Head and body of a small answer leave in one send: two would be two segments."""
    for _ in range(5):
        before = segments_in(client)
        client.get(target)
        assert segments_in(client) - before == 1


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="only Linux counts segments")
def test_a_chunk_is_one_segment(client: RawClient) -> None:
    """A chunk's size, data and end leave in one send; so do a head and what follows it at once."""
    counts = []
    for _ in range(5):
        before = segments_in(client)
        assert client.get("/c/pieces").body == b"one two three"
        counts.append(segments_in(client) - before)
    assert min(counts) <= 5  # head, three pieces, end; a busy kernel may send one twice


def test_continue_is_sent_when_the_app_reads(runtime: Runtime, client: RawClient) -> None:
    """100 Continue comes when the app begins to read the body, and not before."""
    before = told(runtime, "in length")
    fields = ("Expect: 100-continue", "Content-Length: 5")
    client.send(request("POST /c/length?id=expect", *fields))
    wait_until(lambda: told(runtime, "in length") > before, what="the app's call")
    assert is_silent(client)
    with client_of(runtime) as other:
        other.get("/c/open?id=expect")
    assert client.receive() == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"hello")
    assert client.read().body == b"5"
    assert client.get("/c/unread").status == 200


def test_no_continue_where_the_app_does_not_read(client: RawClient) -> None:
    """An app that answers without reading never asks for the body; the connection then ends, since
    the body may or may not still come."""
    client.send(request("POST /c/unread", "Expect: 100-continue", "Content-Length: 5"))
    reply = client.read()
    assert (reply.body, reply.interim, reply.get("connection")) == (b"unread", [], "close")
    client.expect_end()


def test_no_continue_for_a_refused_body(client: RawClient) -> None:
    """A body that is too large is refused before it is sent."""
    client.send(request("POST /c/length", "Expect: 100-continue", f"Content-Length: {11 * MB}"))
    reply = client.read()
    assert (reply.status, reply.interim) == (413, [])
    client.expect_end()


def test_a_body_may_come_unasked(client: RawClient) -> None:
    """A client need not wait for 100 Continue; with the whole body there, none need be sent."""
    fields = ("Expect: 100-continue",)
    for body in (b"hello", b"x" * 300_000):
        client.send(request("POST /c/length", *fields, body=body))
        assert client.read().body == str(len(body)).encode()


# The end of a connection


@pytest.mark.parametrize("page", ["unread", "length"])
def test_a_refused_upload_gets_its_answer(client: RawClient, page: str) -> None:
    """A client that sends 60 MB before it reads still gets the 413: no reset destroys it."""
    size = 60 * MB
    client.send(request(f"POST /c/{page}", f"Content-Length: {size}"))
    piece = b"x" * MB
    for _ in range(size // MB):
        client.send(piece)
    reply = client.read()
    assert (reply.status, reply.code, reply.get("connection")) == (413, "body_too_large", "close")
    client.expect_end()


def test_a_body_behind_a_refused_head(client: RawClient) -> None:
    """A refused head may have a body after it, whose length cannot be trusted: even then the client
    gets its answer."""
    client.send(request("POST /c/length", "Host: b", f"Content-Length: {20 * MB}"))
    select.select([client.sock], [], [], 15)  # the answer is there, but this client does not look
    for _ in range(20):
        client.send(b"x" * MB)
    assert client.read().status == 400
    client.expect_end()


def test_an_upload_that_fits_the_window_may_stay_unread(client: RawClient) -> None:
    """A small body that the app did not read leaves the connection usable."""
    for _ in range(2):
        client.send(request("POST /c/unread", body=b"x" * 1000))
        reply = client.read()
        assert (reply.body, reply.get("connection")) == (b"unread", None)


def test_a_client_that_leaves_mid_answer(runtime: Runtime, client: RawClient) -> None:
    """The app learns that its client is gone, the log says 499 or cut, and the worker runs on."""
    before = told(runtime, "left in endless")
    client.send(request("GET /c/endless", "X-Request-ID: leaves-mid-answer"))
    client.receive()
    client.close()
    wait_until(lambda: told(runtime, "left in endless") > before, what="the app's notice")
    record = runtime.wait_for_record("request.access", request_id="leaves-mid-answer")
    assert record["status"] == 200
    assert_unharmed(runtime)


@pytest.mark.parametrize("framing", [f"Content-Length: {MB}", "Transfer-Encoding: chunked"])
def test_a_client_that_leaves_mid_upload(runtime: Runtime, framing: str) -> None:
    """An app never takes half of a body for the whole: its read raises; and the worker runs on."""
    before = told(runtime, "left in upload")
    with client_of(runtime) as client:
        client.send(request("POST /c/upload", framing, "X-Request-ID: leaves-mid-upload"))
        client.send(b"400\r\n" + b"x" * 1024 + b"\r\n")
        wait_until(lambda: busy(runtime) == 1, what="the upload to begin")
    wait_until(lambda: told(runtime, "left in upload") > before, what="the app's notice")
    record = runtime.wait_for_record("request.access", request_id="leaves-mid-upload")
    assert record["status"] == 499
    assert_unharmed(runtime)


def test_a_client_that_leaves_while_waiting(runtime: Runtime, client: RawClient) -> None:
    """A client that leaves before its answer is logged with 499, and the answer is dropped."""
    client.send(request("GET /c/wait?id=left", "X-Request-ID: leaves-waiting"))
    wait_until(lambda: busy(runtime) == 1, what="the request to begin")
    client.close()
    assert runtime.wait_for_record("request.access", request_id="leaves-waiting")["status"] == 499
    with client_of(runtime) as other:
        other.get("/c/open?id=left")
    assert_unharmed(runtime)


def test_a_client_that_only_connects(runtime: Runtime) -> None:
    """Connections without a request, or with half a head, do not count as requests."""
    log_mark(runtime, "before-the-others")
    for data in (b"", b"G", b"GET /c/unread HTTP/1.1\r\nHost: a\r\n"):
        with client_of(runtime) as client:
            client.send(data)
    log_mark(runtime, "after-the-others")
    ids = [each["request_id"] for each in runtime.records if each["event"] == "request.access"]
    assert ids.index("after-the-others") == ids.index("before-the-others") + 1


def log_mark(runtime: Runtime, name: str) -> None:
    """Make a request and wait until it is in the log."""
    with client_of(runtime) as client:
        client.get("/c/unread", f"X-Request-ID: {name}")
    runtime.wait_for_record("request.access", request_id=name)


def busy(runtime: Runtime, app: str = "c") -> int:
    """How many requests the workers of the app have in hand."""
    with client_of(runtime) as other:
        workers = other.get("/api/workers").json["workers"]
    return sum(each["inHand"] for each in workers if each["app"] == app)


def assert_unharmed(runtime: Runtime) -> None:
    """The app's only worker is idle again and serves, and no callback of the runtime raised."""
    wait_until(lambda: busy(runtime) == 0, what="the worker to be idle")
    with client_of(runtime) as other:
        assert other.get("/c/unread").body == b"unread"
        workers = other.get("/api/workers").json["workers"]
    assert [each["status"] for each in workers if each["app"] == "c"] == ["idle"]
    assert not [record for record in runtime.records if record["event"] == "runtime.internal_error"]


# Answers that must not be sent


def ask(runtime: Runtime, target: str) -> Reply | None:
    """The answer, or None if the connection was cut."""
    with client_of(runtime) as client:
        try:
            return client.get(target, f"X-Request-ID: {id_for(target)}")
        except Cut:
            return None


def id_for(target: str) -> str:
    return f"asks-for{target.replace('/', '.')}"


def assert_found_by_the_runtime(runtime: Runtime, target: str) -> None:
    """The worker let this answer of `liar` through: it was the runtime that refused it."""
    if target.startswith("/liar/"):
        runtime.wait_for_record("app.answer_invalid", request_id=id_for(target))


@pytest.mark.parametrize(
    "target",
    [
        "/liar/short",
        "/liar/long",
        "/liar/short-pieces",
        "/liar/long-pieces",
        "/liar/two-lengths",
        "/liar/no-length",
        "/w/short",
        "/a/short",
        "/a/long",
    ],
)
def test_a_body_of_another_length_never_looks_whole(runtime: Runtime, target: str) -> None:
    """If Content-Length is wrong, the answer is an error or is cut; the log says why."""
    reply = ask(runtime, target)
    if reply is not None:
        assert (reply.status, reply.code) in ((500, "app_error"), (502, "bad_answer"))
    assert_found_by_the_runtime(runtime, target)
    assert_still_serving(runtime)


@pytest.mark.parametrize(
    "target",
    [
        "/liar/value",
        "/liar/newline",
        "/liar/name",
        "/liar/split",
        "/liar/wide",
        "/w/value",
        "/a/value",
        "/a/name",
    ],
)
def test_an_app_cannot_inject_fields(runtime: Runtime, target: str) -> None:
    """Line breaks in a header or status are refused, and the request fails."""
    reply = ask(runtime, target)
    assert reply is not None
    assert (reply.status, reply.code) in ((500, "app_error"), (502, "bad_answer"))
    assert reply.all("set-cookie") == []
    assert_found_by_the_runtime(runtime, target)
    assert_still_serving(runtime)


def test_an_apps_phrase_is_not_sent(runtime: Runtime) -> None:
    """Only the number of a WSGI status line is used: the text after it cannot become a field."""
    reply = ask(runtime, "/w/status")
    assert reply is not None
    assert (reply.status, reply.all("set-cookie")) == (200, [])


def test_what_the_runtime_refused_is_logged(runtime: Runtime, client: RawClient) -> None:
    """A refused answer is a 502 whose id leads to the reason in the log."""
    reply = client.get("/liar/value")
    assert (reply.status, reply.code) == (502, "bad_answer")
    record = runtime.wait_for_record("app.answer_invalid", request_id=reply.get("x-request-id"))
    assert re.search("x-a.*cannot be sent", record["error"])
    assert client.get("/liar/ok").body == b"ok"  # the connection stays open


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_app_that_fails_mid_answer(runtime: Runtime, client: RawClient, version: str) -> None:
    """An error after the first piece cuts the connection: the chunks have no end, and a body that
    ends with the connection is ended by a reset."""
    name = f"fails-mid-answer-{version}"
    client.send(request("GET /c/broken", f"X-Request-ID: {name}", version=version))
    with pytest.raises(Cut):
        client.read()
    assert runtime.wait_for_record("app.request_failed", request_id=name)
    assert_unharmed(runtime)


def assert_still_serving(runtime: Runtime) -> None:
    for target in ("/liar/ok", "/a/none", "/w/ok"):
        reply = ask(runtime, target)
        assert reply is not None
        assert reply.status == (500 if target == "/w/ok" else 200)
