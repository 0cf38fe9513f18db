"""The runtime's side of a worker: what it is given, and how it may respond."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime import wire
from buntime.core.http1.lifecycle import State
from buntime.server.pool.reactions import can_try_again
from tests.support.exchanges import FakeClient
from tests.support.farend import GET, HEAD_OF_CHUNKED, UPGRADE, FarEnd, client_of, message
from tests.support.harness import wait_until

OK = {"status": 200, "headers": [["content-type", "text/plain"]]}
POST = b"POST /shop/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n"
ACCEPT = {"subprotocol": None, "headers": [], "open_ended": False}


@pytest.fixture
def far() -> Iterator[FarEnd]:
    made = FarEnd()
    yield made
    made.close()
    assert made.errors == []


def turn_until(far: FarEnd, name: str) -> None:
    """Turn the loop until the pool was told this."""

    def turn() -> bool:
        far.loop.run_once(0.05)
        return name in far.told.names()

    wait_until(turn, what=name)


# Its boot


def test_a_boot(far: FarEnd) -> None:
    """UP, then READY, are each reported to the pool."""
    far.say("UP")
    far.say("READY", kind="fetch", concurrency=8, boot_ms=1.0)
    assert far.told.names() == ["up", "ready"]


def test_a_boot_that_fails(far: FarEnd) -> None:
    """An ERROR without an id concerns the boot."""
    far.say("ERROR", message="no module", stack="...")
    assert far.told.events == [("boot error", ("no module", "..."))]


def test_a_boot_that_takes_too_long(far: FarEnd) -> None:
    """The timer reports to the worker, and the worker to the pool."""
    far.worker.on_boot_timeout(30.0)
    assert far.told.events == [("boot timeout", 30.0)]


def test_how_busy_it_is(far: FarEnd) -> None:
    """A worker may report it at any time; the pool decides whether it matters."""
    far.say("BUSY", share=0.75)
    far.say("BUSY", share=0)
    assert far.told.events == [("busy", 0.75), ("busy", 0)]


def test_what_it_is_told(far: FarEnd) -> None:
    """It gets INIT, then the end, with IDLE before the end if it was idle for too long."""
    far.worker.join(far.worker.log, "shop", "1.0.0")
    far.worker.adopt({"type": "INIT"}, timeout_s=7.0)
    far.worker.terminate(after_idle=True)
    assert far.kinds() == ["INIT", "IDLE", "TERMINATE"]
    assert repr(far.worker) == "Worker(w1, shop, 0 in hand)"


# A request and its answer


def test_an_answer_in_one_piece(far: FarEnd) -> None:
    """REQUEST is sent, RESPONSE with `end` comes back and ends the request."""
    exchange = far.assign()
    ((kind, request, _),) = far.hear()
    assert (kind, request["id"], request["method"], request["end"]) == ("REQUEST", 1, "GET", True)
    far.say("RESPONSE", b"hello", id=1, end=True, **OK)
    assert client_of(exchange).written.endswith(b"\r\n\r\nhello")
    assert far.told.events == [("finished", exchange)]
    assert (exchange.worker_name, exchange.tries, exchange.state) == ("w1", 1, State.ENDED)


def test_an_answer_in_pieces(far: FarEnd) -> None:
    """Each piece is sent on as it arrives; the one with `end` completes the answer."""
    exchange = far.assign()
    far.say("RESPONSE", b"one", id=1, end=False, **OK)
    far.say("BODY", b"two", id=1, end=False)
    assert exchange.state is State.STREAMING
    assert far.told.events == []
    far.say("BODY", b"three", id=1, end=True)
    assert [part in client_of(exchange).written for part in (b"one", b"two", b"three")] == [
        True
    ] * 3
    assert client_of(exchange).written.endswith(b"0\r\n\r\n")
    assert far.told.events == [("finished", exchange)]


def test_an_answer_byte_by_byte(far: FarEnd) -> None:
    """It does not matter where the channel cuts a message."""
    exchange = far.assign()
    answer = message("RESPONSE", b"one", id=1, end=False, **OK) + message(
        "BODY", b"two", id=1, end=True
    )
    for at in range(len(answer)):
        far.say_raw(answer[at : at + 1])
    assert client_of(exchange).ended == [True]


def test_answers_in_any_order(far: FarEnd) -> None:
    """Several requests may run at once, told apart by their ids."""
    first, second = far.assign(), far.assign()
    far.say("RESPONSE", b"second", id=2, end=True, **OK)
    far.say("RESPONSE", b"first", id=1, end=True, **OK)
    assert client_of(first).written.endswith(b"first")
    assert client_of(second).written.endswith(b"second")
    assert far.told.events == [("finished", second), ("finished", first)]


def test_html_gets_its_base(far: FarEnd) -> None:
    """If the manifest asks for it, a complete HTML answer gets `<base href>`."""
    exchange = far.assign(inject_base=True)
    html = {"status": 200, "headers": [["content-type", "text/html"]]}
    far.say("RESPONSE", b"<html><head></head></html>", id=1, end=True, **html)
    assert b'<base href="/shop/">' in client_of(exchange).written


def test_a_handler_that_fails(far: FarEnd) -> None:
    """ERROR ends the request, and the pool informs the log and the client."""
    exchange = far.assign()
    far.say("ERROR", id=1, message="ZeroDivisionError", stack="...")
    assert far.told.events == [("request error", "ZeroDivisionError"), ("finished", exchange)]
    assert exchange.responder is None


FAULT = {"method": "GET", "target": "/shop/?a=1", "message": "KeyError: 'a'", "stack": "line 1"}


def test_a_handler_that_fails_after_its_answer(far: FarEnd) -> None:
    """A FAULT is reported with the id of its request, if no other was closed meanwhile."""
    first, _ = far.assign(), far.assign()
    far.say("RESPONSE", id=1, end=True, **OK)
    far.say("FAULT", id=1, **FAULT, advice="read it")
    far.say("RESPONSE", id=2, end=True, **OK)
    far.say("FAULT", id=1, **FAULT, advice="")
    faults = [fault for name, fault in far.told.events if name == "late error"]
    told = ("GET", "/shop/?a=1", "KeyError: 'a'; read it", "line 1")
    assert [tuple(each) for each in faults] == [
        (*told, first.id),
        (*told[:2], "KeyError: 'a'", "line 1", ""),
    ]


# The request's body


def test_a_body_that_has_come_goes_with_the_request(far: FarEnd) -> None:
    """A small body needs no message of its own."""
    far.assign(POST + b"12345")
    ((_, request, payload),) = far.hear()
    assert (request["end"], payload) == (True, b"12345")


def test_the_rest_of_a_body_follows(far: FarEnd) -> None:
    """The rest is sent as it arrives, within the window."""
    exchange = far.assign(POST + b"12")
    far.hear()
    client_of(exchange).reader.receive(b"345")
    exchange.pump()
    ((kind, body, payload),) = far.hear()
    assert (kind, body["end"], payload) == ("BODY", True, b"345")


def test_a_body_waits_for_credit(far: FarEnd) -> None:
    """No more than the window is sent before WINDOW arrives."""
    size = 3 * wire.UPLOAD_WINDOW
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size
    exchange = far.assign(head + b"x" * size)
    assert sum(len(payload) for _, _, payload in far.hear()) == wire.UPLOAD_WINDOW
    far.say("WINDOW", id=1, credit=10)
    exchange.pump()
    assert sum(len(payload) for _, _, payload in far.hear()) == 10


def test_a_body_that_is_malformed_when_it_is_to_be_sent(far: FarEnd) -> None:
    """The worker never sees the request; its slot is free a turn later."""
    exchange = far.assign(HEAD_OF_CHUNKED + b"not a size\r\n")
    assert b" 400 " in client_of(exchange).written
    assert far.told.events == []
    far.loop.run_once(0.0)
    far.loop.run_once(0.0)
    assert far.told.events == [("finished", exchange)]
    assert far.kinds() == []


# The client no longer waits


def test_a_client_that_leaves(far: FarEnd) -> None:
    """CANCEL is sent; the slot is free when the worker has closed the request."""
    exchange = far.assign()
    far.hear()
    client_of(exchange).abort()
    assert far.kinds() == ["CANCEL"]
    assert far.told.events == []
    far.say("RESPONSE", b"for nobody", id=1, end=False, **OK)
    far.say("BODY", b"for nobody", id=1, end=True)
    assert far.told.events == [("finished", exchange)]
    assert client_of(exchange).written == b""


@pytest.mark.parametrize("kind", ["RESPONSE", "CLOSE", "ERROR"])
def test_how_a_cancelled_request_may_end(far: FarEnd, kind: str) -> None:
    """It may end with whatever the worker closes it with."""
    exchange = far.assign()
    client_of(exchange).abort()
    far.say(kind, id=1, end=True, **OK, code=1000, reason="", message="", stack="")
    assert far.told.events == [("finished", exchange)]


def test_a_deadline(far: FarEnd) -> None:
    """The client gets 504, the stacks are requested before CANCEL, and the worker has a second to
    let go."""
    exchange = far.assign()
    far.hear()
    exchange.on_timeout()
    assert b" 504 " in client_of(exchange).written
    assert [late["request_id"] for late in far.process.stacks.asked] == ["id"]
    ((kind, cancel, _),) = far.hear()
    assert (kind, cancel["reason"]) == ("CANCEL", "deadline")
    assert far.sink.events() == ["app.timeout"]
    assert exchange.meter.timeouts == 1
    far.say("ERROR", id=1, message="cancelled", stack="")
    assert far.told.names() == ["finished"]


def test_a_request_that_ignores_cancel(far: FarEnd) -> None:
    """After the app's timeout its stacks are logged; then it is stuck, unless it ends after all."""
    exchange = far.assign()
    client_of(exchange).abort()
    assert not far.worker.has_only_stuck()
    wait_until(lambda: far.loop.run_once(0.02) or far.process.stacks.asked, what="the question")
    assert far.told.events == []
    far.process.stacks.come()
    assert far.told.events == [("stuck", exchange)]
    assert far.worker.has_only_stuck()
    far.assign()
    assert not far.worker.has_only_stuck()
    far.say("RESPONSE", id=1, end=True, **OK)
    assert not far.worker.has_only_stuck()
    assert far.told.names() == ["stuck", "finished"]


