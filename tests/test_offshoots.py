"""Workers that are forked are like those that are started afresh."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import launcher
from tests.support.client import fetch
from tests.support.harness import Runtime, is_alive, running, wait_until, write_app
from tests.support.launcher import workers_afresh
from tests.support.offshoots import IS_SUPPORTED

pytestmark = pytest.mark.skipif(not IS_SUPPORTED, reason="Linux alone has pidfds")

# Without an import that a worker has not made itself, before it has looked.
FACTS = """
import sys
FIRST = sorted(sys.modules)
CALLBACKS = sys.modules["atexit"]._ncallbacks()
PATH = [*sys.path]
IMPORTED
import os, gc, resource, signal, threading
from buntime import Response

WORD fetch(request):
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    kinds = ("Umask", "Uid", "Gid", "Groups", "SigBlk", "SigIgn", "SigCgt", "CapEff", "NoNewPrivs")
    environ = {name: text for name, text in os.environ.items() if "state-" not in text}
    return Response.json({
        "modules": FIRST, "callbacks": CALLBACKS, "later": sorted(sys.modules),
        "path": PATH, "flags": str(sys.flags), "argv": sys.argv, "prefix": sys.prefix,
        "line": sys.orig_argv[:-3], "executable": sys.executable,
        "environ": environ, "cwd": os.getcwd(), "is same": os.environ._data is os.environb._data,
        "descriptors": sorted(os.listdir("/proc/self/fd")),
        "status": {kind: status[kind].strip() for kind in kinds},
        "limits": [resource.getrlimit(number) for number in range(16)],
        "scores": [open(f"/proc/self/{name}").read() for name in ("oom_score_adj", "cgroup")],
        "nice": os.nice(0), "session": os.getsid(0), "leads": os.getpgrp() == os.getpid(),
        "threads": [each.name for each in threading.enumerate()], "gc": gc.isenabled(),
        "thresholds": gc.get_threshold(), "recursion": sys.getrecursionlimit(),
        "handlers": [str(signal.getsignal(each)).split(" at ")[0] for each in range(1, 65)],
        "streams": [str(each) for each in (sys.stdin, sys.stdout, sys.stderr)],
        "main": sorted(vars(sys.modules["__main__"])),
    })
"""
PARENT = """
import os
from buntime import Response
def fetch(request):
    return Response(str(os.getppid()))
"""


@contextlib.contextmanager
def either(is_forked: bool) -> Iterator[None]:
    with contextlib.nullcontext() if is_forked else workers_afresh():
        yield


def parent_of_worker(runtime: Runtime, app: str = "a") -> int:
    answer = fetch(runtime, f"/{app}/")
    assert answer.status == 200, runtime.tail()
    return int(answer.body)


def is_forked(runtime: Runtime, app: str = "a") -> bool:
    return parent_of_worker(runtime, app) == launcher._stem().pid


@pytest.mark.parametrize("imported", ["", "import asyncio, json, logging, sqlite3, subprocess"])
@pytest.mark.parametrize("word", ["async def", "def"])
def test_what_an_app_finds(tmp_path: Path, word: str, imported: str) -> None:
    """The same modules, before and after its imports, and all else that it can look at."""
    source = FACTS.replace("IMPORTED", imported).replace("WORD", word)
    write_app(tmp_path / "a", {"app.py": source}, ttl=60)
    seen: list[dict[str, Any]] = []
    for forks in (True, False):
        with either(forks), running(tmp_path) as runtime:
            answer = fetch(runtime, "/a/")
            assert answer.status == 200, runtime.tail()
            seen.append(answer.json())
    assert "asyncio" not in seen[0]["modules"]
    assert seen[0] == seen[1]


def test_which_are_forked(tmp_path: Path) -> None:
    """A plain worker and a spare are; not one that has another Python, or variables that are read
    before the program begins, or that is asked for afresh."""
    write_app(tmp_path / "apps/a", {"app.py": PARENT}, ttl=60)
    write_app(tmp_path / "apps/low", {"app.py": PARENT}, ttl=60, lowMemory=True)
    other = tmp_path / "python"
    other.symlink_to(sys.executable)
    with running(tmp_path / "apps", env={"RUNTIME_SPARE_WORKERS": "1"}) as runtime:
        assert runtime.process.forks_workers  # type: ignore[union-attr]  # it was launched
        assert is_forked(runtime)
        assert parent_of_worker(runtime, "low") == runtime.pid
        with pytest.raises(AssertionError, match="not its children"):
            runtime.children()
    with running(tmp_path / "apps", env={"RUNTIME_PYTHON": str(other)}) as runtime:
        assert parent_of_worker(runtime) == runtime.pid
    with workers_afresh(), running(tmp_path / "apps") as runtime:
        assert parent_of_worker(runtime) == runtime.pid
        assert runtime.children()


def test_another_worker_code_is_started(tmp_path: Path) -> None:
    """The stem forks from the usual folder of the worker's code, whoever is the first to ask."""
    write_app(tmp_path / "apps/a", {"app.py": PARENT}, ttl=60)
    (tmp_path / "home").mkdir()
    with running(tmp_path / "apps", env={"HOME": str(tmp_path / "home")}) as runtime:
        assert parent_of_worker(runtime) == runtime.pid
    with running(tmp_path / "apps") as runtime:
        assert is_forked(runtime)


