"""Who has a request before a worker does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from buntime.core.pool.workforce import AppState
from buntime.core.telemetry.meters import Drop
from buntime.server.http1.exchange import Exchange
from buntime.server.pool.responders import InPreparation, Queued
from tests.support.deployed import World
from tests.support.exchanges import FakeClient

GET = b"GET /shop/ HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Queues:
    """Records which requests were withdrawn."""

    def __init__(self) -> None:
        self.withdrawn: list[Exchange] = []
        self.is_loading = False
        self.then: list[Callable[[str], None]] = []

    def withdraw(self, state: AppState, exchange: Exchange) -> None:
        self.withdrawn.append(exchange)

    def wait_s(self, state: AppState) -> float:
        return 6.5

    def ask_boot(self, state: AppState, then: Callable[[str], None]) -> bool:
        self.then.append(then)
        return self.is_loading


@pytest.fixture
def queued() -> tuple[Exchange, Queues]:
    world, queues = World(), Queues()
    app = world.proven()
    exchange = FakeClient().request(GET)
    exchange.route_to(app, base="/shop")
    exchange.hand_over(Queued(exchange, queues, world.current(app).state), 30.0)
    return exchange, queues


def test_a_client_that_leaves_the_queue(queued: tuple[Exchange, Queues]) -> None:
    """The request is withdrawn, and counted as given up."""
    exchange, queues = queued
    exchange.on_client_left()
    assert queues.withdrawn == [exchange]
    assert exchange.meter.drops[Drop.CLIENT_LEFT] == 1


def test_a_request_that_waits_too_long(queued: tuple[Exchange, Queues]) -> None:
    """It gets 503, with a retry time from the queue's speed, and the queue forgets it."""
    exchange, queues = queued
    exchange.on_timeout()
    assert exchange.status == 503
    assert b"\r\nretry-after: 7\r\n" in exchange.client.written.lower()  # type: ignore[attr-defined]
    assert queues.withdrawn == [exchange]
    assert exchange.meter.drops == {**dict.fromkeys(Drop, 0), Drop.TIMEOUT: 1}


def test_a_request_that_waits_for_a_boot(queued: tuple[Exchange, Queues]) -> None:
    """It gets 503 with a different code, and a note on where the app is while it loads."""
    exchange, queues = queued
    exchange.client.service.is_development = True  # type: ignore[attr-defined]
    queues.is_loading = True
    exchange.on_timeout()
    assert exchange.status == 0
    queues.then[0]("it is at app.py, line 3")
    written = exchange.client.written  # type: ignore[attr-defined]
    assert exchange.status == 503
    assert b'"app_loading"' in written
    assert b"it is at app.py, line 3" in written
    assert exchange.meter.drops[Drop.TIMEOUT] == 1


def test_a_client_that_leaves_before_the_boot_is_told(queued: tuple[Exchange, Queues]) -> None:
    """A client that has left meanwhile gets no answer."""
    exchange, queues = queued
    queues.is_loading = True
    exchange.on_timeout()
    exchange.on_client_left()
    queues.then[0]("")
    assert queues.withdrawn == [exchange]


@pytest.mark.parametrize("kind", ["queued", "prepared"])
def test_nothing_comes_of_what_only_workers_do(queued: tuple[Exchange, Queues], kind: str) -> None:
    """A waiting request has no credit, answer or WebSocket: calls that concern these are bugs."""
    exchange, _ = queued
    waits: Any = exchange.responder if kind == "queued" else InPreparation(exchange)
    for call in (
        lambda: waits.on_body(b"", True),
        lambda: waits.on_message("text", b"", True),
        waits.on_last_message,
        lambda: waits.on_taken(1),
    ):
        with pytest.raises(AssertionError, match="a request that waits"):
            call()
