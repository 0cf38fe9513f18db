"""A plugin in the project's folder `plugins`, from a checkout and from a .pyz that contains it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h11
import pytest

from tests.support.client import fetch
from tests.support.fence import needs_sandbox
from tests.support.harness import ROOT, Runtime, running
from tests.support.pluginfolders import plugins_of, write_plugin

SITE_PACKAGES = Path(h11.__file__).parents[1]  # here they are pinned by requirements/dev.txt
SOURCES = ("LICENSE", "buntime.py", "requirements/runtime.txt", "buntime", "artifacts")
# Tries to change its own code and what is around it.
CODE = """
import os
from buntime.plugin import Response
def tried(path, mode="a"):
    try:
        open(path, mode).close()
        return "done"
    except OSError as exc:
        return type(exc).__name__
def fetch(request):
    here = os.path.dirname(os.path.abspath(__file__))
    own = [tried(__file__), tried(here + "/new.py", "w"), tried(here + "/../other.py", "w")]
    own += [tried(here + "/../../buntime/__init__.py")]
    data = os.environ["APP_DATA_DIR"]
    return Response.json([data, own, tried(data + "/x")])
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with two plugins, and a .pyz built from it."""
    folder = tmp_path_factory.mktemp("project").resolve()
    for name in SOURCES:
        source, copy = ROOT / name, folder / name
        copy.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)
    public = {"visibility": "public", "data": True}
    write_plugin(folder / "plugins", "tiny", CODE, base="/tiny", **public)
    write_plugin(folder / "plugins", "off", CODE, base="/off", enabled=False, **public)
    code = "import pathlib; from artifacts.pyz import build; "
    code += f"build(pathlib.Path({str(SITE_PACKAGES)!r}), pathlib.Path('dist/buntime.pyz'))"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
    return folder


@contextmanager
def started(project: Path, form: str, folder: Path, plugins: str = "") -> Iterator[Runtime]:
    (folder / "apps").mkdir()
    env = {"RUNTIME_STATE_DIR": f"{folder}/s", "XDG_CACHE_HOME": f"{folder}/cache"}
    env |= {"RUNTIME_ENV": "production", "RUNTIME_PLUGIN_DIRS": plugins or f"{folder}/none"}
    with running(folder / "apps", env=env, start=[sys.executable, str(project / form)]) as runtime:
        yield runtime


FORMS = pytest.mark.parametrize("form", ["buntime.py", "dist/buntime.pyz"])


@needs_sandbox
@pytest.mark.parametrize(
    ("form", "level"),
    [("dist/buntime.pyz", "standard"), ("buntime.py", "standard"), ("buntime.py", "strict")],
)
def test_it_runs(project: Path, tmp_path: Path, form: str, level: str) -> None:
    """It is found without a setting, runs as its manifest says, keeps data, and cannot change its
    own code at any level.
    """
    manifest = {"base": "/tiny", "visibility": "public", "data": True, "sandbox": level}
    write_plugin(project / "plugins", "tiny", CODE, **manifest)
    with started(project, form, tmp_path) as runtime:
        data, own, kept = fetch(runtime, "/tiny/").json()
        assert data == f"{tmp_path}/s/data/plugin+tiny"
        assert (own, kept) == (["PermissionError"] * 4, "done")
        assert fetch(runtime, "/off/").status == 404
        states = {name: each["state"] for name, each in plugins_of(runtime).items()}
        assert states == {"tiny": "serving", "off": "disabled"}


@FORMS
def test_a_user_s_plugin_wins(project: Path, tmp_path: Path, form: str) -> None:
    """A plugin of the same name in a plugin folder replaces it, and the log says so."""
    code = 'from buntime.plugin import Response\ndef fetch(request): return Response("mine")'
    write_plugin(tmp_path / "mine", "tiny", code, base="/tiny", visibility="public")
    with started(project, form, tmp_path, f"{tmp_path}/mine") as runtime:
        assert fetch(runtime, "/tiny/").body == b"mine"
        record = runtime.wait_for_record("plugin.duplicate", plugin="tiny")
        assert record["served"] == f"{tmp_path}/mine/tiny"
        assert record["ignored"].endswith("/plugins/tiny")
