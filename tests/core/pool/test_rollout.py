"""Which state of an app's code serves, and which change is tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from buntime.core.apps.app import App
from buntime.core.pool.rollout import Choice, Placement, Rollout, is_meant
from tests.support.apps import make_app


@dataclass(eq=False)
class Deployed:
    """A deployment, as far as the rollout needs it."""

    app: App
    workers: int = 0
    has_failed: bool = False
    fallback: App | None = None

    def has_workers(self) -> bool:
        return self.workers > 0


class World:
    """A rollout with an app that serves and has loaded."""

    def __init__(self, version: str | None = None, *, workers: int = 1, **manifest: Any) -> None:
        self.rollout: Rollout[Deployed] = Rollout()
        self.proven = make_app(version=version, **{"ttl_s": 60.0, **manifest})
        self.first = Deployed(self.proven, workers)
        self.rollout.serve(self.first)
        self.rollout.loaded(self.first)

    def choose(self, new: App) -> Choice:
        return self.rollout.choose(new, self.proven)


def test_what_was_loaded_is_proven() -> None:
    """An app is proven by the first worker that loads it, and stays so whatever fails later."""
    world = World()
    assert world.rollout.is_proven(world.proven)
    world.rollout.failed(world.first)
    assert world.rollout.is_proven(world.proven)
    assert not world.rollout.is_proven(make_app())


def test_a_static_app_needs_no_trial() -> None:
    """A static site has nothing to load, so it is proven from the start."""
    rollout: Rollout[Deployed] = Rollout()
    assert rollout.is_proven(make_app(entrypoint="index.html"))


def test_a_change_of_a_static_app_serves_at_once() -> None:
    """A static app has no worker that could go on serving, so its change serves at once."""
    rollout: Rollout[Deployed] = Rollout()
    new = make_app()
    assert rollout.choose(new, make_app(entrypoint="index.html")) == Choice(new)


# The same key: the code in a folder has changed


def test_a_change_is_tried_beside_what_serves() -> None:
    """While workers have the old code loaded, they serve and the new code is tried."""
    world = World()
    assert world.choose(make_app()) == Choice(world.proven, Placement.BESIDE)


def test_a_change_serves_where_nobody_has_the_old_code() -> None:
    """If no worker has the old code, which is gone from the folder, the new code serves."""
    world = World(workers=0)
    new = make_app()
    assert world.choose(new) == Choice(new)


def test_a_change_serves_where_another_state_has_taken_the_place() -> None:
    """Workers with a third state of the code do not count as workers of the old one."""
    world = World()
    world.rollout.serve(Deployed(make_app(), workers=1))
    new = make_app()
    assert world.choose(new) == Choice(new)


def test_a_candidate_that_has_loaded_takes_the_place() -> None:
    """`loaded` says once that the candidate should serve, and `serve` returns what it replaces."""
    world = World()
    candidate = Deployed(make_app())
    assert world.rollout.try_beside(candidate) is None
    assert world.rollout.tried(candidate.app, Placement.BESIDE) is candidate
    assert world.rollout.loaded(candidate)
    assert world.rollout.serve(candidate) is world.first
    assert world.rollout.candidates == {}
    assert not world.rollout.loaded(candidate)


def test_a_newer_change_replaces_a_candidate() -> None:
    """Only the newest change is tried; a late success of an older one has no effect."""
    world = World()
    older, newer = Deployed(make_app()), Deployed(make_app())
    world.rollout.try_beside(older)
    assert world.rollout.try_beside(newer) is older
    assert world.rollout.tried(older.app, Placement.BESIDE) is None
    assert not world.rollout.loaded(older)
    assert world.rollout.served == {"shop": world.first}


def test_a_failed_candidate_leaves_the_other_serving() -> None:
    """`failed` says that the previous app goes on, and the candidate stays to be retried."""
    world = World()
    candidate = Deployed(make_app())
    world.rollout.try_beside(candidate)
    candidate.has_failed = True
    assert world.rollout.failed(candidate)
    assert world.choose(candidate.app) == Choice(world.proven, Placement.BESIDE)
    assert world.rollout.tried(candidate.app, Placement.BESIDE) is candidate


def test_a_boot_that_fails_with_nothing_before_it() -> None:
    """The first state of an app has no predecessor that could go on."""
    rollout: Rollout[Deployed] = Rollout()
    first = Deployed(make_app())
    rollout.serve(first)
    assert not rollout.failed(first)


# Another key: one version beside another


def test_a_new_version_serves_where_the_one_before_has_no_workers() -> None:
    """If either of them must be started, the new version is, with the old one as a fallback."""
    world = World("1.0.0", workers=0)
    new = make_app(version="2.0.0", ttl_s=60.0)
    assert world.choose(new) == Choice(new, Placement.APART)


def test_a_new_version_is_tried_while_the_one_before_has_workers() -> None:
    """No request waits for the new version's boot while the old one serves."""
    world = World("1.0.0")
    new = make_app(version="2.0.0", ttl_s=60.0)
    assert world.choose(new) == Choice(world.proven, Placement.APART)


