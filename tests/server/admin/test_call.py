"""What handlers do with a request: bodies come in and answers stream out at the other side's
pace."""

from __future__ import annotations

import json
from typing import Any

import pytest

from buntime.core.admin.route import Body
from buntime.core.errors import ClientFault, HttpError
from buntime.core.http1.window import body_too_large
from buntime.server.admin.call import Call
from buntime.server.admin.receiving import Receiving
from buntime.server.admin.streaming import EVENTS, KEPT_MAX_BYTES, NDJSON
from buntime.wire import DOWNLOAD_WINDOW, UPLOAD_WINDOW
from tests.support.calls import GET, POST, call_of
from tests.support.exchanges import FakeClient

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def begin(client: FakeClient, body: bytes = b"", *fields: str, length: int | None = None) -> Call:
    """A call whose request has a body, of which this much has arrived."""
    told = "\r\n".join((f"Content-Length: {len(body) if length is None else length}", *fields))
    head = f"POST /api/some HTTP/1.1\r\nHost: a\r\n{told}\r\n\r\n".encode()
    return call_of(client.request(head + body), POST)


def answer_of(client: FakeClient) -> tuple[int, Any]:
    head, _, body = client.written.removeprefix(CONTINUE).partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body) if body else None


class Slow:
    """A sink that says when it has processed what it got."""

    def __init__(self, call: Call) -> None:
        self.data = b""
        self.is_ended = False
        self.lost: list[ClientFault | None] = []
        self.receiving = Receiving(call.exchange, self)

    def on_data(self, data: bytes, ended: bool) -> None:
        self.data += data
        self.is_ended = ended

    def on_lost(self, fault: ClientFault | None) -> None:
        self.lost.append(fault)


# Bodies


def test_a_whole_body() -> None:
    """The body is handed over once it is complete, and the client gets 100 Continue before that."""
    client = FakeClient()
    call = begin(client, b"", "Expect: 100-continue", length=6)
    got: list[bytes] = []
    call.body(10, got.append)
    assert client.written == CONTINUE
    for piece in (b"abc", b"def"):
        assert got == []
        client.reader.receive(piece)
        call.exchange.pump()
    assert got == [b"abcdef"]
    call.answer({"ok": True})
    assert answer_of(client) == (200, {"ok": True})
    assert client.ended == [True]  # the connection stays


def test_no_body() -> None:
    """A request without a body gives an empty one at once."""
    call = begin(FakeClient())
    got: list[bytes] = []
    call.body(10, got.append)
    assert got == [b""]


@pytest.mark.parametrize("told", [True, False])
def test_a_body_that_is_too_large(told: bool) -> None:
    """A body that is too large is refused by its head, without 100 Continue, or as soon as too much
    has come."""
    client = FakeClient()
    if told:
        call = begin(client, b"", "Expect: 100-continue", length=11)
        with pytest.raises(ClientFault) as caught:
            call.body(10, lambda _: None)
        assert caught.value.status == 413
        assert client.written == b""
    else:
        head = b"POST /api/some HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        call = call_of(client.request(head + b"b\r\n12345678901\r\n0\r\n\r\n"), POST)
        call.body(10, lambda _: None)
        assert answer_of(client)[0] == 413


