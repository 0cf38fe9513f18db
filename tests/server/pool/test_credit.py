"""How much a worker may say: bytes within its credit, and a bounded amount of talk without
effect."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from buntime import wire
from buntime.core.http1.lifecycle import State
from buntime.server.http1.exchange import Exchange
from buntime.server.pool import channel
from tests.support.exchanges import FakeClient
from tests.support.farend import GET, UPGRADE, FarEnd, client_of, message

HEAD = {"status": 200, "headers": []}
ACCEPT = {"subprotocol": None, "headers": [], "open_ended": False}
POST = b"POST /shop/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
PAYLOAD = bytes(wire.MAX_PAYLOAD)
PIECES = wire.DOWNLOAD_WINDOW // len(PAYLOAD)  # within its first credit


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Iterator[FarEnd]:
    """On a busy machine a turn may take fewer messages than a test says in it."""
    monkeypatch.setattr(channel, "_TURN_S", math.inf)
    made = FarEnd()
    made.service.websocket_message_max_bytes = 1 << 20  # type: ignore[attr-defined]
    made.service.websocket_ping_s = 0.0  # type: ignore[attr-defined]
    made.service.ping_timeouts = None  # type: ignore[attr-defined]
    yield made
    made.close()
    assert made.errors == []


def slow(far: FarEnd) -> FakeClient:
    """A client that takes nothing."""
    client = FakeClient(far.service)
    client.holds = True
    return client


def opened(far: FarEnd) -> Exchange:
    exchange = far.assign(UPGRADE, client=slow(far))
    far.say("ACCEPT", id=1, **ACCEPT)
    assert exchange.state is State.OPEN
    return exchange


def say_until_broken(far: FarEnd, said: bytes, most: int) -> int:
    """Say it over and over; returns how often until it was too much. Fails after `most` times."""
    for count in range(0, most, 100):
        if far.why:
            return count
        for at in range(0, 100 * len(said), 65536):
            far.say_raw((said * 100)[at : at + 65536])
    raise AssertionError(f"{said[:100]!r} may be said {most} times")


# Bytes


@pytest.fixture(params=["one of many", "its only one"])
def credit(request: pytest.FixtureRequest) -> tuple[float, int]:
    """The ttl of a worker's app, and the number of pieces it has credit for while none is taken."""
    if request.param == "one of many":
        return 3600.0, PIECES
    return 0.0, wire.DOWNLOAD_WINDOW_MAX // len(PAYLOAD)  # it may send ahead, and end


def test_a_body_beyond_its_credit(far: FarEnd, credit: tuple[float, int]) -> None:
    """A piece without credit is not held, and the worker is given up."""
    ttl_s, pieces = credit
    exchange = far.assign(client=slow(far), ttl_s=ttl_s)
    far.say("RESPONSE", id=1, end=False, **HEAD)
    for _ in range(pieces):
        far.say("BODY", PAYLOAD, id=1, end=False)
    assert far.why == ""
    held = client_of(exchange).pending_bytes
    far.say("BODY", b"x", id=1, end=False)
    assert "1 bytes beyond its credit" in far.why
    assert client_of(exchange).pending_bytes == held


def test_a_body_beyond_its_credit_at_its_end(far: FarEnd, credit: tuple[float, int]) -> None:
    """The last piece needs credit like any other."""
    ttl_s, pieces = credit
    far.assign(client=slow(far), ttl_s=ttl_s)
    far.say("RESPONSE", PAYLOAD, id=1, end=False, **HEAD)
    for _ in range(pieces - 1):
        far.say("BODY", PAYLOAD, id=1, end=False)
    assert far.why == ""
    far.say("BODY", b"x", id=1, end=True)
    assert "beyond its credit" in far.why


def test_messages_beyond_their_credit(far: FarEnd) -> None:
    """Each message costs its size plus an overhead."""
    opened(far)
    for _ in range(PIECES - 1):
        far.say("MESSAGE", PAYLOAD, id=1, kind="bytes", end=False)
    far.say("MESSAGE", PAYLOAD[: -PIECES * wire.MESSAGE_OVERHEAD], id=1, kind="bytes", end=True)
    assert far.why == ""
    far.say("MESSAGE", id=1, kind="bytes", end=True)
    assert "beyond its credit" in far.why


def test_what_it_has_credit_for(far: FarEnd) -> None:
    """A client that takes data returns credit, so a body of any size passes."""
    exchange = far.assign()
    far.say("RESPONSE", id=1, end=False, **HEAD)
    credit = wire.DOWNLOAD_WINDOW
    for _ in range(40):
        far.say("BODY", PAYLOAD, id=1, end=False)
        exchange.on_flushed()
        credit -= len(PAYLOAD)
        credit += sum(each["credit"] for kind, each, _ in far.hear() if kind == "WINDOW")
        assert credit >= len(PAYLOAD)
    assert far.why == ""


