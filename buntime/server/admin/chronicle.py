"""Keeps the numbers of the last hour, from the runtime's start, whether or not anybody looks.

Every ten seconds the counters are compared with their earlier values, and a thread reads the memory
of each worker (20 us each).
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from buntime.core.telemetry.meters import Held
from buntime.server.http1.service import Service
from buntime.server.pool.process import Process
from buntime.server.pool.report import PoolReport

if TYPE_CHECKING:
    from buntime.core.telemetry.history import History

STEP_S = 10.0


class Chronicle:
    """Looks at the counters, from `start` on. Used on the loop's thread."""

    def __init__(self, service: Service, report: PoolReport) -> None:
        self._service = service
        self._report = report
        self._history: History | None = None
        self._taken_s: float | None = None

    def __repr__(self) -> str:
        return f"Chronicle({self._history!r})"

    def start(self) -> None:
        self._service.loop.call_later(STEP_S, self._tick)

    @property
    def history(self) -> "History":
        """The history so far; empty before the first look."""
        if self._history is None:
            # Not needed before the first ten seconds are over, so the start does without it.
            from buntime.core.telemetry.history import History

            self._history = History()
        return self._history

    def age_s(self, now: float) -> float:
        """How long ago the last point ended; 0.0 before the first."""
        return now - self._taken_s if self._taken_s is not None else 0.0

    def lately(self, points: int) -> Mapping[str, tuple[int, int]]:
        """Requests of each app in the last points, and how many of them were answered 5xx."""
        return self._history.lately(points) if self._history is not None else {}

    def measure(self, then: Callable[[Mapping[str, Held]], None]) -> None:
        """The memory of each app's workers; spares count under ""."""
        processes: defaultdict[str, list[Process]] = defaultdict(list)
        for owner, _, process in self._report.census():
            processes[owner.name if owner is not None else ""].append(process)

        def measured(held: Mapping[str, Held] | BaseException) -> None:
            if isinstance(held, BaseException):
                raise held  # a bug, for the log
            then(held)

        self._service.loop.run_blocking(lambda: _held(processes), measured)

    def _tick(self) -> None:
        self.start()  # first: a look that fails is logged, and the next one still comes
        self.measure(self._take)

    def _take(self, held: Mapping[str, Held]) -> None:
        history, self._taken_s = self.history, self._service.loop.now
        history.take(history.growth.take(self._service.meters), held, self._taken_s)


# In a thread


def _held(processes: Mapping[str, Sequence[Process]]) -> dict[str, Held]:
    return {
        name: Held(len(group), sum(process.resident_bytes() for process in group))
        for name, group in processes.items()
    }
