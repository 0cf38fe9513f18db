"""Nothing outlives the runtime, not even if SIGKILL ends it; and neither it nor a worker forks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from buntime.server.lifetime.shutdown import ECHO_S
from tests.support.client import fetch, workers_of
from tests.support.harness import (
    Runtime,
    command,
    is_alive,
    processes,
    running,
    wait_until,
    write_app,
)

WORKERS_START_AFRESH = True  # orphans become children of the runtime if their worker is one

GONE_S = 10.0
SYSTEM_PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") or ""

# What a worker is doing when its runtime is killed.
DEEDS = {
    "idle": "return Response(b'')",
    "loop": "while True: pass",
    "sleep": "time.sleep(600)",
    "sleep-in-c": "ctypes.PyDLL(None).sleep(600)",  # PyDLL: with the GIL held
    "regex": "re.match('(a+)+$', 'a' * 64 + 'b')",
    "stopped": "os.kill(os.getpid(), signal.SIGSTOP)",
    "lock": "threading.Lock().acquire() and threading.Event().wait()",
    "swallow": "swallow()",
    "ignore-signals": "ignore_signals()",
    "forked": "fork_and_wait()",
    "forked-twice": "fork_twice_and_wait()",
    "program": "subprocess.run(['sleep', '600'])",
    "shell": "subprocess.run('trap \"\" HUP TERM; (sleep 600; true) & wait', shell=True)",
    "pool": "multiprocessing.get_context('spawn').Pool(1).apply(time.sleep, (600,))",
}
COMPUTING = ("loop", "regex")
# How many processes an app has started then. Those of the pool are its process and a tracker, those
# of the shell a second shell and the program that it runs.
STARTED = {"forked": 1, "forked-twice": 2, "program": 1, "shell": 3, "pool": 2}
APP = """
import ctypes, multiprocessing, os, re, signal, subprocess, sys, threading, time
from buntime import Response

def swallow():
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass

def ignore_signals():
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
    time.sleep(600)

def fork_and_wait():
    if os.fork() == 0:
        print("child", os.getpid(), flush=True)
        while True:
            time.sleep(600)
    time.sleep(600)

def fork_twice_and_wait():
    if os.fork() == 0:
        os.setsid()  # out of the worker's group
        if os.fork() == 0:
            time.sleep(600)
        time.sleep(600)
    time.sleep(600)

def fetch(request):
    print("begun", request.path, flush=True)
    DEED
"""
ASYNC = """
import asyncio, time
from buntime import Response

async def fetch(request):
    print("begun", request.path, flush=True)
    if request.path == "/blocks":
        time.sleep(600)
    await asyncio.sleep(600)
"""
# Busy while it is imported: the worker has not even said that it is ready.
LOADS = """
print("begun loading", flush=True)
while True:
    pass
"""
# Reports each fork in its process, from its first line on.
HOOK = """
import sys

def _tell(event, args):
    if event in ("os.fork", "os.forkpty"):
        import os
        os.write(1, f"AUDIT {event}\\n".encode())

sys.addaudithook(_tell)
"""
WATCHED = (
    HOOK
    + """
import os, subprocess
from buntime import Response

def pieces():
    yield "a"
    yield "b"

def fetch(request):
    if request.path == "/fork":
        if os.fork() == 0:
            os._exit(0)
        os.wait()
    if request.path == "/run":
        subprocess.run(["true"], check=True)
    if request.path == "/stream":
        return Response(pieces())
    return Response(request.bytes())

def on_idle():
    print("on_idle")

def on_terminate():
    print("on_terminate")
