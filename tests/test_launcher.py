"""What is forked behaves like what is started afresh: runtimes, commands, workers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support import launcher
from tests.support.client import fetch
from tests.support.forking import ROOT, Forked, Forks
from tests.support.harness import command, running, wait_until, write_app
from tests.support.launcher import Launched, complete, launch
from tests.support.workshop import make_bundle, workshop

WORKERS_START_AFRESH = True  # it looks at the parent of workers
ENV = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PORT": "many"}
APP = """
import os
from buntime import Response

def fetch(request):
    fds = sorted(int(fd) for fd in os.listdir(f"/proc/{os.getppid()}/fd")) if PROC else []
    others = ("HOME", "TMPDIR", "RUNTIME_STATE_DIR")
    environ = {name: os.environ[name] for name in os.environ if name not in others}
    return Response.json([fds[:3], len(fds), environ, os.getcwd()])
"""


# It reads the secret from stdin.
SETS = ["secrets", "set", "shop", "KEY", "--state-dir", "state"]


def afresh(args: list[str], env: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*command(), *args],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def outcome(process: subprocess.Popen[str] | Launched) -> tuple[str, int]:
    assert process.stdout is not None
    with process.stdout as output:
        told = output.read()
    return told, process.wait(20)


@pytest.mark.parametrize("args", [["--version"], ["check", "."], ["/no/such/folder"], ["."]])
def test_output_and_exit_code(
    args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both print the same and exit alike, in the given folder and with the given environment."""
    write_app(tmp_path / "broken", {"app.py": ""}, ttl="never")
    monkeypatch.chdir(tmp_path)
    assert outcome(launch(args, ENV)) == outcome(afresh(args, ENV))


@pytest.mark.parametrize("is_apart", [True, False])
@pytest.mark.parametrize("args", [["--version"], ["check", "."], ["new", "--nonsense"], SETS])
def test_a_command(args: list[str], is_apart: bool, tmp_path: Path) -> None:
    """A forked command prints the same to stdout and stderr, and exits alike."""
    write_app(tmp_path / "broken", {"app.py": ""}, ttl="never")
    done = subprocess.run(
        [*command(), *args],
        cwd=tmp_path,
        env=ENV,
        input="read\n",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if is_apart else subprocess.STDOUT,
        text=True,
        check=False,
    )
    shutil.rmtree(tmp_path / "state", ignore_errors=True)
    (tmp_path / "in").write_text("read\n")
    with open(tmp_path / "in") as stdin:
        forked = complete(args, ENV, str(tmp_path), 40, stdin=stdin.fileno(), is_apart=is_apart)
    assert (forked.stdout, forked.stderr) == (done.stdout, done.stderr)
    assert forked.returncode == done.returncode


def test_a_command_that_does_not_end(tmp_path: Path) -> None:
    """It is killed after the given time; this one waits for what is never written."""
    stdin, writes = os.pipe()
    try:
        with pytest.raises(TimeoutError):
            complete(SETS, ENV, str(tmp_path), 0.5, stdin=stdin)
    finally:
        os.close(stdin)
        os.close(writes)


def test_what_it_serves_with(tmp_path: Path) -> None:
    """Both have the same descriptors, and start workers in the same way."""
    has_proc = Path("/proc/self/fd").exists()
    write_app(tmp_path / "a", {"app.py": APP.replace("PROC", str(has_proc))}, ttl=60)
    env = {"RUNTIME_SPARE_WORKERS": "0"}  # spares appear at no fixed time
    one = {**env, "RUNTIME_STATE_DIR": str(tmp_path / "one")}
    other = {**env, "RUNTIME_STATE_DIR": str(tmp_path / "other")}
    with (
        running(tmp_path, env=one) as forked,
        running(tmp_path, env=other, start=command()) as started,
    ):
        seen: list[object] = []

        def are_alike() -> bool:
            """Files that a start reads are open only for a moment, sooner in one than in the
            other."""
            seen[:] = [fetch(each, "/a/").json() for each in (forked, started)]
            return seen[0] == seen[1]

        wait_until(are_alike, 10, "the same descriptors of both")


def test_its_end_is_told(tmp_path: Path) -> None:
    """As with a Popen: -9 for a process that was killed, 0 for one that was asked to end."""
    (tmp_path / "apps").mkdir()
    for number, code in ((signal.SIGKILL, -9), (signal.SIGTERM, 0)):
        with running(tmp_path / "apps") as runtime:
            assert isinstance(runtime.process, Launched)
            assert runtime.process.poll() is None
            with pytest.raises(subprocess.TimeoutExpired):
                runtime.process.wait(0.01)
            assert runtime.stop(number) == code
            assert runtime.process.poll() == code


FACTS = """
import os, sys, threading
from buntime import Response

async def fetch(request):
    fds = sorted(int(fd) for fd in os.listdir("/proc/self/fd")) if PROC else []
    return Response.json({
        "path": sys.path, "flags": str(sys.flags), "environ": dict(os.environ),
        "cwd": os.getcwd(), "leads": os.getsid(0) == os.getpid(), "descriptors": len(fds),
        "argv": [sys.argv[0], len(sys.argv)], "threads": threading.active_count(),
        "modules": sorted({name.partition(".")[0] for name in sys.modules}),
    })
"""
# What the process that forks needs for itself.
CODE = "import sys, tests.support.forking; print(*(name.partition('.')[0] for name in sys.modules))"


@pytest.mark.parametrize("word", ["async def", "def"])
def test_a_worker(tmp_path: Path, word: str) -> None:
    """A forked worker of a sync or async app finds what one that is started afresh finds."""
    bundle = make_bundle(tmp_path / "worker")
    (tmp_path / "app").mkdir()
    source = FACTS.replace("PROC", str(Path("/proc/self/fd").exists())).replace("async def", word)
    facts = []
    for forks in (True, False):
        with workshop(bundle, tmp_path / "app") as shop:
            shop.forks = forks
            worker = shop.start(source, path=["/nowhere"])
            assert isinstance(worker.process, Forked) == forks
            facts.append(worker.get().json)
            assert worker.terminate() == 0
            assert (worker.stdout, worker.stderr) == ("", "")
    forked, afresh = facts
    line = [sys.executable, "-S", "-c", CODE]
    its_own = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "asyncio" not in its_own.split()
    assert {*forked.pop("modules")} - {*afresh.pop("modules")} <= {*its_own.split()}
    assert forked == afresh


def test_a_fork_that_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that run tests fork what they start from forks of one process. Such a fork ends
    when its user does, and the process that it comes from does not."""
    first = launcher._forks()
    fork = Forks((), {}, first)
    assert isinstance(fork._process, Forked)
    with monkeypatch.context() as patch:
        patch.setattr(launcher, "_forks", lambda: fork)
        told, code = outcome(launch(["--version"], ENV))
    assert (told, code) == outcome(launch(["--version"], ENV))
    assert code == 0
    assert fork._process.poll() is None
    fork._end()
    assert fork._process.returncode == 0
    assert first._process.poll() is None
