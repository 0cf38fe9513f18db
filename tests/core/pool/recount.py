"""The census, recounted by a search over all workers."""

from collections import Counter
from collections.abc import Hashable

from buntime.core.pool.census import Census
from buntime.core.pool.lifecycle import State
from buntime.core.pool.scheduler import Scheduler
from buntime.core.pool.workforce import BUSY_SHARE, HAS_LEFT, TAKES_WORK, AppState, WorkerState


def check_census(pool: Scheduler) -> None:
    """Assert that what is counted and listed is what a search finds."""
    census = pool._census
    workers = list(census.workers.values())
    by_state = Counter(worker.state for worker in workers)
    exempt = [worker for worker in workers if worker.app is not None and worker.app.is_exempt]
    counted = [worker for worker in workers if worker not in exempt]
    assert census.size == len(counted) - by_state[State.SPARE]
    assert census.booting == sum(worker.is_booting() for worker in workers)
    assert census.once == by_state[State.ONCE]
    assert census.stalled == sum(w.is_stalled and w.state is State.ONCE for w in workers)
    overdue = sum(worker.is_overdue for worker in counted)
    ending = sum(worker.state is State.ENDING for worker in counted)
    assert (census.ending, census.overdue) == (ending - overdue, overdue)
    assert all(worker.state is State.ENDING for worker in workers if worker.is_overdue)
    _check_spares(census, workers)
    _check_order(census, workers)
    apps: dict[AppState, list[WorkerState]] = {}
    for worker in workers:
        if worker.app is not None:
            apps.setdefault(worker.app, []).append(worker)
    for app, its in apps.items():
        _check_app(app, its)
    ranked = {(n, app) for n, ranked in census.by_serving.items() for app in ranked}
    assert ranked == {(app.serving, app) for app in apps if app.serving > 1 and not app.is_exempt}


def _check_spares(census: Census, workers: list[WorkerState]) -> None:
    spares: dict[Hashable, list[WorkerState]] = {}
    for worker in workers:
        if worker.state is State.SPARE:
            spares.setdefault(worker.spare_key, []).append(worker)
    assert {key: list(each) for key, each in census.spares.items()} == spares


def _check_order(census: Census, workers: list[WorkerState]) -> None:
    """Check who is idle and who is older, and the order of both."""
    idle = [w for line in census.idle_lines.values() for w in (*line.kept, *line.fresh)]
    assert not any(w.app.is_exempt for w in idle if w.app is not None)
    idle += census.idle_exempt
    assert sorted(w.id for w in idle) == [w.id for w in workers if w.state is State.IDLE]
    for line in census.idle_lines.values():
        since = [w.idle_since_s for w in (*line.kept, *line.fresh)]
        assert since == sorted(since)
    staying = [w for each in census.by_ttl.values() for w in each]
    assert sorted(w.id for w in staying) == [
        w.id for w in workers if w.app is not None and w.state not in HAS_LEFT
    ]
    for each in census.by_ttl.values():
        assert [w.born_s for w in each] == sorted(w.born_s for w in each)


def _check_app(app: AppState, workers: list[WorkerState]) -> None:
    assert list(app.workers.values()) == workers or set(app.workers.values()) == set(workers)
    staying = [worker for worker in workers if worker.state not in HAS_LEFT]
    assert app.serving == len(staying)
    assert app.ending == sum(worker.state is State.ENDING for worker in workers)
    assert app.leaving == sum(worker.is_leaving for worker in staying)
    assert app.loading == sum(worker.state is State.LOADING for worker in workers)
    assert app.loaded == sum(worker.boot.is_loaded for worker in workers)
    used = [worker for worker in workers if worker.is_used()]
    assert set(app.idle) == {worker for worker in used if worker.state is State.IDLE}
    assert set(app.open) == {worker for worker in used if worker.can_take()}
    assert set(app.resting) == {worker for worker in workers if worker.is_resting}
    assert all(worker.state in TAKES_WORK for worker in app.resting)
    assert set(app.idle_resting) == {w for w in app.resting if w.state is State.IDLE}
    assert app.used == len(used)
    assert app.busy == sum(worker.busy_share >= BUSY_SHARE for worker in used)
    assert all(app.open[worker.place] is worker for worker in app.open)
    assert all(worker.state in TAKES_WORK for worker in app.open)
