"""server/pythons: installer.py and packages.py, with a wheel made here."""

import dataclasses
import errno
import fcntl
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from buntime.core.apps.app import App
from buntime.core.apps.manifest import default_manifest
from buntime.core.errors import ManifestError, NoRoom
from buntime.server.lifetime.shutdown import ECHO_S
from buntime.server.pythons.confinement import Workshop
from buntime.server.pythons.environments import all_environments, environments_in, remove
from buntime.server.pythons.installer import Base, Installer
from buntime.server.pythons.interpreter import Interpreters
from buntime.server.pythons.packages import install_environment
from buntime.server.sandbox.probe import find_kernel
from tests.support.disks import remount, small_disk
from tests.support.harness import ROOT, is_alive, running, wait_until, write_app
from tests.support.wheels import make_wheel

BASE = Base(sys.executable, ".".join(map(str, sys.version_info[:3])))
# Without the machine's own pip settings, and with variables that an installation must not see.
ENVIRON = {
    "PATH": os.environ["PATH"],
    "HOME": os.environ.get("HOME", "/"),
    "PIP_CONFIG_FILE": os.devnull,
    "RUNTIME_MASTER_KEY": "hidden",
    "DATABASE_URL": "hidden",
}


def wheel_in(folder: Path, version: str, more: str = "", code: str = "") -> str:
    """Build a wheel of a package `tiny` with one value in it; returns its line for a lock file."""
    files = {"tiny.py": code or f"VERSION = {version!r}\n"}
    name, data = make_wheel("tiny", version, files, more)
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    return f"tiny=={version} --hash=sha256:{hashlib.sha256(data).hexdigest()}\n"


def write_lock(folder: Path, line: str, name: str = "requirements.lock") -> None:
    (folder / name).write_text(f"--no-index\n--find-links wheels\n{line}")


def make_app(folder: Path) -> App:
    folder.mkdir(exist_ok=True)
    manifest = dataclasses.replace(default_manifest(1000), auto_install=True)
    return App("shop", None, folder, "app.py", manifest, folder / "buntime.yaml")


def make_installer(**options: object) -> Installer:
    return Installer(environ=ENVIRON, **options)  # type: ignore[arg-type]  # passed on as they are


TELLS = """
import tiny
from buntime import Response

def fetch(request):
    return Response(tiny.VERSION)
"""


