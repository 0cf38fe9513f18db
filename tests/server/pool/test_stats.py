"""What the pool counts, and how it finds out why a worker died."""

from __future__ import annotations

from typing import Any

import pytest

from buntime.core.telemetry.meters import Cause
from buntime.server.pool.stats import AppStats, PoolStats


def test_rates_of_nothing_are_zero() -> None:
    """Before the first request the average and the rate are zero."""
    counters = PoolStats().to_json(cache_size=0, evictions=0)
    assert (counters["cacheHitRate"], counters["avgRequestDuration"]) == (0.0, 0.0)


def test_averages() -> None:
    """The rate counts requests given to a worker, the duration those that ended."""
    stats = PoolStats()
    stats.hits, stats.misses = 2, 1
    for ms in (1.0, 2.0):
        stats.on_done(ms)
    counters = stats.to_json(cache_size=4, evictions=5)
    assert (counters["cacheHitRate"], counters["avgRequestDuration"]) == (0.6667, 1.5)
    assert (counters["cacheSize"], counters["evictionCount"]) == (4, 5)


def test_requests_are_counted_by_app() -> None:
    """Each app has its own count and the time of its last request."""
    stats = PoolStats()
    for key in ("shop", "shop", "blog@1.0.0"):
        stats.on_request(key)
    assert stats.requests == 3
    assert {key: each.request_count for key, each in stats.apps.items()} == {
        "shop": 2,
        "blog@1.0.0": 1,
    }


def test_times_are_told_in_utc() -> None:
    """Times are in UTC, and an app without requests has none."""
    app = AppStats()
    app.created_at = 1_700_000_000.25
    told = app.to_json("idle")
    assert told["createdAt"] == "2023-11-14T22:13:20.250Z"
    assert (told["lastRequest"], told["status"]) == (None, "idle")
    app.last_request_at = 1_700_000_001.0
    assert app.to_json("idle")["lastRequest"] == "2023-11-14T22:13:21.000Z"


@pytest.mark.parametrize(
    ("returncode", "facts", "cause"),
    [
        (0, {"was_ordered": True, "failed_to_load": False}, Cause.ENDED),
        (1, {"was_ordered": False, "failed_to_load": True}, Cause.BOOT),
        (1, {"was_ordered": False, "failed_to_load": False}, Cause.EXIT),
        (-11, {"was_ordered": False, "failed_to_load": False}, Cause.SIGNAL),
    ],
)
def test_why_a_worker_died(returncode: int, facts: dict[str, Any], cause: Cause) -> None:
    """A death that the runtime did not cause is described by the worker's state and exit code."""
    stats = PoolStats()
    assert stats.on_death(1, returncode, **facts) == (cause, facts["was_ordered"])
    assert stats.worker_failed == (not facts["was_ordered"])


def test_the_runtimes_own_reason_counts() -> None:
    """If the runtime kills a worker, the cause of death is the runtime's latest reason."""
    stats = PoolStats()
    stats.will_end(1, Cause.IDLE)
    stats.will_end(1, Cause.UNRESPONSIVE)
    assert stats.on_death(1, -9, was_ordered=True, failed_to_load=False) == (
        Cause.UNRESPONSIVE,
        True,
    )
    assert stats.on_death(1, -9, was_ordered=False, failed_to_load=False)[0] is Cause.SIGNAL


def test_an_idle_worker_that_died_before_it_was_told() -> None:
    """If its channel ended before it was told, it did not die of being idle."""
    stats = PoolStats()
    stats.will_end(1, Cause.IDLE)
    stats.on_unasked_end(1)
    assert stats.on_death(1, 3, was_ordered=True, failed_to_load=False) == (Cause.EXIT, False)
    assert stats.worker_failed == 1
