"""The control socket: whom it lets in without a key, and which processes of apps it does not."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.client import SHARED, fetch
from tests.support.harness import (
    ROOT,
    Runtime,
    children_of,
    command,
    is_alive,
    running,
    wait_until,
    write_app,
)

WORKERS_START_AFRESH = True  # the runtime is above what its workers have started

# Asks the control socket in the way that the query names, and writes the answer to a file.
APP = r'''
import array, json, os, socket, subprocess, sys, time
from buntime import Response

ASK = r"""
import os, socket, sys, time
path, wait_for, told = sys.argv[1:4]
while wait_for and os.path.exists(wait_for):
    time.sleep(0.005)
def ask():
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(20)
        sock.connect(path)
        lines = ["GET /api/keys HTTP/1.1", "Host: a", "Connection: close", "", ""]
        sock.sendall("\r\n".join(lines).encode())
        data = b""
        while piece := sock.recv(65536):
            data += piece
        return data.decode("latin-1")
    except OSError as exc:
        return repr(exc)
answer = ask()
with open(told + ".part", "w") as file:
    file.write(answer)
os.rename(told + ".part", told)
"""

def start(query, **more):
    line = [sys.executable, "-c", ASK, query["path"], query.get("wait_for", ""), query["told"]]
    return subprocess.Popen(line, **more)

def twice(query):
    """A child of a child, in a session of its own, whose parent has ended."""
    if os.fork() == 0:
        os.setsid()
        start(query, start_new_session=True, env={})
        os._exit(0)
    os.wait()

def fetch(request):
    query = request.query
    if query["way"] == "direct":
        run_here(query)
    elif query["way"] == "child":
        start(query).wait()
    else:
        twice(query)
    return Response(str(os.getpid()))

def run_here(query):
    before, sys.argv = sys.argv, ["", query["path"], "", query["told"]]
    try:
        exec(ASK, {})
    finally:
        sys.argv = before
'''


# The same from outside any app.
ASK = """
import socket, sys
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect(sys.argv[1])
    lines = ["GET /api/keys HTTP/1.1", "Host: a", "Connection: close", "", ""]
    sock.sendall("\\r\\n".join(lines).encode())
    sys.stdout.write(sock.recv(65536).decode())
"""
SETPRIV = shutil.which("setpriv")
# A Python that other users can start.
SYSTEM_PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") or ""


class Served(NamedTuple):
    runtime: Runtime
    state: Path
    folder: Path

    @property
    def socket(self) -> Path:
        return self.state / "control.sock"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("control")
    write_app(folder / "apps/free", {"app.py": APP}, ttl=600, sandbox="off")
    write_app(folder / "apps/bound", {"app.py": APP}, ttl=600, write=["../../told"])
    (folder / "told").mkdir(mode=0o777)
    env = {
        "RUNTIME_ENV": "production",
        "RUNTIME_MASTER_KEY": "",
        "RUNTIME_STATE_DIR": str(folder / "state"),
    }
    with running(folder / "apps", env=env) as runtime:
        yield Served(runtime, folder / "state", folder)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        fd = os.open(self._path.parent, os.O_PATH)
        self.sock.connect(f"/proc/self/fd/{fd}/{self._path.name}")
        os.close(fd)


def ask(path: Path, target: str, method: str = "GET", body: str | None = None) -> tuple[int, Any]:
    connection = _Connection(path)
    try:
        connection.request(method, target, body)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def told_by(served: Served, app: str, way: str, wait_for: str = "") -> str:
    """The answer that an app gets if it asks in this way."""
    told = served.folder / "told" / f"{app}-{way}"
    told.unlink(missing_ok=True)
    query = f"path={served.socket}&told={told}&way={way}"
    query += f"&wait_for={wait_for}" if wait_for else ""
    answer = fetch(served.runtime, f"/{app}/?{query}")
    assert answer.status == 200, answer.body
    if not wait_for:
        wait_until(told.exists)
        return told.read_text()
    return str(told)


def test_an_operator_on_the_host(served: Served) -> None:
    """An operator on the host needs no key, even where production without one has no API."""
    assert fetch(served.runtime, "/api/keys").status == 403
    assert ask(served.socket, "/api/keys") == (200, {"keys": [], "next": None})
    status, told = ask(
        served.socket, "/api/keys", "POST", json.dumps({"name": "first", "roles": ["admin"]})
    )
    assert (status, told["createdBy"]) == (201, "socket")
    assert ask(served.socket, "/api/keys/first", "DELETE")[0] == 200
    assert ask(served.socket, "/.well-known/buntime")[0] == 200


def test_no_app_answers_there(served: Served) -> None:
    """The control socket serves the runtime's own paths only, no app."""
    assert ask(served.socket, "/free/")[0] == 404
    assert ask(served.socket, "/")[0] == 404


