"""The last hour in points of ten seconds: the requests to each app, and what they took.

One ring of numbers for all apps together, and one for each of the busiest apps: 26 KB each,
APPS_MAX of them, however many apps and requests there are.

    point    0      1      2          359
             |      |      |    ...    |  <- the newest, then from the start again
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from buntime.core.telemetry.growth import BUCKETS, NOTHING, Grown, Growth, total_of
from buntime.core.telemetry.histogram import DURATION_BOUNDS, quantile
from buntime.core.telemetry.meters import Held
from buntime.core.values.tuples import NamedTuple

STEP_S = 10.0
POINTS = 360  # an hour
APPS_MAX = 100


class Track:
    """The ring of one app, or of several together."""

    __slots__ = ("counts", "errors", "memory_bytes", "requests", "workers")

    def __init__(self) -> None:
        self.requests = array("L", bytes(array("L").itemsize * POINTS))
        self.errors = array("L", self.requests)
        self.workers = array("L", self.requests)
        self.memory_bytes = array("d", bytes(8 * POINTS))
        self.counts = array("I", bytes(array("I").itemsize * POINTS * BUCKETS))

    def put(self, point: int, grown: Grown, held: Held) -> None:
        """Set a point, overwriting the one from an hour ago."""
        self.requests[point], self.errors[point] = grown.requests, grown.errors
        self.workers[point], self.memory_bytes[point] = held.workers, held.memory_bytes
        self.counts[point * BUCKETS : (point + 1) * BUCKETS] = array("I", grown.counts)

    def copy(self) -> "Track":
        """A copy of the current state."""
        copied = Track.__new__(Track)
        for name in Track.__slots__:
            setattr(copied, name, getattr(self, name)[:])
        return copied

    def is_empty(self) -> bool:
        return not any(self.requests) and not any(self.workers)


class Hour(NamedTuple):
    """An immutable copy of the hour: `to_json` may run in any thread."""

    total: Track | None  # for all apps; None: use the sum of `apps`
    apps: Mapping[str, Track]
    points: Sequence[int]  # the completed ones, the oldest first

    def to_json(self, step_points: int = 1, *, has_apps: bool = True) -> dict[str, Any]:
        """The form that the API returns, with `step_points` points merged into one; without
        `has_apps` only the total. A hundred apps in 360 points take 0.3 s."""
        first = len(self.points) % step_points  # the oldest may cover fewer: the newest is complete
        ends = range(first or step_points, len(self.points) + 1, step_points)
        steps = [self.points[max(0, end - step_points) : end] for end in ends]
        total = [self.total] if self.total is not None else [*self.apps.values()]
        apps = sorted(self.apps.items()) if has_apps else ()
        return {
            "total": _merged(total, steps),
            "apps": {name: _merged([track], steps) for name, track in apps},
        }


class History:
    """The hour, continuously updated."""

    def __init__(self) -> None:
        self.growth = Growth()  # from point to point
        self._total = Track()
        self._apps: dict[str, Track] = {}
        self._number = 0  # of the newest point, counted from the start
        self._taken_s: float | None = None

    def __repr__(self) -> str:
        return f"History({self._number} points, {len(self._apps)} apps)"

    def take(self, grown: Mapping[str, Grown], held: Mapping[str, Held], now: float) -> None:
        """A point ended at `now`: what has come since the previous one, and what there is.

        If the caller is late, the points in between are empty.
        """
        passed = 1
        if self._taken_s is not None:
            passed = max(1, round((now - self._taken_s) / STEP_S))
        self._taken_s = now
        for _ in range(min(passed, POINTS) - 1):
            self._number += 1
            self._put({}, {})
        self._number += 1
        self._put(grown, held)
        for name in [name for name, track in self._apps.items() if track.is_empty()]:
            del self._apps[name]

    def hour(self, apps: Iterable[str] | None = None) -> Hour:
        """The whole hour, or only that of these apps."""
        count = min(self._number, POINTS)
        points = [(self._number - count + 1 + n) % POINTS for n in range(count)]
        if apps is None:
            tracks = {name: track.copy() for name, track in self._apps.items()}
            return Hour(self._total.copy(), tracks, points)
        return Hour(
            None, {name: self._apps[name].copy() for name in apps if name in self._apps}, points
        )

    def lately(self, points: int) -> dict[str, tuple[int, int]]:
        """The requests and errors of each app in the last `points` points."""
        first = max(self._number - points + 1, 1)
        last = [number % POINTS for number in range(first, self._number + 1)]
        return {
            name: (sum(track.requests[n] for n in last), sum(track.errors[n] for n in last))
            for name, track in self._apps.items()
        }

    @property
    def names(self) -> Sequence[str]:
        """The apps in the history."""
        return [*self._apps]

    def _put(self, grown: Mapping[str, Grown], held: Mapping[str, Held]) -> None:
        point = self._number % POINTS
        together = Held(
            sum(each.workers for each in held.values()),
            sum(each.memory_bytes for each in held.values()),
        )
        self._total.put(point, total_of(grown), together)
        names = {name for name in (*grown, *held) if name}
        for name, track in self._apps.items():
            track.put(point, grown.get(name, NOTHING), held.get(name, Held()))
        for name in self._to_begin(names - self._apps.keys(), grown):
            track = self._apps[name] = Track()
            track.put(point, grown.get(name, NOTHING), held.get(name, Held()))

    def _to_begin(self, new: set[str], grown: Mapping[str, Grown]) -> Sequence[str]:
        """The apps whose ring begins: those with the most requests replace those with fewer."""
        if not new:
            return ()
        by_requests = sorted(new, key=lambda name: -grown.get(name, NOTHING).requests)
        free = APPS_MAX - len(self._apps)
        chosen, others = by_requests[:free], by_requests[free:]
        if not others:
            return chosen
        least = sorted(self._apps, key=lambda name: sum(self._apps[name].requests))
        for name, last in zip(others, least, strict=False):
            if grown.get(name, NOTHING).requests <= sum(self._apps[last].requests):
                break
            del self._apps[last]
            chosen.append(name)
        return chosen


def _merged(tracks: Sequence[Track], steps: Sequence[Sequence[int]]) -> dict[str, list[Any]]:
    """Sums of requests; for workers and memory the highest number at one time."""
    counts = [_counts(tracks, points) for points in steps]
    return {
        "requests": [_sum(tracks, points, "requests") for points in steps],
        "errors": [_sum(tracks, points, "errors") for points in steps],
        "p50Ms": [ms_below(each, 0.5) for each in counts],
        "p95Ms": [ms_below(each, 0.95) for each in counts],
        "memoryBytes": [_most(tracks, points, "memory_bytes") for points in steps],
        "workers": [_most(tracks, points, "workers") for points in steps],
    }


def _sum(tracks: Sequence[Track], points: Sequence[int], name: str) -> int:
    return sum(getattr(track, name)[point] for track in tracks for point in points)


def _most(tracks: Sequence[Track], points: Sequence[int], name: str) -> int:
    return int(max(sum(getattr(track, name)[point] for track in tracks) for point in points))


def _counts(tracks: Sequence[Track], points: Sequence[int]) -> list[int]:
    counts = [0] * BUCKETS
    for track in tracks:
        for point in points:
            if track.requests[point]:
                for n, count in enumerate(track.counts[point * BUCKETS : (point + 1) * BUCKETS]):
                    counts[n] += count
    return counts


def ms_below(counts: Sequence[int], share: float) -> float | None:
    """Roughly the milliseconds within which this share of requests was answered."""
    seconds = quantile(DURATION_BOUNDS, counts, share)
    return None if seconds is None else round(seconds * 1000, 1)
