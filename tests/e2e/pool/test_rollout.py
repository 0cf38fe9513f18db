"""In production a change serves once it could be loaded; till then what was there before serves."""

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
    runtime: Runtime
    apps: Path
    gates: Gates

    def deploy(self, label: str, source: str, **manifest: object) -> Path:
        """A folder that appears at once with all it holds."""
        aside = self.apps.parent / "aside" / label.replace("/", "-")
        wanted = {"ttl": 600, **manifest}
        write_app(aside, {"app.py": source}, env=self.gates.env, **wanted)
        target = self.apps / label
        if target.exists():
            target.rename(self.apps.parent / f"old-{aside.name}")
        aside.rename(target)
        return target

    def begin(self, label: str, source: str, **manifest: object) -> Path:
        """The first version of an app, once it is served."""
        folder = self.deploy(label, source, **manifest)
        wait_until(lambda: self.ask("/shop/").status == 200, what="/shop/")
        return folder

    def told(self, event: str) -> bool:
        return any(record["event"] == event for record in self.runtime.records)

    def ask(self, path: str) -> Answer:
        return fetch(self.runtime, path)

    def text(self, path: str) -> str:
        answer = self.ask(path)
        assert answer.status == 200, answer.body
        return answer.body.decode()

    def wait_for(self, path: str, text: str) -> None:
        """Until `text` is the answer; whatever comes before must be an answer too."""
        wait_until(lambda: self.text(path) == text, what=f"{path} saying {text}")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    apps = tmp_path / "apps"
    apps.mkdir()
    with running(apps, env={"RUNTIME_ENV": "production"}) as runtime:
        yield Served(runtime, apps, Gates())


def code(which: str, source: str = APP) -> str:
    return source.replace("NAME", which)


@pytest.mark.parametrize("ttl", [0, 600])
def test_a_broken_version_leaves_the_one_before_serving(served: Served, ttl: int) -> None:
    """A new highest version that cannot be loaded is told of and not served, until it is mended."""
    served.begin("shop@1.0.0", code("one"), ttl=ttl)
    folder = served.deploy("shop@2.0.0", BROKEN, ttl=ttl)
    told = "app.change_boot_failed"
    wait_until(lambda: served.text("/shop/") == "one" and served.told(told))
    assert served.ask("/shop@2.0.0/").status in (500, 503)  # who asks for it is told
    assert served.text("/shop/") == "one"
    (folder / "app.py").write_text(code("two"))
    os.utime(folder / "buntime.yaml")
    served.wait_for("/shop/", "two")


def test_a_version_that_loads_slowly_lets_nobody_wait(served: Served) -> None:
    """While the new version loads, requests are answered by the one that is loaded."""
    served.begin("shop@1.0.0", code("one"))
    served.deploy("shop@1.1.0", code("two", WAITS))
    wait_until(lambda: served.text("/shop/") == "one" and served.gates.is_open("loading"))
    for _ in range(20):
        assert served.text("/shop/") == "one"
    served.gates.open("load")
    served.wait_for("/shop/", "two")


def test_a_broken_first_request_is_answered_by_the_version_before(served: Served) -> None:
    """With nobody loaded, the new version is waited for; where it fails the old one is started."""
    served.begin("shop@1.0.0", code("one"), ttl=60, idleTimeout=30, timeout=1)
    (worker,) = workers_of(served.runtime, "shop")
    os.kill(int(worker["pid"]), 9)
    wait_until(lambda: not workers_of(served.runtime, "shop"))
    served.deploy("shop@2.0.0", BROKEN)
    told = "app.change_boot_failed"
    wait_until(lambda: served.text("/shop/") == "one" and served.told(told))


def test_a_touched_manifest_reloads_without_a_gap(served: Served) -> None:
    """`touch buntime.yaml` has the code loaded anew; code that cannot be is not served."""
    folder = served.begin("shop", code("one"))
    (folder / "app.py").write_text(BROKEN)
    os.utime(folder / "buntime.yaml")
    told = "app.change_boot_failed"
    wait_until(lambda: served.text("/shop/") == "one" and served.told(told))
    (folder / "app.py").write_text(code("two"))
    served.wait_for("/shop/", "two")  # by the next try, when its back-off is over


def test_a_folder_in_the_place_of_another_is_served(served: Served) -> None:
    """A deploy that renames folders needs no change of the manifest."""
    served.begin("shop", code("one"))
    served.deploy("shop", code("two"))
    served.wait_for("/shop/", "two")


def test_a_faulty_version_leaves_the_one_before_serving(served: Served) -> None:
    """A version without entrypoint takes nothing over."""
    served.begin("shop@1.0.0", code("one"))
    (served.apps / "shop@2.0.0").mkdir()
    told = "app.version_invalid"
    wait_until(lambda: served.text("/shop/") == "one" and served.told(told))