def test_its_file(served: Served) -> None:
    """Only the runtime's user, and root, can connect."""
    state = served.socket.stat()
    assert stat.S_ISSOCK(state.st_mode)
    assert stat.S_IMODE(state.st_mode) == 0o600


@pytest.mark.parametrize("app", ["free", "bound"])
@pytest.mark.parametrize("way", ["direct", "child", "orphan"])
def test_apps_of_the_same_user(served: Served, app: str, way: str) -> None:
    """A worker, what it starts, and what has left it by a double fork are all refused."""
    answer = told_by(served, app, way)
    assert answer.startswith("HTTP/1.1 403 "), answer
    assert "for this process" in answer


def test_what_outlives_its_worker(served: Served, tmp_path: Path) -> None:
    """A process that asks only after its worker is gone is refused all the same."""
    gate = tmp_path / "gate"
    gate.touch()
    told = Path(told_by(served, "free", "orphan", wait_for=str(gate)))
    [worker] = [
        each for each in ask(served.socket, "/api/workers")[1]["workers"] if each["app"] == "free"
    ]
    os.kill(worker["pid"], signal.SIGKILL)
    wait_until(lambda: not is_alive(worker["pid"]))
    gate.unlink()
    wait_until(lambda: told.exists() or not ask_is_running(served), what="an answer, or the end")
    assert not told.exists() or told.read_text().startswith("HTTP/1.1 403 ")


def ask_is_running(served: Served) -> bool:
    """Whether the process that would ask still runs: orphans are ended with their worker."""
    line = served.folder.name.encode()
    for pid in children_of(served.runtime.pid):
        try:
            if line in Path(f"/proc/{pid}/cmdline").read_bytes():
                return True
        except OSError:
            continue
    return False


def test_what_outlives_its_runtime(tmp_path: Path) -> None:
    """An orphan without its runtime still has its worker's mark, so the next runtime refuses it."""
    write_app(tmp_path / "apps/free", {"app.py": APP}, ttl=600, sandbox="off")
    state, gate = tmp_path / "state", tmp_path / "gate"
    (tmp_path / "told").mkdir()
    gate.touch()
    env = {"RUNTIME_ENV": "production", "RUNTIME_MASTER_KEY": "", "RUNTIME_STATE_DIR": str(state)}
    with running(tmp_path / "apps", env=env) as runtime:
        told = Path(told_by(Served(runtime, state, tmp_path), "free", "orphan", str(gate)))
        os.kill(runtime.pid, signal.SIGKILL)
        runtime.process.wait(20)
    assert (state / "control.sock").exists()  # left behind
    with running(tmp_path / "apps", env=env) as runtime:
        runtime.wait_for_record("control.listening")  # once the state folder is free
        assert ask(state / "control.sock", "/api/keys")[0] == 200
        gate.unlink()
        wait_until(told.exists)
        assert told.read_text().startswith("HTTP/1.1 403 ")
        assert "an app has started it" in told.read_text()


