"""Which apps are served, in which state of their code, and what happens when that changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from buntime.core.errors import ManifestError
from buntime.core.pool.decisions import End
from buntime.core.pool.lifecycle import State
from buntime.core.telemetry.records import Level
from tests.support.apps import make_app
from tests.support.deployed import World

UNFIT_S = 60.0


@pytest.fixture
def world() -> World:
    return World()


# Requests


def test_an_app_is_deployed_once(world: World) -> None:
    """While nothing changes, each request gets the same deployment."""
    app = make_app()
    assert world.current(app) is world.current(app)
    assert world.deployments.served == {"shop": world.current(app)}


def test_another_app_of_the_same_key_takes_the_place(world: World) -> None:
    """The workers of the previous app finish what they have."""
    app = world.proven()
    old = world.current(app)
    new = make_app()
    assert world.current(new).app is new
    assert old.state.is_dropped
    assert [type(each) for each in world.decisions] == [End]
    assert "app.changed" in world.sink.events()


def test_an_unknown_interpreter_is_to_be_looked_at(world: World) -> None:
    """There is no deployment before the app's interpreter is known."""
    app = make_app()
    world.interpreters.unknown.add(app)
    assert world.deployments.current(app) is None
    world.interpreters.find(app)
    assert world.current(app).app is app


def test_an_unfit_interpreter_is_told(world: World) -> None:
    """A request for an app without an interpreter gets the reason."""
    app = make_app()
    world.interpreters.unfit[app] = ManifestError("no python")
    with pytest.raises(ManifestError, match="no python"):
        world.deployments.current(app)


def test_after_a_failed_boot_another_interpreter_counts(world: World) -> None:
    """The interpreter may have been the cause, so it is compared again for as long as boots
    fail."""
    app = make_app()
    before = world.current(app)
    world.interpreters.chosen[app] = world.interpreters.default._replace(executable="/other")
    assert world.current(app) is before
    before.state.boot_error = "no module named flask"
    assert world.current(app).interpreter.executable == "/other"


def test_in_development_a_changed_file_makes_a_new_deployment(tmp_path: Path) -> None:
    """In development the next request after a file has changed gets the new code."""
    world = World(is_development=True)
    (tmp_path / "app.py").write_text("1")
    app = make_app(folder=tmp_path)
    first = world.current(app)
    assert world.current(app) is first
    (tmp_path / "app.py").write_text("222")
    second = world.current(app)
    assert second is not first
    assert second.app is app


def test_a_dropped_app_is_forgotten_when_its_last_worker_has_gone(world: World) -> None:
    """A deployment that nobody serves or waits for takes no memory."""
    app = world.proven()
    old = world.current(app)
    world.current(make_app())
    assert world.deployments.of(old.state) is old
    world.scheduler.died(max(old.state.workers), world.loop.now)
    world.deployments.forget(old.state)
    assert world.deployments.of(old.state) is None
    assert world.deployments.of(None) is None


# prewarm


def test_prepare_starts_prewarmed_workers(world: World) -> None:
    """An app with `prewarm` has workers before its first request."""
    app = make_app(prewarm=1, ttl_s=60.0)
    world.deployments.prepare(app)
    world.loop.turn()
    assert world.adopted() == [app]


def test_prepare_starts_nothing_for_versions_nobody_asked_for(world: World) -> None:
    """`prewarm` applies to the active version only."""
    world.deployments.prepare(make_app(prewarm=1, ttl_s=60.0), is_active=False)
    assert world.loop.calls == []


def test_prepare_leaves_other_apps_alone(world: World) -> None:
    """Nothing is checked for an app without `prewarm`, nor for a static one."""
    world.deployments.prepare(make_app())
    world.deployments.prepare(make_app(entrypoint="index.html", prewarm=1))
    assert world.loop.calls == []


def test_a_request_that_came_first_has_prepared_the_app(world: World) -> None:
    """A deployment that a request created during the interpreter check is not replaced."""
    app = make_app(prewarm=1, ttl_s=60.0)
    world.deployments.prepare(app)
    first = world.current(app)
    world.loop.turn()
    assert world.current(app) is first


def test_an_app_that_cannot_be_prepared_is_told(world: World) -> None:
    """The log says which app cannot be prepared, and why."""
    app = make_app(prewarm=1)
    world.interpreters.unfit[app] = ManifestError("no python")
    world.deployments.prepare(app)
    world.loop.turn()
    assert world.sink.records[-1].fields == {"app": "shop", "error": "no python"}


# Changes that are tried first


def test_a_change_serves_once_it_is_loaded(world: World) -> None:
    """Until a change is loaded the old code serves, and a separate worker loads the change."""
    old, new = world.proven(), make_app(ttl_s=60.0)
    assert world.deployments.choose(new, old) is old
    assert world.adopted() == [new]
    tried = world.deployments.rollout.candidates["shop"]
    before = world.deployments.revision
    world.load(tried)
    assert world.deployments.revision != before
    assert world.deployments.is_proven(new)
    assert world.deployments.serving(new) is tried


