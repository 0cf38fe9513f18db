"""Room in a full pool whose workers take long to end."""

from __future__ import annotations

import pytest

from buntime.core.pool.decisions import Adopt, Assign, Decision, End
from buntime.core.pool.workforce import AppState
from tests.core.pool.stage import Stage


class Full(Stage):
    """A pool with one idle worker each for so many apps, and apps that want another worker."""

    def __init__(self, pool_size: int) -> None:
        super().__init__(pool_size)
        for number in range(pool_size):
            self.now += 1
            self.idle_app(f"idle{number}")

    def ask(self, app: AppState) -> list[Decision]:
        return self.pool.submit(app, object(), self.now)

    def ended(self, decisions: list[Decision]) -> list[int]:
        """The workers that are told to end, and will take long."""
        return [each.worker for each in decisions if isinstance(each, End)]

    def later(self, worker: int) -> list[Decision]:
        """A moment later the worker is still there."""
        return self.pool.overdue(worker, self.now)


def test_a_moment_later_a_worker_makes_room() -> None:
    """The app for which it was to end gets an additional worker."""
    stage = Full(2)
    [worker] = stage.ended(stage.ask(stage.app("new")))
    assert [type(each) for each in stage.later(worker)][-1] is Adopt
    assert stage.pool.size == 3


def test_it_makes_room_once() -> None:
    """When it has gone at last, it does not make room a second time."""
    stage = Full(2)
    [worker] = stage.ended(stage.ask(stage.app("new")))
    stage.later(worker)
    assert stage.later(worker) == []
    assert stage.pool.died(worker, stage.now)[0] == []
    assert stage.pool.size == 2


def test_processes_are_bounded() -> None:
    """Beyond a few additional workers, further idle ones are told to end, but not all of them."""
    stage = Full(8)  # two additional ones are allowed
    waiting = [stage.app(f"new{number}") for number in range(4)]
    late = [worker for app in waiting for worker in stage.ended(stage.ask(app))]
    assert len(late) == 4
    for worker in late:
        late += stage.ended(stage.later(worker))
    assert stage.pool.size == 10
    assert sum(bool(app.queue) for app in waiting) == 4  # the other two are loading
    assert [bool(app.loading) for app in waiting] == [True, True, False, False]
    assert 4 < len(late) <= 7
    gone = [stage.pool.died(worker, stage.now)[0] for worker in late[:4]]
    assert [bool(app.loading) for app in waiting] == [True] * 4, gone


def test_a_worker_that_ends_in_a_moment_counts_till_then() -> None:
    """While workers end in time, there are never more processes than the pool's size."""
    stage = Full(2)
    [worker] = stage.ended(stage.ask(stage.app("new")))
    assert stage.ask(stage.app("newer")) != []  # ends the other one
    assert stage.pool.size == 2
    assert [type(each) for each in stage.pool.died(worker, stage.now)[0]][-1] is Adopt
    assert stage.pool.size == 2


def once(stage: Stage, app: AppState, *, is_overdue: bool) -> int | None:
    """Send a request of an app with a worker per request, which is told to end after it."""
    decisions = stage.pool.submit(app, object(), stage.now)
    worker = next((each.worker for each in decisions if isinstance(each, Assign)), None)
    if worker is not None:
        stage.pool.loaded(worker, 1, stage.now)
        stage.pool.finished(worker, stage.now)
        if is_overdue:
            stage.pool.overdue(worker, stage.now)
    return worker


@pytest.mark.parametrize("is_overdue", [True, False], ids=["a moment later", "at once"])
def test_an_app_whose_workers_do_not_end_leaves_room_to_others(is_overdue: bool) -> None:
    """It waits for its own workers and ends no others; its next request then goes on."""
    stage = Stage(pool_size=8)
    hog = stage.app("hog", ttl_s=0.0)
    late = []
    while (worker := once(stage, hog, is_overdue=is_overdue)) is not None:
        late.append(worker)
    assert len(late) == 5  # more than half
    assert not stage.pool._room.line
    decisions = stage.pool.submit(stage.app("other"), "r", stage.now)
    assert [type(each) for each in decisions][-1] is Adopt
    decisions, _ = stage.pool.died(late[0], stage.now)
    assert [type(each) for each in decisions][-1] is Assign


def test_who_has_ended_already_is_not_overdue() -> None:
    """A worker that still serves is not overdue."""
    stage = Stage(pool_size=2)
    [worker] = stage.boot(stage.app("a"), 1)
    assert stage.pool.overdue(worker, stage.now) == []
    assert not stage.worker(worker).is_overdue


def test_programs_take_room() -> None:
    """A program of an app takes the room of a worker, and gives it back when it ends."""
    stage = Full(1)
    numbers = {stage.pool.program_begins(), stage.pool.program_begins()}
    assert len(numbers | set(stage.pool.workers)) == 3
    app = stage.app("new")
    [worker] = stage.ended(stage.ask(app))
    stage.pool.program_ended(stage.now)
    assert stage.pool.died(worker, stage.now)[0] == []
    assert [type(each) for each in stage.pool.program_ended(stage.now)][-1] is Adopt
