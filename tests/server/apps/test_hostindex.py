"""The index of hosts: which app has which host, according to the disk, and how soon a change is
seen."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from buntime.core.apps.app import App
from buntime.core.apps.floors import Floors
from buntime.core.apps.hosts import Claim
from buntime.core.apps.succession import AtOnce, Rollout
from buntime.server.apps.catalog import CHECK_INTERVAL_S, Catalog
from buntime.server.apps.hostindex import HostIndex
from tests.support.harness import write_app

# The longest steps of the clocks of file systems that count fractions of a second, and of others.
TICK_NS = 10_000_000
FAT_TICK_NS = 2_000_000_000


class Fixture:
    """Two worker folders, and an index of the hosts of their apps."""

    def __init__(self, root: Path, rollout: Rollout | None = None) -> None:
        self.root = root
        self.now = 1000.0
        self.wall_ns = 2**62  # everything has been unchanged for long
        self.warnings: list[tuple[str, dict[str, object]]] = []
        for name in ("a", "b"):
            (root / name).mkdir()
        self.catalog = Catalog(
            [root / "a", root / "b"],
            body_default=1000,
            body_max=2000,
            warn=self.warn,
            rollout=rollout or AtOnce(),
            wall_ns=lambda: self.wall_ns,
        )
        self.looked_at: list[str] = []
        self.index = HostIndex(
            self, warn=self.warn, wall_ns=lambda: self.wall_ns, operators="panel.example"
        )

    def warn(self, event: str, _: str, /, **fields: object) -> None:
        self.warnings.append((event, fields))

    # the catalog, with a record of what is loaded

    @property
    def folders(self) -> object:
        return self.catalog.folders

    @property
    def floors(self) -> Floors:
        return self.catalog.floors

    def find(self, name: str, spec: str | None, now: float) -> App:
        self.looked_at.append(name)
        return self.catalog.find(name, spec, now)

    def is_settled(self, app: App) -> bool:
        return self.catalog.is_settled(app)

    def write(self, path: str, *hosts: str, **manifest: object) -> Path:
        more = {"hosts": list(hosts)} if hosts else {}
        return write_app(self.root / path, {"app.py": ""}, **more, **manifest)

    def claim(self, host: str) -> Claim | None:
        """Which app has the host, a second later."""
        self.now += CHECK_INTERVAL_S
        self.catalog.edition(self.now)
        self.looked_at.clear()
        return self.index.look(self.now).find(host)


@pytest.fixture
def apps(tmp_path: Path) -> Fixture:
    return Fixture(tmp_path)


def test_the_version_that_serves_without_a_pin(apps: Fixture) -> None:
    """An app's hosts are those of its newest version; those of older ones no longer count."""
    apps.write("a/shop@1.0.0", "old.example")
    apps.write("a/shop@2.0.0", "new.example")
    assert apps.claim("new.example") == Claim("shop")
    assert apps.claim("old.example") is None
    apps.write("a/shop/3.0.0", "newest.example")
    assert apps.claim("newest.example") == Claim("shop")
    assert apps.claim("new.example") is None


def test_two_apps_of_one_host(apps: Fixture) -> None:
    """The app in the first worker folder has the host, then the first by name; the log names both,
    once."""
    apps.write("b/aaa", "x.example")
    apps.write("a/shop", "x.example", "y.example")
    apps.write("a/shop-b@1.0.0", "y.example")
    assert apps.claim("x.example") == Claim("shop")
    assert apps.claim("y.example") == Claim("shop")
    told = [fields for event, fields in apps.warnings if event == "host.disputed"]
    assert told == [
        {"host": "y.example", "served": "shop", "ignored": "shop-b"},
        {"host": "x.example", "served": "shop", "ignored": "aaa"},
    ]
    apps.write("a/shop")
    (apps.root / "a/shop/buntime.yaml").write_text("ttl: 0")
    assert apps.claim("x.example") == Claim("aaa")
    assert len(told) == 2


def test_the_operators_host(apps: Fixture) -> None:
    """No app gets the operators' host, so an app that claims it is reported once."""
    apps.write("a/shop", "panel.example")
    apps.write("a/wiki", "wiki.example")
    for _ in range(3):
        apps.claim("wiki.example")
    told = [fields for event, fields in apps.warnings if event == "host.operators"]
    assert told == [{"host": "panel.example", "app": "shop"}]


@pytest.mark.parametrize(
    "change",
    ["in place", "renamed over", "added", "removed"],
)
def test_changes_of_a_manifest(apps: Fixture, change: str) -> None:
    """Each change is seen at the next check, and only what has changed is loaded."""
    folder = apps.write("a/shop", *([] if change == "added" else ["one.example"]))
    apps.write("a/other", "other.example")
    apps.claim("one.example")
    assert apps.claim("other.example") == Claim("other")
    assert apps.looked_at == []
    manifest, text = folder / "buntime.yaml", "hosts: [two.example]  # longer than before"
    if change == "removed":
        manifest.unlink()
    elif change == "renamed over":
        (folder / "new").write_text(text)
        os.replace(folder / "new", manifest)
    else:
        manifest.write_text(text)
    assert apps.claim("two.example") == (None if change == "removed" else Claim("shop"))
    assert apps.claim("one.example") is None