def test_a_sink_of_a_body_that_is_too_large() -> None:
    """It gets the refusal, and may answer with more than that."""
    client = FakeClient()
    head = b"POST /api/some HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    call = call_of(client.request(head + b"b\r\n12345678901\r\n0\r\n\r\n"), POST)
    sink = Slow(call)
    sink.receiving.begin(10, lambda most: body_too_large(most, "raise X"))
    [fault] = sink.lost
    assert fault is not None
    assert str(fault) == "the body is larger than 10 bytes; raise X"
    status, told = answer_of(client)
    assert (status, told["error"]["message"]) == (413, str(fault))
    assert client.ended == [False]  # the rest of the body is not read


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "it is not JSON"),
        (b"", "it is not JSON"),
        (b"\xff", "it is not JSON"),
        (b"[" * 60000, "it is not JSON"),
        (b"1" * 5000, "it is not JSON"),
        (b'"\\ud800"', "it is not JSON"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b'{"a": 1, "a": 2}', "the same key twice"),
        (b'{"a": "x"}', "a: 'x' is not an integer"),
    ],
)
def test_json_that_is_none(body: bytes, message: str) -> None:
    """A body that is not JSON is 400, and the message says what is wrong."""
    client = FakeClient()
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    call = begin(client, body)
    route = POST.__class__(**{**_fields(POST), "body": Body(schema)})
    call = Call(call.exchange, route, {}, {}, call.caller)
    call.json(lambda _: None)
    status, told = answer_of(client)
    assert (status, told["error"]["code"]) == (400, "bad_body")
    assert message in told["error"]["message"]


def _fields(route: Any) -> dict[str, Any]:
    return {name: getattr(route, name) for name in route.__slots__}


def test_credit() -> None:
    """The sink gets no more than it has room for, and meanwhile nothing is read from the client."""
    client = FakeClient()
    size = UPLOAD_WINDOW * 3
    call = begin(client, b"x" * size)
    sink = Slow(call)
    sink.receiving.begin(size)
    while call.exchange.wants_body:
        call.exchange.pump()
    assert len(sink.data) == UPLOAD_WINDOW
    assert not call.exchange.wants_body
    sink.receiving.more(1000)
    assert len(sink.data) == UPLOAD_WINDOW + 1000
    for _ in range(10):
        sink.receiving.more(UPLOAD_WINDOW)
    assert sink.is_ended
    assert len(sink.data) == size


