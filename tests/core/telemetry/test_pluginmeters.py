"""The failures of a hook are counted for some minutes, and then forgotten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from buntime.core.telemetry.pluginmeters import (
    WINDOW_S,
    Failure,
    HookFailures,
    HookMeter,
    Lately,
)


def test_what_is_noted() -> None:
    """All failures of the window are counted, and the last one is described."""
    failed = HookFailures()
    failed.add("first", 10, 1000.0)
    failed.add("second", 12, 1001.0)
    failed.add("third", 20, 1100.0)
    assert failed.lately(25, 1101.0) == Lately(3, 15, 1.0, "third")


def test_failures_that_stopped() -> None:
    """A failure is forgotten once the window has passed, and the verdicts before the next with
    it."""
    failed = HookFailures()
    failed.add("first", 10, 1000.0)
    failed.add("second", 20, 1000.0 + WINDOW_S - 60)
    later = failed.lately(25, 1000.0 + WINDOW_S + 30)
    assert later is not None
    assert (later.failed, later.verdicts) == (1, 5)
    assert failed.lately(25, 1000.0 + 2 * WINDOW_S) is None


def test_a_hook_that_never_failed() -> None:
    """A meter holds no slices of time before the first failure."""
    meter = HookMeter()
    meter.on_verdict("continue", 0.1)
    assert meter.lately(5.0) is None
    meter.on_failure(Failure.BAD, "no verdict", 6.0, 5.5)
    assert meter.lately(7.0) == Lately(1, 0, 1.0, "no verdict")
    assert (meter.seconds.count, meter.seconds.sum) == (2, 0.6)


@given(st.lists(st.floats(0, 400), max_size=300))
def test_bounds(pauses: list[float]) -> None:
    """However many there are, the memory is bounded, and the count is that of the last slices."""
    failed, now, at = HookFailures(), 0.0, []
    for pause in pauses:
        now += pause
        at.append(now)
        failed.add("x" * 5000, 0, now)
    assert len(failed._slices) <= 10
    expected = sum(1 for each in at if each // 30 > now // 30 - 10)
    told = failed.lately(0, now)
    assert (told.failed if told is not None else 0) == expected
    assert told is None or len(told.why) == 1000
