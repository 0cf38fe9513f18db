"""What runs an app, and what it can import: interpreters, environments, vendor folders, names."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import fetch, workers_of
from tests.support.harness import (
    IS_BINARY,
    ROOT,
    Runtime,
    look_into,
    running,
    wait_until,
    write_app,
)
from tests.support.pythons import make_venv, search_path, wanted

# The oldest supported one, and one newer than most runtimes have.
VERSIONS = ("3.9", "3.10", "3.12", "3.13")

APP = """
import sys
from buntime import Response

def fetch(request):
    return Response.json({"version": list(sys.version_info[:2]), "got": request.text()})
"""
ASYNC = """
import asyncio, sys
from buntime import Response

async def fetch(request):
    await asyncio.sleep(0)
    return Response.json({"version": list(sys.version_info[:2]), "got": await request.text()})
"""
WSGI = """
import sys

def app(environ, start_response):
    start_response("200 OK", [("content-type", "text/plain")])
    return [str(sys.version_info[:2]).encode(), environ["wsgi.input"].read()]
"""
ASGI = """
import sys

async def app(scope, receive, send):
    if scope["type"] == "http":
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        version = repr(sys.version_info[:2]).encode()
        await send({"type": "http.response.body", "body": version + body})
"""
# Tries to import each name of `?try=`, and says where its module came from.
IMPORTS = """
import importlib, os, sys
from buntime import Response

def fetch(request):
    found = {}
    for name in request.query["try"].split(","):
        try:
            module = importlib.import_module(name)
        except ImportError:
            found[name] = "missing"
        else:
            found[name] = getattr(module, "WHOSE", "other")
    return Response.json({
        "found": found,
        "version": list(sys.version_info[:2]),
        "prefix": sys.prefix,
        "path": sys.path,
    })
"""
# Names that the checkout, the runtime, its tests or its packages use too.
TAKEN_NAMES = (
    "plugins", "tests", "apps", "core", "server", "worker", "wire", "message", "launch", "build",
    "bench", "docs", "deploy", "requirements", "h11", "yaml", "semantic_version",
)  # fmt: skip
OF_THE_RUNTIME = (
    "buntime.server",
    "buntime.core",
    "buntime.core.http1.reader",
    "build",
    "tests.support.harness",
)


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apps")
    for version in VERSIONS:
        kinds = {"fetch": APP, "async": ASYNC, "wsgi": WSGI, "asgi": ASGI}
        for kind, text in kinds.items():
            write_app(folder / f"{kind}-{version}", {"app.py": text}, python=version, ttl=60)
    write_app(folder / "plain", {"app.py": IMPORTS}, ttl=60)
    packages = {f"{name}/__init__.py": "WHOSE = 'app'" for name in TAKEN_NAMES}
    write_app(folder / "packages", {"app.py": IMPORTS, **packages}, ttl=60)
    modules = {f"{name}.py": "WHOSE = 'app'" for name in TAKEN_NAMES}
    write_app(folder / "modules", {"app.py": IMPORTS, **modules}, ttl=60)
    write_app(
        folder / "vendored",
        {
            "app.py": IMPORTS,
            "vendor/dependency/__init__.py": "from dependency.part import WHOSE",
            "vendor/dependency/part.py": "WHOSE = 'vendor'",
            "vendor/both.py": "WHOSE = 'vendor'",
            "both.py": "WHOSE = 'app'",
            "vendor/yaml.py": "WHOSE = 'vendor'",
        },
        ttl=60,
    )
    for ttl in (0, 60):
        write_app(folder / f"later-{ttl}", {"app.py": f"import lacking\n{IMPORTS}"}, ttl=ttl)
    make_venv(write_app(folder / "installs", {"app.py": IMPORTS}, ttl=60))
    write_env(write_app(folder / "env", {"app.py": IMPORTS}, ttl=60))
    if python := shutil.which("python3.9", path=search_path()):
        old = make_venv(write_app(folder / "env-3.9", {"app.py": IMPORTS}, ttl=60), python)
        (old / "dropped.py").write_text("WHOSE = 'venv'")
    write_app(folder / "missing", {"app.py": IMPORTS}, python="3.99")
    write_app(folder / "no-python", {"app.py": IMPORTS}, python="/bin/true")
    write_app(folder / "nowhere", {"app.py": IMPORTS}, python="./no-such-file")
    return folder


def write_env(app: Path) -> None:
    """A .venv with a package, and a link to a folder with a module."""
    packages = make_venv(app)
    (packages / "dropped").mkdir()
    (packages / "dropped/__init__.py").write_text("WHOSE = 'venv'")
    (app / "elsewhere").mkdir()
    (app / "elsewhere/linked.py").write_text("WHOSE = 'link'")
    (packages / "link.pth").write_text(f"{app / 'elsewhere'}\n")


@pytest.fixture(scope="module")
def runtime(apps: Path) -> Iterator[Runtime]:
    with running(apps, env={"PATH": search_path()}) as runtime:
        yield runtime


def imports(runtime: Runtime, app: str, *names: str) -> dict[str, Any]:
    answer = fetch(runtime, f"/{app}/?try={','.join(names)}")
    assert answer.status == 200, answer.body
    return answer.json()  # type: ignore[no-any-return]


# ---- the key `python`


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["fetch", "async", "wsgi", "asgi"])
def test_python_of_the_manifest_runs_the_app(runtime: Runtime, kind: str, version: str) -> None:
    """An app of any kind runs on the version that its `python` names."""
    wanted(version)
    answer = fetch(runtime, f"/{kind}-{version}/", method="POST", body=b"a body")
    assert answer.status == 200, answer.body
    assert version.replace(".", ",").encode() in answer.body.replace(b", ", b",")
    assert b"a body" in answer.body


def test_app_runs_on_the_runtimes_python_by_default(runtime: Runtime) -> None:
    """Without a `python` and a .venv an app runs on the interpreter of the runtime."""
    told = imports(runtime, "plain", "json")
    carried = (look_into(runtime.pid) / "exe").resolve().parents[1]
    assert told["prefix"] == (str(carried) if IS_BINARY else sys.prefix)
    assert tuple(told["version"]) == sys.version_info[:2]


@pytest.mark.parametrize(
    ("app", "why"),
    [
        ("missing", 'there is no "python3.99" on the PATH'),
        ("no-python", "/bin/true is not a Python 3"),
        ("nowhere", "no-such-file cannot be run"),
    ],
)
def test_python_that_cannot_be_had(runtime: Runtime, app: str, why: str) -> None:
    """An app whose interpreter is missing is answered 500, and log and answer say why."""
    answer = fetch(runtime, f"/{app}/")
    assert (answer.status, answer.error["code"]) == (500, "app_misconfigured")
    assert why.replace('"', "") in str(answer.error).replace('"', "").replace("'", "")
    wait_until(lambda: any(app in str(r) and r["level"] == "error" for r in runtime.records))


# ---- what can be imported


def test_app_imports_neither_runtime_nor_checkout(runtime: Runtime) -> None:
    """Of the runtime an app can import only what `buntime` offers apps."""
    told = imports(runtime, "plain", *OF_THE_RUNTIME)
    assert set(told["found"].values()) == {"missing"}
    assert str(ROOT) not in told["path"]
    assert imports(runtime, "plain", "buntime")["found"] == {"buntime": "other"}


@pytest.mark.parametrize("app", ["packages", "modules"])
def test_apps_own_modules_win(runtime: Runtime, app: str) -> None:
    """An app may have modules named like anything that the runtime has."""
    found = imports(runtime, app, *TAKEN_NAMES)["found"]
    assert set(found.values()) == {"app"}


def test_vendor_folder_is_importable(runtime: Runtime) -> None:
    """Packages in `vendor` can be imported, after the app's own and before installed packages."""
    found = imports(runtime, "vendored", "dependency", "both", "yaml")["found"]
    assert found == {"dependency": "vendor", "both": "app", "yaml": "vendor"}


