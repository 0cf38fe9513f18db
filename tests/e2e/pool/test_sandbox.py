"""Apps that attack the runtime and each other from their sandboxes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import fetch, workers_of
from tests.support.fence import needs_abi, needs_sandbox
from tests.support.harness import Runtime, command, running, write_app

WORKERS_START_AFRESH = True  # the sandbox is that of a whole start, below the runtime

pytestmark = needs_sandbox

SECRET = "a-very-secret-word"
# Runs the posted code, and answers its result as JSON, or the name of the exception.
RUNS = """
import glob, json, os, signal, subprocess, sys, tempfile
from buntime import Response
def fetch(request):
    scope = dict(globals())
    try:
        exec(request.text(), scope)
        return Response.json(scope.get("result"))
    except OSError as exc:
        return Response.json(type(exc).__name__)
"""
LEVELS = ("standard", "strict")
# Folders of the runtime's own user; without these variables, programs use some in HOME.
XDG = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")
EACH = pytest.mark.parametrize("app", LEVELS)


class Place:
    """A runtime with an app at each sandbox level, and with secrets."""

    def __init__(self, root: Path, runtime: Runtime) -> None:
        self.root = root
        self.runtime = runtime

    def run(self, app: str, code: str) -> Any:
        answer = fetch(self.runtime, f"/{app}/", method="POST", body=code.encode())
        assert answer.status == 200, answer.body
        return answer.json()


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    # Not in pytest's folder, whose path is too long for multiprocessing's sockets.
    with tempfile.TemporaryDirectory(prefix="fenced-") as name:
        root = Path(name).resolve()
        for level in (*LEVELS, "off"):
            write_app(root / "apps" / level, {"app.py": RUNS}, ttl=3600, sandbox=level)
        write_app(root / "apps/once", {"app.py": RUNS}, sandbox="standard")
        write_app(root / "apps/victim", {"app.py": "SECRET = 1\n" + RUNS}, ttl=3600)
        (root / "env").write_text("RUNTIME_LOG_LEVEL=debug\n")
        env = {"RUNTIME_STATE_DIR": str(root / "state"), "RUNTIME_ENV_FILE": str(root / "env")}
        env["DATABASE_PASSWORD"] = SECRET
        env |= {name: str(root / name) for name in XDG}
        with running(root / "apps", env=env, start=command()) as runtime:
            yield Place(root, runtime)
        left = sorted(os.listdir(root / "state"))
        assert left == ["local.key", "lock", "logs", "state.db"]  # nothing of the apps is left


ATTACKS = {
    "another app's code": "open('../victim/app.py')",
    "another app's code, written": "open('../victim/app.py', 'a')",
    "the names of other apps": "os.listdir('..')",
    "the settings": "open('../../env')",
    "the state": "os.listdir('../../state')",
    "other apps' temporary files": "os.listdir(os.path.dirname(os.environ['HOME']))",
    "the runtime's environment": "open(f'/proc/{os.getppid()}/environ').read()",
    "a file in /tmp": "open('/tmp/fenced', 'w')",
}


TRIES = f"""
result = {{}}
for name, attack in {ATTACKS!r}.items():
    try:
        result[name] = bool(eval(attack))
    except OSError as exc:
        result[name] = type(exc).__name__
"""


@pytest.mark.parametrize("app", [*LEVELS, "once"])
def test_attacks(place: Place, app: str) -> None:
    """An app neither reads nor writes what belongs to others, whether its worker lasts or not."""
    assert place.run(app, TRIES) == dict.fromkeys(ATTACKS, "PermissionError")


def test_off(place: Place) -> None:
    """Without a sandbox an app reads what its user may."""
    assert place.run("off", "result = bool(open('../victim/app.py'))") is True
    assert place.run("off", "result = os.environ.get('TMPDIR')") is None


@EACH
def test_no_environ_has_a_secret(place: Place, app: str) -> None:
    """No environment of a process that an app can read contains the runtime's secret."""
    code = f"""
found = []
for path in glob.glob("/proc/*/environ"):
    try:
        found.append({SECRET!r} in open(path, errors="replace").read())
    except OSError:
        pass
result = any(found), bool(found)
"""
    assert place.run(app, code) == [False, True]


@needs_abi(6)
@EACH
def test_signals(place: Place, app: str) -> None:
    """An app can kill no process outside its sandbox, neither the runtime nor another worker."""
    place.run("victim", "result = 1")
    [victim] = workers_of(place.runtime, "victim")
    code = f"os.kill({victim['pid']}, signal.SIGKILL)"
    assert place.run(app, code) == "PermissionError"
    assert place.run(app, "os.kill(os.getppid(), signal.SIGKILL)") == "PermissionError"
    assert place.run(app, "os.kill(-1, signal.SIGCONT)") in ("PermissionError", None)


@needs_abi(4)
@EACH
def test_the_runtime_s_port(place: Place, app: str) -> None:
    """An app cannot bind the runtime's port beside it."""
    code = f"""
import socket
sock = socket.socket()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
sock.bind(("127.0.0.1", {place.runtime.port}))
"""
    assert place.run(app, code) == "PermissionError"


@EACH
def test_home_and_temporary_files(place: Place, app: str) -> None:
    """HOME and TMPDIR are one folder of the app's own, in the state folder."""
    code = """
import pathlib
(pathlib.Path.home() / "kept").write_text("x")
result = [os.environ["HOME"], tempfile.gettempdir(), [n for n in os.environ if n[:3] == "XDG"]]
"""
    home, temporary, xdg = place.run(app, code)
    assert home == temporary
    assert xdg == []  # so all of these folders are below HOME
    assert Path(home).parent.parent == place.root / "state"
    assert Path(home, "kept").read_text() == "x"


@EACH
def test_stderr_can_be_opened_again(place: Place, app: str) -> None:
    """Programs can write to /dev/stderr."""
    code = "result = subprocess.run('echo told > /dev/stderr', shell=True).returncode"
    assert place.run(app, code) == 0
    place.runtime.wait_for_line("told", app=app, stream="stderr")


@EACH
def test_multiprocessing(place: Place, app: str) -> None:
    """Multiprocessing starts processes in each way, with sockets and locks between them."""
    code = """
import multiprocessing
result = []
for method in ("fork", "spawn", "forkserver"):
    context = multiprocessing.get_context(method)
    with context.Manager() as manager, context.Pool(2) as pool:
        result.append(manager.list(pool.map(abs, [-1, -2])).__len__())
"""
    assert place.run(app, code) == [2, 2, 2]


def test_it_is_told(place: Place) -> None:
    """The log says once what a sandbox does here; the API shows each worker's level."""
    record = place.runtime.wait_for_record("sandbox.available")
    for app in (*LEVELS, "off"):
        place.run(app, "result = 1")
        assert [worker["sandbox"] for worker in workers_of(place.runtime, app)] == [app]
    told = fetch(place.runtime, "/api/workers").json()["sandbox"]
    assert told == {"landlockAbi": record["landlock_abi"], "acts": record["acts"]}
    assert {"files", "processes"} <= set(told["acts"])


def test_a_withheld_path_is_told(place: Place) -> None:
    """`write` does not give access to another app's folder, and the log says so."""
    manifest = {"sandbox": "standard", "write": ["../victim", "/dev/shm"]}
    write_app(place.root / "apps/wants", {"app.py": RUNS}, **manifest)
    assert place.run("wants", "open('../victim/app.py', 'a')") == "PermissionError"
    record = place.runtime.wait_for_record("sandbox.write_denied", app="wants")
    assert record["paths"] == [str(place.root / "apps/victim")]