@pytest.mark.parametrize("tick_ns", [TICK_NS, FAT_TICK_NS])
def test_two_changes_in_one_tick(apps: Fixture, tick_ns: int) -> None:
    """A manifest that changed just now is read again, since times may hide the next change."""
    folder = apps.write("a/shop", "one.example")
    manifest = folder / "buntime.yaml"
    os.utime(folder, (0, 0))  # the manifest alone is new
    # A file system that counts fractions of a second leaves one, and others never do.
    changed_ns = time.time_ns() // 10**9 * 10**9 + tick_ns % 10**9
    os.utime(manifest, ns=(changed_ns, changed_ns))
    apps.wall_ns = changed_ns + tick_ns
    assert apps.claim("one.example") == Claim("shop")
    manifest.write_text(manifest.read_text().replace("one", "two"))
    os.utime(manifest, ns=(changed_ns, changed_ns))
    assert apps.claim("two.example") == Claim("shop")


def test_apps_come_and_go(apps: Fixture) -> None:
    """A new folder's hosts count at once, and a removed folder's are gone."""
    apps.write("a/shop", "one.example")
    assert apps.claim("one.example") == Claim("shop")
    apps.write("b/more", "two.example")
    assert apps.claim("two.example") == Claim("more")
    shutil.rmtree(apps.root / "a/shop")
    assert apps.claim("one.example") is None
    assert apps.claim("two.example") == Claim("more")


def test_a_faulty_manifest(apps: Fixture) -> None:
    """A faulty manifest keeps its hosts, the previous ones too, so that nobody else answers there
    until it is fixed."""
    folder = apps.write("a/shop", "one.example")
    apps.write("b/shop-2", "one.example")
    assert apps.claim("one.example") == Claim("shop")
    (folder / "buntime.yaml").write_text("hosts: [two.example]\ntimeout: soon")
    assert apps.claim("one.example") == apps.claim("two.example") == Claim("shop")
    (folder / "buntime.yaml").write_text("hosts: [two.example]\nentrypoint: none.py")
    assert apps.claim("one.example") == apps.claim("two.example") == Claim("shop")
    (folder / "buntime.yaml").write_text("hosts: [two.example]")
    assert apps.claim("two.example") == Claim("shop")
    assert apps.claim("one.example") == Claim("shop-2")


def test_among_many_apps(apps: Fixture) -> None:
    """A check reads a bounded number of apps; a change is seen after a few checks."""
    for number in range(300):
        apps.write(f"a/app{number}", f"app{number}.example")
    assert apps.claim("app299.example") == Claim("app299")
    assert apps.claim("app7.example") == Claim("app7")
    assert apps.looked_at == []
    apps.write("a/app250", "other.example", timeout=5)
    looks = [apps.claim("other.example") for _ in range(4)]
    assert Claim("app250") in looks
    assert apps.looked_at == []
    apps.write("a/new", "new.example")
    assert apps.claim("new.example") == Claim("new")


class Cautious(AtOnce):
    """A rollout that makes a change wait until it is loaded."""

    def __init__(self) -> None:
        self.revision = 0
        self.loaded: set[App] = set()

    def load(self, app: App) -> None:
        self.loaded.add(app)
        self.revision += 1

    def is_proven(self, app: App) -> bool:
        return app in self.loaded

    def choose(self, new: App, proven: App) -> App:
        return proven


@pytest.mark.parametrize("changed", ["a/shop@1.0.0", "a/shop@2.0.0"])
def test_a_change_that_is_not_loaded_yet(tmp_path: Path, changed: str) -> None:
    """A removed host goes at once; a new one comes when the code is loaded."""
    rollout = Cautious()
    apps = Fixture(tmp_path, rollout)
    apps.write("a/shop@1.0.0", "stays.example", "goes.example")
    assert apps.claim("goes.example") == Claim("shop")
    rollout.load(apps.catalog.find("shop", None, apps.now))
    assert apps.claim("stays.example") == Claim("shop")
    apps.write(changed, "stays.example", "comes.example", timeout=7)
    assert apps.claim("comes.example") is None
    assert apps.claim("stays.example") == Claim("shop")
    assert apps.claim("goes.example") is None
    version = changed.rpartition("@")[2]
    named = apps.catalog._names["shop"]
    rollout.load(next(each.found for path, each in named.folders.items() if version in path.name))  # type: ignore[arg-type]
    assert apps.claim("comes.example") == Claim("shop")


@pytest.mark.parametrize("fault", ["timeout: soon", "unknown: 1", "entrypoint: none.py"])
def test_faulty_from_the_start(apps: Fixture, fault: str) -> None:
    """The hosts in a faulty manifest count, as far as they can be read."""
    folder = apps.write("a/shop")
    (folder / "buntime.yaml").write_text(f"hosts: [one.example]\n{fault}")
    broken = apps.write("a/broken")
    (broken / "buntime.yaml").write_text("hosts: [two.example\n")
    assert apps.claim("one.example") == Claim("shop")
    assert apps.claim("two.example") is None
