"""Requests that go to the worker with their client's session."""

from __future__ import annotations

from itertools import pairwise

import pytest

from buntime.core.pool.decisions import Adopt, Assign, Decision, End, GiveBack, Refuse
from buntime.core.pool.lifecycle import State
from buntime.core.pool.workforce import AppState
from tests.core.pool.stage import Stage

KEEPS_S = 100.0
IDLE_S = 50.0


class Visited(Stage):
    """An app whose workers take two requests at a time, and have answered clients."""

    def __init__(self, workers: int = 1, pool_size: int = 100, **changes: float) -> None:
        super().__init__(pool_size)
        policy = {"affinity_s": KEEPS_S, "idle_timeout_s": IDLE_S, "workers": workers, **changes}
        self.shop = self.app("shop", **policy)
        self.policy = policy
        self.numbers = self.boot(self.shop, workers, capacity=2)
        for number in self.numbers:
            self.finish(number)

    def come_back(self, number: int, ticket: str, app: AppState | None = None) -> list[Decision]:
        """A client of this worker sends another request."""
        found = self.pool.keeps_session(number, app or self.shop, self.now)
        assert found is self.worker(number).app
        return self.pool.submit_to(number, ticket, self.now)

    def is_kept(self, number: int, app: AppState | None = None) -> bool:
        return self.pool.keeps_session(number, app or self.shop, self.now) is not None

    def replace(self, number: int) -> int:
        """Another worker takes the place of this one, which stays."""
        decisions = self.pool.recycle(number, self.now)
        new = next(each.worker for each in decisions if isinstance(each, Adopt))
        assert self.pool.loaded(new, 2, self.now) == []
        return new

    def answer(self, number: int) -> None:
        """The worker answers a client."""
        self.pool.submit_to(number, object(), self.now)
        self.finish(number)

    def deploy(self) -> tuple[AppState, list[Decision]]:
        """New code serves, and the old one is dropped."""
        new = self.app("shop", **self.policy)
        return new, self.pool.drop_app(self.shop, self.now, is_replaced=True)

    def pass_time(self, seconds: float) -> list[Decision]:
        self.now += seconds
        return self.pool.tick(self.now)


def ended(decisions: list[Decision]) -> list[int]:
    return [each.worker for each in decisions if isinstance(each, End)]


def test_a_client_comes_back_to_its_worker() -> None:
    """A client comes back to its worker, whichever one a new client would get."""
    stage = Visited(workers=2)
    for number in stage.numbers:
        assert stage.come_back(number, "again") == [Assign(number, "again")]


def test_it_waits_for_its_worker() -> None:
    """It waits for its worker, even if another is idle, and is served when a request ends."""
    stage = Visited(workers=2)
    one, other = stage.numbers
    for ticket in ("r1", "r2"):
        assert stage.come_back(one, ticket) == [Assign(one, ticket)]
    assert stage.come_back(one, "r3") == []
    assert stage.pool.submit(stage.shop, "new", stage.now) == [Assign(other, "new")]
    assert stage.pool.finished(one, stage.now) == [Assign(one, "r3")]


def test_a_place_goes_by_turns() -> None:
    """Requests for this worker and requests for any worker take turns, so neither starves."""
    stage = Visited()
    [one] = stage.numbers
    for ticket in ("r1", "r2", "own1", "own2", "own3"):
        stage.come_back(one, ticket)
    for ticket in ("any1", "any2", "any3"):
        stage.pool.submit(stage.shop, ticket, stage.now)
    given = [stage.pool.finished(one, stage.now) for _ in range(6)]
    tickets = [each.ticket for [each] in given if isinstance(each, Assign)]
    assert sorted(map(str, tickets)) == ["any1", "any2", "any3", "own1", "own2", "own3"]
    assert all(str(a)[:3] != str(b)[:3] for a, b in pairwise(tickets))