def version_seen(python: str) -> str:
    """Which version of `tiny` a Python imports."""
    done = subprocess.run(
        [python, "-I", "-c", "import tiny; print(tiny.VERSION)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def environments(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(".venv-*"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[App, str]:
    """An app whose packages were installed by pip, and its environment's Python."""
    app = make_app(tmp_path_factory.mktemp("shared"))
    write_lock(app.dir, wheel_in(app.dir / "wheels", "1.0"))
    return app, make_installer().ensure(app, BASE)


def copied(shared: tuple[App, str], folder: Path) -> App:
    """A copy of the shared app with its environment, as if the app was deployed with it."""
    folder.parent.mkdir(exist_ok=True)
    shutil.copytree(shared[0].dir, folder, symlinks=True)
    return make_app(folder)


# With the real venv and pip


def test_installed(shared: tuple[App, str]) -> None:
    """What the lock file names can be imported by the app's Python."""
    app, python = shared
    assert version_seen(python) == "1.0"
    assert Path(python).parents[2] == app.dir


@pytest.mark.skipif(find_spec("ensurepip") is None, reason="this Python has no ensurepip")
def test_installed_without_pip(tmp_path: Path) -> None:
    """A Python that has no pip installs with the one in ensurepip's wheel, and the environment has
    what the lock file names and no more."""
    bare = tmp_path / "bare"
    subprocess.run([BASE.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    app = make_app(tmp_path / "shop")
    write_lock(app.dir, wheel_in(app.dir / "wheels", "1.0"))
    python = make_installer().ensure(app, Base(str(bare / "bin/python"), BASE.version))
    assert version_seen(python) == "1.0"
    log = Path(python).parents[1] / "install.log"
    assert "Successfully installed tiny-1.0" in log.read_text()
    packages = next(Path(python).parents[1].glob("lib/python*/site-packages"))
    assert not [path.name for path in packages.iterdir() if path.name.startswith(("pip", "setup"))]


def test_link(shared: tuple[App, str]) -> None:
    """`.venv` links to the environment, which is named after what it was made from."""
    app, python = shared
    assert (app.dir / ".venv").is_symlink()
    assert (app.dir / ".venv/bin/python").samefile(python)
    assert environments(app.dir) == [Path(python).parents[1].name]


def test_knows_its_place(shared: tuple[App, str]) -> None:
    """An environment knows its own path, since it was created there."""
    _, python = shared
    code = "import sys; print(sys.prefix)"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(Path(python).parents[1])


def test_output_is_kept(shared: tuple[App, str]) -> None:
    """pip's output is kept in the environment."""
    log = Path(shared[1]).parents[1] / "install.log"
    assert "Successfully installed tiny-1.0" in log.read_text()


def test_moved(shared: tuple[App, str], tmp_path: Path) -> None:
    """An environment that was copied along with its app is used unchanged."""
    app = copied(shared, tmp_path / "copy")
    (app.dir / ".venv.lock").unlink()
    before = sorted(os.listdir(app.dir))
    assert version_seen(make_installer(limit_s=0).ensure(app, BASE)) == "1.0"
    assert sorted(os.listdir(app.dir)) == before  # it may be read-only


def test_wrong_hash(tmp_path: Path) -> None:
    """A file other than the locked one is not installed; pip's message is passed on."""
    app = make_app(tmp_path)
    wheel_in(app.dir / "wheels", "1.0")
    write_lock(app.dir, f"tiny==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(ManifestError) as caught:
        make_installer().ensure(app, BASE)
    said = str(caught.value)
    assert f"{app.source}: autoInstall: pip cannot install requirements.lock; correct" in said
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in said
    assert "Got " in said
    assert not (app.dir / ".venv").exists()


INSTALL = """
import dataclasses, sys
from pathlib import Path
from buntime.core.apps.app import App
from buntime.core.apps.manifest import default_manifest
from buntime.server.pythons.installer import Base, Installer
folder = Path(sys.argv[1])
manifest = dataclasses.replace(default_manifest(1000), auto_install=True)
app = App("shop", None, folder, "app.py", manifest, folder / "buntime.yaml")
Installer().ensure(app, Base(sys.executable, "3.11.0"))
"""


def test_ends_with_the_runtime(tmp_path: Path) -> None:
    """pip does not outlive a runtime that is killed."""
    app = make_app(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as index:
        index.settimeout(20)
        url = f"http://127.0.0.1:{index.getsockname()[1]}/"
        (app.dir / "requirements.lock").write_text(f"--index-url {url}\ntiny==1.0\n")
        command = [sys.executable, "-c", INSTALL, str(app.dir)]
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
            connection, _ = index.accept()  # pip asks for the package, and gets no answer
            process.kill()
    with connection:
        connection.settimeout(10)
        while connection.recv(4096):
            pass


def test_in_a_runtime(shared: tuple[App, str], tmp_path: Path) -> None:
    """After a change of its lock file an app is served with the new packages. If they cannot be
    installed, it is not served with the old ones instead."""
    app = copied(shared, tmp_path / "apps/shop").dir
    write_app(app, {"app.py": TELLS}, autoInstall=True, ttl=60)
    old = (app / "requirements.lock").read_text()
    environ = ENVIRON | {"RUNTIME_ENV": "development", "RUNTIME_PYTHON": sys.executable}
    with (
        running(app.parent, env=environ) as runtime,
        httpx.Client(timeout=30, verify=False) as client,
    ):
        assert client.get(f"{runtime.url}/shop").text == "1.0"
        write_lock(app, wheel_in(app / "wheels", "2.0"))
        assert client.get(f"{runtime.url}/shop").text == "2.0"
        write_lock(app, "tiny")
        for _ in range(2):
            answer = client.get(f"{runtime.url}/shop")
            assert answer.status_code == 500
            assert "requirements.lock: line 3: 'tiny' leaves the version open" in answer.text
        (app / "requirements.lock").write_text(old)
        assert client.get(f"{runtime.url}/shop").text == "1.0"
        assert len(environments(app)) == 2


# With a fake Python, which is faster

FAKE = """#!/bin/sh
while [ "$1" != -c ]; do shift; done
shift 2
[ $# = 0 ] && exec echo '{tools}'
for last; do line="$line\t$last"; done
printf '%b\\n' "$0$line" >> '{here}/runs'
[ "$1" = venv ] && mkdir "$last/bin" && exec cp "$0" "$last/bin/python"
[ -s '{here}/code' ] || exit 0
exec '{python}' -IS '{here}/code'
"""
HEAD = """
import json, os, sys, time
from pathlib import Path
environ = dict(os.environ)
here = Path({here!r})
"""
TOOLS = {"venv": True, "ensurepip": True, "pip": "23.2.1"}


class Fake:
    """A Python whose venv creates a folder, and whose pip is a piece of code; in fact a shell,
    which starts in 2 ms."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base = Base(str(folder / "python"), "3.11.7")
        self.becomes("")

    def becomes(self, code: str, **tools: object) -> None:
        path, here = Path(self.base.executable), str(self.folder)
        text = FAKE.format(python=sys.executable, here=here, tools=json.dumps(TOOLS | tools))
        path.unlink(missing_ok=True)  # a running program cannot be written to
        path.write_text(text)
        path.chmod(0o755)
        (self.folder / "code").write_text(code and HEAD.format(here=here) + code)

    def runs(self) -> list[list[str]]:
        """The commands so far: the interpreter's path, the module, its arguments."""
        path = self.folder / "runs"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.split("\t") for line in lines]

    def installs(self) -> int:
        return sum("install" in command for command in self.runs())


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    folder = tmp_path / "fake"
    folder.mkdir()
    return Fake(folder)


@pytest.fixture
def app(tmp_path: Path) -> App:
    app = make_app(tmp_path / "shop")
    write_lock(app.dir, "tiny==1.0\n")
    return app


def test_commands(app: App, fake: Fake) -> None:
    """pip installs the lock into an environment without pip: wheels only, with hashes if there are
    any."""
    python = make_installer().ensure(app, fake.base)
    write_lock(app.dir, "tiny==1.0 --hash=sha256:00\n")
    make_installer().ensure(app, fake.base)
    venv, pip, _, hashed = fake.runs()
    folder = str(Path(python).parents[1])
    assert venv[1:] == ["venv", "--without-pip", folder]
    assert pip[:5] == [fake.base.executable, "pip", "--python", python, "install"]
    assert pip[-2:] == ["--requirement", f"{folder}/requirements.lock"]
    assert "--only-binary=:all:" in pip
    assert "--require-hashes" not in pip
    assert "--require-hashes" in hashed


def test_pip_is_loaded_once(app: App, fake: Fake) -> None:
    """If pip's script for other Pythons is known, the environment's Python runs it: the option
    `--python` would load pip a second time, in another process."""
    script = "/usr/lib/python3/dist-packages/pip/__pip-runner__.py"
    fake.becomes("", runner=script)
    python = make_installer().ensure(app, fake.base)
    _, pip = fake.runs()
    assert pip[:3] == [python, script, "install"]


@pytest.mark.parametrize("version", ["", "22.2.2"])
def test_pip_in_a_wheel(app: App, fake: Fake, version: str) -> None:
    """ensurepip's pip is run as it is, from its wheel: it takes longer to install it first."""
    wheel = "/usr/share/python-wheels/pip-23.0.1-py3-none-any.whl"
    fake.becomes("", pip=version, wheel=wheel)
    python = make_installer().ensure(app, fake.base)
    venv, pip = fake.runs()
    assert venv[1:] == ["venv", "--without-pip", str(Path(python).parents[1])]
    assert pip[:3] == [python, wheel, "install"]


@pytest.mark.parametrize("version", ["", "22.2.2", "21.0", "unknown"])
def test_ensurepip(app: App, fake: Fake, version: str) -> None:
    """Without a pip that can install elsewhere, the environment gets its own."""
    fake.becomes("", pip=version)
    python = make_installer().ensure(app, fake.base)
    venv, pip = fake.runs()
    assert venv[1:] == ["venv", str(Path(python).parents[1])]
    assert pip[:3] == [python, "pip", "install"]


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ({"venv": False}, "has no venv to make an environment with"),
        ({"ensurepip": False, "pip": ""}, "has neither ensurepip nor pip"),
        ({"ensurepip": False, "pip": "21.0"}, "has pip 21.0 and no ensurepip; pip 22.3 would"),
    ],
)
def test_no_tools(app: App, fake: Fake, tools: dict[str, object], said: str) -> None:
    """What a Python lacks is named, and where to get it."""
    fake.becomes("", **tools)
    with pytest.raises(ManifestError, match=f"{fake.base.executable} {said}.*apt install python3"):
        make_installer().ensure(app, fake.base)


def test_no_python(app: App, tmp_path: Path) -> None:
    """A Python that cannot be run is named."""
    with pytest.raises(ManifestError, match=r"gone/python cannot be checked for venv and pip"):
        make_installer().ensure(app, Base(str(tmp_path / "gone/python"), "3.11.7"))


def test_binary(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime that is a binary has no Python to create environments with, and says so."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(ManifestError, match=r"has no Python to make .* RUNTIME_PYTHON"):
        make_installer().ensure(app, BASE)


def test_no_lock(app: App, fake: Fake) -> None:
    """The error for a missing lock file says how to create one, and how from an existing file."""
    (app.dir / "requirements.lock").unlink()
    with pytest.raises(ManifestError, match=r"buntime\.yaml: autoInstall: there is no lock file"):
        make_installer().ensure(app, fake.base)
    (app.dir / "poetry.lock").touch()
    with pytest.raises(ManifestError, match=r"poetry\.lock cannot be installed .* poetry export"):
        make_installer().ensure(app, fake.base)


def test_open_version(app: App, fake: Fake) -> None:
    """A file that leaves versions open is refused before anything is created."""
    write_lock(app.dir, "tiny>=1\n")
    with pytest.raises(ManifestError, match=r"autoInstall: requirements\.lock: line 3: 'tiny>=1'"):
        make_installer().ensure(app, fake.base)
    assert environments(app.dir) == []


def test_which_lock(app: App, fake: Fake) -> None:
    """requirements.txt is installed if there is no requirements.lock."""
    (app.dir / "requirements.txt").write_text("tiny==3.0\n")
    make_installer().ensure(app, fake.base)
    (app.dir / "requirements.lock").unlink()
    make_installer().ensure(app, fake.base)
    assert [Path(command[-1]).name for command in fake.runs()[1::2]] == [
        "requirements.lock",
        "requirements.txt",
    ]


def test_once(app: App, fake: Fake) -> None:
    """What is installed is not installed again, even by another runtime."""
    installer = make_installer()
    python = installer.ensure(app, fake.base)
    assert installer.ensure(app, fake.base) == python
    assert make_installer().ensure(app, fake.base) == python
    assert fake.installs() == 1


def test_new_lock(app: App, fake: Fake) -> None:
    """A changed lock gets its own environment, and the earlier one stays as it was."""
    installer = make_installer()
    before = installer.ensure(app, fake.base)
    write_lock(app.dir, "tiny==2.0\n")
    after = installer.ensure(app, fake.base)
    assert Path(before).parents[1] != Path(after).parents[1]
    assert Path(before).exists()
    assert (app.dir / ".venv").resolve() == Path(after).parents[1]


def test_lock_put_back(app: App, fake: Fake) -> None:
    """With an earlier lock the app gets its earlier environment back, without an installation."""
    installer = make_installer()
    before = installer.ensure(app, fake.base)
    write_lock(app.dir, "tiny==2.0\n")
    installer.ensure(app, fake.base)
    write_lock(app.dir, "tiny==1.0\n")
    assert installer.ensure(app, fake.base) == before
    assert (app.dir / ".venv").resolve() == Path(before).parents[1]
    assert fake.installs() == 2


def test_old_environments(app: App, fake: Fake) -> None:
    """The last two earlier environments are kept."""
    installer = make_installer()
    made = []
    for number in range(4):
        write_lock(app.dir, f"tiny=={number}.0\n")
        folder = Path(installer.ensure(app, fake.base)).parents[1]
        os.utime(folder / "complete", (number, number))  # the file system's clock may be coarse
        made.append(folder.name)
    assert environments(app.dir) == sorted(made[1:])


def test_other_python(app: App, fake: Fake, tmp_path: Path) -> None:
    """Another Python, or a new minor version in its place, gets another environment."""
    installer = make_installer()
    (tmp_path / "other").mkdir()
    other = Fake(tmp_path / "other").base
    bases = [fake.base, other, dataclasses.replace(fake.base, version="3.12.0")]
    assert len({installer.ensure(app, base) for base in bases}) == 3
    patched = dataclasses.replace(fake.base, version="3.11.8")
    assert installer.ensure(app, patched) == installer.ensure(app, fake.base)


@pytest.mark.parametrize("lost", ["complete", "bin/python"])
def test_cut_short(app: App, fake: Fake, lost: str) -> None:
    """An incomplete environment is recreated, with nothing of the old one in it; so is a copy that
    lacks the link to its Python."""
    folder = Path(make_installer().ensure(app, fake.base)).parents[1]
    (folder / lost).unlink()
    (folder / "half").touch()
    make_installer().ensure(app, fake.base)
    assert (folder / "complete").exists()
    assert not (folder / "half").exists()
    assert fake.installs() == 2


def test_venv_of_theirs(app: App, fake: Fake) -> None:
    """A `.venv` that is not our link is left as it is, and not used."""
    (app.dir / ".venv").mkdir()
    python = make_installer().ensure(app, fake.base)
    assert list((app.dir / ".venv").iterdir()) == []
    assert Path(python).parents[1].name.startswith(".venv-")


def test_link_of_theirs(app: App, fake: Fake, tmp_path: Path) -> None:
    """The same holds for a link that somebody made to a place of their own."""
    (app.dir / ".venv").symlink_to(tmp_path)
    make_installer().ensure(app, fake.base)
    assert (app.dir / ".venv").samefile(tmp_path)


def test_told(app: App, fake: Fake) -> None:
    """The log says when packages are installed, and how long it took."""
    told: list[tuple[str, dict[str, object]]] = []
    make_installer(tell=lambda event, _, **fields: told.append((event, fields))).ensure(
        app, fake.base
    )
    assert [event for event, _ in told] == [
        "packages.installing",
        "packages.installed",
    ]
    assert told[1][1].keys() == {"app", "lock", "python", "seconds"}


def test_environment_of_pip(app: App, fake: Fake) -> None:
    """pip gets only those of the runtime's variables that it needs."""
    fake.becomes("(here / 'environ').write_text(json.dumps(environ))")
    make_installer().ensure(app, fake.base)
    seen = json.loads((fake.folder / "environ").read_text())
    assert seen.keys() - {"LC_CTYPE", "PWD"} == {"PATH", "HOME", "PIP_CONFIG_FILE", "PIP_USER"}


def test_passed_variables() -> None:
    """Proxies, certificates and pip's own settings are passed on, but no keys and no detours."""
    passed = {
        "TZ": "UTC",
        "PIP_INDEX_URL": "https://user:password@index.example/simple",
        "HTTPS_PROXY": "http://proxy.example",
        "no_proxy": "localhost",
        "SSL_CERT_FILE": "/etc/ssl/ours.pem",
    }
    kept = {
        "RUNTIME_MASTER_KEY": "x",
        "PIP_API_KEY": "x",
        "PIP_TARGET": "/elsewhere",
        "PYTHONPATH": "/elsewhere",
        "VIRTUAL_ENV": "/elsewhere",
        "PIP_USER": "1",
    }
    assert install_environment(passed | kept, Workshop()) == passed | {"PIP_USER": "0"}


def test_a_package_for_another_python(tmp_path: Path) -> None:
    """The error says that the Python is at fault, and what to change, besides pip's own message."""
    app = make_app(tmp_path / "shop")
    write_lock(app.dir, wheel_in(app.dir / "wheels", "1.0", "Requires-Python: >=9.9\n"))
    advice = "for a package in requirements.lock; name another `python` in the manifest"
    with pytest.raises(ManifestError, match=f"is too old or too new {advice}"):
        make_installer().ensure(app, BASE)


def test_failure_is_remembered(app: App, fake: Fake) -> None:
    """After a failure nothing is tried for a minute, and the error stays the same."""
    now = [0.0]
    installer = make_installer(clock=lambda: now[0])
    fake.becomes("print('ERROR: no network'); sys.exit(1)")
    for now[0] in (0.0, 59.0):
        with pytest.raises(ManifestError, match=r"install\.log ends with:\n    ERROR: no network"):
            installer.ensure(app, fake.base)
        with pytest.raises(ManifestError, match="ERROR: no network"):
            installer.installed(app, fake.base)
    assert fake.installs() == 1
    fake.becomes("")
    now[0] = 60.0
    assert installer.installed(app, fake.base) is None
    assert installer.installed(app, fake.base) is None
    assert Path(installer.ensure(app, fake.base)).exists()
    assert installer.installed(app, fake.base) is not None


def test_a_full_disk(app: App, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is not the app's fault, whether pip reports it or the system reports it to us."""
    installer = make_installer()
    fake.becomes("print('ERROR: [Errno 28] No space left on device'); sys.exit(2)")
    with pytest.raises(NoRoom, match="No space left"):
        installer.ensure(app, fake.base)
    with pytest.raises(NoRoom, match="No space left"):
        installer.installed(app, fake.base)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "/somewhere")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(NoRoom, match=r"/somewhere: .*; make room there$"):
        make_installer().ensure(app, fake.base)


def test_failure_of_another_lock(app: App, fake: Fake) -> None:
    """A new lock is tried at once, even if the previous one failed."""
    installer = make_installer()
    fake.becomes("sys.exit(1)")
    with pytest.raises(ManifestError, match=r"install\.log ends with: nothing"):
        installer.ensure(app, fake.base)
    fake.becomes("")
    write_lock(app.dir, "tiny==2.0\n")
    assert installer.installed(app, fake.base) is None
    assert Path(installer.ensure(app, fake.base)).exists()


def test_long_output(app: App, fake: Fake) -> None:
    """However much pip wrote, the message has the first error and a few lines."""
    fake.becomes("print('x' * 5000 + '\\nERROR: this' + '\\nand that' * 99); sys.exit(1)")
    with pytest.raises(ManifestError) as caught:
        make_installer().ensure(app, fake.base)
    assert str(caught.value).splitlines()[1:] == ["    ERROR: this"] + ["    and that"] * 5


def test_time_limit(app: App, fake: Fake) -> None:
    """An installation that takes too long is stopped, with the processes that it started."""
    fake.becomes(
        "import subprocess\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        "(here / 'pids').write_text(f'{os.getpid()} {child.pid}')\n"
        "print('still building', flush=True)\n"
        "time.sleep(60)"
    )
    with pytest.raises(
        ManifestError, match=r"it took too long and was stopped; .*\n    still buil"
    ):
        make_installer(limit_s=1.5).ensure(app, fake.base)
    pids = [int(pid) for pid in (fake.folder / "pids").read_text().split()]
    wait_until(lambda: not any(map(is_alive, pids)), what="the end of pip")


def test_closed(app: App, fake: Fake) -> None:
    """When the runtime ends, so do a running installation and whoever waits for it."""
    fake.becomes("(here / 'started').touch(); time.sleep(60)")
    installer = make_installer()
    with ThreadPoolExecutor() as threads:
        waiting = [threads.submit(installer.ensure, app, fake.base) for _ in range(2)]
        wait_until((fake.folder / "started").exists)
        installer.close()
        for each in waiting:
            with pytest.raises(ManifestError, match="the runtime is ending"):
                each.result(10)


@pytest.mark.parametrize("pip", ["", "sys.exit(1)"])
def test_one_at_a_time(app: App, fake: Fake, pip: str) -> None:
    """Whoever waits while another installs shares its result, good or bad."""
    fake.becomes(f"time.sleep(0.3)\n{pip}")
    installer = make_installer()

    def ensure() -> str:
        try:
            return installer.ensure(app, fake.base)
        except ManifestError as exc:
            return str(exc)

    with ThreadPoolExecutor() as threads:
        results = [each.result() for each in [threads.submit(ensure) for _ in range(4)]]
    assert len(set(results)) == 1
    assert fake.installs() == 1


def test_two_runtimes(app: App, fake: Fake) -> None:
    """While another runtime installs, this one waits, and uses the result."""
    make_installer().ensure(app, fake.base)
    (complete,) = app.dir.glob(".venv-*/complete")
    complete.unlink()  # as if the other one were still installing
    with (app.dir / ".venv.lock").open() as other, ThreadPoolExecutor() as threads:
        fcntl.flock(other, fcntl.LOCK_EX)
        waiting = threads.submit(make_installer().ensure, app, fake.base)
        with pytest.raises(TimeoutError):
            waiting.result(0.3)
        complete.touch()
        fcntl.flock(other, fcntl.LOCK_UN)
        waiting.result(10)
    assert fake.installs() == 1


def test_cannot_write(app: App, fake: Fake) -> None:
    """A folder that is not writable is named, with the system's reason."""
    (app.dir / ".venv.lock").symlink_to(".venv.lock")
    with pytest.raises(
        ManifestError, match=r"\.venv\.lock: Too many levels.* let the runtime write to"
    ):
        make_installer().ensure(app, fake.base)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only(app: App, fake: Fake) -> None:
    """Without a cache, an app may be in a read-only folder only if its packages are there."""
    homeless = {name: value for name, value in ENVIRON.items() if name != "HOME"}
    app.dir.chmod(0o500)
    with pytest.raises(ManifestError, match=r"Permission denied; let the runtime write to .*CACHE"):
        Installer(environ=homeless).ensure(app, fake.base)
    app.dir.chmod(0o700)
    make_installer().ensure(app, fake.base)
    app.dir.chmod(0o500)
    assert make_installer().ensure(app, fake.base)
    app.dir.chmod(0o700)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[App]:
    """An app on a read-only file system, with its lock file and its wheel."""
    with small_disk(tmp_path / "disk", size="1m", inodes=64) as disk:
        app = make_app(disk / "shop")
        write_lock(app.dir, wheel_in(app.dir / "wheels", "1.0"))
        (app.dir / "app.py").write_text(TELLS)
        (app.dir / "buntime.yaml").write_text("autoInstall: true\nttl: 60\n")
        remount(disk, "ro")
        yield app


def test_a_read_only_folder_without_a_cache(read_only: App) -> None:
    """The error says what to make writable, or which setting to use."""
    environ = {name: value for name, value in ENVIRON.items() if name != "HOME"}
    with pytest.raises(
        ManifestError, match=r"Read-only .*; let the runtime write to .*a cache of its"
    ):
        Installer(environ=environ).ensure(read_only, BASE)


def test_a_read_only_folder(read_only: App, tmp_path: Path) -> None:
    """Its environment is in the runtime's cache, where workers run from it in their sandbox, and
    where a purge of the app looks for it."""
    app, environ = read_only, {**ENVIRON, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    before = sorted(os.listdir(app.dir))
    with (
        running(app.dir.parent, env=environ) as runtime,
        httpx.Client(timeout=60, verify=False) as client,
    ):
        assert client.get(f"{runtime.url}/shop/").text == "1.0"
        key = {"X-API-Key": ENVIRON["RUNTIME_MASTER_KEY"]}
        told = client.get(f"{runtime.url}/api/workers", headers=key)
        [worker] = [each for each in told.json()["workers"] if each["app"] == "shop"]
        assert worker["sandbox"] == "standard" or not find_kernel().is_fit
    installer = Installer(environ=environ)
    python = installer.ensure(app, BASE)
    assert installer.installed(app, BASE) == python
    assert sorted(os.listdir(app.dir)) == before
    [found] = environments_in(str(tmp_path / "cache/buntime"))
    assert found in all_environments(environ)
    assert (found.key, found.uid) == ("shop", os.geteuid())
    assert Path(python).is_relative_to(found.path)
    assert Path(found.path).is_relative_to(tmp_path / "cache/buntime")
    assert Interpreters(None, environ=environ).environments(app)[0] == Path(found.path)
    remove(found)
    assert not os.path.exists(found.path)


# As `Interpreters` uses it


def test_interpreters(shared: tuple[App, str], tmp_path: Path) -> None:
    """An app's interpreter is its environment's, and is unknown while that is out of date."""
    app = copied(shared, tmp_path / "copy")
    interpreters = Interpreters(None, environ=ENVIRON)
    assert interpreters.known(app) is None
    found = interpreters.find(app)
    (folder,) = app.dir.glob(".venv-*")
    assert found.executable == str(folder / "bin/python")
    assert found.prefix == str(folder)
    assert [Path(entry).is_relative_to(folder) for entry in found.path] == [True]
    assert interpreters.known(app) is found
    write_lock(app.dir, "tiny==2.0\n")
    assert interpreters.known(app) is None


def test_not_asked_for(app: App) -> None:
    """Without `autoInstall` a lock file is ignored."""
    plain = dataclasses.replace(app, manifest=default_manifest(1000))
    interpreters = Interpreters(None, environ=ENVIRON)
    assert interpreters.known(plain) is interpreters.default
    assert interpreters.find(plain) is interpreters.default
    assert [path.name for path in app.dir.iterdir()] == ["requirements.lock"]


def test_own_venv_is_not_used(app: App, tmp_path: Path) -> None:
    """With `autoInstall` an app does not run in a `.venv` that somebody made for it."""
    (app.dir / ".venv/bin").mkdir(parents=True)
    (app.dir / ".venv/bin/python").symlink_to(tmp_path / "gone")
    write_lock(app.dir, "tiny\n")
    with pytest.raises(ManifestError, match="leaves the version open"):
        Interpreters(None, environ=ENVIRON).find(app)


# Special files in a file's place


@pytest.mark.parametrize("name", ["requirements.lock", ".venv.lock"])
def test_no_file(app: App, fake: Fake, name: str) -> None:
    """A FIFO, a device or a socket in the place of a file is refused at once."""
    (app.dir / name).unlink(missing_ok=True)
    os.mkfifo(app.dir / name)
    with pytest.raises(ManifestError, match=f"{name}: not a regular file"):
        make_installer().ensure(app, fake.base)
    (app.dir / name).unlink()
    (app.dir / name).symlink_to("/dev/zero")
    with pytest.raises(ManifestError, match=f"{name}: (not a regular file|Too many levels)"):
        make_installer().ensure(app, fake.base)


def test_a_large_lock(app: App, fake: Fake) -> None:
    """A lock file of a terabyte is not read."""
    with (app.dir / "requirements.lock").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ManifestError, match=r"requirements\.lock: is larger than 4mb"):
        make_installer().ensure(app, fake.base)


def test_a_runtime_with_a_fifo(tmp_path: Path) -> None:
    """The app answers 500, the others answer, and the runtime ends when told to."""
    shop = write_app(tmp_path / "apps/shop", {"app.py": ""}, autoInstall=True)
    write_app(tmp_path / "apps/site", {"index.html": "hello"})
    os.mkfifo(shop / "requirements.lock")
    with (
        running(shop.parent) as runtime,
        httpx.Client(timeout=10, trust_env=False, verify=False) as client,
    ):
        assert client.get(f"{runtime.url}/shop").status_code == 500
        assert client.get(f"{runtime.url}/site/").status_code == 200
        began = time.monotonic()
        assert runtime.stop() == 0
        assert time.monotonic() - began < 5


def test_a_runtime_that_ends_meanwhile(tmp_path: Path) -> None:
    """Neither an interpreter that hangs nor one that leaves a child keeps the runtime from
    ending."""
    shop = write_app(tmp_path / "apps/shop", {"app.py": ""}, python="./python")
    pid = shop / "pid"
    (shop / "python").write_text(f"#!/bin/sh\necho $$ > {pid}.new; mv {pid}.new {pid}\nsleep 600\n")
    (shop / "python").chmod(0o755)
    with running(shop.parent) as runtime, ThreadPoolExecutor() as threads:
        asked = threads.submit(httpx.get, f"{runtime.url}/shop", timeout=20, trust_env=False)
        wait_until(pid.exists)
        runtime.process.terminate()
        time.sleep(ECHO_S * 1.5)  # one that comes at once counts as the first one's echo
        began = time.monotonic()
        assert runtime.stop() == 0
        assert time.monotonic() - began < 5
        assert asked.exception() or asked.result().status_code
    wait_until(lambda: not is_alive(int(pid.read_text())))
