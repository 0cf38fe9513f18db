"""An answer that waits while its head is reviewed."""

from __future__ import annotations

from typing import Any

import pytest

from buntime.core.errors import ServerFault
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.review import Review
from buntime.wire import DOWNLOAD_WINDOW
from tests.support.exchanges import FakeClient, FakeResponder

GET = b"GET /shop/ HTTP/1.1\r\nHost: a\r\n\r\n"


class Reviewer:
    """Records what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, list[tuple[str, str]]]] = []
        self.dropped = 0

    def on_answer(self, status: int, fields: list[tuple[str, str]]) -> None:
        self.asked.append((status, fields))

    def on_dropped(self) -> None:
        self.dropped += 1


class File:
    """A file that an answer holds open."""

    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def reviewer() -> Reviewer:
    return Reviewer()


def reviewed(client: FakeClient, reviewer: Reviewer) -> Exchange:
    exchange = client.request(GET)
    exchange.review = Review(reviewer)
    return exchange


def streaming(exchange: Exchange, first: bytes = b"one") -> FakeResponder:
    worker = FakeResponder(exchange)
    exchange.hand_over(worker, 30.0)
    exchange.stream(200, [("a", "b")], first)
    return worker


def test_nothing_of_a_whole_answer_leaves_before(client: FakeClient, reviewer: Reviewer) -> None:
    """The status and fields that are sent are those that the reviewer returns, and nothing leaves
    before."""
    exchange = reviewed(client, reviewer)
    exchange.respond(200, [("a", "b")], b"hello")
    assert client.written == b""
    assert reviewer.asked == [(200, [("a", "b")])]
    assert exchange.has_answer
    exchange.reviewed(201, [("a", "c")])
    assert client.written.startswith(b"HTTP/1.1 201 ")
    assert b"\r\na: c\r\n" in client.written
    assert client.written.endswith(b"\r\n\r\nhello")
    assert exchange.is_ended


def test_connection_takes_nothing_from_the_reviewer(client: FakeClient, reviewer: Reviewer) -> None:
    """Fields that an answer's own Connection names are left out before the review, not after it."""
    exchange = reviewed(client, reviewer)
    exchange.respond(200, [("Connection", "x-guard, close"), ("X-Guard", "mine"), ("a", "b")])
    assert reviewer.asked == [(200, [("a", "b"), ("connection", "close")])]
    exchange.reviewed(200, [*reviewer.asked[0][1], ("x-guard", "on")])
    assert b"\r\nx-guard: on\r\n" in client.written
    assert b"\r\nconnection: close\r\n" in client.written


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (200, [{"Set-Cookie": 0, "bt=x": 0}]),
        (200, [["x"]]),
        (200, [["x", 7]]),
        (200, [["x", [[]]]]),
        (200, [["x", "a\r\nb: c"]]),
        (200, None),
        (100, []),
        ("200", []),
        (float("nan"), []),
    ],
)
@pytest.mark.parametrize("way", ["respond", "stream"])
def test_a_reviewer_sees_what_can_be_sent(
    client: FakeClient, reviewer: Reviewer, way: str, status: Any, fields: Any
) -> None:
    """Of a head that cannot be sent it sees nothing but the error that replaces it."""
    exchange = reviewed(client, reviewer)
    worker = FakeResponder(exchange)
    exchange.hand_over(worker, 30.0)
    getattr(exchange, way)(status, fields, b"one")
    assert [seen for seen, _ in reviewer.asked] == [502]
    exchange.reviewed(*reviewer.asked[0])
    assert client.written.startswith(b"HTTP/1.1 502 ")
    assert exchange.is_ended


def test_a_streamed_answer_leaves_in_its_order(client: FakeClient, reviewer: Reviewer) -> None:
    """What arrives during the review follows the head in order, including the end."""
    exchange = reviewed(client, reviewer)
    streaming(exchange)
    exchange.send(b"two")
    exchange.release()
    exchange.finish()
    assert client.written == b""
    exchange.reviewed(200, [("a", "b")])
    assert client.written.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    assert exchange.is_ended


