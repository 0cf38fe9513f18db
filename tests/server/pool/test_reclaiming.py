"""Slow clients whose workers others wait for."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from buntime.core.errors import HttpError
from buntime.core.pool.reclaim import FIRST_S
from buntime.core.pool.room import HeldUp
from buntime.core.telemetry.meters import Meters, Slow
from buntime.server.pool.reclaiming import Reclaiming
from tests.support.fakes import FakeSink, make_log


class FakeLoop:
    """Time that a test moves, and the call that is due next."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.due: list[Callable[[], None]] = []

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        self.due.append(callback)

    def pass_on(self, seconds: float) -> None:
        self.now += seconds
        due, self.due = self.due, []
        for call in due:
            call()


class FakeClient:
    def __init__(self) -> None:
        self.untaken_bytes = 0
        self.spools = 0
        self.is_faulty = False

    def spool(self) -> None:
        self.spools += 1
        if self.is_faulty:
            raise ZeroDivisionError


class FakeSlot:
    """An exchange that has a worker, as far as it matters here."""

    def __init__(self, meters: Meters, **changes: Any) -> None:
        self.meter = meters.of_none
        self.link: object | None = None
        self.is_event_stream = False
        self.wants_body = False
        self.body_come_bytes = 0
        self.sent_bytes = 0
        self.client = FakeClient()
        self.responder: object | None = object()
        self.errors: list[HttpError] = []
        self.cuts = 0
        self.__dict__.update(changes)

    def fail(self, error: HttpError) -> None:
        self.responder = None
        self.errors.append(error)

    def cut(self) -> None:
        self.responder = None
        self.cuts += 1


class World:
    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.sink = FakeSink()
        self.meters = Meters()
        self.wanted = 1
        self.waited_s = 0.0
        self.scheduler = scheduler = SimpleNamespace(
            held_up=lambda now: HeldUp(self.wanted, self.waited_s),
            slots_taken=1,
            limits=SimpleNamespace(ephemeral_concurrency=4),
        )
        self.reclaiming = Reclaiming(
            cast(Any, self.loop), make_log(self.sink), cast(Any, scheduler)
        )

    def stall(self, exchange: FakeSlot, *, is_stalled: bool = True) -> FakeSlot:
        self.reclaiming.on_stalled(cast(Any, exchange), is_stalled=is_stalled)
        return exchange

    def begin(self, **changes: Any) -> FakeSlot:
        return self.stall(FakeSlot(self.meters, **changes))


@pytest.fixture
def world() -> World:
    return World()


def test_an_answer_that_nobody_takes(world: World) -> None:
    """It is cut, counted, and the log says so."""
    slow = world.begin()
    world.loop.pass_on(FIRST_S + 0.1)
    assert slow.cuts == 1
    assert world.meters.of_none.slow == {Slow.BODY: 0, Slow.ANSWER: 1}
    [record] = world.sink.records
    assert (record.event, record.fields["answers"]) == ("client.too_slow", 1)


def test_a_body_that_does_not_come(world: World) -> None:
    """408, because there is no answer yet."""
    slow = world.begin(wants_body=True)
    world.loop.pass_on(FIRST_S + 0.1)
    assert [error.status for error in slow.errors] == [408]
    assert world.meters.of_none.slow == {Slow.BODY: 1, Slow.ANSWER: 0}


def test_nobody_is_ended_while_nobody_waits(world: World) -> None:
    """But who has been slow all the time is ended as soon as somebody does."""
    world.wanted = 0
    slow = world.begin()
    for _ in range(10):
        world.loop.pass_on(1.0)
    assert slow.cuts == 0
    world.wanted = 1
    world.loop.pass_on(0.2)
    assert slow.cuts == 1


