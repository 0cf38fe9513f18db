"""Packages that uv installs, from pylock.toml, uv.lock, and the lock beside a script. Without uv, a
fake records how it was called; the other tests need the real one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from buntime.core.apps.app import App
from buntime.core.errors import ManifestError
from buntime.server.pythons.installer import Installer
from buntime.server.pythons.uvprogram import find_uv
from tests.server.pythons.test_installer import BASE, ENVIRON, make_app, version_seen, wheel_in
from tests.support.client import fetch
from tests.support.harness import running, write_app

UV = find_uv(os.environ)
needs_uv = pytest.mark.skipif(UV is None, reason="uv is not on the PATH")
PYLOCK = """lock-version = "1.0"
created-by = "test"
[[packages]]
name = "tiny"
version = "{version}"
wheels = [{{ {where}, hashes = {{ sha256 = "{sha256}" }} }}]
"""
SETTINGS = 'find-links = ["./wheels"]\nno-index = true\n'
PROJECT = f"""[project]
name = "shop"
version = "1.0"
requires-python = ">=3.9"
dependencies = ["tiny"]
[tool.uv]
{SETTINGS}"""
HEAD = ["/// script", 'requires-python = ">=3.9"', 'dependencies = ["tiny"]', "[tool.uv]"]
SCRIPT = "".join(f"# {line}\n" for line in [*HEAD, *SETTINGS.splitlines(), "///"])
FAKE = """#!/bin/sh
echo "$PWD: $*" >> {calls}
env >> {calls}
case "$*" in *" sync "*) {then} ;; esac
"""


def write_pylock(app: App, version: str = "1.0", *, is_url: bool = False) -> None:
    """Write a lock for a wheel beside it, with a relative path or a file: URL."""
    sha256 = wheel_in(app.dir / "wheels", version).rpartition(":")[2].strip()
    wheel = f"wheels/tiny-{version}-py3-none-any.whl"
    where = f'url = "file://{app.dir}/{wheel}"' if is_url else f'path = "{wheel}"'
    text = PYLOCK.format(version=version, where=where, sha256=sha256)
    (app.dir / "pylock.toml").write_text(text)


def with_uv(folder: Path, then: str = ":") -> dict[str, str]:
    """An environment with a fake uv, which records how it is called."""
    folder.mkdir()
    (folder / "uv").write_text(FAKE.format(calls=folder / "calls", then=then))
    (folder / "uv").chmod(0o755)
    return {**ENVIRON, "PATH": f"{folder}:{ENVIRON['PATH']}", "UV_INDEX_URL": "http://index"}


@pytest.fixture
def app(tmp_path: Path) -> App:
    made = make_app(tmp_path / "shop")
    (made.dir / "app.py").write_text("")
    return made


# The calls


def test_the_calls(app: App, tmp_path: Path) -> None:
    """uv reads no settings; it gets pip's variables, some of its own, and no secret."""
    write_pylock(app)
    environ = with_uv(tmp_path / "bin")
    Installer(environ=environ).ensure(app, BASE)
    calls = (tmp_path / "bin/calls").read_text()
    [folder] = app.dir.glob(".venv-*")
    python = f"--python {folder}/bin/python"
    assert f"{app.dir}: pip sync --no-progress" in calls
    assert f" --no-config {python} --no-build " in calls
    assert f" {app.dir}/pylock.toml\n" in calls
    assert "UV_INDEX_URL=http://index\n" in calls
    assert "UV_PYTHON_DOWNLOADS=never\n" in calls
    assert "hidden" not in calls


@pytest.mark.parametrize("name", ["uv.lock", "app.py.lock"])
def test_a_lock_is_exported(app: App, tmp_path: Path, name: str) -> None:
    """Other lock formats are first exported to pylock.toml, without a network, as they were
    locked."""
    (app.dir / name).write_text("version = 1")
    Installer(environ=with_uv(tmp_path / "bin")).ensure(app, BASE)
    calls = (tmp_path / "bin/calls").read_text()
    [folder] = app.dir.glob(".venv-*")
    what = f"--project {app.dir} " if name == "uv.lock" else f"--script {app.dir}/app.py "
    assert re.search(rf": export .*--frozen --offline .*{what}", calls)
    assert f"--output-file {folder}/pylock.toml" in calls
    assert re.search(rf": pip sync .* {folder}/pylock.toml\n", calls)


