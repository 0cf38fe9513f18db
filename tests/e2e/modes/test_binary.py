"""The pitfalls of one file that unpacks itself: what it leaves, where it can't run, who cleans
up."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import flask
import httpx
import pytest

from tests.support.harness import (
    IS_BINARY,
    ROOT,
    UNDER_TEST,
    Runtime,
    look_into,
    running,
    wait_until,
    write_app,
)

WORKERS_START_AFRESH = True  # it is about what a start brings

CAN_MOUNT = (
    subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0
)
# Flask and its dependencies, of which markupsafe also works without its compiled part.
VENDORED = ("flask", "werkzeug", "jinja2", "markupsafe", "click", "itsdangerous", "blinker")
FLASK = "from flask import Flask\napp = Flask(__name__)\napp.get('/')(lambda: 'by Flask')\n"

pytestmark = pytest.mark.skipif(not IS_BINARY, reason="no binary is tested")
needs_mounts = pytest.mark.skipif(not CAN_MOUNT, reason="mounts are not allowed here")


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apps")
    once = "import sys\nfrom buntime import Response\n"
    once += "def fetch(request):\n    import decimal, sqlite3, xml.dom.minidom\n"
    once += "    return Response(sys.version.split()[0])\n"
    write_app(folder / "once", {"app.py": once})
    return folder


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp"


def get(runtime: Runtime, path: str) -> str:
    return (
        httpx.get(runtime.url + path, trust_env=False, timeout=20, verify=False)
        .raise_for_status()
        .text
    )


def leftover(temporary: Path, name: str, files: dict[str, str], age_s: float = 0) -> Path:
    """Makes a folder as a bootloader does."""
    folder = temporary / f"_MEI{name}"
    folder.mkdir()
    for path, text in files.items():
        (folder / path).write_text(text)
    then = folder.stat().st_mtime - age_s
    os.utime(folder, (then, then))
    return folder


def test_nothing_is_left(apps: Path, temporary: Path) -> None:
    """While it runs, the temporary folder holds only a mark; afterwards it is empty."""
    with running(apps, env={"TMPDIR": str(temporary)}) as runtime:
        [folder] = temporary.iterdir()
        assert [path.name for path in folder.iterdir()] == ["buntime.lock"]
        assert (folder / "buntime.lock").read_text() == f"{runtime.pid}\n"
        runtime.stop()
    assert list(temporary.iterdir()) == []


def test_what_a_killed_one_left_is_removed(apps: Path, temporary: Path) -> None:
    """The next start removes what a killed one left, and nothing else."""
    env = {"TMPDIR": str(temporary)}
    with running(apps, env=env) as living:
        with running(apps, env=env) as killed:
            mine = {path.name for path in temporary.iterdir()}
            killed.stop(signal.SIGKILL)
        broken_off = leftover(temporary, "old", {"buntime.index": ""}, age_s=600)
        kept = {
            leftover(temporary, "starting", {"buntime.index": ""}).name,
            leftover(temporary, "another-program", {"libpython3.so": ""}, age_s=9000).name,
        }
        assert {path.name for path in temporary.iterdir()} == mine | kept | {broken_off.name}
        with running(apps, env=env):
            assert not broken_off.exists()
            left = {path.name for path in temporary.iterdir()} - kept
            assert len(left) == 2  # those of the two that still run
            assert len(left & mine) == 1
        assert get(living, "/once/")


def test_a_cleaner_of_temporary_files(apps: Path, temporary: Path) -> None:
    """Emptying the temporary folder breaks nothing: interpreters and modules are elsewhere."""
    env = {"TMPDIR": str(temporary), "RUNTIME_SPARE_WORKERS": "0"}
    with running(apps, env=env) as runtime:
        shutil.rmtree(temporary)
        temporary.mkdir()
        assert get(runtime, "/once/")
        assert runtime.stop() == 0


def test_the_cache_is_mended(apps: Path, tmp_path: Path) -> None:
    """A start notices a file that is missing from its folder in the cache, and makes it anew."""
    env = {"XDG_CACHE_HOME": str(tmp_path)}
    with running(apps, env=env):
        [folder] = (tmp_path / "buntime").glob("python-*")
    witness = folder / "witness"  # inode numbers prove nothing: a new folder may get the old one's
    witness.touch()
    with running(apps, env=env):
        assert witness.exists()
    next(folder.glob("lib/python3*/decimal.py")).unlink()
    with running(apps, env=env) as runtime:
        assert not witness.exists()
        assert get(runtime, "/once/")


@needs_mounts
@pytest.mark.parametrize("where", ["tmp", "cache", "both"])
def test_noexec(apps: Path, tmp_path: Path, where: str) -> None:
    """Where no program may run from a folder, another folder is used or asked for."""
    folders = {name: tmp_path / name for name in ("tmp", "cache", "good")}
    for folder in folders.values():
        folder.mkdir()
    mounted = [folders[name] for name in ("tmp", "cache") if where in (name, "both")]
    mounts = "".join(f"mount -t tmpfs -o noexec,size=90m none '{folder}' && " for folder in mounted)
    start = ["unshare", "-m", "sh", "-c", f'{mounts}exec "$@"', "sh", str(UNDER_TEST)]
    env = {"XDG_CACHE_HOME": str(folders["cache"]), "TMPDIR": str(folders["tmp"])}
    if where == "cache":
        # Without this, a folder for state would be tried before the temporary one.
        with running(apps, env={**env, "RUNTIME_STATE_DIR": ""}, start=start) as runtime:
            assert get(runtime, "/once/")
            assert f"{folders['tmp']}/buntime-" in os.readlink(look_into(runtime.pid) / "exe")
        return
    done = subprocess.run(
        [*start, "--version"], env=os.environ | env, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert f"Set TMPDIR: cannot run from '{folders['tmp']}/_MEI" in done.stderr
    if where == "tmp":
        with running(apps, env=env | {"TMPDIR": str(folders["good"])}, start=start) as runtime:
            assert get(runtime, "/once/")


@needs_mounts
def test_nowhere_to_write(tmp_path: Path) -> None:
    """If no folder can be written, the start says what to set."""
    script = (
        "mount --make-rprivate / && for folder in /tmp /var/tmp /dev/shm; do "
        "mount -t tmpfs -o ro none $folder; done; mount -o remount,ro,bind /; "
        'cd / && exec "$@"'
    )
    copy = Path("/opt/buntime-under-test") if os.access("/opt", os.W_OK) else tmp_path / "buntime"
    shutil.copy(str(UNDER_TEST), copy)
    try:
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", script, "sh", str(copy), "--version"],
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        copy.unlink()
    assert done.returncode != 0
    assert "No writable folder: set TMPDIR to one" in done.stderr


def test_packages_of_apps(tmp_path: Path) -> None:
    """The binary's Python has no packages: the runtime's own are not for apps."""
    app = "from importlib.util import find_spec\nfrom buntime import Response\n"
    app += "def fetch(request):\n    names = ('h11', 'yaml', 'wsproto', 'pip', 'json')\n"
    app += "    return Response(' '.join(name for name in names if find_spec(name)))\n"
    write_app(tmp_path / "finds", {"app.py": app})
    with running(tmp_path) as runtime:
        assert get(runtime, "/finds/") == "json"


def test_another_python(apps: Path) -> None:
    """With RUNTIME_PYTHON, workers run with a Python of the system."""
    env = {"RUNTIME_PYTHON": sys.executable, "RUNTIME_SPARE_WORKERS": "1"}
    with running(apps, env=env) as runtime:
        assert get(runtime, "/once/") == sys.version.split()[0]

        def programs() -> set[str]:
            found = set()
            for pid in runtime.children():
                with contextlib.suppress(FileNotFoundError):  # the worker of that request has ended
                    found.add(os.readlink(f"/proc/{pid}/exe"))
            return found

        # Until it executes the other Python, a new process is still the runtime's.
        wait_until(lambda: programs() == {os.path.realpath(sys.executable)}, what="one Python")


# A system with a kernel, glibc and zlib, and nothing else


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A root folder with the C library, the binary, and apps."""
    root = tmp_path_factory.mktemp("bare")
    for name in ("tmp", "dev", "proc", "srv", "opt"):
        (root / name).mkdir()
    (root / "tmp").chmod(0o1777)
    for library in c_library():
        target = root / library.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)
    shutil.copy(str(UNDER_TEST), root / "opt/buntime")
    shutil.copytree(
        ROOT / "apps", root / "srv", ignore=shutil.ignore_patterns("data"), dirs_exist_ok=True
    )
    write_app(root / "srv/shop", {"app.py": FLASK}, ttl=60)
    packages = Path(flask.__file__).parents[1]
    for name in VENDORED:
        copy = root / "srv/shop/vendor" / name
        shutil.copytree(packages / name, copy, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    shutil.copytree(
        next(packages.glob("flask-*.dist-info")), root / "srv/shop/vendor/flask.dist-info"
    )
    yield root
    shutil.rmtree(root)


def c_library() -> Iterator[Path]:
    """What the system must have: glibc, and zlib for the bootloader."""
    yield Path("/lib64/ld-linux-x86-64.so.2")
    folder = Path("/lib/x86_64-linux-gnu")
    for name in ("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1"):
        yield folder / name
    yield folder / "libutil.so.1"
    yield folder / "libz.so.1"
    yield folder / "libresolv.so.2"


@needs_mounts
@pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/lib64/ld-linux-x86-64.so.2").exists(),
    reason="needs root for chroot, and glibc on x86-64",
)
def test_a_bare_system(bare: Path) -> None:
    """Without a Python, a shell or a home, it serves Flask, a function, a WebSocket and a site."""
    script = 'mount --bind /dev "$0/dev" && mount --bind /proc "$0/proc" && exec chroot "$0" "$@"'
    start = ["unshare", "-m", "sh", "-c", script, str(bare), "/opt/buntime", "/srv"]
    # In development it would keep the operators' key in the home folder, and there is none.
    with running(start=start, env={"HOME": "", "RUNTIME_ENV": "production"}) as runtime:
        assert get(runtime, "/shop/") == "by Flask"
        assert "hello" in get(runtime, "/hello/").lower()
        assert "<base href" in get(runtime, "/site/")
        upgrade = (
            b"GET /chat/socket?room=a&name=b HTTP/1.1\r\nHost: x\r\n"
            b"Upgrade: websocket\r\nConnection: upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        with runtime.connect() as sock:
            sock.sendall(upgrade)
            assert sock.recv(65536).startswith(b"HTTP/1.1 101 ")
        assert runtime.stop() == 0
