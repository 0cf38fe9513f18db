"""A plugin in the project's folder `plugins`, from a checkout and from a .pyz that contains it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h11
import pytest

from tests.support.client import fetch
from tests.support.fence import needs_sandbox
from tests.support.harness import ROOT, Runtime, running
from tests.support.pluginfolders import plugins_of, write_plugin

SITE_PACKAGES = Path(h11.__file__).parents[1]  # here they are pinned by requirements/dev.txt
SOURCES = ("LICENSE", "buntime.py", "requirements/runtime.txt", "buntime", "artifacts")
LEVELS = {"usual": "standard", "shut": "strict"}  # plugins, and their sandboxes
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
            shutil.copytree(source, copy)  # with what is compiled
        else:
            shutil.copy(source, copy)
    public = {"visibility": "public", "data": True}
    for name, level in LEVELS.items():
        write_plugin(folder / "plugins", name, CODE, base=f"/{name}", sandbox=level, **public)
    write_plugin(folder / "plugins", "tiny", CODE, base="/tiny", **public)
    write_plugin(folder / "plugins", "off", CODE, base="/off", enabled=False, **public)
    code = "import pathlib; from artifacts.pyz import build; "
    code += f"build(pathlib.Path({str(SITE_PACKAGES)!r}), pathlib.Path('dist/buntime.pyz'))"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module", params=["buntime.py", "dist/buntime.pyz"])
def runtime(
    request: pytest.FixtureRequest, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runtime]:
    """It serves these plugins, and a user's in place of one of them."""
    folder = tmp_path_factory.mktemp("served").resolve()
    (folder / "apps").mkdir()
    code = 'from buntime.plugin import Response\ndef fetch(request): return Response("mine")'
    write_plugin(folder / "mine", "tiny", code, base="/tiny", visibility="public")
    env = {"RUNTIME_STATE_DIR": f"{folder}/s", "XDG_CACHE_HOME": f"{folder}/cache"}
    env |= {"RUNTIME_ENV": "production", "RUNTIME_PLUGIN_DIRS": f"{folder}/mine"}
    # The .pyz needs no packages.
    options = ["-I", "-S"] if request.param.endswith(".pyz") else []
    start = [sys.executable, *options, str(project / request.param)]
    with running(folder / "apps", env=env, start=start) as runtime:
        yield runtime


@needs_sandbox
@pytest.mark.parametrize("name", LEVELS)
def test_it_runs(runtime: Runtime, name: str) -> None:
    """It is found without a setting, runs as its manifest says, keeps data, and cannot change its
    own code at any level.
    """
    data, own, kept = fetch(runtime, f"/{name}/").json()
    assert data.endswith(f"/s/data/plugin+{name}")
    assert (own, kept) == (["PermissionError"] * 4, "done")
    assert fetch(runtime, "/off/").status == 404
    states = {name: each["state"] for name, each in plugins_of(runtime).items()}
    assert states == {**dict.fromkeys((*LEVELS, "tiny"), "serving"), "off": "disabled"}


def test_a_user_s_plugin_wins(runtime: Runtime) -> None:
    """A plugin of the same name in a plugin folder replaces it, and the log says so."""
    assert fetch(runtime, "/tiny/").body == b"mine"
    record = runtime.wait_for_record("plugin.duplicate", plugin="tiny")
    assert record["served"].endswith("/mine/tiny")
    assert record["ignored"].endswith("/plugins/tiny")
