"""Descriptors are divided so that the sum stays below any limit."""

from __future__ import annotations

import atexit
import functools
import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.pool.workforce import workers_beside
from buntime.server.http1.descriptors import OF_A_WORKER, divide, of_connections
from tests.support.harness import ROOT

LEAST = 64  # below this nobody is served
SPARE = 40  # the least that the runtime itself needs

# Prints the settings that fit below this limit, or the reason why none do.
FIT = """
import json, os, resource, sys
from buntime.core.errors import UsageError
from buntime.core.settings.load import load_settings
from buntime.server.http1.descriptors import fit

def tell(limit, args, beside):
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit, 64), limit))
    environ = {"RUNTIME_WORKER_DIRS": "/apps"}
    asked = load_settings(args=args, environ=environ, dotenv={}, mode="pyz", cores=2)
    try:
        fitted = fit(asked, beside=beside)
    except UsageError as exc:
        return str(exc)
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return [fitted.connections_max, fitted.pool_size, fitted.spare_workers, soft]

for line in sys.stdin:
    pid = os.fork()  # a lowered limit cannot be raised again
    if not pid:
        print(json.dumps(tell(*json.loads(line))), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
"""


@functools.cache
def fitting() -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", FIT], cwd=ROOT, stdin=pipe, stdout=pipe, text=True
    )
    atexit.register(process.communicate)
    return process


def fitted(limit: int, *, beside: int = 0, **args: str) -> Any:
    process = fitting()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps([limit, args, beside]) + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def need(connections: int, workers: int) -> int:
    return of_connections(connections) + workers * OF_A_WORKER


@given(st.integers(LEAST, 100_000), st.integers(1, 50_000), st.integers(2, 2_000))
def test_the_sum_holds(limit: int, connections: int, workers: int) -> None:
    """All connections with a file each, all workers and the runtime itself find descriptors; each
    side gets something, and not more than it wants."""
    share = divide(limit, connections=connections, workers=workers)
    assert need(*share) + SPARE <= limit
    assert 1 <= share.connections <= connections
    assert 1 <= share.workers <= workers


def test_what_each_takes() -> None:
    """A client has a socket and a file; a worker has a channel, a lifeline, a process's descriptor
    and three pipes."""
    assert of_connections(500) - of_connections(400) >= 2 * 100
    assert OF_A_WORKER == 6


@given(st.integers(LEAST, 100_000), st.integers(1, 50_000), st.integers(2, 2_000))
def test_nothing_is_wasted(limit: int, connections: int, workers: int) -> None:
    """If one side needs little the other gets the rest."""
    share = divide(limit, connections=connections, workers=workers)
    if share != (connections, workers):
        assert limit - need(*share) < 128 + OF_A_WORKER + of_connections(2) - of_connections(1)


@pytest.mark.parametrize("limit", [64, 100, 150, 256, 1024, 4096])
@pytest.mark.parametrize("spares", ["0", "2"])
def test_settings_fit(limit: int, spares: str) -> None:
    """The settings fit, including spares and workers that are slow to end."""
    connections, pool_size, spare_workers, soft = fitted(limit, spare_workers=spares)
    assert soft == limit
    workers = pool_size + workers_beside(pool_size) + spare_workers
    assert need(connections, workers) + SPARE <= limit
    assert min(connections, pool_size) >= 1


@pytest.mark.parametrize("limit", [256, 1024])
def test_workers_of_plugins_fit(limit: int) -> None:
    """Workers of plugins come on top of the pool's size, and get theirs first."""
    connections, pool_size, spare_workers, _ = fitted(limit, beside=20)
    workers = pool_size + workers_beside(pool_size) + spare_workers + 20
    assert need(connections, workers) + SPARE <= limit


def test_more_plugins_than_fit() -> None:
    """With more plugins than fit, somebody is still served."""
    connections, pool_size, _, _ = fitted(100, beside=1000)
    assert min(connections, pool_size) >= 1


def test_what_fits_is_left_alone() -> None:
    """Settings that fit stay as they are, and the system is asked for no more than they need."""
    most = fitted(4096, connections_max="1000", pool_size="10", spare_workers="2")
    assert most[:3] == [1000, 10, 2]
    assert most[3] < 4096


def test_too_few_for_anybody() -> None:
    """If the limit serves nobody the start fails, and the message says what to raise."""
    assert "raise it to 64" in fitted(63)
