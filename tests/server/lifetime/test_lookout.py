"""Changed folders of apps are noticed without a request, with inotify and without."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from buntime.core.apps.app import App
from buntime.core.settings.live import LiveSettings
from buntime.server.apps.catalog import Catalog
from buntime.server.apps.inotify import Inotify, open_inotify
from buntime.server.lifetime.deploys import Deploys
from buntime.server.lifetime.lookout import Lookout, Pace
from buntime.server.loop.loop import Loop
from tests.support.apps import BODY_MAX_BYTES
from tests.support.deployed import World
from tests.support.fakes import make_log
from tests.support.settings import make_settings

# One second of the code under test takes 50 ms.
QUICK = Pace(3.0, 0.05, 0.005, 0.0125, 0.02, 0.015, 0.05)
APP = "def fetch(request): ..."
STAYS = "ttl: 1h"
OPENERS: dict[str, Callable[[], Inotify | None]] = {
    "inotify": open_inotify,
    "polled": lambda: None,
}
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has inotify")


class Scene:
    """Watched worker folders, with a scheduler that starts no processes."""

    def __init__(self, root: Path, open_watch: Callable[[], Inotify | None]) -> None:
        self.root = root
        self.errors: list[BaseException] = []
        self.loop = Loop(self.errors.append)
        self.world = World(loop=self.loop)
        log = make_log(self.world.sink)
        self.catalog = Catalog(
            [root],
            body_default=BODY_MAX_BYTES,
            body_max=BODY_MAX_BYTES,
            warn=log.warn,
            rollout=self.world.deployments,
        )
        self.deploys = Deploys(self.loop, log, self.catalog, self.world.deployments, gone_s=0.05)
        live = LiveSettings(make_settings(root))
        self.lookout = Lookout(
            self.loop, live, log, self.deploys, pace=QUICK, open_watch=open_watch
        )
        self.world.deployments.follow = self.lookout.follow

    def until(self, fact: Callable[[], object], what: str = "it") -> None:
        deadline = time.monotonic() + 10
        while not fact():
            assert not self.errors
            assert time.monotonic() < deadline, f"not {what}: {self.world.sink.records}"
            self.loop.run_once(0.01)

    def settle(self) -> None:
        """Let the current files be checked."""
        if not self.lookout.looks:
            self.lookout.start()
        looks = self.lookout.looks
        self.lookout.look_soon()
        self.until(lambda: self.lookout.looks > looks and self.lookout.is_at_rest(), "at rest")

    def told(self, event: str) -> list[dict[str, Any]]:
        return [dict(each.fields) for each in self.world.sink.records if each.event == event]

    def adopted(self) -> list[str]:
        return [each.key for each in self.world.adopted()]

    def is_tried(self, key: str) -> bool:
        """Whether a worker was told to load a change of the app beside the one that serves."""
        return key in self.world.deployments.rollout.candidates

    def write(self, path: str, text: str = "") -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def deploy(self, place: str, manifest: str = "") -> None:
        self.write(f"{place}/app.py", APP)
        if manifest:
            self.write(f"{place}/buntime.yaml", manifest)

    def load(self, name: str) -> App:
        """Have a worker load the app, as if a request had come."""
        self.settle()
        app = self.catalog.find(name, None, self.loop.now)
        self.world.load(self.world.current(app))
        self.world.decisions.clear()
        self.settle()
        return app

    def close(self) -> None:
        self.lookout.stop()
        while self.lookout.is_looking():
            self.loop.run_once(0.05)
        self.loop.close()
        assert not self.errors


@pytest.fixture(params=[pytest.param("inotify", marks=on_linux), "polled"])
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    scene = Scene(tmp_path / "apps", OPENERS[request.param])
    scene.root.mkdir()
    yield scene
    scene.close()


# New and changed apps


def test_a_new_app_with_prewarm(scene: Scene) -> None:
    """A new app with prewarm gets its workers before anybody asks for it."""
    scene.settle()
    scene.deploy("shop", "prewarm: 1")
    scene.until(scene.adopted, "adopted")
    scene.settle()
    assert scene.adopted() == ["shop"]


def test_prewarm_that_comes_later(scene: Scene) -> None:
    """The same holds when an app's manifest adds prewarm later."""
    scene.deploy("shop")
    scene.settle()
    scene.write("shop/buntime.yaml", "prewarm: 1")
    scene.until(scene.adopted, "adopted")
    scene.settle()
    assert scene.adopted() == ["shop"]


