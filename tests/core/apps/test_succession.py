"""Which of several apps with the same name, found one after the other, serves."""

from __future__ import annotations

import pytest

from buntime.core.apps.app import App, Fault
from buntime.core.apps.succession import AtOnce, Succession
from tests.support.apps import make_app

VERSIONS = ["1.0.0", "2.0.0", "3.0.0"]


class Cautious:
    """A rollout that prefers whatever has been loaded."""

    revision = 0

    def __init__(self) -> None:
        self.loaded: set[App] = set()

    def is_proven(self, app: App) -> bool:
        return app in self.loaded

    def choose(self, new: App, proven: App) -> App:
        return proven


class World:
    """Versions that are added one after the other, each when it is first found."""

    def __init__(self) -> None:
        self.versions: set[str] = set()
        self.rollout = Cautious()
        self.succession = Succession(self.rollout)

    def find(self, app: App, spec: str | None = None) -> App:
        self.versions.add(app.version or "")
        return self.succession.choose(app, self.versions, spec)

    def found_and_loaded(self, version: str) -> App:
        app = make_app(version=version)
        self.find(app)
        self.rollout.loaded.add(app)
        return app

    def faulty(self, version: str, spec: str | None = None) -> App | None:
        fault = Fault("shop", version, make_app().dir, "broken")
        return self.succession.stand_in(fault, VERSIONS, spec)


def test_the_first_one_serves() -> None:
    """The first app that is found serves, since there is no alternative."""
    app = make_app(version="1.0.0")
    assert World().find(app) is app


def test_what_was_loaded_after_it_was_found_counts() -> None:
    """An app that was loaded after it was found counts as loaded when a change is found."""
    world = World()
    first = world.found_and_loaded("1.0.0")
    assert world.find(make_app(version="1.0.0")) is first
    assert world.find(make_app(version="2.0.0")) is first


def test_a_change_that_keeps_out_holds_at_once() -> None:
    """The new code waits until it has loaded, but a stricter access rule applies at once; the
    result is the same app each time."""
    world = World()
    first = world.found_and_loaded("1.0.0")
    changed = make_app(version="1.0.0", visibility="protected")
    served = world.find(changed)
    assert (served.code, served.manifest.visibility) == (first, "protected")
    assert world.find(changed) is served
    assert world.find(make_app(version="1.0.0")) is first
    world.rollout.loaded.add(changed)
    assert world.find(changed) is changed


def test_a_new_version_that_keeps_out() -> None:
    """A new version's stricter access also applies while the old version serves in its place."""
    world = World()
    first = world.found_and_loaded("1.0.0")
    second = make_app(version="2.0.0", visibility="internal")
    assert world.find(second).manifest.visibility == "internal"
    assert world.find(first, "1") is first


def test_a_version_that_cannot_be_read_any_more() -> None:
    """A version that can no longer be read still keeps out the callers it kept out before."""
    world = World()
    first = world.found_and_loaded("1.0.0")
    world.find(make_app(version="2.0.0", visibility="protected"))
    other = world.faulty("2.0.0")
    assert other is not None
    assert (other.code, other.manifest.visibility) == (first, "protected")
    assert world.faulty("3.0.0") is first


def test_what_was_never_loaded_does_not_count() -> None:
    """Of two states that were never loaded, the later one serves."""
    world = World()
    world.find(make_app(version="1.0.0"))
    later = make_app(version="1.0.0")
    assert world.find(later) is later


def test_the_same_version_comes_before_others() -> None:
    """Another state of the same version is preferred over another version."""
    world = World()
    world.found_and_loaded("2.0.0")
    first = world.found_and_loaded("1.0.0")
    assert world.find(make_app(version="1.0.0")) is first


def test_only_versions_that_were_asked_for() -> None:
    """A request for a range gets only versions within it."""
    world = World()
    world.found_and_loaded("1.0.0")
    new = make_app(version="2.0.0")
    assert world.find(new, "^2") is new
    assert world.find(new, ">=1").version == "1.0.0"


def test_versions_that_were_there_together() -> None:
    """A pinned version that was loaded first is not preferred over a higher one that was there
    beside it."""
    world = World()
    world.versions = {"1.0.0", "1.1.0"}
    pinned = make_app(version="1.0.0")
    assert world.find(pinned, "1.0.0") is pinned
    world.rollout.loaded.add(pinned)
    higher = make_app(version="1.1.0")
    assert world.find(higher, "1") is higher
    world.versions.remove("1.1.0")
    world.find(pinned, "1")
    assert world.find(make_app(version="1.1.0"), "1") is pinned  # now it is newly added


def test_the_highest_that_was_loaded() -> None:
    """Of several loaded versions, the one that the range selects serves."""
    world = World()
    world.found_and_loaded("1.0.0")
    second = world.found_and_loaded("2.0.0")
    assert world.find(make_app(version="3.0.0")) is second


def test_who_stands_in_for_a_faulty_version() -> None:
    """Another version stands in, unless the faulty one has served: its manifest may keep callers
    out."""
    world = World()
    first = world.found_and_loaded("1.0.0")
    assert world.faulty("2.0.0") is first
    assert world.faulty("2.0.0", "2") is None
    assert world.faulty("1.0.0") is None


@pytest.mark.parametrize("version", ["1.0.0", "2.0.0"])
def test_at_once(version: str) -> None:
    """Without trials the latest version serves, and nothing stands in for a faulty one."""
    succession = Succession(AtOnce())
    succession.choose(make_app(version="1.0.0"), VERSIONS, None)
    new = make_app(version=version)
    assert succession.choose(new, VERSIONS, None) is new
    fault = Fault("shop", "2.0.0", new.dir, "broken")
    assert succession.stand_in(fault, VERSIONS, None) is None


# The active version, which a link `latest` points to


def test_the_active_one_serves_till_the_next_is_loaded() -> None:
    """The active version serves until the next one has loaded, whatever their numbers are."""
    world = World()
    world.versions.update(VERSIONS)
    first, second = make_app(version="2.0.0"), make_app(version="1.0.0")

    def active(app: App) -> App:
        return world.succession.choose(app, VERSIONS, None, is_active=True)

    assert active(first) is first
    world.rollout.loaded.add(first)
    assert active(second) is first
    third = make_app(version="3.0.0")
    assert active(third) is first
    world.rollout.loaded.add(third)
    assert active(third) is third
    assert active(second) is third


def test_the_active_one_stands_in() -> None:
    """If the next version is faulty, the one that was active goes on, not the highest number."""
    world = World()
    for version in ("1.0.0", "2.0.0"):
        app = make_app(version=version)
        world.rollout.loaded.add(app)
        world.succession.choose(app, VERSIONS, version, is_active=version == "1.0.0")
    fault = Fault("shop", "3.0.0", make_app().dir, "broken")
    stands_in = world.succession.stand_in(fault, VERSIONS, None, is_active=True)
    assert stands_in is not None
    assert stands_in.version == "1.0.0"
