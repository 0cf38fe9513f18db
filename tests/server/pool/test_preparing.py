"""Requests that wait while their app's interpreter is looked up."""

from __future__ import annotations

from typing import Any, cast

import pytest

from buntime.core.apps.app import App
from buntime.core.errors import ManifestError
from buntime.core.http1.lifecycle import State
from buntime.server.http1.exchange import Exchange
from buntime.server.pool.preparing import Preparing
from tests.support.apps import make_app
from tests.support.exchanges import FakeClient, FakeResponder
from tests.support.fakes import FakeInterpreters, FakeLoop

GET = b"GET /shop/ HTTP/1.1\r\nHost: localhost\r\n\r\n"


class World:
    """Interpreters that are not known yet, and requests that need one."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.faults: list[tuple[App, str]] = []
        self.interpreters = FakeInterpreters()
        self.app = make_app()
        self.interpreters.unknown.add(self.app)
        self.submitted: list[Exchange] = []
        self.refuses: Exception | None = None
        self.preparing = Preparing(
            cast(Any, self.loop),
            cast(Any, self.interpreters),
            submit=self.submit,
            tell_of_fault=lambda app, fault: self.faults.append((app, str(fault))),
        )

    def submit(self, exchange: Exchange, app: App) -> None:
        if self.refuses is not None:
            raise self.refuses
        exchange.hand_over(FakeResponder(exchange), 30.0)
        self.submitted.append(exchange)

    def add(self) -> Exchange:
        exchange = FakeClient().request(GET)
        exchange.route_to(self.app, base="/shop")
        self.preparing.add(exchange, self.app)
        return exchange


@pytest.fixture
def world() -> World:
    return World()


def test_requests_share_one_look(world: World) -> None:
    """The requests are submitted in order once the look-up is over."""
    exchanges = [world.add() for _ in range(3)]
    assert len(world.loop.calls) == 1
    assert repr(world.preparing) == "Preparing(['shop'])"
    world.loop.turn()
    assert world.submitted == exchanges
    assert repr(world.preparing) == "Preparing([])"


def test_a_client_that_leaves_meanwhile(world: World) -> None:
    """If the client leaves meanwhile nothing of its request is kept."""
    first, second = world.add(), world.add()
    cast(FakeClient, first.client).abort()
    world.loop.turn()
    assert world.submitted == [second]


def test_a_look_that_takes_too_long(world: World) -> None:
    """The app's timeout applies here too: 503, and the client may retry."""
    exchange = world.add()
    exchange.on_timeout()
    assert exchange.status == 503
    world.loop.turn()
    assert world.submitted == []


def test_an_app_without_an_interpreter(world: World) -> None:
    """All requests that wait get 500, and the fault is logged once."""
    world.interpreters.unfit[world.app] = ManifestError("no python")
    exchanges = [world.add(), world.add()]
    world.loop.turn()
    assert [each.status for each in exchanges] == [500, 500]
    assert world.faults == [(world.app, "no python")]


def test_an_interpreter_that_is_gone_again(world: World) -> None:
    """If the interpreter is removed between the look-up and the request, nobody is left waiting."""
    exchanges = [world.add(), world.add()]
    world.refuses = ManifestError("no python any more")
    world.loop.turn()
    assert [each.status for each in exchanges] == [500, 500]
    assert [each.state for each in exchanges] == [State.ENDED, State.ENDED]


def test_a_bug_in_the_look(world: World) -> None:
    """The requests are answered, and the bug is reported to the loop."""
    world.interpreters.unfit[world.app] = ZeroDivisionError("a bug")
    exchange = world.add()
    with pytest.raises(ZeroDivisionError):
        world.loop.turn()
    assert exchange.status == 500
