"""Apps whose workers never overlap."""

from __future__ import annotations

from buntime.core.pool.decisions import Adopt, End
from buntime.core.pool.workforce import AppState
from tests.core.pool.stage import Stage


def single(stage: Stage, prewarm: int = 1) -> AppState:
    forever = float("inf")
    return stage.app(
        "one",
        is_exempt=True,
        is_single=True,
        ttl_s=forever,
        idle_timeout_s=forever,
        prewarm=prewarm,
    )


def test_it_is_replaced_when_it_has_gone() -> None:
    """A recycled worker is told to end at once; another one starts when its process is gone."""
    stage = Stage()
    app = single(stage)
    [old] = app.workers
    decisions = stage.pool.recycle(old, stage.now)
    for _ in range(20):
        stage.now += 0.5
        decisions += stage.pool.tick(stage.now)
    assert [type(each) for each in decisions] == [End]
    after, _ = stage.pool.died(old, stage.now)
    assert [each.app for each in after if isinstance(each, Adopt)] == [app]


def test_requests_wait_for_its_end() -> None:
    """A request that comes while the old worker ends waits, and starts only one new worker."""
    stage = Stage()
    app = single(stage)
    [old] = app.workers
    stage.pool.retire(old)
    assert not [e for e in stage.pool.submit(app, "r", stage.now) if isinstance(e, Adopt)]
    assert not [e for e in stage.pool.try_out(app, stage.now) if isinstance(e, Adopt)]
    after, _ = stage.pool.died(old, stage.now)
    assert len([each for each in after if isinstance(each, Adopt)]) == 1


def test_other_states_of_its_code_count() -> None:
    """New code starts when the last worker with the old code is gone."""
    stage = Stage()
    old = single(stage)
    [worker] = old.workers
    new = AppState("one", old.policy)
    new.kin = old.kin = {old, new}
    stage.pool.drop_app(old, stage.now, is_replaced=True)
    decisions = stage.pool.add_app(new, stage.now)
    stage.now += 0.5
    decisions += stage.pool.tick(stage.now)
    assert not [each for each in decisions if isinstance(each, Adopt)]
    after, _ = stage.pool.died(worker, stage.now)
    assert [each.app for each in after if isinstance(each, Adopt)] == [new]


def test_one_that_is_wanted_meanwhile() -> None:
    """New code that loads on demand starts then too, if it was requested meanwhile."""
    for is_wanted in (False, True):
        stage = Stage()
        old = single(stage, prewarm=0)
        stage.pool.try_out(old, stage.now)
        [worker] = old.workers
        stage.pool.loaded(worker, 1, stage.now)
        new = AppState("one", old.policy)
        new.kin = old.kin = {old, new}
        stage.pool.drop_app(old, stage.now, is_replaced=True)
        decisions = stage.pool.add_app(new, stage.now)
        if is_wanted:
            decisions += stage.pool.try_out(new, stage.now)
        assert not [each for each in decisions if isinstance(each, Adopt)]
        after, _ = stage.pool.died(worker, stage.now)
        assert [each.app for each in after if isinstance(each, Adopt)] == [new] * is_wanted
