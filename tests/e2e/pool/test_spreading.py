"""How many workers of an app serve: apps that compute and apps that wait, sync and async."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.client import fetch, workers_of
from tests.support.harness import Runtime, is_alive, running, wait_until, write_app

SYNC = """
import os, time
from buntime import Response

def fetch(request):
    if request.path == "/compute":
        until = time.thread_time() + 0.005
        while time.thread_time() < until:
            sum(range(1000))
    elif request.path == "/wait":
        time.sleep(0.1)
    return Response(str(os.getpid()))
"""

ASYNC = """
import asyncio, os, time
from buntime import Response

async def fetch(request):
    if request.path == "/compute":
        until = time.thread_time() + 0.005
        while time.thread_time() < until:
            sum(range(1000))
    elif request.path == "/wait":
        await asyncio.sleep(0.1)
    return Response(str(os.getpid()))
"""

KINDS = pytest.mark.parametrize("kind", ["sync", "async"])


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    apps = tmp_path_factory.mktemp("spreading")
    for kind, source in (("sync", SYNC), ("async", ASYNC)):

        def app(name: str, kind: str = kind, source: str = source, **manifest: Any) -> None:
            manifest = {"ttl": 600, "timeout": 10, "idleTimeout": 10, **manifest}
            write_app(apps / f"{kind}-{name}", {"app.py": source}, **manifest)

        app("two", workers=2, timeout=2, idleTimeout=2)
        app("waits", workers=2)
        app("one")
        app("auto", workers="auto")
    with running(apps, env={"RUNTIME_POOL_SIZE": "50"}) as served:
        yield served


@contextmanager
def load(runtime: Runtime, path: str, clients: int = 6) -> Iterator[Counter[str]]:
    """Clients that ask again and again; counts the answers by pid since the last `clear`."""
    answered: Counter[str] = Counter()
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            answer = fetch(runtime, path)
            assert answer.status == 200, answer
            answered[answer.body.decode()] += 1

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield answered
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


@KINDS
def test_an_app_that_computes_uses_its_workers(runtime: Runtime, kind: str) -> None:
    """Both workers answer about as much, though one could hold all requests. The second one ends
    after idleTimeout when it is not needed any more, even if the app still has requests that
    wait."""
    app = f"{kind}-two"
    with load(runtime, f"/{app}/compute") as answered:
        wait_until(lambda: len(answered) == 2, 20, "a second worker")
        answered.clear()
        wait_until(lambda: answered.total() > 60, 20, "60 answers")
        assert min(answered.values()) > 0.2 * answered.total()
        wait_until(
            lambda: all(each["busy"] > 0.2 for each in workers_of(runtime, app)),
            what="reports of their load",
        )
        pids = [each["pid"] for each in workers_of(runtime, app)]
        assert len(pids) == 2
    with load(runtime, f"/{app}/wait", clients=1):
        wait_until(lambda: not all(map(is_alive, pids)), 20, "the end of one worker")
        wait_until(lambda: len(workers_of(runtime, app)) == 1, what="its end being noticed")
    wait_until(lambda: not any(map(is_alive, pids)), 20, "the end of both")


@KINDS
def test_an_app_that_waits_keeps_one_worker(runtime: Runtime, kind: str) -> None:
    """As many requests at once, but none needs the processor: one worker serves all."""
    with load(runtime, f"/{kind}-waits/wait") as answered:
        wait_until(lambda: answered.total() > 60, 20, "60 answers")
    assert len(answered) == 1


def test_an_app_of_one_worker_stays_one(runtime: Runtime) -> None:
    """`workers: 1` is the default, and state in memory is in one place."""
    with load(runtime, "/sync-one/compute") as answered:
        wait_until(lambda: answered.total() > 100, 20, "100 answers")
    assert len(answered) == 1


def test_auto_is_one_for_each_core(runtime: Runtime) -> None:
    """`workers: auto`: at most as many as this machine has cores."""
    cores = len(os.sched_getaffinity(0))
    wanted = min(2, cores)
    with load(runtime, "/sync-auto/compute", clients=4 * cores) as answered:
        wait_until(lambda: len(answered) >= wanted, 20, "the workers")
    assert len(answered) <= cores
