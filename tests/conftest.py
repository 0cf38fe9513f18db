"""What holds for all tests, and what makes their collection cheap.

A run has several processes, and each of them imports all files of tests: 13,000 tests take longer
to be collected than most of them to run.
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

# Files that take 20 seconds and more, of which most go by in waiting.
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
# A busy machine makes examples slowly, and that says nothing of the code.
# Half of the usual number of them, as each run makes others: `--hypothesis-profile thorough` makes
# twenty times as many.
for name, examples in (("ours", 50), ("thorough", 1000)):
    settings.register_profile(
        name,
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile("ours")

# A runtime or a command that a test runs in its own process leaves these ignored, as at its end a
# late signal would change its exit code. Children would inherit that, and never end.
AS_STARTED = {
    number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
}

# What a run compiles is kept for the next one and for its other processes, wherever it is started:
# to rewrite the asserts of all tests takes ten seconds.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Where all tests are run by several processes, each begins to import them at another place.

    So a process finds compiled what the others have begun with. All of them would otherwise
    rewrite the same file at the same time.
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
            except (Exception, pytest.skip.Exception):  # told when it is collected
                continue


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that nobody waits for it at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """The next test and its processes find the signals as this run did when it began."""
    try:
        return (yield)
    finally:
        for number, handler in AS_STARTED.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is collected stays to the end: no collector of garbage needs to look at it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()  # without a look for garbage, which takes 0.3 s and finds little
        gc.enable()
