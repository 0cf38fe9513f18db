"""Settings for all tests."""

from __future__ import annotations

import gc
import itertools
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

# Hypothesis keeps tables of all characters, and the constants of each module. A process needs three
# seconds to make them, so that clean clones share those of their environment.
set_hypothesis_home_dir(f"{sys.prefix}/hypothesis")

# A busy machine generates examples slowly, which says nothing about the code. A fifth of the usual
# number of examples is enough, since each run generates others, and a law that is broken is mostly
# broken by one of the first. `--hypothesis-profile thorough` runs fifty times as many.
for name, examples in (("ours", 20), ("thorough", 1000)):
    settings.register_profile(
        name,
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile("ours")

# Looking for garbage takes a tenth of the tests' processor time: they keep much, and leave little.
gc.set_threshold(50_000, 20, 100)

# A shell's command in the background ignores SIGINT, and so would all processes of the tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A runtime or command that a test runs in its own process leaves these signals ignored, because a
# late signal at its end would change its exit code. Children would inherit that and never end.
AS_STARTED = {
    number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
}

# Keep what a run compiles for the next run, wherever it is started: rewriting the asserts of all
# tests takes ten seconds.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

_numbers = itertools.count()


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new folder, as pytest's own fixture makes it: that one reads the names of all earlier
    folders to find a number, which takes longer than most tests."""
    name = re.sub(r"\W", "_", request.node.name)[:25]
    return tmp_path_factory.mktemp(f"{name}-{next(_numbers)}", numbered=False)


@pytest.fixture(scope="module")
def _workers_start_afresh() -> Iterator[None]:
    """No runtime of a module with WORKERS_START_AFRESH forks its workers."""
    from tests.support.launcher import workers_afresh  # most modules start none

    with workers_afresh():
        yield


def pytest_itemcollected(item: pytest.Item) -> None:
    """The tests of those modules get that fixture. Others are not asked for it: to look up what
    each test has takes a twentieth of the time of short ones."""
    if isinstance(item, pytest.Function) and hasattr(item.module, "WORKERS_START_AFRESH"):
        name = _workers_start_afresh.__name__
        item.fixturenames[:] = dict.fromkeys((name, *item.fixturenames))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """Restore the signal handlers that this run began with, for the next test and its processes."""
    try:
        return (yield)
    finally:
        for number, handler in AS_STARTED.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)
