"""Processes that have left their worker's group end with the worker too, and leave no zombies."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.client import fetch, workers_of
from tests.support.confined import drop_in, with_only
from tests.support.harness import (
    Runtime,
    command,
    is_alive,
    running,
    wait_until,
    write_app,
)

WORKERS_START_AFRESH = True  # what leaves a worker becomes the runtime's if the worker is

SYSTEM_PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") or ""
CAN_MOUNT = (
    subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0
)
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
        return Response(" ".join(str(daemon("0.01")) for _ in range(5)))
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
    """A program started by a double fork is killed soon after its worker has ended."""
    pid = int(fetch(runtime, "/once/").body)
    record = runtime.wait_for_record("orphan.killed", pid=pid)
    assert (record["name"], record["app"], record["worker"][0]) == ("sleep", "once", "w")
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what=f"the end of {pid}, reaped")


def test_a_double_fork_ends_with_its_worker(runtime: Runtime) -> None:
    """A copy of the worker itself ends too: its lifeline kills it."""
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
    """A process that ends by itself is reaped while its worker runs on."""
    pids = [int(pid) for pid in fetch(runtime, "/stays/short").body.split()]
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_they_end_with_the_runtime(tmp_path: Path) -> None:
    """When the runtime has stopped cleanly, the daemons of its apps have ended too."""
    write_app(tmp_path / "stays", {"app.py": APP}, ttl=600)
    with running(tmp_path) as runtime:
        pids = [int(fetch(runtime, path).body) for path in ("/stays/", "/stays/forks")]
        assert all(map(is_alive, pids))
        assert runtime.stop() == 0
        assert not any(map(is_alive, pids))


# However they try to hide

# Leaves its worker's group, session and environment, and says which process it is now. The limit is
# lowered first: once the runtime has adopted and examined a process, it knows whose it is.
FLEES = """
import os, resource, subprocess, sys
from buntime import Response

FLIGHT = '''
import os, sys
LIMIT
os.fork() and os._exit(0)
os.setsid()
os.fork() and os._exit(0)
print(os.getpid(), flush=True)
os.dup2(0, 1)
os.execve("/bin/sleep", ["sleep", "600"], {"WORKER_ID": "NAME"} if "NAME" else {})
'''

def fetch(request):
    code = FLIGHT.replace("NAME", request.query.get("name", ""))
    code = code.replace("LIMIT", request.query.get("limit", ""))
    command = [sys.executable, "-I", "-S", "-c", code]
    return Response(subprocess.run(command, stdout=subprocess.PIPE, env={}).stdout)
"""
LOWER = "import resource; resource.setrlimit(10, (LEFT, LEFT))"


def flown(runtime: Runtime, app: str, query: str = "") -> int:
    return int(fetch(runtime, f"/{app}/?{query}").body)


@pytest.fixture(scope="module")
def fleeing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    apps = tmp_path_factory.mktemp("fleeing")
    write_app(apps / "once", {"app.py": FLEES})
    write_app(apps / "stays", {"app.py": FLEES}, ttl=600)
    with running(apps) as started:
        yield started


@pytest.mark.parametrize("name", ["", "its worker", "w999"])
def test_without_its_environment(fleeing: Runtime, name: str) -> None:
    """A daemon is known without WORKER_ID, and under any name, also another worker's, and ends with
    its own worker."""
    first = flown(fleeing, "stays")
    [worker] = workers_of(fleeing, "stays")
    query = f"name={worker['id'] if name == 'its worker' else name}"
    stays, once = flown(fleeing, "stays", query), flown(fleeing, "once", query)
    wait_until(lambda: not is_alive(once))
    assert is_alive(first)
    assert is_alive(stays)
    os.kill(worker["pid"], signal.SIGKILL)
    wait_until(lambda: not is_alive(stays))


@pytest.mark.parametrize("left", ["0", "1", "1000"])
def test_with_another_limit(fleeing: Runtime, left: str) -> None:
    """A process that lowers the limit that marks it belongs to no worker, and ends at once."""
    limit = quote(LOWER.replace("LEFT", left))
    pid = flown(fleeing, "stays", f"limit={limit}")
    wait_until(lambda: not is_alive(pid))


@pytest.mark.skipif(os.geteuid() == 0, reason="root can raise each limit")
def test_the_limit_cannot_be_raised(tmp_path: Path) -> None:
    """An app cannot raise the limit, so it cannot pose as the child of another worker."""
    write_app(tmp_path / "stays", {"app.py": FLEES}, ttl=600)
    with running(tmp_path) as runtime:
        limit = quote("import resource; resource.setrlimit(10, (-1, -1))")
        assert fetch(runtime, f"/stays/?limit={limit}").body == b""


needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not SYSTEM_PYTHON, reason="only root can change to another user"
)


@contextlib.contextmanager
def of_nobody(start: list[str]) -> Iterator[Runtime]:
    """A root runtime with the rights of the documented drop-in, whose apps run as `nobody`."""
    with tempfile.TemporaryDirectory(prefix="buntime-strays-") as folder:
        os.chmod(folder, 0o755)  # pytest's own are private
        apps = Path(folder, "apps")
        nobody = {"user": "nobody", "python": SYSTEM_PYTHON}
        write_app(apps / "once", {"app.py": FLEES}, **nobody)
        write_app(apps / "stays", {"app.py": FLEES}, ttl=600, **nobody)
        with running(apps, start=start) as runtime:
            yield runtime


def hiding(gid: str) -> list[str]:
    """What starts a command where /proc shows processes of others to one group only."""
    script = f'mount -t proc -o hidepid=invisible,gid={gid} proc /proc && exec "$@"'
    return ["unshare", "-m", "sh", "-c", script, "sh"]


@needs_root
def test_of_another_user() -> None:
    """With the rights of the drop-in, another user's daemon is known, and ends, also if
    ProtectProc= hides it from users outside root's group."""
    assert "CAP_SYS_PTRACE" not in drop_in()
    start = [*(hiding("0") if CAN_MOUNT else []), *with_only(drop_in(), command())]
    with of_nobody(start) as runtime:
        stays, once = flown(runtime, "stays"), flown(runtime, "once")
        wait_until(lambda: not Path(f"/proc/{once}").exists(), what="its being reaped")
        assert is_alive(stays)
        assert runtime.stop() == 0
        assert not is_alive(stays)


@needs_root
@pytest.mark.skipif(not CAN_MOUNT, reason="mounts are not allowed here")
def test_of_another_user_that_is_hidden() -> None:
    """If another group alone sees it, the log says so."""
    with of_nobody([*hiding("4242"), *with_only(drop_in(), command())]) as runtime:
        pid = flown(runtime, "once")
        assert runtime.wait_for_record("orphan.hidden")["pid"] == pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="its being reaped")
