"""Histograms count by bounds, as Prometheus reads them."""

import functools
import operator

from hypothesis import given
from hypothesis import strategies as st

from buntime.core.telemetry.histogram import Histogram

BOUNDS = (0.1, 1.0, 10.0)


def test_a_bound_belongs_to_its_bucket() -> None:
    """A value equal to a bound is counted in its bucket, since buckets mean "at most"."""
    histogram = Histogram(BOUNDS)
    histogram.observe(1.0)
    assert list(histogram.buckets()) == [("0.1", 0), ("1.0", 1), ("10.0", 1), ("+Inf", 1)]


@given(st.lists(st.floats(0, 100)))
def test_buckets_are_cumulative(values: list[float]) -> None:
    """Each bucket counts all values up to its bound, and the last one counts all."""
    histogram = Histogram(BOUNDS)
    for value in values:
        histogram.observe(value)
    for name, count in histogram.buckets():
        assert count == sum(value <= float(name) for value in values)
    assert histogram.count == len(values)
    # Python 3.12 and later round sum() less.
    assert histogram.sum == functools.reduce(operator.add, values, 0.0)


def test_a_copy_stays_as_it_is() -> None:
    """A copy does not change with later observations."""
    histogram = Histogram(BOUNDS)
    histogram.observe(5)
    copied = histogram.copy()
    histogram.observe(5)
    assert (copied.count, copied.sum) == (1, 5)
    assert (histogram.count, histogram.sum) == (2, 10)