def test_a_look_that_fails(world: World) -> None:
    """The next look comes nevertheless."""
    slow = world.begin()
    slow.client.is_faulty = True
    with pytest.raises(ZeroDivisionError):
        world.loop.pass_on(0.2)
    slow.client.is_faulty = False
    world.loop.pass_on(FIRST_S)
    assert slow.cuts == 1


def test_what_the_client_has_taken_counts(world: World) -> None:
    """Not what the kernel has; and a body that comes counts as well."""
    steady, sends, feigned = world.begin(), world.begin(wants_body=True), world.begin()
    world.wanted = 3
    for _ in range(10):
        steady.sent_bytes += 40_000
        sends.body_come_bytes += 40_000
        feigned.sent_bytes += 40_000
        feigned.client.untaken_bytes += 40_000
        world.loop.pass_on(1.0)
    assert (steady.cuts, sends.errors, feigned.cuts) == (0, [], 1)


def test_the_pace_grows_while_others_wait(world: World) -> None:
    """No pace that a client keeps holds a worker for ever."""
    steady = world.begin()
    for waited_s in range(10):
        world.waited_s = float(waited_s)
        steady.sent_bytes += 4 * 32 * 1024
        world.loop.pass_on(1.0)
        assert steady.cuts == (waited_s > 6)  # what was taken before counts for a while


@pytest.mark.parametrize(("taken", "spools"), [(2, 0), (3, 1)])
def test_what_is_untaken_goes_to_disk_while_slots_are_few(
    world: World, taken: int, spools: int
) -> None:
    """At once, and at each look, since they may become few later; its worker can then go on."""
    world.wanted = 0
    world.scheduler.slots_taken = taken
    slow = world.begin()
    assert slow.client.spools == spools
    world.scheduler.slots_taken = 3
    world.loop.pass_on(0.2)
    assert slow.client.spools == spools + 1
    world.stall(slow, is_stalled=False)
    world.loop.pass_on(0.2)
    assert slow.client.spools == spools + 1


def test_what_is_untaken_goes_to_disk_where_others_lack_room(world: World) -> None:
    assert world.begin().client.spools == 1


@pytest.mark.parametrize("changes", [{"is_event_stream": True}, {"link": object()}])
def test_event_streams_and_websockets_may_be_slow(world: World, changes: dict[str, Any]) -> None:
    slow = world.begin(**changes)
    assert world.loop.due == []
    assert (slow.cuts, slow.client.spools) == (0, 0)


def test_who_goes_on_is_not_waited_for(world: World) -> None:
    slow = world.begin()
    world.loop.pass_on(0.2)
    world.stall(slow, is_stalled=False)
    world.loop.pass_on(60.0)
    assert slow.cuts == 0
    assert world.loop.due == []  # nothing to look at


def test_who_went_on_meanwhile_is_not_slow(world: World) -> None:
    """Otherwise a client whose answer is being moved to disk, piece by piece, would be, because it
    takes nothing itself."""
    slow = world.begin()
    for _ in range(20):
        world.loop.pass_on(0.2)
        world.stall(slow, is_stalled=False)
        world.stall(slow)
    assert slow.cuts == 0
    world.loop.pass_on(0.2)
    world.loop.pass_on(FIRST_S + 0.1)
    assert slow.cuts == 1


def test_a_request_that_is_over_is_forgotten(world: World) -> None:
    """Even where nobody said that its worker no longer waits."""
    slow = world.begin()
    slow.responder = None
    world.loop.pass_on(FIRST_S + 0.1)
    assert (slow.cuts, world.loop.due) == (0, [])
    assert repr(world.reclaiming) == "Reclaiming(Reclaim(0 have been waited for))"


def test_looks_go_on_until_all_is_told(world: World) -> None:
    """At most one line in ten seconds."""
    world.begin()
    world.loop.pass_on(FIRST_S + 0.1)
    world.begin()
    for _ in range(4):
        world.loop.pass_on(3.0)
    assert [each.fields["answers"] for each in world.sink.records] == [1, 1]
    assert world.loop.due == []
