"""What is happening now, for people who watch: rates of the last seconds, by app."""

from collections.abc import Callable, Mapping
from typing import Any

from buntime.core.telemetry.growth import NOTHING, Grown, total_of
from buntime.core.telemetry.history import ms_below
from buntime.core.telemetry.meters import Held
from buntime.core.values.tuples import NamedTuple

APPS_MAX = 500  # the most that are listed, those with the most requests


class Now(NamedTuple):
    """One moment: what came in the last seconds, what there is, and what waits."""

    seconds: float
    grown: Mapping[str, Grown]
    held: Mapping[str, Held]
    queued: Mapping[str, int]

    def to_json(self, sees: Callable[[str], bool] | None) -> dict[str, Any]:
        """`{"total": {...}, "apps": {"shop": {...}}}` of the apps that somebody may see; None: all.

        What belongs to no app, such as spares, is in the total only for those who may see
        everything. Idle apps are left out.
        """
        names = {*self.grown, *self.held, *self.queued}
        if sees is not None:
            names = {name for name in names if name and sees(name)}
        apps = sorted(
            names - {""}, key=lambda name: (-self.grown.get(name, NOTHING).requests, name)
        )
        return {
            "total": self._numbers(
                total_of({name: self.grown[name] for name in names if name in self.grown}),
                Held(
                    sum(self.held[name].workers for name in names if name in self.held),
                    sum(self.held[name].memory_bytes for name in names if name in self.held),
                ),
                sum(self.queued.get(name, 0) for name in names),
            ),
            "apps": {name: self._of(name) for name in apps[:APPS_MAX]},
        }

    def _of(self, name: str) -> dict[str, Any]:
        grown, held = self.grown.get(name, NOTHING), self.held.get(name, Held())
        return self._numbers(grown, held, self.queued.get(name, 0))

    def _numbers(self, grown: Grown, held: Held, queued: int) -> dict[str, Any]:
        return {
            "requestsPerSecond": round(grown.requests / self.seconds, 2),
            "errorsPerSecond": round(grown.errors / self.seconds, 2),
            "p50Ms": ms_below(grown.counts, 0.5),
            "p95Ms": ms_below(grown.counts, 0.95),
            "memoryBytes": held.memory_bytes,
            "workers": held.workers,
            "queued": queued,
        }
