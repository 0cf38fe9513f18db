"""What the pool tells of itself: its workers, its apps, what waits. Changes nothing."""

from collections.abc import Iterator, Mapping
from math import ceil

from buntime.core.apps.app import App
from buntime.core.pool.lifecycle import State
from buntime.core.pool.scheduler import Scheduler
from buntime.core.pool.workforce import AppState
from buntime.server.pool.hosting import Hosted
from buntime.server.pool.process import Process
from buntime.server.pool.stats import PoolStats
from buntime.server.pool.worker import Worker


class PoolReport:
    """A view of the pool's own records, which it shares."""

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        workers: Mapping[int, Worker],
        hosted: Mapping[str, Hosted],
        by_state: Mapping[AppState, Hosted],
        stats: PoolStats,
    ) -> None:
        self.stats = stats
        self._scheduler = scheduler
        self._workers = workers
        self._hosted = hosted
        self._by_state = by_state

    def __repr__(self) -> str:
        return f"PoolReport({len(self._workers)} workers, {len(self._by_state)} apps)"

    # For JSON

    def workers(self, now: float) -> list[dict[str, object]]:
        """Each worker, for `/api/workers`."""
        return [self._describe_worker(worker, now) for worker in self._workers.values()]

    def apps(self, now: float) -> list[dict[str, object]]:
        """Each app with workers, a queue or a failed boot, for `/api/workers`."""
        apps = (each for each in self._by_state.values() if not each.state.is_dropped)
        return [
            _describe_app(hosted, now)
            for hosted in apps
            if hosted.state.workers or hosted.state.queue or hosted.state.boot_failures
        ]

    def app_stats(self) -> dict[str, object]:
        """Each app that had a request, for `/api/workers/stats`."""
        return {
            key: stats.to_json(_status(self._hosted.get(key)))
            for key, stats in self.stats.apps.items()
        }

    def counters(self) -> dict[str, object]:
        """The counters with the fixed names, for `/api/workers/metrics`."""
        return self.stats.to_json(cache_size=self._scheduler.size, evictions=self.evictions)

    # For metrics

    @property
    def evictions(self) -> int:
        return self._scheduler.evictions

    def census(self) -> Iterator[tuple[App | None, State, Process]]:
        """Each worker: its app (None for a spare), its state, its process."""
        for number, worker in self._workers.items():
            record = self._scheduler.workers[number]
            hosted = self._by_state.get(record.app) if record.app is not None else None
            yield hosted.app if hosted is not None else None, record.state, worker.process

    def queues(self) -> Iterator[tuple[App, int]]:
        """How many requests wait for a worker of an app; an app may come twice."""
        for state, hosted in self._by_state.items():
            if state.queue:
                yield hosted.app, len(state.queue)

    # How it is done

    def _describe_worker(self, worker: Worker, now: float) -> dict[str, object]:
        record = self._scheduler.workers[worker.number]
        return {
            "id": worker.name,
            "pid": worker.process.pid,
            "app": worker.app_name or None,
            "version": worker.app_version,
            "status": record.state.value,
            "inHand": record.in_hand,
            "requestCount": record.served,
            "ageSeconds": round(now - record.born_s, 1) if record.app is not None else None,
        }


def _describe_app(hosted: Hosted, now: float) -> dict[str, object]:
    """`bootError` and what is beside it tell of now: they are gone when a worker has loaded."""
    wait_s = hosted.state.retry_at_s - now
    return {
        "app": hosted.app.name,
        "version": hosted.app.version,
        "status": _status(hosted),
        "workers": len(hosted.state.workers),
        "queued": len(hosted.state.queue),
        "bootFailures": hosted.state.boot_failures,
        "bootError": hosted.boot_error or None,
        # Rounded up: after that time a boot is not too early.
        "nextBootInSeconds": ceil(wait_s * 10) / 10
        if hosted.state.boot_failures and wait_s > 0
        else None,
    }


def _status(hosted: Hosted | None) -> str:
    if hosted is None:
        return "offline"
    workers = hosted.state.workers.values()
    if hosted.app.manifest.ttl_s == 0:
        return "ephemeral"
    if any(worker.in_hand for worker in workers):
        return "active"
    return "idle" if workers else "offline"
