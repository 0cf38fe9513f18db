"""Which slow clients are cut off while a shared resource is short."""

from __future__ import annotations

from collections.abc import Callable, Container
from types import SimpleNamespace
from typing import Any, cast

import pytest

from buntime.core.errors import HttpError
from buntime.core.http1.leastrate import LEAST_BYTES_PER_S, PERIOD_S, Shortage
from buntime.core.telemetry.meters import Meters, Slow
from buntime.server.http1.slowclients import SlowClients
from tests.support.fakes import FakeSink, make_log

NOTHING = Shortage(of_connections=False, of_memory=False, of_answers=False, of_slots=False)
SLOTS = NOTHING._replace(of_slots=True)
ANSWERS = NOTHING._replace(of_answers=True)
MEMORY = NOTHING._replace(of_memory=True)
PLACES = NOTHING._replace(of_places=frozenset({"shop"}))
CONNECTIONS = NOTHING._replace(of_connections=True)


class FakeLoop:
    """Time that a test moves, and the calls for the next turns."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.soon: list[Callable[[], None]] = []
        self.looks = 0

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)

    def go_on_later(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        self.looks += 1

    def guard(self, callback: Callable[[], None]) -> bool:
        try:
            callback()
        except ZeroDivisionError:
            return False
        return True


class FakeSlot:
    """An exchange that has its own worker, as far as it matters here."""

    def __init__(self, meters: Meters, **changes: Any) -> None:
        self.meter = meters.of_none
        self.link: object | None = None
        self.is_event_stream = False
        self.is_gathering = False
        self.holds_slot = True
        self.wants_body = True
        self.body_come_bytes = 0
        self.sent_bytes = 0
        self.app_key = "shop"
        self.errors: list[HttpError] = []
        self.cuts = 0
        self.__dict__.update(changes)

    def has_place_in(self, apps: Container[str]) -> bool:
        return self.app_key in apps

    def fail(self, error: HttpError) -> None:
        self.errors.append(error)

    def cut(self) -> None:
        self.cuts += 1


class FakeConnection:
    def __init__(self, exchange: FakeSlot | None, pending_bytes: int = 0) -> None:
        self.exchange = exchange
        self.pending_bytes = pending_bytes
        self.untaken_bytes = pending_bytes
        self.spooled_bytes = 0
        self.aborts = 0
        self.waiting_bytes = 0  # of a body, which waits to be handled
        self.is_faulty = False

    def abort(self) -> None:
        self.aborts += 1

    def catch_up(self) -> bool:
        if self.is_faulty:
            raise ZeroDivisionError
        waited, self.waiting_bytes = self.waiting_bytes, 0
        if waited and self.exchange is not None:
            self.exchange.body_come_bytes += waited
        return waited > 0


class World:
    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.sink = FakeSink()
        self.meters = Meters()
        self.connections: set[FakeConnection] = set()
        service = SimpleNamespace(
            loop=self.loop,
            log=make_log(self.sink),
            meters=self.meters,
            connections=self.connections,
            held_answers=set(),
        )
        self.held: set[FakeConnection] = service.held_answers
        self.shortage = SLOTS
        self.slow = SlowClients(cast(Any, service), lambda: self.shortage)

    def connect(self, pending_bytes: int = 0, **changes: Any) -> FakeConnection:
        connection = FakeConnection(FakeSlot(self.meters, **changes), pending_bytes)
        self.connections.add(connection)
        return connection

    def look(self) -> int:
        """Make one check; returns how many turns it takes."""
        self.slow.look()
        turns = 1
        while self.loop.soon:
            self.loop.soon.pop()()
            turns += 1
        return turns

    def look_twice(self) -> None:
        """Check twice, one period apart."""
        self.look()
        self.loop.now += PERIOD_S
        self.look()


@pytest.fixture
def world() -> World:
    return World()


def exchange_of(connection: FakeConnection) -> FakeSlot:
    assert connection.exchange is not None
    return connection.exchange


def test_a_body_that_nobody_has_read(world: World) -> None:
    """What has come of a body counts, though it waits to be handled."""
    connection = world.connect()
    world.look()
    connection.waiting_bytes = int(PERIOD_S * LEAST_BYTES_PER_S)
    world.loop.now += PERIOD_S
    world.look()
    assert exchange_of(connection).errors == []
    world.loop.now += PERIOD_S
    world.look()
    assert len(exchange_of(connection).errors) == 1


def test_a_connection_that_fails(world: World) -> None:
    """The others are looked at nevertheless, and so they are at the next look."""
    for _ in range(3):
        world.connect().is_faulty = True
    slow = world.connect()
    world.look_twice()
    assert len(exchange_of(slow).errors) == 1
    assert world.loop.looks == 2


def test_a_body_that_is_too_slow(world: World) -> None:
    """A body that is too slow gets 408, is counted, and is logged."""
    connection = world.connect()
    world.look_twice()
    [error] = exchange_of(connection).errors
    assert error.status == 408
    assert world.meters.of_none.slow == {Slow.BODY: 1, Slow.ANSWER: 0}
    world.look()
    assert world.sink.events() == ["client.too_slow"]


def test_an_answer_that_is_taken_too_slowly(world: World) -> None:
    """An answer that is taken too slowly is cut; if all of it is written already, its connection
    ends."""
    connection = world.connect(pending_bytes=10, wants_body=False)
    world.shortage = CONNECTIONS
    rest = FakeConnection(None, pending_bytes=10)
    world.connections.add(rest)
    world.look_twice()
    assert (exchange_of(connection).cuts, rest.aborts) == (1, 1)
    assert world.meters.of_none.slow == {Slow.BODY: 0, Slow.ANSWER: 2}


def test_who_is_fast_enough_is_left_alone(world: World) -> None:
    """A client that is fast enough is left alone, in either direction."""
    body = world.connect()
    answer = world.connect(pending_bytes=10, wants_body=False)
    for _ in range(10):
        world.look()
        world.loop.now += 1
        exchange_of(body).body_come_bytes += LEAST_BYTES_PER_S
        exchange_of(answer).sent_bytes += LEAST_BYTES_PER_S
    assert (exchange_of(body).errors, exchange_of(answer).cuts) == ([], 0)


def test_an_answer_that_waits_on_disk(world: World) -> None:
    """It is looked at while the room on disk is short, as what is held in memory is."""
    world.shortage = ANSWERS
    held = world.connect(pending_bytes=5, wants_body=False)
    held.spooled_bytes = 5
    other = world.connect(pending_bytes=5, wants_body=False)
    world.look_twice()
    assert (exchange_of(held).cuts, exchange_of(other).cuts) == (1, 0)


def test_what_the_kernel_holds_is_not_taken(world: World) -> None:
    """It takes a megabyte at once, and then nothing for as long as a slow client needs for that."""
    steady = world.connect(pending_bytes=10, wants_body=False)
    feigned = world.connect(pending_bytes=10, wants_body=False)
    for each in (steady, feigned):
        each.untaken_bytes += 1_000_000
        exchange_of(each).sent_bytes += 1_000_000
    for _ in range(10):
        world.look()
        world.loop.now += 1
        steady.untaken_bytes -= LEAST_BYTES_PER_S
        for each in (steady, feigned):
            each.untaken_bytes += 50_000
            exchange_of(each).sent_bytes += 50_000
    assert (exchange_of(steady).cuts, exchange_of(feigned).cuts) == (0, 1)


@pytest.mark.parametrize(
    ("shortage", "changes"),
    [
        (NOTHING, {}),
        (SLOTS, {"holds_slot": False}),
        (MEMORY, {"is_gathering": False}),
        (CONNECTIONS, {"link": object()}),
        (SLOTS, {"link": object()}),
        (CONNECTIONS, {"is_event_stream": True}),
        (SLOTS, {"wants_body": False}),
        (PLACES, {"app_key": "blog"}),
        (PLACES, {"link": object()}),
        (PLACES, {"wants_body": False}),
    ],
)
def test_who_may_be_slow(world: World, shortage: Shortage, changes: dict[str, Any]) -> None:
    """Not cut off are clients that use nothing that is short, WebSockets, event streams, and
    clients that wait for the app."""
    world.shortage = shortage
    connection = world.connect(**changes)
    world.look_twice()
    assert exchange_of(connection).errors == []


@pytest.mark.parametrize(
    ("shortage", "changes"),
    [
        (CONNECTIONS, {"holds_slot": False}),
        (PLACES, {"holds_slot": False}),
        (MEMORY, {"is_gathering": True, "holds_slot": False}),
    ],
)
def test_who_takes_of_what_is_short(
    world: World, shortage: Shortage, changes: dict[str, Any]
) -> None:
    world.shortage = shortage
    connection = world.connect(**changes)
    world.look_twice()
    assert len(exchange_of(connection).errors) == 1


def test_a_held_answer_whose_worker_has_ended(world: World) -> None:
    """A held answer whose worker has ended is cut if memory for such is short; others that take as
    little are not."""
    world.shortage = ANSWERS
    held, other = world.connect(pending_bytes=5), world.connect(pending_bytes=5)
    held.exchange = other.exchange = None
    world.held.add(held)
    world.look_twice()
    assert (held.aborts, other.aborts) == (1, 0)


def test_a_shortage_that_has_passed_is_forgotten(world: World) -> None:
    """After a shortage has passed, the next one gives each client a new period."""
    connection = world.connect()
    world.look()
    world.shortage = NOTHING
    world.loop.now += PERIOD_S
    world.look()
    world.shortage = SLOTS
    world.look()
    assert exchange_of(connection).errors == []


def test_many_are_looked_at_in_turns(world: World) -> None:
    """Many clients are checked over several turns, and the next check starts after the last of
    them."""
    for _ in range(1000):
        world.connect()
    assert world.look() == 6
    assert world.loop.looks == 1


def test_the_log_has_one_line_for_many(world: World) -> None:
    """The log has at most one line every ten seconds, with how many there were."""
    for _ in range(3):
        world.connect()
    for _ in range(5):
        world.look()
        world.loop.now += PERIOD_S
    world.look()
    told = [record.fields for record in world.sink.records]
    assert [each["bodies"] for each in told] == [3, 6]