def test_a_connection_that_is_handed_on(served: Served) -> None:
    """A connection is judged by the process that opened it; if that has ended, it is refused."""
    line = (
        "import array, socket, sys\n"
        "made = socket.socket(socket.AF_UNIX); made.connect(sys.argv[1])\n"
        "pair = socket.socket(fileno=int(sys.argv[2]))\n"
        "socket.send_fds(pair, [b'x'], [made.fileno()])\n"
    )
    os.kill(served.runtime.pid, signal.SIGSTOP)  # so it cannot accept before the opener has ended
    try:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            subprocess.run(
                [sys.executable, "-c", line, str(served.socket), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                check=True,
                timeout=20,
            )
            _, [fd], _, _ = socket.recv_fds(ours, 1, 1)
    finally:
        os.kill(served.runtime.pid, signal.SIGCONT)
    with socket.socket(fileno=fd) as made:
        made.settimeout(20)
        made.sendall(b"GET /api/keys HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert made.recv(65536).startswith(b"HTTP/1.1 403 ")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_other_users(served: Served) -> None:
    """Other users cannot connect, and if the file's mode lets them, they are refused."""
    line = (
        "import os, socket, sys\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "sock = socket.socket(socket.AF_UNIX)\n"
        "sock.connect(sys.argv[1]); sys.stdout.write(sock.recv(65536).decode())\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", line, str(served.socket)],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert "Permission" in told.stderr


def test_a_long_path(tmp_path: Path) -> None:
    """A state folder may be deeper than a socket's address can hold."""
    state = tmp_path / ("a" * 60) / ("b" * 60) / "state"
    state.parent.mkdir(parents=True)
    write_app(tmp_path / "apps/free", {"app.py": APP})
    with running(tmp_path / "apps", env={"RUNTIME_STATE_DIR": str(state)}) as runtime:
        assert len(str(state)) > 108
        assert ask(state / "control.sock", "/api/keys")[0] == 200
        assert runtime.stop() == 0
    assert not (state / "control.sock").exists()


def test_a_second_runtime(served: Served) -> None:
    """A second runtime of the same state folder has no control socket, and leaves the other's."""
    env = {"RUNTIME_ENV": "production", "RUNTIME_STATE_DIR": str(served.state)}
    with running(served.folder / "apps", env=env) as other:
        other.wait_for_record("state.unavailable")
        assert not any(each["event"] == "control.listening" for each in other.records)
    assert ask(served.socket, "/api/keys")[0] == 200


def test_a_runtime_that_takes_over(tmp_path: Path) -> None:
    """It gets the socket with the state folder, and keys that were made before are valid."""
    write_app(tmp_path / "apps/free", {"app.py": APP}, ttl=600)
    state = tmp_path / "state"
    env = {"RUNTIME_ENV": "production", "RUNTIME_MASTER_KEY": "", "RUNTIME_STATE_DIR": str(state)}
    wanted = json.dumps({"name": "kept", "roles": ["viewer"]})
    with running(tmp_path / "apps", env=env) as first:
        assert ask(state / "control.sock", "/api/keys", "POST", wanted)[0] == 201
        with running(tmp_path / "apps", env=env) as second:
            assert first.stop() == 0
            second.wait_for_record("control.listening")
            status, told = ask(state / "control.sock", "/api/keys/kept")
            assert (status, told["standing"]) == (200, "active")


@pytest.mark.skipif(
    os.geteuid() != 0 or SETPRIV is None or not SYSTEM_PYTHON,
    reason="only root can be another user",
)
def test_a_runtime_that_is_not_root() -> None:
    """Root and the runtime's user are let in; an app of that user is not."""
    shared = SHARED if SHARED.is_dir() else None
    nobody = [str(SETPRIV), "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    reads = [*nobody, sys.executable, "-c", f"open({str(ROOT / 'buntime.py')!r})"]
    if subprocess.run(reads, stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("the folder of the checkout or of its Python is closed to other users")
    with tempfile.TemporaryDirectory(prefix="control-", dir=shared) as name:
        folder = Path(name)
        write_app(folder / "apps/free", {"app.py": APP}, ttl=600, sandbox="off")
        for each, owner in (("state", 65534), ("home", 65534), ("told", 65534)):
            (folder / each).mkdir()
            os.chown(folder / each, owner, owner)
        folder.chmod(0o755)
        env = {
            "RUNTIME_ENV": "production",
            "RUNTIME_MASTER_KEY": "",
            "RUNTIME_STATE_DIR": str(folder / "state"),
            "RUNTIME_PYTHON": SYSTEM_PYTHON,
            "HOME": str(folder / "home"),
        }
        with running(folder / "apps", env=env, start=[*nobody, *command()]) as runtime:
            served = Served(runtime, folder / "state", folder)
            assert ask(served.socket, "/api/keys")[0] == 200
            asked = subprocess.run(
                [*nobody, SYSTEM_PYTHON, "-c", ASK, str(served.socket)],
                capture_output=True,
                text=True,
                check=True,
                timeout=20,
            )
            assert asked.stdout.startswith("HTTP/1.1 200 ")
            answer = told_by(served, "free", "orphan")
            assert answer.startswith("HTTP/1.1 403 "), answer
