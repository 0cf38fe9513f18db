"""How much the counters of apps have grown since somebody last looked.

This costs requests nothing: it compares what `meters` counts anyway with its earlier values.
"""

from collections.abc import Iterable, Mapping

from buntime.core.telemetry.histogram import DURATION_BOUNDS
from buntime.core.telemetry.meters import Meter
from buntime.core.values.tuples import NamedTuple

PLUGIN = "plugin:"  # in front of plugins' names, among those of apps
BUCKETS = len(DURATION_BOUNDS) + 1


class Grown(NamedTuple):
    """Requests, how many of them were answered with 5xx, and how many fell into each bucket of
    DURATION_BOUNDS (WebSockets and event streams into none)."""

    requests: int
    errors: int
    counts: tuple[int, ...]


NOTHING = Grown(0, 0, (0,) * BUCKETS)


class Growth:
    """The state of one reader; each reader has its own."""

    def __init__(self) -> None:
        self._seen: dict[Meter, Grown] = {}

    def __repr__(self) -> str:
        return f"Growth({len(self._seen)} meters)"

    def take(self, meters: Iterable[Meter]) -> dict[str, Grown]:
        """The growth since the last call, by app name; apps without any are missing.

        Requests that belong to no app (health, the runtime's own pages) are not included.
        """
        seen: dict[Meter, Grown] = {}
        grown: dict[str, Grown] = {}
        for meter in meters:
            if not meter.name:
                continue
            before = self._seen.get(meter, NOTHING)
            total = sum(meter.requests)
            if total == before.requests:
                seen[meter] = before
                continue
            now = seen[meter] = Grown(total, meter.requests[5], tuple(meter.duration.counts))
            grown[meter.name] = plus(grown.get(meter.name, NOTHING), _minus(now, before))
        self._seen = seen
        return grown


def plus(one: Grown, other: Grown) -> Grown:
    """The sum of both."""
    counts = tuple(a + b for a, b in zip(one.counts, other.counts, strict=True))
    return Grown(one.requests + other.requests, one.errors + other.errors, counts)


def total_of(grown: Mapping[str, Grown]) -> Grown:
    """The sum of all apps, without plugins: people who look at the panel load its pages, and would
    see little else."""
    together = NOTHING
    for name, each in grown.items():
        if not name.startswith(PLUGIN):
            together = plus(together, each)
    return together


def _minus(now: Grown, before: Grown) -> Grown:
    counts = tuple(a - b for a, b in zip(now.counts, before.counts, strict=True))
    return Grown(now.requests - before.requests, now.errors - before.errors, counts)
