"""What a worker was doing when a request took too long is in the log, whatever it was doing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.client import Answer, fetch
from tests.support.harness import Runtime, running, wait_until, write_app

EVENT = "worker.stacks"
LATE_S = 0.5

# What a handler does for longer than its timeout, and what its stack must show.
DEEDS = {
    "sleep": "time.sleep(600)",
    "loop": "while True: pass",
    "regex": "re.match('(a+)+$', 'a' * 64 + 'b')",  # in C, with the GIL held
    "sleep-in-c": "ctypes.PyDLL(None).sleep(600)",  # the same
    "c-without-gil": "ctypes.CDLL(None).sleep(600)",
}
APP = """
import ctypes, os, re, signal, threading, time

def culprit():
    DEED

def fetch(request):
    culprit()
"""
TWO_THREADS = """
import threading, time

meeting = threading.Barrier(2)

def first_culprit():
    meeting.wait()
    time.sleep(600)

def second_culprit():
    meeting.wait()
    while True:
        pass

def fetch(request):
    if request.path == "/first":
        first_culprit()
    second_culprit()
"""
ASYNC = """
import asyncio, time

async def waits():
    await asyncio.sleep(600)

async def blocks():
    while True:
        pass

async def stubborn():
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            pass

async def fetch(request):
    print("begun", request.path)
    await DEED()
"""
STOPPED = """
import os, signal
def fetch(request):
    os.kill(os.getpid(), signal.SIGSTOP)
"""
# As if asyncio were just being imported: its module is there, with nothing in it yet.
LOADS = """
import sys, time, types
sys.modules["asyncio"] = types.ModuleType("asyncio")
def culprit():
    time.sleep(600)
culprit()
"""
PATHS = [
    *(f"/{name}/here" for name in DEEDS),
    *("/threads/first", "/threads/second", "/waits/", "/blocks/", "/stopped/", "/loads/"),
]


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    apps = tmp_path_factory.mktemp("apps")
    late: dict[str, Any] = {"timeout": LATE_S}
    ready = {**late, "ttl": 60, "prewarm": 1}  # else a slow start would make them late
    for name, deed in DEEDS.items():
        write_app(apps / name, {"app.py": APP.replace("DEED", deed)}, **ready)
    for name in ("waits", "blocks", "stubborn"):
        write_app(apps / name, {"app.py": ASYNC.replace("DEED", name)}, **ready)
    write_app(apps / "threads", {"app.py": TWO_THREADS}, concurrency=2, **ready)
    write_app(apps / "stopped", {"app.py": STOPPED}, **ready)
    write_app(apps / "loads", {"app.py": LOADS}, **late)
    with running(apps, env={"RUNTIME_POOL_SIZE": "20"}) as started:
        names = {*DEEDS, "waits", "blocks", "stubborn", "threads", "stopped"}
        for name in names:
            started.wait_for_record("worker.ready", app=name)
        yield started


@pytest.fixture(scope="module")
def answers(runtime: Runtime) -> dict[str, Answer]:
    """The answers to all late requests, by path."""
    with ThreadPoolExecutor(len(PATHS)) as threads:
        return dict(zip(PATHS, threads.map(lambda path: fetch(runtime, path), PATHS), strict=True))


@pytest.mark.parametrize("name", DEEDS)
def test_stacks_of_a_late_request(runtime: Runtime, answers: dict[str, Answer], name: str) -> None:
    """The stacks of a worker show the function that took too long, and name its request."""
    answer = answers[f"/{name}/here"]
    assert answer.status == 504
    record = runtime.wait_for_record(EVENT, app=name)
    assert re.search(r"in culprit\n.* in fetch\n", record["stack"])
    assert record["request_id"] == answer.headers["x-request-id"]
    assert (record["method"], record["level"]) == ("GET", "warn")
    assert record["path"].endswith("/here")
    assert LATE_S <= record["seconds"] < 20


def test_all_threads(runtime: Runtime, answers: dict[str, Answer]) -> None:
    """The stacks cover all threads, with every request that the worker has in hand."""
    ids = {answers[path].headers["x-request-id"] for path in PATHS if "/threads/" in path}
    record = runtime.wait_for_record(EVENT, app="threads")
    assert "in first_culprit\n" in record["stack"]
    assert "in second_culprit\n" in record["stack"]
    assert {record["request_id"], *record.get("others", [])} <= ids


def test_tasks(runtime: Runtime, answers: dict[str, Answer]) -> None:
    """For an async app that waits, the log shows what its tasks wait for."""
    assert answers["/waits/"].status == 504
    record = runtime.wait_for_record(EVENT, app="waits")
    assert re.search(r"Task .*\n.* in sleep\n.* in waits\n.* in fetch\n", record["stack"])


def test_a_blocked_loop(runtime: Runtime, answers: dict[str, Answer]) -> None:
    """For an async app that blocks its loop, the log shows where."""
    assert answers["/blocks/"].status == 504
    record = runtime.wait_for_record(EVENT, app="blocks")
    assert re.search(r"in blocks\n.* in fetch\n", record["stack"])


def test_a_stopped_process(runtime: Runtime, answers: dict[str, Answer]) -> None:
    """The log says that a process cannot answer, and its request still gets 504."""
    assert answers["/stopped/"].status == 504
    assert runtime.wait_for_record(EVENT, app="stopped")["stack"].startswith("no answer: ")


def test_an_app_that_does_not_load(runtime: Runtime, answers: dict[str, Answer]) -> None:
    """The log also shows where an import takes too long."""
    assert answers["/loads/"].status == 504
    record = runtime.wait_for_record(EVENT, app="loads")
    assert re.search(r"in culprit\n.* in <module>\n", record["stack"])
    complaints = [each["message"] for each in runtime.records if each.get("app") == "loads"]
    assert not any("could not be reported" in each for each in complaints)


def test_a_request_whose_client_has_left(runtime: Runtime) -> None:
    """A worker stuck in a request whose client has left is logged before it is replaced."""
    with runtime.connect() as sock:
        sock.sendall(b"GET /stubborn/ HTTP/1.1\r\nHost: a\r\n\r\n")
        runtime.wait_for_line("begun /", app="stubborn")
    record = runtime.wait_for_record("worker.stuck", app="stubborn")
    ours = [each for each in runtime.records if each.get("request_id") == record["request_id"]]
    events = [each["event"] for each in ours]
    assert events.count(EVENT) == 1
    assert events.index(EVENT) < events.index(record["event"])
    assert "in stubborn\n" in ours[events.index(EVENT)]["stack"]


@pytest.mark.parametrize(
    ("app", "culprit"), [("stubborn", "in stubborn\n"), ("blocks", "in blocks\n")]
)
def test_an_autopsy(runtime: Runtime, answers: dict[str, Answer], app: str, culprit: str) -> None:
    """The stacks of a worker that was stuck are also kept for operators who ask later."""

    def found() -> list[dict[str, str]]:
        told = fetch(runtime, f"/api/apps/{app}/autopsies").json()["autopsies"]
        return [each for each in told if each["cause"] == "stuck"]

    wait_until(found)
    assert culprit in found()[0]["stack"]
    assert found()[0]["why"] == "a request exceeded its timeout and did not stop"
