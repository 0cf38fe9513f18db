"""Settings for all tests, and measures that make collecting them cheap.

A run has several processes, and each of them imports all test files: collecting 13,000 tests takes
longer than running most of them.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Files that take 20 seconds or more, mostly spent waiting.
LONGEST = (
    "tests/e2e/panel/",
    "tests/e2e/access/test_description.py",
    "tests/chaos/",
    "tests/e2e/pool/test_hung_apps.py",
    "tests/e2e/modes/test_websocket.py",
    "tests/e2e/pool/test_spreading.py",
    "tests/e2e/plugins/test_services.py",
    "tests/server/pythons/",
    "tests/e2e/http1/test_slow_clients.py",
    "tests/e2e/deploys/test_faults.py",
    "tests/commands/test_new_and_check.py",
    "tests/commands/test_login.py",
    "tests/e2e/modes/test_operating.py",
    "tests/e2e/modes/test_signin.py",
    "tests/worker/test_pythons.py",
    "tests/e2e/pool/test_faults.py",
    "tests/server/lifetime/test_stalls.py",
)
# A busy machine generates examples slowly, which says nothing about the code. Half of the usual
# number of examples is enough, since each run generates others. `--hypothesis-profile thorough`
# runs twenty times as many.
for name, examples in (("ours", 50), ("thorough", 1000)):
    settings.register_profile(
        name,
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile("ours")

# A runtime or command that a test runs in its own process leaves these signals ignored, because a
# late signal at its end would change its exit code. Children would inherit that and never end.
AS_STARTED = {
    number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
}

# Keep what a run compiles for the next run and for its other processes, wherever it is started:
# rewriting the asserts of all tests takes ten seconds.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Where several processes run all tests, each starts importing them at a different place.

    Each process then finds compiled what the others began with. Otherwise all of them would rewrite
    the same file at the same time.
    """
    worker = getattr(session.config, "workerinput", None)
    if worker is None or session.config.args != session.config.getini("testpaths"):
        return
    root = session.config.rootpath
    files = sorted(Path(__file__).parent.rglob("test_*.py"))
    first = len(files) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    for file in files[first:] + files[:first]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                importlib.import_module(".".join(file.relative_to(root).with_suffix("").parts))
            except (Exception, pytest.skip.Exception):  # reported when it is collected
                continue


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest files run first, so that nothing waits for them at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """Restore the signal handlers that this run began with, for the next test and its processes."""
    try:
        return (yield)
    finally:
        for number, handler in AS_STARTED.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collected tests live until the run ends, so the garbage collector need not look at them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()  # skips a collection, which takes 0.3 s and frees little
        gc.enable()
