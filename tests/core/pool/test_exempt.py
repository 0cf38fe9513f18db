"""Workers of plugins: outside the pool's size, and never ended to make room or for idleness."""

from __future__ import annotations

from buntime.core.pool.decisions import Adopt, End
from buntime.core.pool.workforce import AppState
from tests.core.pool.stage import Stage


def plugin(stage: Stage, name: str = "plugin", **changes: float) -> AppState:
    forever = float("inf")
    return stage.app(
        name, is_exempt=True, ttl_s=forever, idle_timeout_s=forever, prewarm=1, **changes
    )


def test_it_starts_in_a_full_pool_and_takes_no_room() -> None:
    """With every place of the pool taken, a plugin starts at once and ends no other worker."""
    stage = Stage(2)
    stage.boot(stage.app("a"), 1)
    stage.boot(stage.app("b"), 1)
    app = plugin(stage)
    assert app.loaded == 1
    assert stage.pool.size == 2


def test_it_leaves_the_pool_its_size() -> None:
    """A pool of two still has two app workers beside three plugins."""
    stage = Stage(2)
    for number in range(3):
        plugin(stage, f"plugin{number}")
    stage.boot(stage.app("a"), 1)
    stage.boot(stage.app("b"), 1)
    assert stage.pool.size == 2
    assert len(stage.pool.workers) == 5


def test_it_is_never_ended_for_others() -> None:
    """Neither an idle nor a busy plugin makes room for an app, however long it waits."""
    stage = Stage(1)
    idle, busy = plugin(stage, "idle"), plugin(stage, "busy")
    stage.pool.submit(busy, object(), stage.now)
    stage.boot(stage.app("a"), 1)
    late = stage.app("late")
    ends = [each for each in stage.pool.submit(late, object(), stage.now) if isinstance(each, End)]
    for _ in range(100):
        stage.now += 1
        ends += [each for each in stage.pool.tick(stage.now) if isinstance(each, End)]
    names = {stage.pool.workers[each.worker].app for each in ends}
    assert idle.serving == busy.serving == 1
    assert not {idle, busy} & names


def test_it_is_never_idle_for_too_long() -> None:
    """A plugin that has been idle for a year is still there."""
    stage = Stage(1)
    app = plugin(stage)
    stage.now += 365 * 86400
    assert stage.pool.tick(stage.now) == []
    assert app.serving == 1


def test_it_is_started_again() -> None:
    """When its worker has died another one starts, even without requests and in a full pool."""
    stage = Stage(1)
    stage.boot(stage.app("a"), 1)
    app = plugin(stage)
    [worker] = app.workers
    decisions = stage.pool.died(worker, stage.now)[0]
    for _ in range(10):
        stage.now += 0.5
        decisions += stage.pool.tick(stage.now)
    assert [each.app for each in decisions if isinstance(each, Adopt)] == [app]


def test_it_is_recycled_in_a_full_pool() -> None:
    """A plugin that was idle for long is replaced by a successor, not just ended."""
    stage = Stage(1)
    stage.boot(stage.app("a"), 1)
    app = plugin(stage)
    [old] = app.workers
    stage.now += 3600
    [adopt] = [each for each in stage.pool.recycle(old, stage.now) if isinstance(each, Adopt)]
    assert [each.worker for each in stage.pool.loaded(adopt.worker, 1, stage.now)] == [old]
    assert app.serving == 1