def test_a_new_version_that_has_failed_does_not_serve() -> None:
    """After a failed boot the old version serves, and the new one is tried again."""
    world = World("1.0.0", workers=0)
    new = Deployed(make_app(version="2.0.0", ttl_s=60.0), fallback=world.proven)
    world.rollout.serve(new)
    assert world.choose(new.app) == Choice(new.app, Placement.APART)
    new.has_failed = True
    assert world.rollout.failed(new)
    assert world.choose(new.app) == Choice(world.proven, Placement.APART)


@pytest.mark.parametrize(
    ("proven", "new"),
    [({"visibility": "protected"}, {}), ({}, {"visibility": "protected"}), ({"ttl_s": 0.0}, {})],
)
def test_requests_that_could_not_fall_back_stay_with_the_proven(
    proven: dict[str, Any], new: dict[str, Any]
) -> None:
    """Requests wait for a new version only if the old one could answer them as well."""
    world = World("1.0.0", workers=0, **proven)
    choice = world.choose(make_app(version="2.0.0", **{"ttl_s": 60.0, **new}))
    assert choice == Choice(world.proven, Placement.APART)


def test_a_version_that_has_loaded_needs_no_fallback() -> None:
    """A version that has loaded once answers for its own failures."""
    world = World("1.0.0")
    new = Deployed(make_app(version="2.0.0"), fallback=world.proven)
    world.rollout.serve(new)
    assert not world.rollout.loaded(new)
    assert new.fallback is None
    assert not world.rollout.failed(new)


@pytest.mark.parametrize(
    ("version", "spec", "expected"),
    [("1.0.0", "^1", True), ("1.0.0", "2", False), ("1.0.0", None, True), (None, None, True)],
)
def test_who_may_answer_for_a_version(
    version: str | None, spec: str | None, expected: bool
) -> None:
    """A request for a range of versions is answered by a version in that range."""
    assert is_meant(make_app(version=version), spec) is expected


# The revision


def test_the_revision_grows_with_what_choose_depends_on() -> None:
    """A changed revision shows that a cached result of `choose` may be outdated."""
    world = World()
    seen = [world.rollout.revision]
    candidate = Deployed(make_app())
    world.rollout.try_beside(candidate)
    world.rollout.failed(candidate)
    seen.append(world.rollout.revision)
    world.rollout.loaded(candidate)
    seen.append(world.rollout.revision)
    world.rollout.reconsider()
    seen.append(world.rollout.revision)
    assert seen == sorted(set(seen))


def test_the_revision_rests_while_nothing_changes() -> None:
    """Boots of a proven app do not change the revision, since that would invalidate all caches."""
    world = World()
    before = world.rollout.revision
    world.rollout.loaded(world.first)
    world.rollout.failed(world.first)
    assert world.rollout.revision == before