def test_what_it_inherits_decides(tmp_path: Path) -> None:
    """A runtime with another umask starts its workers, which have that."""
    write_app(tmp_path / "a", {"app.py": PARENT}, ttl=60)
    with running(tmp_path, first="tests.support.umasked") as runtime:
        assert parent_of_worker(runtime) == runtime.pid


SHADOW = """
import asyncio
import queue
from buntime import Response
async def fetch(request):
    return Response(f"{queue.MINE} {asyncio.__name__}")
"""
REPLACED = """
import sys
import types
sys.modules["heapq"] = types.SimpleNamespace(heappush=1, heappop=2, heapify=3, merge=4, nlargest=5,
                                             nsmallest=6, heappushpop=7, heapreplace=8)
import asyncio.base_events
from buntime import Response
def fetch(request):
    return Response(str(asyncio.base_events.heapq.heappush))
"""


def test_modules_of_the_apps_own(tmp_path: Path) -> None:
    """A file with a name of the standard library is the app's, and a module that it has replaced
    is what others import."""
    write_app(tmp_path / "shadow", {"app.py": SHADOW, "queue.py": "MINE = 'mine'"}, ttl=60)
    write_app(tmp_path / "replaced", {"app.py": REPLACED}, ttl=60)
    with running(tmp_path) as runtime:
        assert fetch(runtime, "/shadow/").body == b"mine asyncio"
        assert fetch(runtime, "/replaced/").body == b"1"


DIES = """
import os
from buntime import Response
def fetch(request):
    number = int(request.query.get("number", 0))
    if number:
        os.kill(os.getpid(), number)
    os._exit(int(request.query["code"]))
"""


def test_how_it_ends(tmp_path: Path) -> None:
    """The runtime is told the exit code or the signal."""
    write_app(tmp_path / "a", {"app.py": DIES}, ttl=60)
    with running(tmp_path) as runtime:
        for query, told in (("code=3", "exit code 3"), ("number=9", "killed by SIGKILL")):
            assert fetch(runtime, f"/a/?{query}").status == 502
            runtime.wait_for_record("worker.died", how=told)


def test_it_ends_with_its_runtime(tmp_path: Path) -> None:
    """Also if that is killed; the stem stays, and leaves no zombie."""
    write_app(tmp_path / "a", {"app.py": PARENT.replace("getppid", "getpid")}, ttl=60)
    pids = []
    for number in (signal.SIGKILL, signal.SIGTERM):
        with running(tmp_path) as runtime:
            pids.append(int(fetch(runtime, "/a/").body))
            assert is_alive(pids[-1])
            runtime.stop(number)
            wait_until(lambda: not is_alive(pids[-1]))
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), what="their reaping")
    assert is_alive(launcher._stem().pid)
