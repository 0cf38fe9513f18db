"""One runtime for each app, with nginx in front of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml
from playwright.sync_api import Browser, Page, expect

from tests.support.chromium import launched
from tests.support.client import fetch
from tests.support.fence import KERNEL
from tests.support.harness import Runtime, running
from tests.support.proxies import before, nginx
from tests.support.recipes import Recipe, recipes

# The Python that has the packages. Without it no app can run, and no test here is collected.
PYTHON = os.environ.get("APPS_PYTHON", "")
collect_ignore_glob = [] if PYTHON else ["test_*.py"]

RECIPES = recipes()
HEAVY = ("streamlit",)
WAYS = ("plain", "pinned", "behind nginx")
BOOT_S = 60.0
LISTS = "import importlib.metadata as m; print(*[d.metadata['Name'] for d in m.distributions()])"


def installed() -> set[str]:
    """The names of all packages installed for the apps."""
    listed = subprocess.run([PYTHON, "-c", LISTS], stdout=subprocess.PIPE, text=True, check=True)
    return {plain(name) for name in listed.stdout.split()}


def plain(package: str) -> str:
    """`"Strawberry_GraphQL[asgi]"` -> `"strawberry-graphql"`."""
    return package.partition("[")[0].lower().replace("_", "-")


INSTALLED = installed() if PYTHON else set()


@dataclass(frozen=True)
class Served:
    """An app in its own runtime; `proxy` is "" if there is no nginx."""

    recipe: Recipe
    runtime: Runtime
    proxy: str
    apps: Path
    data: Path  # its APP_DATA_DIR


@dataclass(frozen=True)
class Site:
    """An app where a client finds it: `url` ends in its base, without a slash."""

    name: str
    url: str
    base: str
    http: httpx.Client

    def get(self, path: str, **kwargs: object) -> httpx.Response:
        return self.http.get(self.url + path, **kwargs)  # type: ignore[arg-type]  # httpx's own

    def socket(self, path: str) -> str:
        """The URL of a WebSocket."""
        return self.url.replace("http:", "ws:", 1) + path


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test names its app with `@pytest.mark.app("dash")`, and runs for each way to reach it."""
    marker = metafunc.definition.get_closest_marker("app")
    if marker is None:
        return
    metafunc.parametrize("served", marker.args, indirect=True, scope="module")
    metafunc.parametrize("site", WAYS, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        marker = item.get_closest_marker("app")
        if marker is None:
            continue
        needed = RECIPES[marker.args[0]].packages or HEAVY  # npm's packages belong to the rest too
        if not {*map(plain, needed)} <= INSTALLED:
            item.add_marker(pytest.mark.skip(reason="not in this part of the apps"))
        # These apps take seconds to load, and much longer beside others on a slow machine.
        item.add_marker(pytest.mark.timeout(300))


def run_client(code: str, *args: str) -> str:
    """What a script prints that uses one of the apps' packages, without the newline."""
    done = subprocess.run(
        [PYTHON, "-c", code, *args], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n")


def write_secrets(folder: Path, recipe: Recipe) -> None:
    """Write each secret that the app's manifest names."""
    folder.mkdir()
    manifest = yaml.safe_load(recipe.files["buntime.yaml"])
    for name in manifest.get("secrets", []):
        (folder / f"{recipe.name}.{name}").write_text("of the tests", "utf-8")


@pytest.fixture(scope="module")
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    recipe = RECIPES[request.param]
    tmp_path = tmp_path_factory.mktemp(recipe.name)
    apps = tmp_path / "apps"
    apps.mkdir()
    folder = recipe.make(apps, f"{recipe.name}@1.0.0", PYTHON)
    # A pin is for an older version: a worker that served both bases would mix their links.
    shutil.copytree(folder, apps / f"{recipe.name}@2.0.0", symlinks=True)
    if "APP_BASE" in "".join(recipe.files.values()):  # it knows one base, as the page says
        with (folder / "buntime.yaml").open("a") as manifest:
            manifest.write(f"env:\n  APP_BASE: /{recipe.name}@1\n")
    env = {"RUNTIME_ENV": "production", "RUNTIME_TRUSTED_PROXIES": "127.0.0.1"}
    env["RUNTIME_PYTHON"] = PYTHON
    env["RUNTIME_STATE_DIR"] = str(tmp_path / "state")
    env["RUNTIME_SECRETS_DIR"] = str(tmp_path / "secrets")
    write_secrets(tmp_path / "secrets", recipe)
    with running(apps, env=env) as runtime, contextlib.ExitStack() as stack:
        proxy = ""
        with contextlib.suppress(pytest.skip.Exception):
            proxy = stack.enter_context(before(nginx, tmp_path, f"127.0.0.1:{runtime.port}"))
        yield Served(recipe, runtime, proxy, apps, tmp_path / "state/data" / recipe.name)
        workers = fetch(runtime, "/api/workers").json()["workers"]
        levels = {worker["sandbox"] for worker in workers if worker["app"]}
        assert not KERNEL.is_fit or levels <= {"standard"}, "it was to be tried in its sandbox"


@pytest.fixture
def site(request: pytest.FixtureRequest, served: Served) -> Iterator[Site]:
    name = served.recipe.name
    base = f"/{name}@1" if request.param == "pinned" else f"/{name}"
    root = served.proxy if request.param == "behind nginx" else served.runtime.url
    if not root:
        pytest.skip("there is no nginx here")
    with httpx.Client(trust_env=False, timeout=BOOT_S, follow_redirects=True) as http:
        yield Site(name, root + base, base, http)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=30_000)
    with launched() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    """A fresh browser page. A request to the site's host outside the app's base fails the test."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.set_default_navigation_timeout(BOOT_S * 1000)
    host = site.url.removesuffix(site.base)
    strays: list[str] = []

    def note(url: str) -> None:
        inside = url == site.url or url.startswith((f"{site.url}/", f"{site.url}?"))
        if url.startswith(host + "/") and not inside and not url.endswith("/favicon.ico"):
            strays.append(url)

    page.on("request", lambda request: note(request.url))
    yield page
    context.close()
    assert strays == []
