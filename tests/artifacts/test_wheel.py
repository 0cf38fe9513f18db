"""The wheel that pip installs: its contents, and that it works in its own environment."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import h11
import pytest

from artifacts.environments import environment
from artifacts.installed import find_python, walk
from artifacts.wheel import build
from buntime import __version__
from tests.support.harness import ROOT

PACKAGES = Path(h11.__file__).parents[1]  # what the wheel needs, from this environment
APP = """
from buntime import (
    AsyncRequest, BadBody, BadForm, ClientGone, Event, Form, Headers, Query, Request, Response,
    ServiceError, WebSocket, WebSocketClosed, service,
)
from buntime.plugin import Continue, HookRequest, Plugin, ResponseHead, plugin


def fetch(request: Request) -> Response:
    query: Query = request.query
    try:
        form: Form = request.form()
    except BadForm as exc:
        return Response(str(exc), 400)
    except ClientGone:
        raise
    reveal_type(query.get("a"))
    reveal_type(form.getall("b"))
    return Response.json({"a": query.get("a")}, headers=Headers({"x": "y"}))


async def on_request(request: HookRequest) -> Continue | None:
    reveal_type(plugin.config)
    return Continue(headers={"x": request.path})
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(environment("wheel"), tmp_path_factory.mktemp("dist"))[0]


@pytest.fixture(scope="module")
def venv(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel; its other packages are those of the tests."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin/python"
    options = ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", "--no-compile"]
    pip = [sys.executable, "-m", "pip", "--python", python, "install", *options]
    subprocess.run([*pip, wheel], check=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    (packages / "others.pth").write_text(f"{PACKAGES}\n")
    return folder


def test_what_is_in_it(wheel: Path) -> None:
    """It contains only the package, with all that a checkout has beside it, and no launcher."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        info = f"buntime-{__version__}.dist-info"
        metadata = archive.read(f"{info}/METADATA").decode()
    assert {name.split("/")[0] for name in names} == {"buntime", info}
    assert f"Version: {__version__}\n" in metadata
    assert {"buntime/py.typed", "buntime/frames/frame.js", f"{info}/licenses/LICENSE"} <= names
    checkout = {
        str(path.relative_to(ROOT))
        for folder in ("buntime", "apps", "plugins")
        for path in (ROOT / folder).rglob("*.*")
        if path.suffix in (".py", ".js", ".css", ".svg", ".html", ".yaml", ".lock", ".ts")
        and not any(part == "data" or part.startswith((".", "__py")) for part in path.parts)
    }
    packed = {name.removeprefix("buntime/carried/") for name in names}
    assert checkout - packed == set()
    assert not [name for name in names if "/." in name or name.endswith((".pyc", ".md", ".db"))]


def test_the_same_twice(wheel: Path, tmp_path: Path) -> None:
    """A second build has the same bytes."""
    assert build(environment("wheel"), tmp_path)[0].read_bytes() == wheel.read_bytes()


def test_it_works(venv: Path, tmp_path: Path) -> None:
    """Help, a new app, serving it, the panel, and an app with another interpreter all work."""
    found = filter(None, map(find_python, ("3.9", "3.12", "3.13")))
    others = [*found][:1]
    told = list(walk(venv / "bin", tmp_path / "here", others))
    assert told[0] == f"buntime {__version__} (wheel, Python {sys.version.split()[0]})"
    assert len([line for line in told if f"has the SDK {__version__}" in line]) == len(others)


def test_what_it_carries(venv: Path) -> None:
    """The example apps and the plugins are in the package."""
    carried = next(venv.glob("lib/*/site-packages/buntime/carried"))
    assert {path.name for path in (carried / "apps").iterdir()} >= {"hello", "todos"}
    assert {path.name for path in (carried / "plugins").iterdir()} == {"authn", "cpanel", "keyval"}


def test_types(venv: Path, tmp_path: Path) -> None:
    """mypy --strict, in a user's project, sees the types of everything that can be imported."""
    (tmp_path / "app.py").write_text(APP)
    words = ["--strict", "--python-executable", f"{venv}/bin/python", "--cache-dir", "cache"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *words, "app.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    notes = [line.partition("type is ")[2] for line in done.stdout.splitlines() if "note" in line]
    assert done.returncode == 0, done.stdout
    assert notes == ['"str | None"', '"list[str | buntime.sdk.fields.File]"', '"dict[str, Any]"']
