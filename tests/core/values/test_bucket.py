"""core/values/bucket.py"""

from hypothesis import given
from hypothesis import strategies as st

from buntime.core.values.bucket import TokenBucket

STEPS = st.lists(st.tuples(st.floats(0, 10), st.integers(0, 1000), st.booleans()), max_size=50)


def test_it_begins_full_and_refills() -> None:
    """A burst is there at once, and the rate's share of it after some time."""
    bucket = TokenBucket(rate=10, burst=100, now=5.0)
    assert bucket.take(150, now=5.0) == 100
    assert not bucket.has(now=5.05)
    assert bucket.take(100, now=6.0) == 10


def test_it_holds_no_more_than_a_burst() -> None:
    """A long rest does not make a larger burst."""
    bucket = TokenBucket(rate=10, burst=100, now=0.0)
    assert bucket.take(1000, now=1e6) == 100


def test_a_debt_is_bounded() -> None:
    """What is spent beyond the tokens is paid in at most the time of two bursts."""
    bucket = TokenBucket(rate=10, burst=100, now=0.0)
    bucket.spend(10**9, now=0.0)
    assert not bucket.has(now=10.0)
    assert bucket.has(now=10.2)


def test_a_clock_that_stands_still_gives_nothing() -> None:
    """Time that does not pass, or goes back, makes no tokens."""
    bucket = TokenBucket(rate=10, burst=10, now=100.0)
    assert bucket.take(10, now=100.0) == 10
    assert bucket.take(10, now=50.0) == 0


@given(STEPS)
def test_never_more_than_burst_and_rate_allow(steps: list[tuple[float, int, bool]]) -> None:
    """Over any time, what was taken is at most the burst and the rate's share of that time."""
    bucket = TokenBucket(rate=7, burst=50, now=0.0)
    now, taken = 0.0, 0
    for passed_s, wanted, spends in steps:
        now += passed_s
        if spends:
            bucket.spend(wanted, now)
        else:
            taken += bucket.take(wanted, now)
        assert taken <= 50 + 7 * now + 1e-6
