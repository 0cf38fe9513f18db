"""In production a change serves once it has loaded; until then the old code does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.client import Answer, Gates, fetch, workers_of
from tests.support.harness import Runtime, running, wait_until, write_app

APP = (
    Gates.CODE
    + """
WHICH = "NAME"

def fetch(request):
    return Response(WHICH)
"""
)
WAITS = APP + 'reach("loading")\npass_through("load")\n'
BROKEN = "raise RuntimeError('a bad deploy')\n"


class Served(NamedTuple):
    """A test's own app, which the test calls `shop`."""

    runtime: Runtime
    apps: Path
    gates: Gates
    name: str

    def deploy(self, label: str, source: str, **manifest: object) -> Path:
        """Deploys a folder that appears at once with all its files."""
        label = label.replace("shop", self.name)
        aside = self.apps.parent / "aside" / label.replace("/", "-")
        wanted = {"ttl": 600, **manifest}
        write_app(aside, {"app.py": source}, env=self.gates.env, **wanted)
        target = self.apps / label
        if target.exists():
            target.rename(self.apps.parent / f"old-{aside.name}")
        aside.rename(target)
        return target

    def begin(self, label: str, source: str, **manifest: object) -> Path:
        """Deploys the first version of an app, and waits until it is served."""
        folder = self.deploy(label, source, **manifest)
        wait_until(lambda: self.ask("/shop/").status == 200, what="/shop/")
        return folder

    def told(self, event: str) -> bool:
        return any(
            (record["event"], str(record.get("app")).partition("@")[0]) == (event, self.name)
            for record in self.runtime.records
        )

    def ask(self, path: str) -> Answer:
        return fetch(self.runtime, path.replace("shop", self.name))

    def text(self, path: str) -> str:
        answer = self.ask(path)
        assert answer.status == 200, answer.body
        return answer.body.decode()

    def wait_for(self, path: str, text: str) -> None:
        """Waits until the answer is `text`; each answer before that must be a 200."""
        wait_until(lambda: self.text(path) == text, what=f"{path} saying {text}")


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rollout") / "apps"


@pytest.fixture(scope="module")
def runtime(apps: Path) -> Iterator[Runtime]:
    apps.mkdir()
    with running(apps, env={"RUNTIME_ENV": "production"}) as runtime:
        yield runtime


@pytest.fixture
def served(runtime: Runtime, apps: Path, request: pytest.FixtureRequest) -> Served:
    number = request.session.items.index(request.node)
    return Served(runtime, apps, Gates(), f"shop{number}")


def code(which: str, source: str = APP) -> str:
    return source.replace("NAME", which)


@pytest.mark.parametrize("ttl", [0, 600])
def test_a_broken_version_leaves_the_one_before_serving(served: Served, ttl: int) -> None:
    """A new highest version that cannot load is reported, and not served until it is repaired."""
    served.begin("shop@1.0.0", code("one"), ttl=ttl)
    folder = served.deploy("shop@2.0.0", BROKEN, ttl=ttl)
    told = "app.change_boot_failed"
    wait_until(lambda: served.text("/shop/") == "one" and served.told(told))
    assert served.ask("/shop@2.0.0/").status in (500, 503)  # who asks for it sees the error
    assert served.text("/shop/") == "one"
    (folder / "app.py").write_text(code("two"))
    os.utime(folder / "buntime.yaml")
    served.wait_for("/shop/", "two")


def test_a_version_that_loads_slowly_lets_nobody_wait(served: Served) -> None:
    """While the new version loads, the one that is loaded answers requests."""
    served.begin("shop@1.0.0", code("one"))
    served.deploy("shop@1.1.0", code("two", WAITS))
    wait_until(lambda: served.text("/shop/") == "one" and served.gates.is_open("loading"))
    for _ in range(20):
        assert served.text("/shop/") == "one"
    served.gates.open("load")
    served.wait_for("/shop/", "two")


def test_a_broken_first_request_is_answered_by_the_version_before(served: Served) -> None:
    """If no version is loaded, requests wait for the new one; if it fails, the old one starts."""
    served.begin("shop@1.0.0", code("one"), ttl=60, idleTimeout=30, timeout=1)
    (worker,) = workers_of(served.runtime, served.name)
    os.kill(int(worker["pid"]), 9)
    wait_until(lambda: not workers_of(served.runtime, served.name))
    served.deploy("shop@2.0.0", BROKEN)
    told = "app.change_boot_failed"
    wait_until(lambda: served.text("/shop/") == "one" and served.told(told))


def test_a_touched_manifest_reloads_without_a_gap(served: Served) -> None:
    """`touch buntime.yaml` reloads the code; code that cannot load is not served."""
    folder = served.begin("shop", code("one"))
    (folder / "app.py").write_text(BROKEN)
    os.utime(folder / "buntime.yaml")
    told = "app.change_boot_failed"
    wait_until(lambda: served.text("/shop/") == "one" and served.told(told))
    (folder / "app.py").write_text(code("two"))
    served.wait_for("/shop/", "two")  # by the next try, after its back-off


def test_a_folder_in_the_place_of_another_is_served(served: Served) -> None:
    """A deploy that renames folders needs no change of the manifest."""
    served.begin("shop", code("one"))
    served.deploy("shop", code("two"))
    served.wait_for("/shop/", "two")


def test_a_faulty_version_leaves_the_one_before_serving(served: Served) -> None:
    """A version without an entrypoint does not take over."""
    served.begin("shop@1.0.0", code("one"))
    (served.apps / f"{served.name}@2.0.0").mkdir()
    told = "app.version_invalid"
    wait_until(lambda: served.text("/shop/") == "one" and served.told(told))
