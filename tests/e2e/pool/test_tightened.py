"""In production the newest manifest decides who may reach an app, even if its code fails."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Answer, fetch
from tests.support.harness import Runtime, running, wait_until, write_app

APP = "from buntime import Response\ndef fetch(request):\n    return Response('in')\n"
BROKEN = "raise RuntimeError('a bad deploy')\n"
KEY = {"X-API-Key": "the-key-of-the-runtime"}


class Served:
    """A test's own app, which the test calls `shop`. It has had a request, so its code is
    loaded."""

    def __init__(self, runtime: Runtime, folder: Path, name: str) -> None:
        self.runtime = runtime
        self.name = name
        self._folder = folder

    def at(self, label: str = "shop") -> Path:
        return self._folder / label.replace("shop", self.name)

    def ask(self, path: str = "/shop/", **more: object) -> Answer:
        return fetch(self.runtime, path.replace("shop", self.name), **more)  # type: ignore[arg-type]

    def begin(self, label: str = "shop", **manifest: object) -> None:
        write_app(self.at(label), {"app.py": APP}, ttl=600, **manifest)
        wait_until(lambda: self.ask(headers=KEY).status == 200, what="the app")

    def change(self, label: str = "shop", **manifest: object) -> None:
        """Deploys another manifest, with code that cannot be loaded."""
        aside = self._folder.parent / "aside"
        write_app(aside, {"app.py": BROKEN}, ttl=600, **manifest)
        self.at(label).mkdir(exist_ok=True)
        for name in ("app.py", "buntime.yaml"):
            (aside / name).replace(self.at(label) / name)

    def told(self, event: str) -> bool:
        return any(
            (record["event"], str(record.get("app")).partition("@")[0]) == (event, self.name)
            for record in self.runtime.records
        )

    def wait_for(self, status: int, **more: object) -> None:
        wait_until(lambda: self.ask(**more).status == status, what=f"a {status}")

    def stays(self, status: int, **more: object) -> None:
        """The status stays the same once the change has been tried."""
        wait_until(lambda: self.ask() and self.told("app.change_boot_failed"), what="the trial")
        assert {self.ask(**more).status for _ in range(5)} == {status}


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tightened") / "apps"


@pytest.fixture(scope="module")
def runtime(apps: Path) -> Iterator[Runtime]:
    apps.mkdir()
    env = {"RUNTIME_ENV": "production", "RUNTIME_MASTER_KEY": KEY["X-API-Key"]}
    with running(apps, env=env) as runtime:
        yield runtime


@pytest.fixture
def served(runtime: Runtime, apps: Path, request: pytest.FixtureRequest) -> Served:
    return Served(runtime, apps, f"shop{request.session.items.index(request.node)}")


def test_a_public_app_that_is_to_be_protected(served: Served) -> None:
    """401 at once without the key, though the new code fails; with it, the old code answers."""
    served.begin()
    assert served.ask().status == 200
    served.change(visibility="protected")
    served.wait_for(401)
    served.stays(401)
    assert served.ask(headers=KEY).body == b"in"


def test_an_app_that_is_to_be_internal(served: Served) -> None:
    """Not even the key opens an internal app."""
    served.begin()
    served.change(visibility="internal")
    served.wait_for(404, headers=KEY)
    served.stays(404, headers=KEY)


def test_a_route_that_is_to_be_closed(served: Served) -> None:
    """A route that is no longer public needs the key at once."""
    served.begin(visibility="protected", publicRoutes=["/", "/login"])
    assert served.ask().status == 200
    served.change(visibility="protected", publicRoutes=["/login"])
    served.wait_for(401)
    served.stays(401)
    assert served.ask("/shop/login").status == 200


def test_a_body_that_is_to_be_smaller(served: Served) -> None:
    """A body above the new limit gets 413 at once."""
    served.begin()
    served.change(maxBodySize=10)
    served.wait_for(413, method="POST", body=b"x" * 11)
    served.stays(413, method="POST", body=b"x" * 11)


def test_an_app_that_is_to_be_public(served: Served) -> None:
    """An app opens to all only once its new code has loaded."""
    served.begin(visibility="protected")
    served.change()
    wait_until(lambda: served.ask(headers=KEY).status == 200)
    served.stays(401)
    (served.at() / "app.py").write_text(APP)
    served.wait_for(200)


def test_a_manifest_that_cannot_be_read(served: Served) -> None:
    """An unreadable manifest lets nobody in, as it may say whom to keep out."""
    served.begin()
    served.change()
    (served.at() / "buntime.yaml").write_text("visibility: protecte\n")
    served.wait_for(500, headers=KEY)
    assert served.ask().status == 500


def test_a_new_version_that_keeps_out(served: Served) -> None:
    """A new version's rules hold while the old one answers, also once its manifest breaks."""
    served.begin("shop@1.0.0")
    served.change("shop@2.0.0", visibility="protected")
    served.wait_for(401)
    served.stays(401)
    assert served.ask(headers=KEY).body == b"in"
    assert served.ask("/shop@1.0.0/").status == 200
    (served.at("shop@2.0.0") / "buntime.yaml").write_text(json.dumps({"visibilty": "no"}))
    wait_until(lambda: served.ask() and served.told("app.version_invalid"), what="the fault")
    assert {served.ask().status for _ in range(5)} == {401}


def test_an_app_that_is_removed(served: Served) -> None:
    """Workers of a removed app could still answer, but no request reaches them."""
    served.begin()
    shutil.move(str(served.at()), str(served.at().parent.parent / "removed"))
    served.wait_for(404)