def test_a_request_that_ignores_its_deadline(far: FarEnd) -> None:
    """Its stacks were logged before, so it is stuck a second later."""
    far.assign().on_timeout()
    turn_until(far, "stuck")
    assert len(far.process.stacks.asked) == 1


def test_a_request_that_ended_while_its_stacks_were_asked(far: FarEnd) -> None:
    """It has obeyed after all, so nothing is logged."""
    client_of(far.assign()).abort()
    wait_until(lambda: far.loop.run_once(0.02) or far.process.stacks.asked, what="the question")
    far.say("RESPONSE", id=1, end=True, **OK)
    far.process.stacks.come()
    assert far.told.names() == ["finished"]


# WebSockets


def opened(far: FarEnd, *, open_ended: bool = False) -> Any:
    far.service.websocket_message_max_bytes = 1 << 20  # type: ignore[attr-defined]
    far.service.websocket_ping_s = 0.0  # type: ignore[attr-defined]
    far.service.ping_timeouts = None  # type: ignore[attr-defined]
    exchange = far.assign(UPGRADE)
    far.hear()
    far.say("ACCEPT", id=1, **{**ACCEPT, "open_ended": open_ended})
    assert exchange.state is State.OPEN
    return exchange


def test_a_websocket(far: FarEnd) -> None:
    """ACCEPT answers the handshake, MESSAGE is a frame, CLOSE with `end` frees the slot."""
    exchange = opened(far, open_ended=True)
    far.say("MESSAGE", b"hi", id=1, kind="text", end=True)
    far.say("CLOSE", id=1, code=1000, reason="", end=True)
    written = client_of(exchange).written
    assert written.startswith(b"HTTP/1.1 101 ")
    assert written.endswith(b"\x81\x02hi\x88\x02\x03\xe8")
    assert far.told.names() == ["open-ended", "finished"]


