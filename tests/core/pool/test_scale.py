"""The cost of a request does not depend on the number of workers and apps."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from buntime.core.pool import census
from buntime.core.pool.decisions import Assign
from tests.core.pool.stage import Stage

POOL = str(Path(census.__file__).parent)
FEW, MANY = 5, 500
FEW_APPS, MANY_APPS = 3, 3000


def lines_run(act: Callable[[], object]) -> int:
    """How many lines of the pool's code `act` runs: this shows searches, but not a slow machine."""
    count = 0

    def trace(frame: FrameType, event: str, arg: object) -> Callable[..., object] | None:
        nonlocal count
        if not frame.f_code.co_filename.startswith(POOL):
            return None  # such as a callback of the garbage collector
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)
    return count


def warm(workers: int) -> int:
    """One request, with all workers but one busy, and another one queued behind it."""
    stage = Stage()
    app = stage.app(workers=workers)
    first, *_ = stage.boot(app, workers)
    stage.pool.finished(first, stage.now)

    def act() -> None:
        (decision,) = stage.pool.submit(app, "r1", stage.now)
        assert isinstance(decision, Assign)
        assert stage.pool.submit(app, "r2", stage.now) == []
        assert stage.pool.finished(decision.worker, stage.now) == [Assign(decision.worker, "r2")]
        assert stage.pool.finished(decision.worker, stage.now) == []

    return lines_run(act)


def shared(workers: int) -> int:
    """One request, with all workers busy, and with room for more."""
    stage = Stage()
    app = stage.app(workers=workers)
    stage.boot(app, workers, capacity=8)

    def act() -> None:
        (decision,) = stage.pool.submit(app, "r", stage.now)
        assert isinstance(decision, Assign)
        stage.pool.finished(decision.worker, stage.now)

    return lines_run(act)


def ephemeral(workers: int) -> int:
    """One request of an ephemeral app while many others run."""
    stage = Stage()
    app = stage.app(ttl_s=0.0)
    for number in range(workers):
        stage.pool.submit(app, number, stage.now)

    def act() -> None:
        worker = stage.pool.submit(app, "r", stage.now)[-1].worker  # type: ignore[union-attr]
        stage.pool.up(worker)
        stage.pool.loaded(worker, 1, stage.now)
        stage.pool.finished(worker, stage.now)
        stage.pool.died(worker, stage.now)

    return lines_run(act)


def waits_for_a_slot(workers: int) -> int:
    """A slot becomes free while every app waits for one."""
    stage = Stage()
    running = stage.pool.submit(stage.app("running", ttl_s=0.0), "r", 0)[-1].worker  # type: ignore[union-attr]
    stage.pool.limits = stage.pool.limits._replace(ephemeral_concurrency=1)
    for number in range(workers):
        stage.pool.submit(stage.app(f"a{number}", ttl_s=0.0), number, stage.now)
    return lines_run(lambda: stage.pool.finished(running, stage.now))


def waits_for_room(workers: int) -> int:
    """A request of an app for which a full pool of busy workers has no room."""
    stage = Stage(pool_size=workers)
    for number in range(workers):
        stage.boot(stage.app(f"a{number}"), 1)
    late = stage.app("late")
    return lines_run(lambda: [stage.pool.submit(late, n, stage.now) for n in range(3)])


def evicts(workers: int) -> int:
    """A request for which another app's idle worker makes room."""
    stage = Stage(pool_size=workers)
    for number in range(workers):
        stage.idle_app(f"a{number}")

    def act() -> None:
        (end,) = stage.pool.submit(stage.app("late"), "r", stage.now)
        stage.pool.died(end.worker, stage.now)  # type: ignore[union-attr]

    return lines_run(act)


@pytest.mark.parametrize(
    "cost", [warm, shared, ephemeral, waits_for_a_slot, waits_for_room, evicts]
)
def test_many_workers_cost_a_request_nothing(cost: Callable[[int], int]) -> None:
    """Beside 500 workers a request runs as many lines of code as beside 5."""
    assert cost(MANY) == cost(FEW)


def idle_tick(apps: int, **changes: float) -> int:
    stage = Stage()
    for number in range(apps):
        stage.idle_app(f"a{number}", **changes)
    stage.pool.tick(1.0)  # the first one after a change may look at what has changed
    return lines_run(lambda: stage.pool.tick(1.5))


@pytest.mark.parametrize("changes", [{}, {"prewarm": 1}, {"workers": 4}])
def test_idle_apps_cost_a_tick_nothing(changes: dict[str, float]) -> None:
    """A tick runs as many lines beside 3,000 idle apps as beside 3."""
    assert idle_tick(MANY_APPS, **changes) == idle_tick(FEW_APPS, **changes)


def test_kept_workers_cost_a_tick_nothing() -> None:
    """A tick does not look at each worker that `prewarm` keeps beyond its idleTimeout."""

    def cost(apps: int) -> int:
        stage = Stage()
        for number in range(apps):
            stage.idle_app(f"a{number}", prewarm=1)
        assert stage.pool.tick(600.0) == []
        return lines_run(lambda: stage.pool.tick(600.5))

    assert cost(MANY_APPS) == cost(FEW_APPS)