def test_what_waits_gets_no_credit(client: FakeClient, reviewer: Reviewer) -> None:
    """A worker that sends beyond its first window during the review breaks the protocol."""
    exchange = reviewed(client, reviewer)
    worker = streaming(exchange, b"x" * DOWNLOAD_WINDOW)
    exchange.on_flushed()
    assert worker.taken == 0
    with pytest.raises(ValueError, match="beyond its credit"):
        exchange.send(b"x")


def test_its_credit_comes_when_it_leaves(client: FakeClient, reviewer: Reviewer) -> None:
    """The credit is given when the head leaves; from then on there is no difference."""
    exchange = reviewed(client, reviewer)
    worker = streaming(exchange, b"x" * (DOWNLOAD_WINDOW // 2))
    exchange.send(b"y" * (DOWNLOAD_WINDOW // 2))
    exchange.reviewed(200, [])
    assert worker.taken >= DOWNLOAD_WINDOW


def test_another_answer_takes_its_place(client: FakeClient, reviewer: Reviewer) -> None:
    """If the reviewer answers, the app's answer is cancelled, and nothing of it leaves."""
    exchange = reviewed(client, reviewer)
    worker = streaming(exchange)
    exchange.replace(None)
    exchange.respond(403, [], b"no")
    assert worker.detached == ["error"]
    assert client.written.startswith(b"HTTP/1.1 403 ")
    assert client.written.endswith(b"\r\n\r\nno")
    assert exchange.is_ended


def test_an_error_meanwhile_is_the_answer(client: FakeClient, reviewer: Reviewer) -> None:
    """If the worker dies during the review of a streamed answer, the client gets a whole error."""
    exchange = reviewed(client, reviewer)
    streaming(exchange)
    exchange.fail(ServerFault(502, "worker_died", "the worker died"))
    assert reviewer.dropped == 1
    assert client.written.startswith(b"HTTP/1.1 502 ")
    assert exchange.is_ended


def test_an_error_is_looked_at_too(client: FakeClient, reviewer: Reviewer) -> None:
    """The runtime's own errors are reviewed like other answers."""
    exchange = reviewed(client, reviewer)
    exchange.fail(ServerFault(503, "overloaded", "too much"))
    assert [status for status, _ in reviewer.asked] == [503]
    assert client.written == b""


def test_the_client_leaves_meanwhile(client: FakeClient, reviewer: Reviewer) -> None:
    """If the client leaves, the reviewer and the worker are told, and what was to be sent is
    closed."""
    exchange, file = reviewed(client, reviewer), File()
    exchange.start(200, [], 5)
    exchange.send_file(3, 0, 5)
    exchange.release_later(file)
    exchange.finish()
    exchange.on_client_left()
    assert reviewer.dropped == 1
    assert file.is_closed
    assert exchange.is_ended
    assert client.written == b""


def test_a_file_is_sent_after_its_head(client: FakeClient, reviewer: Reviewer) -> None:
    """Files wait like other bodies, and are closed once they are sent."""
    exchange, file = reviewed(client, reviewer), File()
    exchange.start(200, [], 5)
    exchange.send_file(3, 0, 5)
    exchange.release_later(file)
    exchange.finish()
    assert not file.is_closed
    exchange.reviewed(200, [])
    assert client.written.endswith(b"\r\n\r\n\0\0\0\0\0")
    assert file.is_closed


def test_the_apps_time_stands_still(client: FakeClient, reviewer: Reviewer) -> None:
    """The app's time stands still during the review, however long it takes."""
    exchange = reviewed(client, reviewer)
    worker = streaming(exchange)
    exchange.on_timeout()
    assert worker.deadlines == 0
    exchange.reviewed(200, [])
    exchange.on_timeout()
    assert worker.deadlines == 1
