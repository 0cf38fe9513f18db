"""Token buckets: `core/values/bucket.py`."""

from hypothesis import given
from hypothesis import strategies as st

from buntime.core.values.bucket import TokenBucket

STEPS = st.lists(st.tuples(st.floats(0, 10), st.integers(0, 1000), st.booleans()), max_size=50)


def test_it_begins_full_and_refills() -> None:
    """A full burst is available at once, and more at the given rate."""
    bucket = TokenBucket(rate=10, burst=100, now=5.0)
    assert bucket.take(150, now=5.0) == 100
    assert not bucket.has(now=5.05)
    assert bucket.take(100, now=6.0) == 10


def test_it_holds_no_more_than_a_burst() -> None:
    """A long rest does not give a larger burst."""
    bucket = TokenBucket(rate=10, burst=100, now=0.0)
    assert bucket.take(1000, now=1e6) == 100


def test_a_debt_is_bounded() -> None:
    """A debt is repaid in at most the time of two bursts."""
    bucket = TokenBucket(rate=10, burst=100, now=0.0)
    bucket.spend(10**9, now=0.0)
    assert not bucket.has(now=10.0)
    assert bucket.has(now=10.2)


def test_a_clock_that_stands_still_gives_nothing() -> None:
    """If the clock stands still or goes back, no tokens are added."""
    bucket = TokenBucket(rate=10, burst=10, now=100.0)
    assert bucket.take(10, now=100.0) == 10
    assert bucket.take(10, now=50.0) == 0


@given(STEPS)
def test_never_more_than_burst_and_rate_allow(steps: list[tuple[float, int, bool]]) -> None:
    """Over any time, no more is taken than the burst plus the rate allows."""
    bucket = TokenBucket(rate=7, burst=50, now=0.0)
    now, taken = 0.0, 0
    for passed_s, wanted, spends in steps:
        now += passed_s
        if spends:
            bucket.spend(wanted, now)
        else:
            taken += bucket.take(wanted, now)
        assert taken <= 50 + 7 * now + 1e-6