def test_one_that_is_replaced_stays() -> None:
    """A replaced worker stays for its own clients only, until they are idle."""
    stage = Visited()
    [old] = stage.numbers
    new = next(e.worker for e in stage.pool.recycle(old, stage.now) if isinstance(e, Adopt))
    assert stage.pool.loaded(new, 2, stage.now) == []
    assert stage.worker(old).state is State.KEEPING
    for number in range(2):
        assert stage.pool.submit(stage.shop, number, stage.now) == [Assign(new, number)]
    assert stage.pool.submit(stage.shop, "waits", stage.now) == []
    assert stage.come_back(old, "own") == [Assign(old, "own")]
    assert ended(stage.pass_time(IDLE_S)) == []
    assert stage.pool.finished(old, stage.now) == []
    assert ended(stage.pass_time(IDLE_S - 1)) == []
    assert ended(stage.pass_time(1)) == [old]
    assert not stage.is_kept(old)


def test_it_stays_over_a_deploy_for_a_while() -> None:
    """A client that is never idle keeps the old code up to the limit; then its worker retires."""
    stage = Visited()
    [old] = stage.numbers
    new, decisions = stage.deploy()
    assert ended(decisions) == []
    stage.come_back(old, "socket", new)
    stage.pool.opened(old, stage.now)
    assert ended(stage.pass_time(KEEPS_S - 1)) == []
    assert stage.is_kept(old, new)
    assert stage.pass_time(1) == []
    assert stage.worker(old).state is State.RETIRING
    assert not stage.is_kept(old, new)
    assert ended(stage.pool.finished(old, stage.now, was_open_ended=True)) == [old]


def test_it_stays_for_sockets_where_nobody_asks() -> None:
    """If the app had no request for long there is no replacement. A client's next request, such
    as an upload beside its WebSocket, still finds its worker."""
    stage = Visited(ttl_s=200.0)
    [old] = stage.numbers
    stage.come_back(old, "socket")
    stage.pool.opened(old, stage.now)
    assert stage.pass_time(200) == []
    assert stage.worker(old).state is State.KEEPING
    assert stage.come_back(old, "upload") == [Assign(old, "upload")]


@pytest.mark.parametrize("how", ["dies", "is stuck", "has had its time", "is recycled"])
def test_who_waits_for_one_that_goes_is_given_back(how: str) -> None:
    """The server submits it to the code that serves now, which may be newer."""
    stage = Visited()
    [old] = stage.numbers
    new, _ = stage.deploy()
    for ticket in ("r1", "r2", "waits"):
        stage.come_back(old, ticket, new)
    assert stage.shop.queued() == 1
    match how:
        case "dies":
            decisions, _ = stage.pool.died(old, stage.now)
        case "is stuck":
            decisions = stage.pool.give_up(old, stage.now)
        case "is recycled":
            decisions = stage.pool.recycle(old, stage.now)
        case _:
            decisions = stage.pass_time(KEEPS_S)
    assert decisions == [GiveBack("waits")]
    assert stage.shop.queued() == 0
    assert not stage.pool.withdraw(stage.shop, "waits")


def test_an_older_version_that_serves_is_left_in_time() -> None:
    """Its earlier clients keep it for as long as if it had been replaced."""
    stage = Visited()
    [old] = stage.numbers
    newer = stage.app("shop@2", **stage.policy)
    assert stage.is_kept(old, newer)
    stage.now += KEEPS_S
    assert not stage.is_kept(old, newer)
    assert stage.is_kept(old)  # for requests that name its own version


def test_no_more_stay_than_workers_may_be() -> None:
    """The one that has stayed longest ends, so that busy clients cannot fill the pool."""
    stage = Visited(workers=2)
    old, young = stage.numbers
    last = stage.replace(young)
    stage.replace(old)
    stage.answer(last)
    decisions = stage.pool.recycle(last, stage.now)
    new = next(each.worker for each in decisions if isinstance(each, Adopt))
    assert ended(stage.pool.loaded(new, 2, stage.now)) == [young]


def test_one_that_stays_does_so_over_a_deploy() -> None:
    """A worker that was replaced before the deploy stays; one without clients ends."""
    stage = Visited(workers=2)
    first, second = stage.numbers
    fresh = stage.replace(first)
    new, decisions = stage.deploy()
    assert ended(decisions) == [fresh]
    assert stage.is_kept(first, new)
    assert stage.is_kept(second, new)