def test_streams_end_with_their_worker(far: FarEnd) -> None:
    """WebSockets and event streams are ended; other requests are not."""
    socket, plain, events = opened(far), far.assign(), far.assign()
    stream = {"status": 200, "headers": [["content-type", "text/event-stream"]]}
    far.say("RESPONSE", id=3, end=False, **stream)
    far.hear()
    for exchange in far.worker.streams():
        exchange.end_open(1012)
    told = {(kind, each["id"]): each for kind, each, _ in far.hear()}
    assert set(told) == {("CLOSE", 1), ("CANCEL", 3)}
    assert told["CLOSE", 1]["code"] == 1012
    assert (events.is_ended, plain.is_ended, socket.responder) == (True, False, None)


# Its end


def test_what_is_left_when_it_dies(far: FarEnd) -> None:
    """What the worker sent last counts; requests that it still had are given back, and it is free
    of them."""
    first, second, third = far.assign(), far.assign(), far.assign()
    client_of(third).abort()
    far.sock.sendall(message("RESPONSE", b"just in time", id=1, end=True, **OK))
    far.sock.close()
    assert far.worker.drain() == [second]
    assert client_of(first).ended == [True]
    assert second.responder is None
    assert far.worker.drain() == []


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (GET, True),
        (GET.replace(b"GET", b"HEAD"), True),
        (GET.replace(b"GET", b"DELETE"), False),
        (POST + b"12345", False),
        (POST.replace(b"POST", b"GET") + b"12345", False),
    ],
)
def test_what_another_worker_may_try(far: FarEnd, raw: bytes, *, expected: bool) -> None:
    """Only a request that changes nothing, has no body, and has no answer yet is retried, and
    once."""
    exchange = far.assign(raw)
    assert can_try_again(exchange) is expected
    far.say("RESPONSE", b"one", id=1, end=False, **OK)
    assert not can_try_again(exchange)