def test_which_lock_file(app: App, tmp_path: Path) -> None:
    """pip's format comes first, so that nothing changes for those who have both; uv's lock comes
    last."""
    installer = Installer(environ=with_uv(tmp_path / "bin"))
    (app.dir / "app.py.lock").write_text("")
    (app.dir / "uv.lock").write_text("")
    installer.ensure(app, BASE)
    assert "--project" in (tmp_path / "bin/calls").read_text()
    for name in ("pylock.toml", "requirements.txt", "requirements.lock"):
        (app.dir / name).write_text("flask")  # which is not a lock
        with pytest.raises(ManifestError, match=f"autoInstall: {name}"):
            installer.ensure(app, BASE)


def test_it_fails(app: App, tmp_path: Path) -> None:
    """uv's message is passed on, from its error on."""
    write_pylock(app)
    environ = with_uv(tmp_path / "bin", "echo noise; echo error: no such wheel; exit 2")
    with pytest.raises(ManifestError, match=r"uv cannot install pylock.toml(?s:.*)\n +error: no"):
        Installer(environ=environ).ensure(app, BASE)


def test_it_hangs(app: App, tmp_path: Path) -> None:
    """uv is stopped like pip, with everything it has started."""
    write_pylock(app)
    environ = with_uv(tmp_path / "bin", "sleep 100")
    with pytest.raises(ManifestError, match="took too long"):
        Installer(environ=environ, limit_s=1.0).ensure(app, BASE)


def test_the_lock_changes_meanwhile(app: App, tmp_path: Path) -> None:
    """An environment matches its lock file, or there is none."""
    write_pylock(app)
    environ = with_uv(tmp_path / "bin", f"echo >> {app.dir}/pylock.toml")
    with pytest.raises(ManifestError, match="changed in the meantime"):
        Installer(environ=environ).ensure(app, BASE)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("pylock.toml", "uv pip compile"),
        ("uv.lock", "uv export --no-dev"),
        ("app.py.lock", "uv export --script app.py"),
    ],
)
def test_no_uv(
    app: App, monkeypatch: pytest.MonkeyPatch, name: str, command: str, tmp_path: Path
) -> None:
    """The error says what is missing, and what helps without it; it is logged at the start
    already."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    (app.dir / name).write_text('lock-version = "1.0"\npackages = []')
    installer = Installer(environ={**ENVIRON, "PATH": "/nowhere:relative"})
    for act in (lambda: installer.ensure(app, BASE), lambda: installer.inspect(app, "/python")):
        with pytest.raises(ManifestError, match=rf"{name} needs uv.*pip install uv.*{command}"):
            act()


def test_faults_that_are_told_at_the_start(app: App, tmp_path: Path) -> None:
    """Each fault that can be found without an installation is reported; nothing is written for
    that."""
    installer = Installer(environ=with_uv(tmp_path / "bin"))

    def fault() -> str:
        with pytest.raises(ManifestError) as caught:
            installer.inspect(app, "/python")
        return str(caught.value)

    assert "there is no lock file" in fault()
    (app.dir / "app.py").write_text(SCRIPT)
    assert "make one: uv lock --script app.py" in fault()
    (app.dir / "pylock.toml").write_text('lock-version = "9"')
    assert "pylock.toml: lock-version '9'" in fault()
    (app.dir / "requirements.txt").write_text("flask>=3\n")
    assert "leaves the version open" in fault()
    (app.dir / "requirements.txt").write_text("flask==3.0.0\n")
    installer.inspect(app, "/python")
    assert not list(app.dir.glob(".venv*"))


# With the real uv


@needs_uv
@pytest.mark.parametrize("is_url", [False, True])
def test_pylock(app: App, is_url: bool) -> None:
    """Wheels beside the lock file, by path and by URL, are installed; another lock gets another
    environment."""
    write_pylock(app, is_url=is_url)
    installer = Installer(environ={**ENVIRON, "UV_OFFLINE": "1"})
    first = installer.ensure(app, BASE)
    assert version_seen(first) == "1.0"
    write_pylock(app, "2.0", is_url=is_url)
    second = installer.ensure(app, BASE)
    assert (version_seen(first), version_seen(second)) == ("1.0", "2.0")


@needs_uv
def test_another_hash(app: App) -> None:
    """A file other than the locked one is refused."""
    write_pylock(app)
    lock = app.dir / "pylock.toml"
    lock.write_text(re.sub(r'sha256 = "..', 'sha256 = "00', lock.read_text()))
    with pytest.raises(ManifestError, match=r"(?s)uv cannot install .*[Hh]ash mismatch"):
        Installer(environ={**ENVIRON, "UV_OFFLINE": "1", "HOME": str(app.dir)}).ensure(app, BASE)


def lock(folder: Path, *what: str) -> None:
    command = [UV or "uv", "lock", "--offline", "--python", sys.executable, *what]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@needs_uv
def test_settings_of_the_app(app: App) -> None:
    """An app's settings for uv do not have its packages installed elsewhere."""
    write_pylock(app)
    (app.dir / "pyproject.toml").write_text('[tool.uv.pip]\ntarget = "elsewhere"\n')
    python = Installer(environ={**ENVIRON, "UV_OFFLINE": "1"}).ensure(app, BASE)
    assert version_seen(python) == "1.0"
    assert not (app.dir / "elsewhere").exists()