def test_tiny_chunks() -> None:
    """A body in many small pieces does not deepen the stack, even if each is processed at once."""
    client = FakeClient()
    head = b"POST /api/some HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    client.fake_service.loop.go_on_later = client.fake_service.loop.later.append  # type: ignore[assignment]
    client.fake_service.loop.call_soon = client.fake_service.loop.later.append  # type: ignore[assignment]
    call = call_of(client.request(head + b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n"), POST)
    got: list[bytes] = []
    call.body(10_000, got.append)
    later: list[Any] = client.fake_service.loop.later
    while later:
        later.pop(0)()
    assert got == [b"x" * 5000]


def test_a_client_that_leaves_within() -> None:
    """The sink is told once that the client has left; what it does afterwards has no effect."""
    client = FakeClient()
    call = begin(client, b"abc", length=6)
    sink = Slow(call)
    sink.receiving.begin(6)
    client.abort()
    sink.receiving.more(3)
    call.answer({})
    call.fail(ClientFault(400, "late", "late"))
    assert (sink.data, sink.lost, sink.is_ended) == (b"abc", [None], False)


def test_a_sink_that_refuses() -> None:
    """An error raised by a callback is the answer, and the sink gets nothing more."""
    client = FakeClient()

    def refuse(_: bytes) -> None:
        raise ClientFault(409, "taken", "taken")

    begin(client, b"abc").body(10, refuse)
    status, told = answer_of(client)
    assert (status, told["error"]["code"]) == (409, "taken")


def test_a_bug_in_a_callback() -> None:
    """A bug in a callback is 500 to the client, and is reported to the loop."""
    client = FakeClient()

    def fail(_: bytes) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        begin(client, b"abc").body(10, fail)
    assert answer_of(client)[0] == 500


# Streams


def stream_of(client: FakeClient, media: str = NDJSON, method: str = "GET") -> Any:
    head = f"{method} /api/some HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    call = call_of(client.request(head), GET)
    return call.stream(media)


def pieces(client: FakeClient) -> bytes:
    """The body, put together from its chunks."""
    body, data = b"", client.written.partition(b"\r\n\r\n")[2]
    while data:
        size, _, data = data.partition(b"\r\n")
        body, data = body + data[: int(size, 16)], data[int(size, 16) + 2 :]
    return body


def test_lines() -> None:
    """Values are sent as lines, at once, and the connection stays open."""
    client = FakeClient()
    stream = stream_of(client)
    assert stream.line({"step": "received"})
    assert pieces(client) == b'{"step": "received"}\n'
    assert stream.line({"step": "active"})
    stream.finish()
    assert pieces(client).count(b"\n") == 2
    assert client.ended == [True]
    assert not stream.line({})


def test_events() -> None:
    """Values are sent as server-sent events."""
    client = FakeClient()
    stream_of(client, EVENTS).event({"a": "b\nc"}, id="7", event="log")
    assert pieces(client) == b'id: 7\nevent: log\ndata: {"a": "b\\nc"}\n\n'
    assert b"text/event-stream" in client.written


def test_a_client_that_reads_slowly() -> None:
    """What exceeds the window waits, and the producer is told when there is room again."""
    client = FakeClient()
    client.holds = True
    stream = stream_of(client)
    room: list[int] = []
    stream.on_room = lambda: room.append(1)
    assert stream.send(b"x" * DOWNLOAD_WINDOW)
    assert not stream.send(b"y" * 1000)
    stream.finish()
    assert client.exchange is not None
    assert client.ended == []
    client.pending_bytes = 0
    client.exchange.on_flushed()
    assert client.ended == [True]
    assert pieces(client) == b"x" * DOWNLOAD_WINDOW + b"y" * 1000


def test_room() -> None:
    """The producer goes on once everything that waited has been sent."""
    client = FakeClient()
    client.holds = True
    stream = stream_of(client)
    room: list[int] = []
    stream.on_room = lambda: room.append(1)
    assert not stream.send(b"x" * (DOWNLOAD_WINDOW + 1))
    assert (room, stream.has_room) == ([], False)
    client.pending_bytes = 0
    assert client.exchange is not None
    client.exchange.on_flushed()
    assert (room, stream.has_room) == ([1], True)


def test_a_producer_that_does_not_wait() -> None:
    """The stream of a producer that does not wait is cut before it fills the memory."""
    client = FakeClient()
    client.holds = True
    stream = stream_of(client)
    ended: list[int] = []
    stream.on_end = lambda: ended.append(1)
    stream.send(b"x" * (KEPT_MAX_BYTES + DOWNLOAD_WINDOW + 1))
    assert (client.cuts, ended, stream.is_over) == (1, [1], True)


def test_a_client_that_leaves_a_stream() -> None:
    """The producer is told that the client has left, and what it sends then is dropped."""
    client = FakeClient()
    stream = stream_of(client)
    ended: list[int] = []
    stream.on_end = lambda: ended.append(1)
    client.abort()
    assert not stream.line({})
    stream.finish()
    assert ended == [1]


def test_a_write_that_finds_the_client_gone() -> None:
    """The same where the client turns out to be gone during a send."""
    client = FakeClient()
    stream = stream_of(client)
    client.is_gone = True
    assert not stream.line({})
    stream.finish()
    assert stream.is_over


def test_head_of_a_stream() -> None:
    """HEAD gets the header fields and nothing more."""
    client = FakeClient()
    stream = stream_of(client, method="HEAD")
    assert stream.is_over
    assert client.ended == [True]


def test_an_endless_stream_ends_with_the_runtime() -> None:
    """An endless stream is cut at shutdown, like an event stream, whatever its media type."""
    client = FakeClient()
    call = call_of(client.request(b"GET /api/some HTTP/1.1\r\nHost: a\r\n\r\n"), GET)
    stream = call.stream(NDJSON, is_endless=True)
    assert call.exchange.is_event_stream
    call.exchange.break_off()
    assert stream.is_over
    assert call.exchange.is_ended


def test_faults_after_the_answer() -> None:
    """An answer that fails after it has begun is cut."""
    client = FakeClient()
    stream = stream_of(client)
    assert client.exchange is not None
    client.exchange.fail(HttpError(500, "x", "x"))
    assert (client.cuts, stream.is_over) == (1, True)
