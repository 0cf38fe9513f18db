"""The master key stays with the runtime: no app of the same user finds it in a process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import fetch
from tests.support.confined import without_sight
from tests.support.harness import Runtime, command, running, write_app

WORKERS_START_AFRESH = True  # /proc shows what a start has given to workers

KEY = "the-key-that-no-app-may-see"

# What an app of the same user can try against the runtime and the process that started it.
SPY = """
import ctypes, errno, os, subprocess
from buntime import Response

KEY = b"KEY"

def processes():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]

def shows(pid, name):
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return KEY in file.read()
    except OSError:
        return False

def attempts(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    yield "mem", lambda: open(f"/proc/{pid}/mem", "rb").close()
    yield "fd", lambda: os.readlink(f"/proc/{pid}/fd/0")
    yield "root", lambda: os.readlink(f"/proc/{pid}/root")

    def call(name, *args):
        # EFAULT: let in, and there is nothing at that address
        if getattr(libc, name)(*args) < 0 and ctypes.get_errno() != errno.EFAULT:
            raise OSError(ctypes.get_errno(), name)

    here = ctypes.create_string_buffer(8)
    class Piece(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]
    ours = Piece(ctypes.addressof(here), 8)
    theirs = Piece(ctypes.addressof(here), 8)
    yield "read memory", lambda: call("process_vm_readv", pid, ctypes.byref(ours), 1,
                                      ctypes.byref(theirs), 1, 0)
    yield "ptrace", lambda: call("ptrace", 0x4206, pid, None, None)  # PTRACE_SEIZE

def succeed(pid):
    for name, attempt in attempts(pid):
        try:
            attempt()
            yield name
        except PermissionError:
            pass

def fetch(request):
    parents = [int(number) for number in request.query.get("pids", "").split(",") if number]
    child = subprocess.Popen(["sleep", "60"])
    try:
        can = list(succeed(child.pid))
    finally:
        child.kill()
        child.wait()
    return Response.json({
        "seen": [pid for pid in processes() for name in ("environ", "cmdline") if shows(pid, name)],
        "can": {str(pid): list(succeed(pid)) for pid in parents},
        "can_with_child": can,
        "environ": [name for name in os.environ if "MASTER" in name],
    })
""".replace('KEY = b"KEY"', f'KEY = b"{KEY}"')

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has /proc")


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("secrets")
    write_app(folder / "spy", {"app.py": SPY}, ttl=60)
    write_app(folder / "locked", {"app.py": SPY}, visibility="protected")
    env = {"RUNTIME_MASTER_KEY": KEY}
    with running(folder, env=env, start=without_sight(command())) as started:
        yield started


def spied(runtime: Runtime, *pids: int) -> dict[str, object]:
    answer = fetch(runtime, f"/spy/?pids={','.join(map(str, pids))}")
    assert answer.status == 200, answer.body
    return answer.json()  # type: ignore[no-any-return]


def test_no_process_shows_the_key(runtime: Runtime) -> None:
    """Neither the runtime nor, with the binary, its parent has the key in its environment."""
    assert spied(runtime)["seen"] == []
    assert fetch(runtime, "/locked/", headers={"X-API-Key": KEY}).status == 200


def test_no_app_gets_into_the_runtime(runtime: Runtime) -> None:
    """An app can neither read the runtime's memory nor trace it, but it can its own processes."""
    pids = {runtime.pid, runtime.process.pid}
    told = spied(runtime, *pids)
    assert told["can"] == {str(pid): [] for pid in pids}
    assert told["can_with_child"] != []


def test_nothing_is_told_of_where_it_lies(tmp_path: Path) -> None:
    """An app does not learn where the key's file is; the file works as the variable does."""
    (tmp_path / "key").write_text(f"{KEY}\n")
    write_app(tmp_path / "apps/spy", {"app.py": SPY})
    write_app(tmp_path / "apps/locked", {"app.py": SPY}, visibility="protected")
    env = {"RUNTIME_MASTER_KEY_FILE": str(tmp_path / "key")}
    with running(tmp_path / "apps", env=env) as runtime:
        assert spied(runtime)["environ"] == []
        assert fetch(runtime, "/locked/").status == 401
        assert fetch(runtime, "/locked/", headers={"X-API-Key": KEY}).status == 200
