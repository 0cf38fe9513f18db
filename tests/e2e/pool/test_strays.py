"""What has left its worker's process group ends with its worker, too, and leaves no zombies."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import fetch, workers_of
from tests.support.harness import Runtime, is_alive, running, wait_until, write_app

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no subreaper")

APP = """
import os, subprocess, sys, time
from buntime import Response

DAEMON = "import os, sys; os.fork() and os._exit(0); os.setsid(); " \\
         "print(os.getpid(), flush=True); os.dup2(0, 1); os.execlp('sleep', 'sleep', sys.argv[1])"

def daemon(seconds, **options):
    done = subprocess.run([sys.executable, "-I", "-S", "-c", DAEMON, seconds],
                          stdout=subprocess.PIPE, **options)
    return int(done.stdout.split()[0])

def by_forks():
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(write, b"%d" % os.getpid())
            time.sleep(600)
        os._exit(0)
    os.wait()
    return int(os.read(read, 20))

def fetch(request):
    if request.path == "/forks":
        return Response(str(by_forks()))
    if request.path == "/short":
        return Response(" ".join(str(daemon("0.01")) for _ in range(20)))
    return Response(str(daemon("600")))
"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    apps = tmp_path_factory.mktemp("apps")
    write_app(apps / "once", {"app.py": APP})
    write_app(apps / "stays", {"app.py": APP}, ttl=600)
    with running(apps) as started:
        yield started


def test_a_daemon_ends_with_its_worker(runtime: Runtime) -> None:
    """A program that was started by a double fork is killed soon after its worker has ended."""
    pid = int(fetch(runtime, "/once/").body)
    record = runtime.wait_for_record("orphan.killed", pid=pid)
    assert (record["name"], record["worker"][0]) == ("sleep", "w")
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what=f"the end of {pid}, reaped")


def test_a_double_fork_ends_with_its_worker(runtime: Runtime) -> None:
    """So is a copy of the worker itself, which its lifeline kills."""
    pid = int(fetch(runtime, "/once/forks").body)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what=f"the end of {pid}, reaped")


def test_it_lives_as_long_as_its_worker(runtime: Runtime) -> None:
    """A daemon stays while its worker does, however many others end meanwhile."""
    pid = int(fetch(runtime, "/stays/").body)
    other = int(fetch(runtime, "/once/").body)
    wait_until(lambda: not is_alive(other))
    assert is_alive(pid)
    [worker] = workers_of(runtime, "stays")
    wait_until(lambda: pid in runtime.children(), what="its adoption")
    os.kill(worker["pid"], signal.SIGKILL)
    wait_until(lambda: not is_alive(pid))


def test_no_zombies(runtime: Runtime) -> None:
    """What ends by itself is reaped, though its worker goes on."""
    pids = [int(pid) for pid in fetch(runtime, "/stays/short").body.split()]
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_they_end_with_the_runtime(tmp_path: Path) -> None:
    """When the runtime has ended in good order, so have the daemons of its apps."""
    write_app(tmp_path / "stays", {"app.py": APP}, ttl=600)
    with running(tmp_path) as runtime:
        pids = [int(fetch(runtime, path).body) for path in ("/stays/", "/stays/forks")]
        assert all(map(is_alive, pids))
        assert runtime.stop() == 0
        assert not any(map(is_alive, pids))