"""
)


def test_no_worker_survives_the_kill_of_the_runtime(tmp_path: Path) -> None:
    """After a SIGKILL of the runtime each worker ends at once, whatever it was doing."""
    for name, code in DEEDS.items():
        write_app(tmp_path / name, {"app.py": APP.replace("DEED", code)}, ttl=600, timeout=60)
    write_app(tmp_path / "async", {"app.py": ASYNC}, ttl=600, timeout=60)
    write_app(tmp_path / "async-blocks", {"app.py": ASYNC}, ttl=600, timeout=60)
    write_app(tmp_path / "loads", {"app.py": LOADS}, ttl=600, timeout=60)
    write_app(tmp_path / "once", {"app.py": APP.replace("DEED", "time.sleep(600)")}, timeout=60)
    write_app(tmp_path / "warm", {"app.py": APP.replace("DEED", "...")}, prewarm=1)
    env = {"RUNTIME_SPARE_WORKERS": "1", "RUNTIME_POOL_SIZE": "50"}
    with ThreadPoolExecutor(30) as threads, running(tmp_path, env=env) as runtime:
        assert fetch(runtime, "/idle/").status == 200
        waiting = [*(name for name in DEEDS if name not in COMPUTING), "async", "once"]
        for name in waiting:
            threads.submit(fetch_until_cut, runtime, f"/{name}/")
        threads.submit(fetch_until_cut, runtime, "/async-blocks/blocks")
        for name in waiting:
            runtime.wait_for_line("begun /", app=name)
        runtime.wait_for_line("begun /blocks", app="async-blocks")
        wait_until(lambda: len(started_by(runtime.children())) == sum(STARTED.values()))
        wait_until(lambda: workers_of(runtime, "warm", status="idle"))
        # These come last, because they would slow down all others.
        for name in [*COMPUTING, "loads"]:
            threads.submit(fetch_until_cut, runtime, f"/{name}/")
        for name in COMPUTING:
            runtime.wait_for_line("begun /", app=name)
        runtime.wait_for_line("begun loading", app="loads")
        wait_until(lambda: len(workers_of(runtime, None, status="spare")) == 1)
        workers = runtime.children()
        assert len(workers) == len(DEEDS) + 5 + 1
        assert len(started_by(workers)) == sum(STARTED.values())
        left = [*workers, *started_by(workers)]
        assert runtime.stop(signal.SIGKILL) == -signal.SIGKILL
        wait_until(lambda: not any(map(is_alive, left)), GONE_S, f"the end of all of {left}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change to another user")
@pytest.mark.skipif(not SYSTEM_PYTHON, reason="there is no Python that every user can read")
def test_no_worker_of_another_user_survives_the_kill_of_the_runtime() -> None:
    """A worker without root's rights ends too, and so does its child that has left its group."""
    with tempfile.TemporaryDirectory(prefix="buntime-orphans-") as folder:
        apps = Path(folder)
        apps.chmod(0o755)  # pytest's own are private
        user = {"user": "nobody", "python": SYSTEM_PYTHON, "ttl": 600, "timeout": 60}
        names = ("loop", "forked-twice")
        for name in names:
            write_app(apps / name, {"app.py": APP.replace("DEED", DEEDS[name])}, **user)
        with ThreadPoolExecutor() as threads, running(apps) as runtime:
            for name in names:
                threads.submit(fetch_until_cut, runtime, f"/{name}/")
            for name in names:
                runtime.wait_for_line("begun /", app=name)
            workers = runtime.children()
            wait_until(lambda: len(started_by(workers)) == sum(STARTED.get(n, 0) for n in names))
            left = [*workers, *started_by(workers)]
            assert runtime.stop(signal.SIGKILL) == -signal.SIGKILL
            wait_until(lambda: not any(map(is_alive, left)), GONE_S, f"the end of all of {left}")


def started_by(parents: list[int]) -> list[int]:
    """The children of processes, their children, and so on."""
    children: dict[int, list[int]] = {}
    for pid, parent, is_zombie in processes():
        if not is_zombie:
            children.setdefault(parent, []).append(pid)
    found = list(parents)
    for each in found:
        found += children.get(each, [])
    return found[len(parents) :]


def fetch_until_cut(runtime: Runtime, path: str) -> None:
    try:
        fetch(runtime, path)
    except OSError:
        return