def test_a_change_that_fails_is_told(world: World) -> None:
    """The log says that the change is not served, how often it has failed and when it is tried
    again."""
    old, new = world.proven(), make_app(ttl_s=60.0)
    world.deployments.choose(new, old)
    world.fail(world.deployments.rollout.candidates["shop"])
    record = world.sink.records[-1]
    assert record.level is Level.ERROR
    assert record.fields == {"app": "shop", "version": None, "failures": 1, "retry_s": 1.0}
    assert world.deployments.choose(new, old) is old
    assert world.adopted() == [new]  # the next boot is delayed longer
    world.loop.now += 1.0
    world.deployments.choose(new, old)
    assert world.adopted() == [new, new]


def test_a_newer_change_ends_the_trial_of_the_older(world: World) -> None:
    """Only the newest change is tried."""
    old, older, newer = world.proven(), make_app(), make_app()
    world.deployments.choose(older, old)
    tried = world.deployments.rollout.candidates["shop"]
    world.deployments.choose(newer, old)
    assert tried.state.is_dropped
    assert world.deployments.rollout.candidates["shop"].app is newer


def test_a_candidate_that_has_to_serve_is_not_made_twice(world: World) -> None:
    """If the old code's last worker goes, the candidate serves with what it has loaded."""
    old, new = world.proven(), make_app(ttl_s=60.0)
    world.deployments.choose(new, old)
    tried = world.deployments.rollout.candidates["shop"]
    assert world.current(new) is tried
    assert world.deployments.rollout.candidates == {}


def test_a_version_serves_with_the_one_before_it_as_its_fallback(world: World) -> None:
    """If no worker serves, the new version is started, with the previous one as its fallback."""
    old = world.proven("1.0.0")
    new = make_app(version="2.0.0", ttl_s=60.0)
    number = max(world.current(old).state.workers)
    world.scheduler.died(number, world.loop.now)
    assert world.deployments.choose(new, old) is new
    assert world.deployments.fallback(new, None) is old
    assert world.deployments.fallback(new, "1") is old
    assert world.deployments.fallback(new, "2") is None
    assert world.deployments.fallback(None, None) is None


# Changes with an unknown interpreter


def test_a_change_waits_for_its_interpreter(world: World) -> None:
    """The old code serves while the change's interpreter is looked up, once."""
    old, new = world.proven(), make_app()
    world.interpreters.unknown.add(new)
    assert world.deployments.choose(new, old) is old
    assert world.deployments.choose(new, old) is old
    assert len(world.loop.calls) == 1
    before = world.deployments.revision
    world.loop.turn()
    assert world.deployments.revision != before
    world.deployments.choose(new, old)
    assert world.adopted() == [new]


@pytest.mark.parametrize("is_known", [True, False])
def test_a_change_without_an_interpreter_is_set_aside(world: World, *, is_known: bool) -> None:
    """A missing interpreter is reported once, and looked up again after a minute."""
    old, new = world.proven(), make_app()
    world.interpreters.unfit[new] = ManifestError("no python")
    if not is_known:
        world.interpreters.unknown.add(new)
    world.deployments.choose(new, old)
    world.loop.turn()
    assert world.deployments.choose(new, old) is old
    assert world.sink.events(Level.ERROR) == ["app.change_start_failed"]
    world.loop.now += UNFIT_S
    world.interpreters.unfit.clear()
    world.deployments.choose(new, old)
    assert world.adopted() == [new]


def test_a_bug_in_the_look_is_no_fault_of_the_app(world: World) -> None:
    """An error other than ManifestError is a bug, and goes where the loop reports bugs."""
    old, new = world.proven(), make_app()
    world.interpreters.unknown.add(new)
    world.interpreters.unfit[new] = ZeroDivisionError()
    world.deployments.choose(new, old)
    with pytest.raises(ZeroDivisionError):
        world.loop.turn()


def test_nothing_is_tried_in_development(tmp_path: Path) -> None:
    """In development no app is ever proven, so the catalog never asks for the previous one."""
    world = World(is_development=True)
    app = make_app(folder=tmp_path)
    world.load(world.current(app))
    assert not world.deployments.is_proven(app)


@pytest.mark.parametrize(
    ("is_development", "replace", "seconds"),
    [(False, "beside", 3600.0), (True, "beside", 0.0), (False, "after", 0.0)],
)
def test_where_sessions_outlive_a_change(
    is_development: bool, replace: str, seconds: float
) -> None:
    """Sessions do not outlive a change in development, where the developer's browser has the cookie
    too and should get the new code; nor if an app must run alone."""
    world = World(is_development=is_development)
    deployment = world.current(make_app(ttl_s=60.0, affinity="cookie", replace=replace))
    assert deployment.state.policy.affinity_s == seconds


def test_no_session_outlives_its_app() -> None:
    """If nothing replaces its app, a worker that has had clients ends."""
    world = World()
    app = world.proven(ttl_s=60.0, affinity="cookie")
    deployment = world.current(app)
    [number] = deployment.state.workers
    world.scheduler.submit(deployment.state, "r", 0.0)
    world.scheduler.finished(number, 0.0)
    world.deployments.take_off(deployment)
    assert world.scheduler.workers[number].state is State.ENDING