def test_nothing_is_tried_a_third_time(far: FarEnd) -> None:
    """A request that kills workers must not kill all of them."""
    exchange = far.assign()
    (left,) = far.worker.drain()
    assert left is exchange
    other = FarEnd()
    other.worker.assign(exchange)
    assert not can_try_again(exchange)
    other.close()


# Hostile workers

STREAM = message("RESPONSE", b"one", id=1, end=False, **OK)
HOSTILE = {
    "an unknown id": message("RESPONSE", id=9, end=True, **OK),
    "an id that is a list": message("RESPONSE", id=[1], end=True, **OK),
    "no id": message("RESPONSE", end=True, **OK),
    "no status": message("RESPONSE", id=1, end=True, headers=[]),
    "no end": message("RESPONSE", id=1, **OK),
    "a second RESPONSE": STREAM + STREAM,
    "an id twice": message("RESPONSE", id=1, end=True, **OK) * 2,
    "BODY first": message("BODY", b"x", id=1, end=False),
    "MESSAGE to a request": message("MESSAGE", b"x", id=1, kind="text", end=True),
    "CLOSE of a request": message("CLOSE", id=1, code=1000, reason="", end=True),
    "ACCEPT of a request": message("ACCEPT", id=1, **ACCEPT),
    "a credit below zero": message("WINDOW", id=1, credit=-1),
    "no credit": message("WINDOW", id=1, credit=0),
    "a credit that is true": message("WINDOW", id=1, credit=True),
    "a credit of half a byte": message("WINDOW", id=1, credit=0.5),
    "a credit without end": b'{"type":"WINDOW","id":1,"credit":1e999}\n',
    "bytes that it cannot have read": message("WAITS", id=1, read=-1, credit=0),
    "waiting without a credit": message("WAITS", id=1, read=0),
    "waiting and a credit below zero": message("WAITS", id=1, read=0, credit=-1),
    "bytes that it read for nobody": message("WAITS", id=2, read=0, credit=0),
    "a credit for nobody": message("WINDOW", id=2, credit=1),
    "a credit for a text": message("WINDOW", id="a", credit=1),
    "an end that is text": message("RESPONSE", id=1, end="no", **OK),
    "an end that is a number": message("BODY", b"x", id=1, end=1),
    "an error that is not text": message("ERROR", id=1, message=[], stack=""),
    "a stack that is not text": message("ERROR", id=1, message="", stack=None),
    "a body of nothing": STREAM + message("BODY", id=1, end=False),
    "a kind that is a list": message("MESSAGE", b"x", id=1, kind=[], end=True),
    "a payload below zero": b'{"type":"BODY","id":1,"size":-1,"end":false}\n',
    "a payload without end": b'{"type":"BODY","id":1,"size":1e999,"end":false}\n',
    "a huge number": b'{"type":"WINDOW","id":1,"credit":' + b"9" * 5000 + b"}\n",
    "a long id": message("BODY", b"x", id="x" * 90_000, end=True),
    "a credit that is text": message("WINDOW", id=1, credit="1"),
    "a busy share above 1": message("BUSY", share=1.5),
    "a busy share that is true": message("BUSY", share=True),
    "a busy share that is not a number": b'{"type":"BUSY","share":NaN}\n',
    "a message of the runtime": message("REQUEST", id=1),
    "a message that no side has": message("NONSENSE"),
    "another message of the runtime": message("TERMINATE"),
    "a type that is a list": b'{"type":["RESPONSE"]}\n',
    "no type": b'{"id":1}\n',
    "a list": b"[]\n",
    "a deep list": b'{"type":"ERROR","id":' + b"[" * 200_000 + b"\n",
    "an empty line": b"\n",
    "no UTF-8": b"\xff\xfe\n",
    "an error without text": message("ERROR", id=1),
    "a fault of no request": message("FAULT", id="1", **FAULT),
    "a fault whose path is not text": message("FAULT", id=1, **{**FAULT, "target": []}),
    "a fault of half": message("FAULT", id=1, message="", stack=""),
    "an ACCEPT of half": message("ACCEPT", id=1, subprotocol=None, headers=[]),
    "a CLOSE of half": message("CLOSE", id=1, code=1000, reason=""),
    "a huge payload": b'{"type":"BODY","id":1,"size":1000000000000,"end":true}\n',
    "a payload that is text": b'{"type":"BODY","id":1,"size":"5","end":true}\n',
    "garbage": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("said", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("pieces", [1, 0], ids=["whole", "byte by byte"])
def test_what_a_worker_must_not_say(far: FarEnd, said: bytes, pieces: int) -> None:
    """The worker is given up: its channel is closed, and the pool is told why, once. Long lines
    come in a thousand pieces instead of byte by byte."""
    far.assign()
    step = len(said) if pieces else max(1, len(said) // 1000)
    for at in range(0, len(said), step):
        far.say_raw(said[at : at + step])
    assert far.told.names().count("broken") == 1
    assert far.why.startswith("it sent garbage")


@pytest.mark.parametrize(
    "head",
    [
        {"status": "200"},
        {"status": [200]},
        {"status": 101},
        {"headers": None},
        {"headers": 5},
        {"headers": [["a"]]},
        {"headers": [[1, 2, 3]]},
        {"headers": [[[1], 2]]},
        {"headers": [["a", "b\r\nc: d"]]},
        {"headers": [["a", "\u20ac"]]},
    ],
)
@pytest.mark.parametrize("end", [True, False])
def test_a_head_that_is_none(far: FarEnd, head: dict[str, Any], *, end: bool) -> None:
    """The client gets 502, with nothing of the head, and the worker serves on."""
    exchange = far.assign()
    far.say("RESPONSE", id=1, end=end, **{**OK, **head})
    if not end:
        far.say("BODY", id=1, end=True)
    assert exchange.status == 502
    assert b"c: d" not in client_of(exchange).written
    assert far.told.names() == ["finished"]


@pytest.mark.parametrize(
    "said",
    [
        message("ACCEPT", id=1, **ACCEPT),
        message("RESPONSE", id=1, end=True, **OK),
        message("RESPONSE", id=1, end=False, **OK),
        message("BODY", b"x", id=1, end=True),
        message("MESSAGE", b"x", id=1, kind="image", end=True),
        message("CLOSE", id=1, code="now", reason="", end=True),
        message("CLOSE", id=1, code=1000, reason=7, end=True),
        message("CLOSE", id=1, code=True, reason="", end=True),
        message("CLOSE", id=1, code=-1, reason="", end=True),
        message("CLOSE", id=1, code=1000, reason="", end=[]),
        message("MESSAGE", b"x", id=1, kind="text", end=1),
        message("MESSAGE", b"x", id=1, kind={}, end=True),
    ],
)
def test_what_a_worker_must_not_say_on_a_websocket(far: FarEnd, said: bytes) -> None:
    """Nothing of HTTP is sent on an open WebSocket."""
    exchange = opened(far)
    before = client_of(exchange).written
    far.say_raw(said)
    assert far.why.startswith("it sent garbage")
    assert b"HTTP/1.1" not in client_of(exchange).written[len(before) :]


def test_accept_behind_an_answer(far: FarEnd) -> None:
    """A handshake that is being denied can no longer be accepted."""
    exchange = far.assign(UPGRADE)
    far.say("RESPONSE", b"no", id=1, end=False, **OK)
    far.say("ACCEPT", id=1, **ACCEPT)
    assert "behind a RESPONSE" in far.why
    assert b" 101 " not in client_of(exchange).written


@pytest.mark.parametrize("leaves", [False, True])
def test_a_slot_is_given_up_once(far: FarEnd, *, leaves: bool) -> None:
    """A worker that repeats that a WebSocket is open-ended gets no more slots by it."""
    exchange = opened(far, open_ended=True)
    if leaves:
        client_of(exchange).abort()
    far.say("ACCEPT", id=1, **{**ACCEPT, "open_ended": True})
    assert far.why.startswith("it sent garbage")
    assert far.told.names().count("open-ended") == 1


ANY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 5000),
    st.text(max_size=5),
    st.lists(st.lists(st.text(max_size=8), max_size=3), max_size=2),
)
MESSAGES = st.builds(
    lambda type_, payload, fields: message(type_, payload, **fields),
    st.sampled_from(
        ["RESPONSE", "BODY", "WINDOW", "ACCEPT", "MESSAGE", "CLOSE", "ERROR", "FAULT", "UP"]
    ),
    st.binary(max_size=20),
    st.fixed_dictionaries(
        {},
        optional={
            "id": st.one_of(st.integers(1, 4), ANY),
            "end": st.one_of(st.booleans(), ANY),
            "status": st.one_of(st.sampled_from([101, 200, 204, 304, 500]), ANY),
            "headers": st.one_of(st.just([["content-type", "text/plain"]]), ANY),
            "credit": ANY,
            "subprotocol": ANY,
            "open_ended": ANY,
            "kind": st.one_of(st.sampled_from(["text", "bytes"]), ANY),
            "code": st.one_of(st.sampled_from([1000, 1005, 3000]), ANY),
            "reason": ANY,
            "message": ANY,
            "stack": ANY,
        },
    ),
)


@given(said=st.lists(MESSAGES, max_size=8))
def test_whatever_a_worker_says(said: list[bytes]) -> None:
    """Each exchange ends at most once, no error reaches the loop, and everything is given back."""
    far = FarEnd()
    far.service.websocket_message_max_bytes = 1 << 20  # type: ignore[attr-defined]
    far.service.websocket_ping_s = 0.0  # type: ignore[attr-defined]
    far.service.ping_timeouts = None  # type: ignore[attr-defined]
    exchanges = [far.assign(raw) for raw in (GET, UPGRADE, POST + b"12")]
    for each in said:
        if far.why:
            break
        far.say_raw(each)
    for exchange in far.worker.drain():
        assert exchange.responder is None
    assert all(exchange.responder is None for exchange in exchanges)
    assert far.told.names().count("broken") <= 1
    finished = [exchange for name, exchange in far.told.events if name == "finished"]
    assert len(finished) == len(set(finished))
    far.close()
    assert far.errors == []


def test_a_client_that_is_gone_at_the_answer(far: FarEnd) -> None:
    """The write finds the connection broken: the request has ended, for the worker too."""
    client = FakeClient(far.service)
    exchange = far.assign(client=client)
    client.is_gone = True
    far.say("RESPONSE", b"hello", id=1, end=True, **OK)
    assert far.told.events == [("finished", exchange)]
    assert far.why == ""
