"""Medians, spreads, ratios, and whether a bar is met. Nothing here measures."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

Item = TypeVar("Item")
Sample = dict[str, float]  # the figures of one round, by the key of a metric


@dataclass(frozen=True)
class Metric:
    """Something that is measured: `Metric("p50_ms", "p50 ms")`."""

    key: str
    label: str
    is_cost: bool = True  # less of it is better


RATE = Metric("rate", "requests/s", is_cost=False)
P50 = Metric("p50_ms", "p50 ms")
P99 = Metric("p99_ms", "p99 ms")
THROUGHPUT = Metric("mb_per_s", "MB/s", is_cost=False)
START = Metric("start_ms", "start ms")
EACH = Metric("kib_each", "KiB each")
CONNECTIONS = Metric("connections", "connections", is_cost=False)
RUNTIME = Metric("runtime_mib", "runtime MiB")
WORKER = Metric("worker_mib", "worker MiB")
METRICS = {
    metric.key: metric
    for metric in (RATE, P50, P99, THROUGHPUT, START, EACH, CONNECTIONS, RUNTIME, WORKER)
}


class Direction(Enum):
    AT_LEAST = "at least"
    ABOVE = "above"
    AT_MOST = "at most"


@dataclass(frozen=True)
class Bar:
    """`metric` of `who` should be at least, above or at most `factor` times that of `of`.

    If `of` is None, `factor` is the figure itself, in the metric's unit.
    """

    direction: Direction
    factor: float
    metric: Metric
    of: str | None = None
    who: str = "buntime"

    def __str__(self) -> str:
        subject = "" if self.who == "buntime" else f" of {self.who}"
        reference = f" of {self.of}" if self.of else ""
        return f"{self.metric.label}{subject} {self.direction.value} {self.factor:g}{reference}"

    def judge(self, value: float, reference: float = 1.0) -> Verdict:
        """Compare two medians; without a reference the value is compared with the factor."""
        ratio = value / reference
        room = ratio / self.factor - 1
        if self.direction is Direction.AT_MOST:
            room = -room
        is_met = room > 0 if self.direction is Direction.ABOVE else room >= 0
        return Verdict(ratio, is_met, room)

    def is_far_missed(self, ratio: float) -> bool:
        """Whether it reached less than half of the bar, or more than twice what the bar allows."""
        if self.direction is Direction.AT_MOST:
            return ratio > 2 * self.factor
        return ratio < self.factor / 2


@dataclass(frozen=True)
class Verdict:
    """The result of a bar: `room` is the part of it by which it was met, negative if missed."""

    ratio: float
    is_met: bool
    room: float

    def __str__(self) -> str:
        return f"{self.ratio:.3g}, {'met' if self.is_met else 'missed'} by {abs(self.room):.0%}"


def medians(samples: Sequence[Sample]) -> Sample:
    """The median of each metric."""
    return {key: statistics.median(sample[key] for sample in samples) for key in samples[0]}


def spreads(samples: Sequence[Sample]) -> Sample:
    """The range of the rounds relative to the median: `[9, 10, 11]` -> 0.2."""
    middle = medians(samples)
    return {
        key: (max(values) - min(values)) / middle[key] if middle[key] else 0.0
        for key in middle
        for values in [[sample[key] for sample in samples]]
    }


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest value that this part of the values (0.5, 0.99) does not exceed."""
    ordered = sorted(values)
    rank = max(0, -int(-part * len(ordered) // 1) - 1)  # rounded up
    return ordered[rank]


def in_turn(items: Sequence[Item], rounds: int) -> list[Item]:
    """Each item once a round, and each round begins with the next item: abc bca cab.

    So what one item leaves behind, a warm cache or a hot processor, does not always affect the same
    other item.
    """
    turns: list[Item] = []
    for number in range(rounds if items else 0):
        first = number % len(items)
        turns += [*items[first:], *items[:first]]
    return turns
