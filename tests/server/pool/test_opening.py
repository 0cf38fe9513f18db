"""A WebSocket whose opening is reviewed before the client gets it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from buntime.core.errors import ServerFault
from buntime.core.http1.lifecycle import State
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.review import Review
from buntime.wire import MAX_PAYLOAD
from tests.support.farend import UPGRADE, FarEnd, client_of

PLAIN = {"subprotocol": None, "headers": [["x-a", "1"]], "open_ended": False}


class Looking:
    """The reviewer, and what it was shown."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, list[tuple[str, str]]]] = []
        self.dropped = 0

    def on_answer(self, status: int, fields: list[tuple[str, str]]) -> None:
        self.asked.append((status, fields))

    def on_dropped(self) -> None:
        self.dropped += 1


@pytest.fixture
def far() -> Iterator[FarEnd]:
    made = FarEnd()
    made.service.websocket_message_max_bytes = 1 << 20  # type: ignore[attr-defined]
    made.service.websocket_ping_s = 0.0  # type: ignore[attr-defined]
    made.service.ping_timeouts = None  # type: ignore[attr-defined]
    yield made
    made.close()
    assert made.errors == []


@pytest.fixture
def looking() -> Looking:
    return Looking()


def opening(far: FarEnd, looking: Looking, **accept: object) -> Exchange:
    exchange = far.assign(UPGRADE)
    exchange.have_reviewed(Review(looking))
    far.hear()
    far.say("ACCEPT", id=1, **{**PLAIN, **accept})
    return exchange


def test_it_opens_when_it_was_looked_at(far: FarEnd, looking: Looking) -> None:
    """It opens with the fields from the review, and what the app sent meanwhile follows."""
    exchange = opening(far, looking)
    far.say("MESSAGE", b"hi", id=1, kind="text", end=True)
    assert looking.asked == [(101, [("x-a", "1")])]
    assert (client_of(exchange).written, exchange.link) == (b"", None)
    exchange.reviewed(101, [("x-a", "2")])
    written = client_of(exchange).written
    assert written.startswith(b"HTTP/1.1 101 ")
    assert b"\r\nx-a: 2\r\n" in written
    assert written.endswith(b"\r\n\r\n\x81\x02hi")
    far.say("MESSAGE", b"ho", id=1, kind="text", end=True)
    assert client_of(exchange).written.endswith(b"\x81\x02ho")
    assert exchange.state is State.OPEN


def test_an_app_that_closes_at_once(far: FarEnd, looking: Looking) -> None:
    """The app's worker is free, and the client gets the opening and then the end."""
    exchange = opening(far, looking)
    far.say("CLOSE", id=1, code=3000, reason="", end=True)
    assert far.told.names() == ["finished"]
    exchange.reviewed(101, [])
    assert client_of(exchange).written.endswith(b"\r\n\r\n\x88\x02\x0b\xb8")
    assert exchange.state is State.CLOSING


def test_it_is_refused(far: FarEnd, looking: Looking) -> None:
    """If refused, the client gets another answer, the app is told that the WebSocket has closed,
    and may still finish."""
    exchange = opening(far, looking)
    far.say("MESSAGE", b"hi", id=1, kind="text", end=True)
    exchange.replace(None)
    exchange.respond(403, [], b"no")
    assert client_of(exchange).written.startswith(b"HTTP/1.1 403 ")
    assert b"hi" not in client_of(exchange).written
    [(kind, told, _)] = far.hear()
    assert (kind, told["code"], told["end"]) == ("CLOSE", 1006, True)
    far.say("MESSAGE", b"ho", id=1, kind="text", end=True)
    far.say("CLOSE", id=1, code=1000, reason="", end=True)
    assert (far.told.names(), far.why) == (["finished"], "")


def test_whoever_looks_fails(far: FarEnd, looking: Looking) -> None:
    """If the review fails the client gets the error."""
    exchange = opening(far, looking)
    exchange.fail(ServerFault(502, "plugin_failed", "no"))
    assert client_of(exchange).written.startswith(b"HTTP/1.1 502 ")
    assert looking.dropped == 1


def test_the_client_leaves(far: FarEnd, looking: Looking) -> None:
    """If the client leaves, the reviewer and the app are told."""
    exchange = opening(far, looking)
    exchange.on_client_left()
    assert looking.dropped == 1
    assert far.kinds() == ["CLOSE"]


@pytest.mark.parametrize(
    ("say", "why"),
    [
        (("ACCEPT", b"", PLAIN), "second ACCEPT"),
        (("RESPONSE", b"", {"status": 200, "headers": [], "end": True}), "behind an ACCEPT"),
        (("BODY", b"x", {"end": True}), "BODY before its RESPONSE"),
    ],
    ids=["accept", "response", "body"],
)
def test_what_no_worker_says(
    far: FarEnd, looking: Looking, say: tuple[str, bytes, dict[str, object]], why: str
) -> None:
    """An opening is an answer, and a WebSocket has no other one."""
    opening(far, looking)
    far.say(say[0], say[1], id=1, **say[2])
    assert why in far.why


@pytest.mark.parametrize("kind", ["MESSAGE", "CLOSE"])
def test_what_waits_costs_credit(far: FarEnd, looking: Looking, kind: str) -> None:
    """A worker that sends without end during the review is soon given up."""
    opening(far, looking)
    fields = {"kind": "text"} if kind == "MESSAGE" else {"code": 1000, "reason": ""}
    payload = b"x" * MAX_PAYLOAD if kind == "MESSAGE" else b""
    for _ in range(3000):
        far.say(kind, payload, id=1, end=False, **fields)
        if far.why:
            break
    assert "beyond its credit" in far.why


def test_a_bad_opening_is_the_apps(far: FarEnd, looking: Looking) -> None:
    """An opening that cannot be sent is not reviewed."""
    exchange = opening(far, looking, subprotocol="never-offered")
    assert looking.asked[0][0] == 502
    assert exchange.link is None


def test_the_subprotocol_is_seen(far: FarEnd, looking: Looking) -> None:
    """The subprotocol is among the reviewed fields, and is sent once."""
    exchange = far.assign(UPGRADE)
    exchange.offer_upgrade(exchange.upgrade._replace(subprotocols=("chat",)))  # type: ignore[union-attr]  # it is one
    exchange.have_reviewed(Review(looking))
    far.say("ACCEPT", id=1, **{**PLAIN, "subprotocol": "chat"})
    [(_, seen)] = looking.asked
    assert seen == [("x-a", "1"), ("sec-websocket-protocol", "chat")]
    exchange.reviewed(101, seen)
    assert client_of(exchange).written.count(b"sec-websocket-protocol: chat\r\n") == 1