def test_workers_end_with_the_runtime(tmp_path: Path) -> None:
    """At the second SIGTERM the runtime exits with 0, and a worker that hangs ends with it."""
    write_app(tmp_path / "idle", {"app.py": APP.replace("DEED", "return Response(b'')")}, ttl=600)
    write_app(tmp_path / "sleep", {"app.py": APP.replace("DEED", "time.sleep(600)")}, ttl=600)
    env = {"RUNTIME_SPARE_WORKERS": "1"}
    with ThreadPoolExecutor() as threads, running(tmp_path, env=env) as runtime:
        assert fetch(runtime, "/idle/").status == 200
        threads.submit(fetch_until_cut, runtime, "/sleep/")
        runtime.wait_for_line("begun /", app="sleep")
        wait_until(lambda: len(runtime.children()) == 3)  # and a spare
        workers = runtime.children()
        runtime.process.send_signal(signal.SIGTERM)
        runtime.wait_for_record("runtime.stopping")
        time.sleep(ECHO_S * 1.5)  # an earlier one would be taken for the first one's echo
        assert runtime.stop() == 0
        wait_until(lambda: not any(map(is_alive, workers)), GONE_S, f"the end of all of {workers}")


# ---- nothing forks


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """A runtime whose process reports each fork, from its first line on."""
    folder = tmp_path_factory.mktemp("watched")
    if len(command()) == 1:
        pytest.skip("the runtime under test is a binary, whose start cannot be hooked into")
    launcher = folder / "launcher"
    launcher.write_text(
        f"#!{sys.executable}\n{HOOK}\n"
        + textwrap.dedent(f"""
            import runpy
            sys.argv[:1] = {command()[1:]!r}
            sys.path.insert(0, sys.argv[0].rpartition("/")[0])
            runpy.run_path(sys.argv[0], run_name="__main__")
            """)
    )
    launcher.chmod(0o755)
    apps = folder / "apps"
    write_app(apps / "kept", {"app.py": WATCHED}, ttl=600, timeout=0.5, idleTimeout=0.5)
    write_app(apps / "once", {"app.py": WATCHED})
    write_app(apps / "broken", {"app.py": "raise ValueError"})
    write_app(apps / "site", {"index.html": "<p>hello"})
    write_app(apps / "python", {"app.py": WATCHED}, python=sys.executable)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUNTIME_UNDER_TEST", str(launcher))
        with running(apps, env={"RUNTIME_SPARE_WORKERS": "1"}, start=command()) as runtime:
            yield runtime


def forks(runtime: Runtime) -> list[str]:
    return [line for record in runtime.records if "AUDIT" in (line := str(record))]


def test_nobody_forks(watched: Runtime) -> None:
    """Neither the runtime nor a worker forks, whatever they do from start to end."""
    runtime = watched
    for app in ("kept", "once", "python"):
        wait_until(lambda at=app: fetch(runtime, f"/{at}/").status == 200)
        assert fetch(runtime, f"/{app}/", method="POST", body=b"body").body == b"body"
        assert fetch(runtime, f"/{app}/stream").body == b"ab"
        assert fetch(runtime, f"/{app}/run").status == 200
    assert fetch(runtime, "/broken/").status == 500
    assert fetch(runtime, "/site/").status == 200
    runtime.wait_for_line("on_terminate", app="kept")
    assert forks(runtime) == []
    # The hook does see forks.
    assert fetch(runtime, "/once/fork").status == 200
    runtime.wait_for_line("AUDIT os.fork", app="once")
    seen = len(forks(runtime))
    assert runtime.stop() == 0
    assert len(forks(runtime)) == seen


def test_the_hook_sees_a_fork_of_its_own_process() -> None:
    """The hook that the runtime is started with would report a fork."""
    code = f"{HOOK}\nimport os\nos.fork() or os._exit(0)\nos.wait()\n"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"AUDIT os.fork\n"
