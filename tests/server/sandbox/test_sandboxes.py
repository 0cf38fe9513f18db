"""Orders for apps in real folders, on made-up kernels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from buntime.core.access.paths import is_within
from buntime.core.apps.app import App
from buntime.core.apps.manifest import parse_manifest
from buntime.core.sandbox.kernel import Kernel
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import load_settings
from buntime.server.pythons.probe import Interpreter
from buntime.server.sandbox.sandboxes import Sandboxes

PYTHON = Interpreter("/usr/bin/python3", "3.11.0", (), None)


KERNEL = Kernel(7)
# Settings that name secrets, and variables that service managers set, with paths below the root.
FILES = {
    "RUNTIME_SECRETS_DIR": "cwd/secrets",
    "RUNTIME_MASTER_KEY_FILE": "cwd/master",
    "RUNTIME_KEYS_FILE": "cwd/keys.yaml",
    "RUNTIME_LOG_FILE": "cwd/log",
}
NAMED = {"CREDENTIALS_DIRECTORY": "cwd/credentials", "RUNTIME_TLS_KEY": "cwd/tls.key"}


class Place:
    """Folders of apps and of the runtime, with its sandboxes."""

    def __init__(self, root: Path, kernel: Kernel = KERNEL) -> None:
        self.root = root
        self.now = 100.0
        self.warnings: list[tuple[str, dict[str, object]]] = []
        settings = load_settings(
            args={"worker_dirs": f"{root}/apps:{root}/more"},
            environ={
                "RUNTIME_STATE_DIR": str(root / "state"),
                "RUNTIME_CONFIG": str(root / "cwd/plugins.yaml"),
                **{name: str(root / path) for name, path in FILES.items()},
            },
            dotenv={},
            mode="checkout",
            cores=2,
            cwd=str(root / "cwd"),
        )
        for name in ("apps", "more", "state", "cwd", "beside"):
            (root / name).mkdir()
        self.live = LiveSettings(settings)
        self.sandboxes = Sandboxes(
            kernel,
            self.live,
            bundle=str(root / "bundle"),
            environ={name: str(root / path) for name, path in NAMED.items()},
            warn=self._warn,
        )

    def _warn(self, event: str, message: str, /, **fields: object) -> None:
        self.warnings.append((event, fields))

    def app(self, name: str, folder: str | None = None, manifest: str = "sandbox: standard") -> App:
        path = self.root / "apps" / (folder or name)
        path.mkdir(parents=True, exist_ok=True)
        parsed, _ = parse_manifest(
            manifest.encode(), path="buntime.yaml", body_default=1, body_max=1
        )
        return App(name, None, path.resolve(), "app.py", parsed, path)

    def order(self, app: App) -> Any:
        self.now += 2
        return self.sandboxes.order(app, PYTHON, self.now)

    def access(self, app: App, path: str) -> int:
        """What the app may do at a path below the root."""
        whole = str(self.root / path)
        found = 0
        for access, paths in self.order(app)["rules"]:
            if any(is_within(whole, each) for each in paths):
                found |= access
        return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


READ, WRITE = 1 << 2, 1 << 1


def test_what_an_app_reaches(place: Place) -> None:
    """The app reaches its folder, its versions and what is beside; nothing of other apps or the
    state, and no setting."""
    shop = place.app("shop")
    for name in ("shop@1.0.0", "shopping", "@acme/shop"):
        (place.root / "apps" / name).mkdir(parents=True)
    (place.root / "more/shop").mkdir()
    assert place.access(shop, "apps/shop/app.py") & WRITE
    for path in ("apps/shop@1.0.0", "more/shop", "beside", "bundle"):
        assert place.access(shop, path) & (READ | WRITE) == READ, path
    for path in (
        "apps/shopping",
        "apps/@acme/shop",
        "apps",
        "state",
        "cwd/.env",
        "cwd/plugins.yaml",
        "cwd/log.1",
        *FILES.values(),
        *NAMED.values(),
    ):
        assert place.access(shop, path) == 0, path
    assert place.access(place.app("@acme/shop"), "apps/shop") == 0


def test_levels(place: Place) -> None:
    """`off` gives no order and keeps HOME; the other levels get folders of their own."""
    off = place.app("off", manifest="sandbox: off")
    assert place.order(off) is None
    assert place.sandboxes.variables(off, PYTHON) == {}
    strict = place.app("strict", manifest="sandbox: strict")
    assert place.order(strict)["level"] == "strict"
    variables = place.sandboxes.variables(strict, PYTHON)
    assert variables.keys() == {"HOME", "TMPDIR"}
    assert Path(variables["HOME"]).is_dir()
    place.sandboxes.close()


@pytest.mark.parametrize("abi", range(8))
def test_kernels(tmp_path: Path, abi: int) -> None:
    """Below ABI 3 all apps are "off", whatever they ask for."""
    place = Place(tmp_path, Kernel(abi))
    app = place.app("shop", manifest="sandbox: strict")
    assert place.sandboxes.level(app) == ("strict" if abi >= 3 else "off")
    assert (place.order(app) is None) == (abi < 3)
    assert bool(place.sandboxes.acts) == (abi >= 3)
    assert place.sandboxes.to_json()["landlockAbi"] == abi
    place.sandboxes.close()


def test_an_order_is_kept_until_something_changes(place: Place) -> None:
    """Workers get the same order, until a folder appears beside what is closed."""
    app = place.app("shop")
    first = place.order(app)
    assert place.order(app) is first
    (place.root / "fresh").mkdir()
    assert place.access(app, "fresh") & READ
    assert place.order(app) is not first


def test_settings_that_name_no_folder_change_nothing(place: Place) -> None:
    """What spares have prepared for stays valid, until a setting closes something else."""
    secrets = place.root / "other"
    secrets.mkdir()
    app = place.app("shop")
    first, (_, number) = place.order(app), place.sandboxes.preparation(place.now)
    place.live.replace(replace(place.live.now, pool_size=3))
    assert place.order(app) is first
    assert place.sandboxes.preparation(place.now)[1] == number
    assert place.access(app, "other") & READ
    place.live.replace(replace(place.live.now, secrets_dir=str(secrets)))
    assert place.access(app, "other") == 0
    assert place.sandboxes.preparation(place.now)[1] != number


def test_links_to_apps_are_closed(place: Place) -> None:
    """The target of a link in a folder of apps belongs to another app, and is closed."""
    target = place.root / "beside/blog"
    target.mkdir()
    (place.root / "apps/blog").symlink_to(target)
    shop = place.app("shop")
    assert place.access(shop, "beside/blog") == 0
    blog = place.app("blog", "../beside/blog")
    assert place.access(blog, "beside/blog") & WRITE


def test_write(place: Place) -> None:
    """`write` starts at the app's folder; a path that is another app's, or missing, is reported
    once."""
    (place.root / "beside/files").mkdir()
    (place.root / "apps/blog").mkdir()
    paths = [str(place.root / "beside/files"), "../blog", "gone"]
    app = place.app("shop", manifest=f"sandbox: standard\nwrite: {paths}")
    assert place.access(app, "beside/files/a") & WRITE
    assert place.access(app, "apps/blog") == 0
    assert dict(place.warnings) == {
        "sandbox.write_denied": {"app": "shop", "paths": [str(place.root / "apps/blog")]},
        "sandbox.write_missing": {"app": "shop", "paths": [str(place.root / "apps/shop/gone")]},
    }
    (place.root / "another").mkdir()
    place.order(app)
    assert len(place.warnings) == 2


def test_a_spare_has_done_what_is_the_same_for_all(place: Place) -> None:
    """INIT has the rest of the rules, unless what the spare was told is no longer true."""
    app = place.app("shop")
    line, number = place.sandboxes.preparation(place.now)
    told = json.loads(line)
    whole = place.order(app)
    rest = place.sandboxes.order(app, PYTHON, place.now, number)
    assert rest is not None
    assert rest["is_begun"]
    assert allowed(told["rules"]) | allowed(rest["rules"]) == allowed(whole["rules"])
    assert not allowed(told["rules"]) & allowed(rest["rules"])
    assert (told["filter"], rest["filter"]) == (whole["filter"], "")
    (place.root / "fresh").mkdir()
    place.now += 2
    anew = place.sandboxes.order(app, PYTHON, place.now, number)
    assert anew == place.order(app) | {"filter": ""}
    assert place.sandboxes.preparation(place.now)[1] != number


def allowed(rules: list[Any]) -> set[tuple[int, str]]:
    return {(access, path) for access, paths in rules for path in paths}


def test_what_is_strict_begins_anew(place: Place) -> None:
    """A spare's rules are those of the level "standard"; the filter is the same."""
    app = place.app("shop", manifest="sandbox: strict")
    _, number = place.sandboxes.preparation(place.now)
    order = place.sandboxes.order(app, PYTHON, place.now, number)
    assert order == place.order(app) | {"filter": ""}
    assert not order["is_begun"]


def test_temporary_folders_change_nothing(place: Place) -> None:
    """Apps' temporary folders are in the state folder, which is closed already: the preparation
    stays valid."""
    app = place.app("shop")
    _, number = place.sandboxes.preparation(place.now)
    assert place.sandboxes.variables(app, PYTHON)
    assert place.sandboxes.preparation(place.now)[1] == number
    place.sandboxes.close()