@pytest.mark.parametrize("is_busy", [False, True])
def test_it_makes_room(is_busy: bool) -> None:
    """In a full pool it ends first, before workers that serve."""
    stage = Visited(pool_size=2)
    [old] = stage.numbers
    stage.deploy()
    if is_busy:
        stage.come_back(old, "own")
    stage.idle_app("other") if not is_busy else stage.boot(stage.app("other"), 1)
    decisions = stage.pool.submit(stage.app("third"), "r", stage.now)
    if is_busy:
        decisions = stage.pool.finished(old, stage.now)
    assert ended(decisions) == [old]


def test_it_sleeps_with_its_app() -> None:
    """It ends when its app sleeps, unless it has a request."""
    stage = Visited(workers=2)
    first, second = stage.numbers
    stage.deploy()
    stage.come_back(first, "r")
    assert stage.pool.sleep(stage.shop) == [End(second, was_idle=True)]


def test_none_stays_where_nothing_takes_its_place() -> None:
    """None stays if the app's folder is gone, so that nothing takes its place."""
    stage = Visited(workers=2)
    first, second = stage.numbers
    fresh = stage.replace(first)
    decisions = stage.pool.drop_app(stage.shop, stage.now, is_replaced=False)
    assert sorted(ended(decisions)) == [first, second, fresh]


def test_one_without_clients_does_not_stay() -> None:
    """A worker without clients has no sessions, so it does not stay."""
    stage = Stage()
    app = stage.app("new", prewarm=1, affinity_s=KEEPS_S)
    [number] = app.workers
    assert ended(stage.pool.drop_app(app, stage.now, is_replaced=True)) == [number]


def test_none_stays_at_the_close() -> None:
    """None stays at the close, not even one that had stayed before."""
    stage = Visited(workers=2)
    first, second = stage.numbers
    stage.deploy()
    assert sorted(ended(stage.pool.close())) == [first, second]


def test_its_queue_is_bounded() -> None:
    """Requests beyond the limit are refused; one that leaves makes room."""
    stage = Visited()
    [one] = stage.numbers
    for number in range(12):
        stage.come_back(one, f"r{number}")
    assert [type(each) for each in stage.come_back(one, "more")] == [Refuse]
    assert stage.pool.withdraw(stage.shop, "r5")
    assert not stage.pool.withdraw(stage.shop, "r5")
    assert stage.come_back(one, "last") == []
    stage.pool.put_last(stage.shop, "r2")
    assert stage.pool.finished(one, stage.now) == [Assign(one, "r3")]


def test_without_affinity_none_stays() -> None:
    """Without affinity none stays, neither over a deploy nor for a client that names it."""
    stage = Visited(affinity_s=0)
    [old] = stage.numbers
    new = stage.app("shop")
    assert not stage.is_kept(old, new)
    assert ended(stage.pool.drop_app(stage.shop, stage.now, is_replaced=True)) == [old]
    assert not stage.is_kept(99)


def test_one_that_makes_room_is_told_to_end_once() -> None:
    """A worker ends only once, even if its own requests, others and an app without room all
    wait."""
    stage = Visited(workers=2, pool_size=3)
    first, second = stage.numbers
    stage.replace(first)
    stage.pool.recycle(second, stage.now)  # a full pool has no room for another one
    assert [stage.worker(number).state for number in stage.numbers] == [State.KEEPING] * 2
    stage.worker(second).capacity = 1
    stage.come_back(first, "r")
    for number in range(3):
        stage.come_back(second, f"own{number}")
        stage.pool.submit(stage.shop, f"any{number}", stage.now)
    assert stage.worker(first).state is State.RETIRING  # for the request that waits for any worker
    decisions = [each for _ in range(3) for each in stage.pool.finished(second, stage.now)]
    assert [each.ticket for each in decisions if isinstance(each, Assign)] == ["own1", "own2"]
    assert ended(decisions) == [second]
