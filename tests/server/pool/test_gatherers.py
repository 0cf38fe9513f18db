"""Requests that wait for their own bodies, held by the server."""

from __future__ import annotations

from typing import Any, cast

import pytest

from buntime.core.apps.app import App
from buntime.core.http1.lifecycle import State
from buntime.core.pool import gathering
from buntime.server.http1.exchange import Exchange
from buntime.server.pool.gatherers import Gatherers
from tests.support.apps import make_app
from tests.support.exchanges import FakeClient, FakeResponder, FakeService

POST = b"POST /shop/ HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n%b\r\n"


class World:
    """Two slots, an app, and clients that send in pieces."""

    def __init__(self) -> None:
        self.service = FakeService()
        self.loop = self.service.loop
        self.app = make_app()
        self.submitted: list[Exchange] = []
        self.gatherers = Gatherers(cast(Any, self.loop), slots=lambda: 2, submit=self.submit)

    def submit(self, exchange: Exchange, app: App) -> None:
        assert (app, exchange.state) == (self.app, State.WAITING)
        exchange.hand_over(FakeResponder(exchange), 30.0)
        self.submitted.append(exchange)

    def add(self, body: bytes = b"", fields: bytes = b"") -> Exchange:
        exchange = FakeClient(self.service).request(POST % fields + body)
        exchange.route_to(self.app, base="/shop")
        exchange.limit_body(10)
        assert exchange.may_gather
        self.gatherers.add(exchange, self.app)
        return exchange

    def sends(self, exchange: Exchange, data: bytes) -> None:
        exchange.client.reader.receive(data)
        exchange.pump()

    def pass_time(self, seconds: float) -> None:
        self.loop.now += seconds
        self.loop.expire()


@pytest.fixture
def world() -> World:
    return World()


def test_a_body_that_is_there_goes_on_at_once(world: World) -> None:
    """A body that is there is the first piece of the request."""
    exchange = world.add(b"0123456789")
    assert world.submitted == [exchange]
    assert not exchange.may_gather
    _, body = exchange.assign(FakeResponder(exchange), "w1", 1)
    assert body == b"0123456789"


def test_a_body_in_pieces(world: World) -> None:
    """A body in pieces is submitted with its last piece."""
    exchange = world.add(b"01")
    world.sends(exchange, b"2345")
    assert (world.submitted, exchange.gathered_bytes) == ([], 6)
    world.sends(exchange, b"6789")
    assert world.submitted == [exchange]
    assert repr(world.gatherers) == "Gathering(0 wait, 0 lack some)"


def test_who_pauses_goes_on_where_few_have(world: World) -> None:
    """One of the two slots may be used so; the next request goes on when the first one's body has
    arrived, or the request has ended."""
    first, second, third = world.add(b"0"), world.add(), world.add()
    world.pass_time(gathering.PAUSE_S)
    assert world.submitted == [first]
    world.pass_time(gathering.PAUSE_S)
    assert world.submitted == [first]
    first.assign(FakeResponder(first), "w1", 1)
    world.sends(first, b"123456789")
    world.pass_time(gathering.PAUSE_S)
    assert world.submitted == [first, second]
    cast(FakeClient, second.client).abort()
    world.pass_time(gathering.PAUSE_S)
    assert world.submitted == [first, second, third]


def test_who_drips_does_not_go_on(world: World) -> None:
    """A body that drips in is not submitted before the client pauses."""
    exchange = world.add()
    for _ in range(9):
        world.pass_time(gathering.PAUSE_S * 0.9)
        world.sends(exchange, b"x")
    assert world.submitted == []
    world.pass_time(gathering.PAUSE_S)
    assert world.submitted == [exchange]


def test_who_asks_is_told_to_go_on(world: World) -> None:
    """A client that asks first gets 100 Continue once, from whoever waits for the body."""
    exchange = world.add(fields=b"Expect: 100-continue\r\n")
    client = cast(FakeClient, exchange.client)
    assert client.written == b"HTTP/1.1 100 Continue\r\n\r\n"
    world.pass_time(gathering.PAUSE_S)
    exchange.assign(FakeResponder(exchange), "w1", 1)
    exchange.grant_upload(100)
    assert client.written == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_who_leaves_is_forgotten(world: World) -> None:
    """If the client leaves nothing is submitted, and nothing counted."""
    exchange = world.add(b"01")
    cast(FakeClient, exchange.client).abort()
    world.pass_time(gathering.PAUSE_S)
    assert world.submitted == []
    assert repr(world.gatherers) == "Gathering(0 wait, 0 lack some)"


def test_the_app_is_not_late_meanwhile(world: World) -> None:
    """The app's time starts when the body has arrived."""
    exchange = world.add(b"01")
    exchange.on_timeout()
    assert exchange.state is State.HANDED_OVER
    world.loop.now += 1000
    world.sends(exchange, b"23456789")
    world.loop.timeouts(30.0).expire(world.loop.now)
    assert cast(FakeResponder, exchange.responder).deadlines == 0


def test_without_memory_it_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without memory a request is refused with 503; the others continue."""
    monkeypatch.setattr(gathering, "MEMORY_MAX_BYTES", 12)
    first, second = world.add(b"01234567"), world.add(b"01")
    assert world.gatherers.is_pressed
    world.sends(second, b"234")
    assert second.status == 503
    world.sends(first, b"89")
    assert world.submitted == [first]
    assert not world.gatherers.is_pressed