@needs_uv
def test_a_project_and_a_script(app: App) -> None:
    """What uv has locked is installed, for a project and for a script."""
    wheel_in(app.dir / "wheels", "1.0")
    installer = Installer(environ={**ENVIRON, "UV_OFFLINE": "1"})
    (app.dir / "app.py").write_text(SCRIPT)
    lock(app.dir, "--script", "app.py")
    assert version_seen(installer.ensure(app, BASE)) == "1.0"
    (app.dir / "pyproject.toml").write_text(PROJECT)
    lock(app.dir)
    wheel_in(app.dir / "wheels", "3.0")
    before = (app.dir / "uv.lock").read_bytes()
    python = installer.ensure(app, BASE)
    assert version_seen(python) == "1.0"  # the locked version
    assert (app.dir / "uv.lock").read_bytes() == before


@needs_uv
@pytest.mark.parametrize("sandbox", ["standard", "strict"])
def test_in_the_sandbox(tmp_path: Path, sandbox: str) -> None:
    """uv installs where the app's packages are installed otherwise, and with no more rights."""
    code = (
        "import tiny\nfrom buntime import Response\ndef fetch(_): return Response(tiny.VERSION)\n"
    )
    folder = write_app(
        tmp_path / "apps/shop", {"app.py": code}, autoInstall=True, ttl=60, sandbox=sandbox
    )
    write_pylock(make_app(folder))
    # The last write decides what is served.
    write_app(folder, {"app.py": code}, autoInstall=True, ttl=60, sandbox=sandbox)
    env = {"UV_OFFLINE": "1", "PATH": f"{os.path.dirname(UV or '')}:{os.environ['PATH']}"}
    with running(tmp_path / "apps", env=env) as runtime:
        answer = fetch(runtime, "/shop/")
        assert answer.body == b"1.0", runtime.tail()


def test_faults_are_logged_at_the_start(tmp_path: Path) -> None:
    """They are logged before any visitor runs into them."""
    write_app(tmp_path / "shop", {"app.py": ""}, autoInstall=True)
    with running(tmp_path) as runtime:
        record = runtime.wait_for_record("app.start_failed", app="shop")
    assert "there is no lock file" in record["error"]
