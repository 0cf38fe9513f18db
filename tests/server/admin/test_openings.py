"""What a sign-in holds open ends with the sign-in."""

from __future__ import annotations

from typing import Any, cast

import pytest

from buntime.core.errors import ClientFault
from buntime.server.admin.openings import LOOK_S, Openings
from buntime.server.admin.receiving import Whole
from buntime.server.admin.streaming import Stream
from buntime.server.http1.exchange import Exchange
from tests.support.exchanges import FakeClient, FakeLoop

EVENTS = [("content-type", "text/event-stream")]
GET = b"GET /api/events HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /api/keys HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"


class Subject:
    """Requests that depend on sign-ins, which a test takes away."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.openings = Openings(cast(Any, self.loop))
        self.good = {"ann", "bo"}

    def ask(self, name: str, head: bytes = GET) -> tuple[FakeClient, Exchange]:
        client = FakeClient()
        exchange = client.request(head)
        self.openings.ground(exchange, lambda: self._is_good(name))
        return client, exchange

    def open(self, name: str) -> Exchange:
        _, exchange = self.ask(name)
        exchange.lend(cast(Any, Nobody()))
        exchange.stream(200, EVENTS, b"")
        return exchange

    def _is_good(self, name: str) -> bool:
        if name not in self.good:
            raise ClientFault(401, "unauthorized", "not any more")
        return True


class Nobody:
    """A responder that does nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


@pytest.fixture
def subject() -> Subject:
    return Subject()


def test_at_once(subject: Subject) -> None:
    """When a sign-in is reported to have ended, its open requests end, and no others."""
    ann, bo = subject.open("ann"), subject.open("bo")
    subject.good.discard("ann")
    subject.openings.look_soon()
    assert (ann.is_ended, bo.is_ended) == (True, False)
    assert len(subject.openings) == 1


def test_by_time(subject: Subject) -> None:
    """A sign-in that expires is noticed at the next check; nothing is checked while nothing is
    open."""
    ann = subject.open("ann")
    [(delay_s, look)] = subject.loop.later
    assert delay_s == LOOK_S
    subject.loop.later.clear()
    subject.good.discard("ann")
    look()
    assert ann.is_ended
    [(_, look)] = subject.loop.later
    subject.loop.later.clear()
    look()
    assert subject.loop.later == []


def test_nested(subject: Subject) -> None:
    """A request may depend on two sign-ins: it ends when either of them ends."""
    _, exchange = subject.ask("ann")
    subject.openings.ground(exchange, lambda: subject._is_good("bo"))
    exchange.lend(cast(Any, Nobody()))
    exchange.stream(200, EVENTS, b"")
    assert len(subject.openings) == 2
    subject.good.discard("ann")
    subject.openings.look_soon()
    assert exchange.is_ended
    assert len(subject.openings) == 0


def test_plain_answers(subject: Subject) -> None:
    """A request that is answered whole is not held open, whatever happens to its sign-in."""
    client, exchange = subject.ask("ann")
    exchange.respond(200, [], b"all")
    assert len(subject.openings) == 0
    assert client.written.endswith(b"all")


def test_half_a_request(subject: Subject) -> None:
    """A request whose body is still to come is refused once its sign-in has ended."""
    client, exchange = subject.ask("ann", POST)
    got: list[bytes] = []
    Whole(exchange, got.append).receiving.begin(100)
    subject.good.discard("ann")
    subject.openings.look_soon()
    assert client.written.startswith(b"HTTP/1.1 401 ")
    assert exchange.is_ended
    assert not got
    assert len(subject.openings) == 0


def test_a_whole_request(subject: Subject) -> None:
    """One that had come in full before is answered."""
    client, exchange = subject.ask("ann", POST + b"123456789")
    got: list[bytes] = []
    Whole(exchange, got.append).receiving.begin(100)
    subject.good.discard("ann")
    subject.openings.look_soon()
    assert got == [b"123456789"]
    exchange.respond(200, [], b"done")
    assert client.written.endswith(b"done")
    assert len(subject.openings) == 0


def test_a_request_that_waits_for_its_turn(subject: Subject) -> None:
    """A body that is read only later, as an archive is, is not read if the sign-in has ended."""
    client, exchange = subject.ask("ann", POST + b"123456789")
    subject.good.discard("ann")
    subject.openings.look_soon()
    assert not exchange.is_ended
    got: list[bytes] = []
    Whole(exchange, got.append).receiving.begin(100)
    assert client.written.startswith(b"HTTP/1.1 401 ")
    assert exchange.is_ended
    assert not got


def test_a_body_that_nobody_reads(subject: Subject) -> None:
    """The request with which somebody signs out is answered, although its body is not read."""
    client, exchange = subject.ask("ann", POST)
    subject.good.discard("ann")
    subject.openings.look_soon()
    exchange.respond(204, [])
    assert client.written.startswith(b"HTTP/1.1 204 ")
    assert len(subject.openings) == 0


def test_a_long_answer(subject: Subject) -> None:
    """A long answer of the runtime's own, such as a backup, is cut off."""
    client, exchange = subject.ask("ann")
    stream = Stream(exchange)
    stream.begin(200, [("content-type", "application/gzip")], is_endless=False)
    stream.send(b"part")
    subject.good.discard("ann")
    subject.openings.look_soon()
    assert exchange.is_ended
    assert stream.is_over
    assert client.cuts == 1