@pytest.mark.parametrize("kind", ["BODY", "MESSAGE"])
def test_what_nobody_waits_for(far: FarEnd, kind: str) -> None:
    """After the client left, what is on the way may still arrive, but only within the credit."""
    if kind == "BODY":
        exchange = far.assign()
        far.say("RESPONSE", id=1, end=False, **HEAD)
    else:
        exchange = opened(far)
    client_of(exchange).abort()
    cost = len(PAYLOAD) + wire.MESSAGE_OVERHEAD * (kind == "MESSAGE")
    for _ in range(wire.DOWNLOAD_WINDOW_MAX // cost):
        far.say(kind, PAYLOAD, id=1, kind="bytes", end=False)
    assert far.why == ""
    far.say(kind, PAYLOAD, id=1, kind="bytes", end=False)
    assert "beyond its credit" in far.why


def test_messages_behind_a_close(far: FarEnd) -> None:
    """Messages may cross a CLOSE, but only within the credit."""
    opened(far)
    far.say("CLOSE", id=1, code=1000, reason="", end=False)
    said = message("MESSAGE", id=1, kind="text", end=True)
    most = wire.DOWNLOAD_WINDOW_MAX // wire.MESSAGE_OVERHEAD
    assert 0 < say_until_broken(far, said, most + 200) <= most + 100


def test_a_credit_that_it_claims(far: FarEnd) -> None:
    """No more credit is passed on than a worker can have at most."""
    exchange = far.assign(POST)
    far.hear()
    for _ in range(3):
        far.say("WINDOW", id=1, credit=10**15)
    client_of(exchange).reader.receive(bytes(900_000))
    exchange.pump()
    for _ in range(10):
        far.loop.run_once(0.0)
    passed = sum(len(payload) for kind, _, payload in far.hear() if kind == "BODY")
    assert passed == wire.UPLOAD_WINDOW_MAX
    assert far.why == ""


# Talk


@pytest.mark.parametrize(
    "said",
    [
        message("UP"),
        message("READY", kind="fetch", concurrency=8, boot_ms=1.0),
        message("ERROR", message="no", stack=""),
        message("WINDOW", id=1, credit=1),
        message("WINDOW", id=2, credit=1),
        message("WAITS", id=1, read=0, credit=0),
        message("WAITS", id=2, read=0, credit=0),
    ],
    ids=[
        "UP",
        "READY",
        "ERROR of a boot",
        "WINDOW without a body",
        "WINDOW of an ended one",
        "WAITS without a body",
        "WAITS of an ended one",
    ],
)
def test_what_changes_nothing(far: FarEnd, said: bytes) -> None:
    """Such a message may cross another one, so a few are tolerated."""
    far.assign()
    far.assign()
    far.say("RESPONSE", id=2, end=True, **HEAD)
    assert say_until_broken(far, said, 2000) > 500
    assert "change nothing" in far.why


@pytest.mark.parametrize(
    ("said", "is_socket"),
    [
        (message("RESPONSE", id=1, end=False, **HEAD), False),
        (message("WINDOW", id=1, credit=1), False),
        (message("ACCEPT", id=1, **ACCEPT), True),
        (message("CLOSE", id=1, code=1000, reason="", end=False), True),
    ],
    ids=["RESPONSE", "WINDOW", "ACCEPT", "CLOSE"],
)
def test_what_is_said_to_nobody(far: FarEnd, said: bytes, *, is_socket: bool) -> None:
    """After the client has left, once would be enough; repeating it is limited."""
    client_of(far.assign(UPGRADE if is_socket else GET)).abort()
    assert say_until_broken(far, said, 2000) > 500


def test_a_close_over_and_over(far: FarEnd) -> None:
    """CLOSE may be repeated only a limited number of times before the client has answered the
    first."""
    opened(far)
    said = message("CLOSE", id=1, code=1000, reason="x" * 500, end=False)
    assert say_until_broken(far, said, 2000) > 500


def test_a_credit_over_and_over(far: FarEnd) -> None:
    """A window that is open cannot be opened further."""
    far.assign(POST)
    assert say_until_broken(far, message("WINDOW", id=1, credit=65536), 2000) > 500


@pytest.mark.parametrize("read", [0, 10, 10**15])
def test_waiting_over_and_over(far: FarEnd, read: int) -> None:
    """A report of waiting is news only after something was read, and it cannot have read what was
    not sent."""
    far.assign(POST)
    assert say_until_broken(far, message("WAITS", id=1, read=read, credit=0), 2000) > 500


def test_how_busy_it_is_over_and_over(far: FarEnd) -> None:
    """A worker reports ten times a second; the pool gets at most what is due for some minutes at
    once."""
    assert say_until_broken(far, message("BUSY", share=0.5), 8000) > 5000
    assert far.told.names().count("busy") < 6000


def test_many_requests_may_have_more_talk(far: FarEnd) -> None:
    """A few such messages per request are no flood, however many requests there were."""
    for number in range(1, 301):
        far.assign()
        far.say_raw(
            message("RESPONSE", id=number, end=True, **HEAD)
            + message("WINDOW", id=number, credit=65536) * 8
        )
    assert far.why == ""


def deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def readable() -> int:
    """How deep a value may be to be parsed here; somewhat less in the loop's calls."""
    for levels in range(1000, 0, -10):
        with contextlib.suppress(RecursionError):
            json.loads(deep(levels))
            return levels
    raise AssertionError


@pytest.mark.parametrize("field", ["id", "end", "status", "headers", "message", "stack", "credit"])
@pytest.mark.parametrize("kind", ["RESPONSE", "BODY", "WINDOW", "ERROR", "READY", "CLOSE"])
def test_values_as_deep_as_they_can_be_read(far: FarEnd, kind: str, field: str) -> None:
    """Values just shallow enough to be parsed raise nothing when they are shown or compared."""
    most = readable()
    for levels in range(most - 80, most + 5, 6):
        other: Any = FarEnd()
        other.assign(inject_base=True)
        fields = b'"type":"%s","id":1,"end":true,"status":200,"headers":[],"message":"","stack":""'
        said = fields % kind.encode() + b',"code":1000,"reason":"","kind":"a","boot_ms":1'
        other.say_raw(b"{" + said + b',"concurrency":1,"%s":%s}\n' % (field.encode(), deep(levels)))
        other.close()
        assert other.errors == []