# ---- an app's own .venv


def test_venv_of_an_app_is_used(runtime: Runtime, apps: Path) -> None:
    """An app with a .venv gets its packages and its prefix, and no packages of the runtime."""
    folder = apps / "env"
    told = imports(runtime, "env", "dropped", "linked", "yaml", "h11", "pytest")
    assert told["found"] == {
        "dropped": "venv", "linked": "link", "yaml": "missing", "h11": "missing",
        "pytest": "missing",
    }  # fmt: skip
    assert told["prefix"] == str(folder / ".venv")


def test_venv_of_another_python(runtime: Runtime, apps: Path) -> None:
    """The interpreter of an app's .venv runs it, even if it is an older one."""
    wanted("3.9")
    folder = apps / "env-3.9"
    told = imports(runtime, "env-3.9", "dropped")
    assert (told["version"], told["found"]) == ([3, 9], {"dropped": "venv"})
    assert told["prefix"] == str(folder / ".venv")


@pytest.mark.parametrize("ttl", [0, 60])
def test_venv_that_is_made_later_is_used(runtime: Runtime, apps: Path, ttl: int) -> None:
    """In development an app that lacked a package works once its .venv is there."""
    assert fetch(runtime, f"/later-{ttl}/?try=sys").status == 500
    (make_venv(apps / f"later-{ttl}") / "lacking.py").write_text("WHOSE = 'venv'")
    assert imports(runtime, f"later-{ttl}", "lacking")["found"] == {"lacking": "venv"}


def test_venv_that_is_made_later_is_used_in_production(tmp_path: Path) -> None:
    """In production, too, an app that could not load is tried with its new .venv."""
    folder = write_app(tmp_path / "later", {"app.py": f"import lacking\n{IMPORTS}"}, ttl=60)
    with running(tmp_path, env={"RUNTIME_ENV": "production"}) as runtime:
        assert fetch(runtime, "/later/?try=sys").status == 500
        (make_venv(folder) / "lacking.py").write_text("WHOSE = 'venv'")
        assert imports(runtime, "later", "lacking")["found"] == {"lacking": "venv"}


def test_package_that_is_installed_later_recycles_nothing(runtime: Runtime, apps: Path) -> None:
    """Installing a package leaves a running worker alone; it can import it from then on."""
    imports(runtime, "installs", "sys")
    [packages] = (apps / "installs/.venv/lib").glob("python3*/site-packages")
    before = workers_of(runtime, "installs")
    (packages / "new_one.py").write_text("WHOSE = 'venv'")
    wait_until(lambda: imports(runtime, "installs", "new_one")["found"] == {"new_one": "venv"})
    assert [w["id"] for w in workers_of(runtime, "installs")] == [w["id"] for w in before]
