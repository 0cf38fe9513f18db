"""The folders that apps and plugins with `data: true` get for data that lasts."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import textwrap
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import fetch
from tests.support.fence import needs_sandbox
from tests.support.harness import Runtime, running, write_app
from tests.support.pluginfolders import write_plugin

# Notes each load in its data folder, and runs the posted code.
RUNS = """
import json, os
from buntime import Response
DATA = os.environ.get("APP_DATA_DIR")
if DATA:
    with open(os.path.join(DATA, "loads"), "a") as file:
        file.write("x")
def fetch(request):
    scope = dict(globals())
    try:
        exec(request.text(), scope)
        return Response.json(scope.get("result"))
    except OSError as exc:
        return Response.json(type(exc).__name__)
"""
SYSTEM_PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") or ""
PUBLIC = {"base": "/kept", "visibility": "public"}


class Place:
    """A runtime with apps that keep data, and a plugin that does."""

    def __init__(self, root: Path, runtime: Runtime) -> None:
        self.data = root / "s/data"
        self.runtime = runtime

    def run(self, app: str, code: str) -> Any:
        body = textwrap.dedent(code).encode()
        answer = fetch(self.runtime, f"/{app}/", method="POST", body=body)
        assert answer.status == 200, answer.body
        return answer.json()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("kept").resolve()
    apps = root / "apps"
    for name, manifest in {
        "standard": {"ttl": 3600, "sandbox": "standard"},
        "strict": {"ttl": 3600, "sandbox": "strict"},
        "off": {"ttl": 3600, "sandbox": "off"},
        "@acme/once": {"sandbox": "strict"},
        "ready": {"prewarm": 1},
        "shop@1.0.0": {"ttl": 3600},
        "shop@2.0.0": {"ttl": 3600},
    }.items():
        write_app(apps / name, {"app.py": RUNS}, data=True, **manifest)
    own = write_app(apps / "own", {"app.py": RUNS}, data=True, ttl=3600)
    venv.create(own / ".venv", symlinks=False)  # a Python that the app could change
    write_app(apps / "without", {"app.py": RUNS}, ttl=3600)
    write_plugin(root / "plugins", "kept", RUNS, data=True, **PUBLIC)
    env = {"RUNTIME_STATE_DIR": str(root / "s"), "RUNTIME_PLUGIN_DIRS": str(root / "plugins")}
    with running(apps, env=env) as runtime:
        yield Place(root, runtime)


@pytest.mark.parametrize(
    ("app", "folder"),
    [
        ("standard", "standard"),
        ("strict", "strict"),
        ("off", "off"),
        ("@acme/once", "@acme+once"),
        ("ready", "ready"),
        ("own", "own"),
        ("kept", "plugin+kept"),
    ],
)
def test_an_app_keeps_data(place: Place, app: str, folder: str) -> None:
    """At each sandbox level, with each kind of worker and of Python, the app can write there, from
    its load on; the folder is closed to other users.
    """
    code = """
    with open(f"{DATA}/kept", "a") as file:
        file.write("y")
    os.mkdir(f"{DATA}/folder")
    os.rename(f"{DATA}/kept", f"{DATA}/folder/kept")
    result = DATA, os.environ["APP_DATA_DIR"]
    """
    made = place.data / folder
    assert place.run(app, code) == [str(made)] * 2
    assert (made / "folder/kept").read_text() == "y"
    assert (made / "loads").read_text().startswith("x")
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_each_worker_of_ttl_0(place: Place) -> None:
    """What one worker has left the next one finds."""
    for number in (1, 2):
        code = f"open(DATA + '/count', 'a').write('x'); result = {number}"
        assert place.run("@acme/once", code) == number
    assert place.run("@acme/once", "result = open(DATA + '/count').read()") == "xx"


def test_versions_share_it(place: Place) -> None:
    """All versions of an app have the same folder."""
    assert place.run("shop@1.0.0", "result = open(DATA + '/note', 'w').write('from 1')") == 6
    assert place.run("shop@2.0.0", "result = open(DATA + '/note').read()") == "from 1"


def test_without(place: Place) -> None:
    """An app that has not asked for a folder has none, and gets no path."""
    assert place.run("without", "result = DATA") is None
    assert not (place.data / "without").exists()


OTHERS = {
    "reads": "open('{other}/loads').read()",
    "writes": "open('{other}/loads', 'a')",
    "makes": "open('{other}/new', 'w')",
    "lists": "os.listdir('{other}')",
    "lists all": "os.listdir(os.path.dirname('{other}'))",
    "removes": "os.unlink('{other}/loads')",
    "renames": "os.rename('{other}', '{other}.away')",
    "links": "os.link('{other}/loads', (DATA or '.') + '/linked')",
    "goes by a link": "os.symlink('{other}', os.environ['TMPDIR'] + '/to') or "
    "open(os.environ['TMPDIR'] + '/to/loads')",
    "opens the database": "sqlite3.connect('{other}/db').execute('create table t(a)')",
}


@needs_sandbox
@pytest.mark.parametrize("other", ["off", "plugin+kept"])
@pytest.mark.parametrize("app", ["standard", "strict", "@acme/once", "own", "without", "kept"])
def test_others_data(place: Place, app: str, other: str) -> None:
    """No app gets at the data of another app or a plugin, in any way."""
    if app == "kept" and other == "plugin+kept":
        other = "standard"
    for name in ("off", "kept", "standard"):
        place.run(name, "result = 1")  # so that all folders exist
    attacks = {what: code.format(other=place.data / other) for what, code in OTHERS.items()}
    code = f"""
    import errno, sqlite3
    refusals = (errno.EACCES, errno.EPERM, errno.EXDEV)  # the last of Landlock for links
    result = {{}}
    for what, attack in {attacks!r}.items():
        try:
            result[what] = bool(eval(attack))
        except OSError as exc:
            result[what] = "refused" if exc.errno in refusals else str(exc)
        except sqlite3.OperationalError:
            result[what] = "refused"
    os.unlink(os.environ["TMPDIR"] + "/to")
    """
    assert place.run(app, code) == dict.fromkeys(OTHERS, "refused")
    assert "loads" in os.listdir(place.data / other)


def test_it_is_taken_away(tmp_path: Path) -> None:
    """Without `data: true` an app cannot reach its data; with it again, the data is still there."""
    folder = write_app(tmp_path / "apps/shop", {"app.py": RUNS}, data=True, ttl=3600)
    with running(tmp_path / "apps", env={"RUNTIME_STATE_DIR": str(tmp_path / "s")}) as runtime:
        place = Place(tmp_path, runtime)
        place.run("shop", "open(DATA + '/note', 'w').write('kept')")
        write_app(folder, {}, ttl=3600)
        note = tmp_path / "s/data/shop/note"
        assert place.run("shop", "result = DATA") is None
        if fetch(runtime, "/api/workers").json()["sandbox"]["acts"]:
            assert place.run("shop", f"open({str(note)!r})") == "PermissionError"
        write_app(folder, {}, data=True, ttl=3600)
        assert place.run("shop", "result = open(DATA + '/note').read()") == "kept"


def test_no_folder_can_be_made(tmp_path: Path) -> None:
    """The app's requests get 500, the log says what to do, and other apps still run; with each kind
    of worker."""
    kinds: dict[str, dict[str, Any]] = {"lasts": {"ttl": 3600}, "once": {}, "warm": {"prewarm": 1}}
    for name, manifest in kinds.items():
        write_app(tmp_path / "apps" / name, {"app.py": RUNS}, data=True, **manifest)
    write_app(tmp_path / "apps/blog", {"app.py": RUNS}, ttl=3600)
    (tmp_path / "s").mkdir(mode=0o711)
    (tmp_path / "s/data").touch()
    with running(tmp_path / "apps", env={"RUNTIME_STATE_DIR": str(tmp_path / "s")}) as runtime:
        manifests = {name: tmp_path / "apps" / name / "buntime.yaml" for name in kinds}
        for name, path in manifests.items():
            assert fetch(runtime, f"/{name}/").status == 500, name
            record = runtime.wait_for_record("app.boot_failed", app=name)
            assert record["error"].startswith(f"{path}: data: {tmp_path}/s/data"), name
        assert Place(tmp_path, runtime).run("blog", "result = 7") == 7
        (tmp_path / "s/data").unlink()
        for name, path in manifests.items():
            os.utime(path, ns=(1, 1))  # a change, so that it is tried at once
            assert Place(tmp_path, runtime).run(name, "result = bool(DATA)") is True, name


def test_a_plugin_without_a_folder(tmp_path: Path) -> None:
    """A plugin whose folder cannot be made does not serve, and the log says why."""
    write_plugin(tmp_path / "plugins", "kept", RUNS, data=True, start="eager", **PUBLIC)
    (tmp_path / "s").mkdir(mode=0o711)
    (tmp_path / "s/data").touch()
    env = {"RUNTIME_STATE_DIR": str(tmp_path / "s"), "RUNTIME_PLUGIN_DIRS": f"{tmp_path}/plugins"}
    (tmp_path / "apps").mkdir()
    with running(tmp_path / "apps", env=env) as runtime:
        record = runtime.wait_for_record("plugin.start_failed", plugin="kept")
        assert f"data: {tmp_path}/s/data" in record["error"]
        assert fetch(runtime, "/kept/").status == 503


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts workers of other users")
@pytest.mark.skipif(not SYSTEM_PYTHON, reason="there is no Python that every user can read")
def test_of_a_user() -> None:
    """The folder of an app with a user belongs to that user, who can write there: with and without
    a sandbox, and with a Python of the app's own."""
    # Not in pytest's folder, which is closed to other users.
    with tempfile.TemporaryDirectory(prefix="buntime-data-") as name:
        root = Path(name).resolve()
        root.chmod(0o711)
        names = [
            f"{sandbox}-{whose}" for sandbox in ("standard", "off") for whose in ("own", "ours")
        ]
        for each in names:
            sandbox, _, whose = each.partition("-")
            app = write_app(
                root / "apps" / each, {"app.py": RUNS}, data=True, ttl=3600, sandbox=sandbox
            )
            if whose == "own":  # root starts nothing in it
                subprocess.run(
                    [SYSTEM_PYTHON, "-m", "venv", "--without-pip", app / ".venv"], check=True
                )
        env = {"RUNTIME_STATE_DIR": str(root / "s"), "RUNTIME_APP_USERS": "*=nobody"}
        with running(root / "apps", env={**env, "RUNTIME_PYTHON": SYSTEM_PYTHON}) as runtime:
            uid = pwd.getpwnam("nobody").pw_uid
            for each in names:
                assert Place(root, runtime).run(each, "result = os.getuid()") == uid, each
        for each in names:
            loads = (root / "s/data" / each / "loads").stat()
            assert (loads.st_uid, stat.S_IMODE(loads.st_mode) & 0o022) == (uid, 0), each