def test_a_broken_manifest(scene: Scene) -> None:
    """A broken manifest is reported at once and once; fixed and broken again, it is reported
    again."""
    scene.deploy("shop")
    scene.settle()
    for times in (1, 2):
        scene.write("shop/buntime.yaml", "ttl: [")
        scene.until(lambda times=times: len(scene.told("app.invalid")) == times, "told")  # type: ignore[misc]
        os.utime(scene.root / "shop/buntime.yaml")
        scene.settle()
        assert len(scene.told("app.invalid")) == times
        scene.write("shop/buntime.yaml", "ttl: 0")
        scene.settle()
    assert scene.told("app.invalid")[0]["app"] == "shop"


def test_a_folder_without_an_app(scene: Scene) -> None:
    """A deploy that lacks its entrypoint is reported."""
    scene.deploy("shop@1.0.0")
    scene.settle()
    os.rename(scene.root / "shop@1.0.0/app.py", scene.root / "shop@1.0.0/main.txt")
    scene.until(lambda: scene.told("app.invalid"), "told")
    assert "no entrypoint" in scene.told("app.invalid")[0]["error"]


def test_a_changed_manifest_is_tried(scene: Scene) -> None:
    """A worker loads what has changed beside what serves."""
    scene.deploy("shop", STAYS)
    scene.load("shop")
    scene.write("shop/buntime.yaml", "ttl: 2h")
    scene.until(lambda: scene.is_tried("shop"), "tried")


@pytest.mark.parametrize("place", ["shop@1.1.0", "shop/1.1.0", "@acme/shop@1.1.0"])
def test_a_new_version_is_tried(scene: Scene, place: str) -> None:
    """A new version is loaded too, in every layout."""
    scene.deploy(place.replace("1.1.0", "1.0.0"), STAYS)
    scene.load("@acme/shop" if place[0] == "@" else "shop")
    scene.deploy("../new", STAYS)
    os.rename(scene.root.parent / "new", scene.root / place)
    scene.until(lambda: scene.told("app.version_tried"), "tried")


def test_a_link_that_leads_elsewhere(scene: Scene, tmp_path: Path) -> None:
    """A switched link is noticed, even if it is behind the one in the worker folder."""
    for number in "12":
        scene.deploy(f"../releases/{number}", STAYS)
    (tmp_path / "current").symlink_to("releases/1")
    (scene.root / "shop").symlink_to("../current")
    scene.load("shop")
    (tmp_path / "next").symlink_to("releases/2")
    os.rename(tmp_path / "next", tmp_path / "current")
    scene.until(lambda: scene.is_tried("shop"), "tried")


def test_an_app_that_is_gone(scene: Scene) -> None:
    """A removed app's workers end after a while."""
    scene.deploy("shop", STAYS)
    scene.load("shop")
    os.rename(scene.root / "shop", scene.root.parent / "away")
    scene.until(lambda: "shop" not in scene.world.deployments.served, "ended")
    assert [each["app"] for each in scene.told("app.removed")] == ["shop"]


@on_linux
def test_a_worker_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    """A missing worker folder is checked for every second."""
    scene = Scene(tmp_path / "later", open_inotify)
    scene.settle()
    scene.deploy("shop", "prewarm: 1")
    scene.until(scene.adopted, "adopted")
    scene.close()


# Code that is changed in place


def served_with_code(scene: Scene) -> App:
    for path in ("lib/part.py", "pages/page.html"):
        scene.write(f"shop/{path}", APP)
    scene.deploy("shop", f'{STAYS}\nwatch: ["!draft.html"]')
    return scene.load("shop")


