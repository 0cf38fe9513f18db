"""What a request costs does not depend on how many workers and apps there are."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from buntime.core.pool import census
from buntime.core.pool.decisions import Adopt, Assign
from buntime.core.pool.scheduler import Scheduler
from buntime.core.pool.workforce import AppState, Policy, PoolLimits

POOL = str(Path(census.__file__).parent)
FEW, MANY = 5, 500
FEW_APPS, MANY_APPS = 3, 3000


def lines_run(act: Callable[[], object]) -> int:
    """How many lines of the pool's code run in `act`: a search shows, a slow machine does not."""
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


class Site:
    """A pool with workers in it, on a clock that stands still."""

    def __init__(self, pool_size: int = 10_000) -> None:
        limits = PoolLimits(
            pool_size=pool_size,
            ephemeral_concurrency=MANY + 1,
            ephemeral_queue_limit=10,
            queue_limit=10,
            spare_workers=0,
            boots_at_once=10_000,
        )
        self.pool = Scheduler(limits, jitter=lambda: 0.5)
        self.now = 0.0

    def app(self, name: str = "a", **changes: float) -> AppState:
        values = {
            "spare_key": "python",
            "ttl_s": 1000.0,
            "idle_timeout_s": 500.0,
            "max_requests": 1000,
            "workers": 1,
            "prewarm": 0,
            "timeout_s": 30.0,
        }
        app = AppState(name, Policy(**{**values, **changes}))  # type: ignore[arg-type]  # as above
        for each in self.pool.add_app(app, self.now):
            if isinstance(each, Adopt):
                self.pool.loaded(each.worker, 1, self.now)
        return app

    def idle_app(self, name: str, **changes: float) -> None:
        """An app with a worker that has had a request."""
        app = self.app(name, **changes)
        decisions = self.pool.submit(app, name, self.now)
        worker = decisions[-1].worker  # type: ignore[union-attr]  # Assign, or Adopt
        if app.queue:
            self.pool.loaded(worker, 1, self.now)
        self.pool.finished(worker, self.now)

    def boot(self, app: AppState, number: int, capacity: int = 1) -> list[int]:
        """So many busy workers, each with a request in hand."""
        workers = []
        for _ in range(number):
            decisions = self.pool.submit(app, object(), self.now)
            worker = next(each.worker for each in decisions if isinstance(each, Adopt))
            self.pool.loaded(worker, 1, self.now)
            workers.append(worker)
        for worker in workers:
            self.pool.finished(worker, self.now)
            self.pool.workers[worker].capacity = capacity
            self.pool.submit(app, object(), self.now)
        return workers


def warm(workers: int) -> int:
    """One request, with all workers but one busy, and one in the queue behind it."""
    site = Site()
    app = site.app(workers=workers)
    first, *_ = site.boot(app, workers)
    site.pool.finished(first, site.now)

    def act() -> None:
        (decision,) = site.pool.submit(app, "r1", site.now)
        assert isinstance(decision, Assign)
        assert site.pool.submit(app, "r2", site.now) == []
        assert site.pool.finished(decision.worker, site.now) == [Assign(decision.worker, "r2")]
        assert site.pool.finished(decision.worker, site.now) == []

    return lines_run(act)


def shared(workers: int) -> int:
    """One request, with all workers busy, and with room for more."""
    site = Site()
    app = site.app(workers=workers)
    site.boot(app, workers, capacity=8)

    def act() -> None:
        (decision,) = site.pool.submit(app, "r", site.now)
        assert isinstance(decision, Assign)
        site.pool.finished(decision.worker, site.now)

    return lines_run(act)


def ephemeral(workers: int) -> int:
    """One request of an ephemeral app while many others run."""
    site = Site()
    app = site.app(ttl_s=0.0)
    for number in range(workers):
        site.pool.submit(app, number, site.now)

    def act() -> None:
        worker = site.pool.submit(app, "r", site.now)[-1].worker  # type: ignore[union-attr]
        site.pool.up(worker, site.now)
        site.pool.loaded(worker, 1, site.now)
        site.pool.finished(worker, site.now)
        site.pool.died(worker, site.now)

    return lines_run(act)


def waits_for_a_slot(workers: int) -> int:
    """A slot becomes free while every app waits for one."""
    site = Site()
    running = site.pool.submit(site.app("running", ttl_s=0.0), "r", 0)[-1].worker  # type: ignore[union-attr]
    site.pool.limits = site.pool.limits._replace(ephemeral_concurrency=1)
    for number in range(workers):
        site.pool.submit(site.app(f"a{number}", ttl_s=0.0), number, site.now)
    return lines_run(lambda: site.pool.finished(running, site.now))


def waits_for_room(workers: int) -> int:
    """A request of an app for which there is no room, in a full pool of busy workers."""
    site = Site(pool_size=workers)
    for number in range(workers):
        site.boot(site.app(f"a{number}"), 1)
    late = site.app("late")
    return lines_run(lambda: [site.pool.submit(late, n, site.now) for n in range(3)])


def evicts(workers: int) -> int:
    """A request that another app's idle worker makes room for."""
    site = Site(pool_size=workers)
    for number in range(workers):
        site.idle_app(f"a{number}")

    def act() -> None:
        (end,) = site.pool.submit(site.app("late"), "r", site.now)
        site.pool.died(end.worker, site.now)  # type: ignore[union-attr]

    return lines_run(act)


@pytest.mark.parametrize(
    "cost", [warm, shared, ephemeral, waits_for_a_slot, waits_for_room, evicts]
)
def test_many_workers_cost_a_request_nothing(cost: Callable[[int], int]) -> None:
    """Beside 500 workers a request runs as many lines of code as beside 5."""
    assert cost(MANY) == cost(FEW)


def idle_tick(apps: int, **changes: float) -> int:
    site = Site()
    for number in range(apps):
        site.idle_app(f"a{number}", **changes)
    site.pool.tick(1.0)  # the first one after a change may look at what has changed
    return lines_run(lambda: site.pool.tick(1.5))


@pytest.mark.parametrize("changes", [{}, {"prewarm": 1}, {"workers": 4}])
def test_idle_apps_cost_a_tick_nothing(changes: dict[str, float]) -> None:
    """The tick runs as many lines beside 3,000 idle apps as beside 3."""
    assert idle_tick(MANY_APPS, **changes) == idle_tick(FEW_APPS, **changes)


def test_kept_workers_cost_a_tick_nothing() -> None:
    """Workers that `prewarm` keeps beyond their idleTimeout are not looked at each time."""

    def cost(apps: int) -> int:
        site = Site()
        for number in range(apps):
            site.idle_app(f"a{number}", prewarm=1)
        assert site.pool.tick(600.0) == []
        return lines_run(lambda: site.pool.tick(600.5))

    assert cost(MANY_APPS) == cost(FEW_APPS)
