"""How slow a client may be while it holds a scarce resource."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.http1.leastrate import LEAST_BYTES_PER_S, PERIOD_S, LeastRates, is_short

STEPS = st.lists(st.floats(0.2, 3.0), min_size=1, max_size=60)


@pytest.mark.parametrize(("taken", "limit", "short"), [(5, 10, False), (6, 10, True), (1, 1, True)])
def test_more_than_half_is_short(taken: int, limit: int, short: bool) -> None:
    assert is_short(taken, limit) is short


def looks(rates: LeastRates, steps: list[float], bytes_per_s: float) -> list[bool]:
    """The verdicts on a client with this speed, at looks this far apart."""
    now, said = 100.0, []
    for step in (0.0, *steps):
        now += step
        said.append(rates.is_too_slow("a", round((now - 100.0) * bytes_per_s), now))
        rates.end_look()
    return said


@given(STEPS, st.floats(LEAST_BYTES_PER_S + 2, 10_000))
def test_who_keeps_the_rate_is_left_alone(steps: list[float], bytes_per_s: float) -> None:
    """A client that keeps the rate is never too slow, whenever it is looked at."""
    assert not any(looks(LeastRates(), steps, bytes_per_s))


@given(STEPS, st.floats(0, LEAST_BYTES_PER_S - 2))
def test_who_is_slower_is_told_of_once_a_period(steps: list[float], bytes_per_s: float) -> None:
    """A slower client is reported once a period, at the first look after the period has ended."""
    said = looks(LeastRates(), steps, bytes_per_s)
    assert any(said) == (sum(steps) >= PERIOD_S + 1e-6) or abs(sum(steps) - PERIOD_S) < 1e-3


def test_who_was_not_waited_for_begins_anew() -> None:
    """A single look at which nothing was awaited from a client resets its period."""
    rates = LeastRates()
    for now in range(30):
        if now % 4:
            assert not rates.is_too_slow("a", 0, float(now))
        rates.end_look()


def test_all_begin_anew_when_nothing_is_short() -> None:
    """When nothing is scarce any more, earlier slowness does not count."""
    rates = LeastRates()
    assert not rates.is_too_slow("a", 0, 0.0)
    rates.end_look()
    rates.forget()
    assert not rates.is_too_slow("a", 0, PERIOD_S)
    rates.end_look()
    assert rates.is_too_slow("a", 0, 2 * PERIOD_S)


def test_one_does_not_pay_for_another() -> None:
    """Each client is judged by its own rate."""
    rates = LeastRates()
    said = []
    for now in (0.0, PERIOD_S):
        moved = int(now * LEAST_BYTES_PER_S)
        said = [rates.is_too_slow("slow", 0, now), rates.is_too_slow("fast", moved, now)]
        rates.end_look()
    assert said == [True, False]