@pytest.mark.parametrize("file", ["app.py", "lib/part.py", "pages/page.html"])
def test_code_that_is_edited(scene: Scene, file: str) -> None:
    """Edited code is loaded beside what serves, and the log names the file."""
    app = served_with_code(scene)
    scene.write(f"shop/{file}", APP + "  # other")
    scene.until(lambda: scene.is_tried("shop"), "tried")
    assert scene.told("app.edited") == [{"app": "shop", "version": None, "file": file}]
    assert scene.world.deployments.served["shop"].app is app
    scene.settle()
    assert len(scene.told("app.edited")) == 1


def test_code_that_is_taken_away(scene: Scene) -> None:
    """Removed code counts as well."""
    served_with_code(scene)
    shutil.rmtree(scene.root / "shop/lib")
    scene.until(lambda: scene.is_tried("shop"), "tried")


def test_what_an_app_writes(scene: Scene) -> None:
    """Data, uploads that look like code, and files that the manifest excludes cause no load."""
    served_with_code(scene)
    for path in ("state.json", "uploads/1.py", "pages/new.html", "draft.html", "lib/x.db-wal"):
        scene.write(f"shop/{path}", "x")
    scene.settle()
    assert not scene.is_tried("shop")


def test_a_file_that_changes_again_and_again(scene: Scene) -> None:
    """From its sixth change in ten minutes on a file counts as the app's own data, and the log says
    so."""
    served_with_code(scene)
    for number in range(1, 9):
        scene.write("shop/pages/page.html", "x" * number)
        scene.settle()
        candidate = scene.world.deployments.rollout.candidates.get("shop")
        assert (candidate is not None) == (number < 6)
        if candidate is not None:
            scene.world.load(candidate)
            scene.settle()
    assert len(scene.told("app.edited")) == 5
    (told,) = scene.told("app.edits_ignored")
    assert "!pages/page.html" in told["advice"]


def test_code_that_changes_while_it_is_loaded(scene: Scene) -> None:
    """If code changes while it is loaded, what was imported may be the old code: it is loaded once
    more."""
    scene.deploy("shop", STAYS)
    scene.settle()
    deployment = scene.world.current(scene.catalog.find("shop", None, scene.loop.now))
    deployment.made_ns -= 50_000_000  # file times come from a coarse clock
    os.utime(scene.root / "shop/app.py")
    deployment.learn_files(("app.py",))
    scene.world.load(deployment)
    scene.until(lambda: scene.told("app.edited"), "told")


# Cost, and missing inotify


@on_linux
def test_at_rest_nothing_is_done(tmp_path: Path) -> None:
    """With inotify nothing wakes for folders that do not change, however many there are."""
    scene = Scene(tmp_path, open_inotify)
    for number in range(50):
        scene.deploy(f"app{number}")
    scene.settle()
    looks, begun = scene.lookout.looks, time.monotonic()
    scene.loop.run_once(0.2)
    assert time.monotonic() - begun > 0.15
    assert scene.lookout.looks == looks
    scene.close()


@on_linux
def test_who_writes_without_end(tmp_path: Path) -> None:
    """Endless writes cause only a few checks."""
    scene = Scene(tmp_path, open_inotify)
    scene.deploy("shop")
    scene.settle()
    looks = scene.lookout.looks
    for number in range(600):
        scene.write("shop/buntime.yaml", f"ttl: {60 + number}")
        if not number % 15:
            scene.loop.run_once(0.0)
    scene.settle()
    assert scene.lookout.looks - looks < 100
    assert scene.catalog.find("shop", None, scene.loop.now).manifest.ttl_s == 659
    scene.close()


def test_no_more_watches(tmp_path: Path) -> None:
    """If the system has no watches left the log says so, and folders are checked every second."""

    def refuse() -> Inotify | None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    scene = Scene(tmp_path, refuse)
    scene.settle()
    scene.deploy("shop", "prewarm: 1")
    scene.until(scene.adopted, "adopted")
    (told,) = scene.told("apps.polled")
    assert told["error"] == os.strerror(errno.EMFILE)
    scene.close()
