"""What the pool reports about itself: its workers, its apps, its queues. Changes nothing."""

from collections.abc import Iterator, Mapping
from math import ceil

from buntime.core.apps.app import App
from buntime.core.pool.lifecycle import State
from buntime.core.pool.scheduler import Scheduler
from buntime.server.pool.deployment import Deployment
from buntime.server.pool.deployments import Deployments
from buntime.server.pool.process import Process
from buntime.server.pool.programs import Program
from buntime.server.pool.stats import PoolStats
from buntime.server.pool.worker import Worker


class PoolReport:
    """A view of the pool's own records, which it shares."""

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        workers: Mapping[int, Worker],
        programs: Mapping[int, Program],
        deployments: Deployments,
        stats: PoolStats,
    ) -> None:
        self.stats = stats
        self._scheduler = scheduler
        self._workers = workers
        self._programs = programs
        self._deployments = deployments

    def __repr__(self) -> str:
        return f"PoolReport({len(self._workers)} workers, {len(self._deployments.by_state)} apps)"

    # For JSON

    def workers(self, now: float) -> list[dict[str, object]]:
        """Each worker, for `/api/workers`."""
        entries = [self._describe_worker(worker, now) for worker in self._workers.values()]
        return entries + [_describe_program(each, now) for each in self._programs.values()]

    def apps(self, now: float) -> list[dict[str, object]]:
        """Each app with workers, a queue, a failed boot, or none that could be started, for
        `/api/workers`."""
        apps = (each for each in self._deployments.by_state.values() if not each.state.is_dropped)
        entries = [
            _describe_app(deployment, now)
            for deployment in apps
            if deployment.state.workers or deployment.state.queue or deployment.state.boot_failures
        ]
        known = {(each["app"], each["version"]) for each in entries}
        return entries + [
            _describe_unstarted(app, why)
            for app, why in self._deployments.unstarted
            if (app.name, app.version) not in known
        ]

    def crowded(self) -> frozenset[str]:
        """Keys of the apps whose requests wait for a place in workers that stay."""
        by_state = self._deployments.by_state
        return frozenset(by_state[each].app.key for each in self._scheduler.crowded())

    def idle_of(self, name: str, key: str | None) -> list[str]:
        """The idle workers of an app, or of one version of it."""
        return [
            self._workers[worker.id].name
            for deployment in self._deployments.all_of(name, key)
            for worker in (*deployment.state.idle, *deployment.state.idle_resting)
        ]

    def app_stats(self) -> dict[str, object]:
        """Each app that had a request, for `/api/workers/stats`."""
        return {
            key: stats.to_json(_status(self._deployments.served.get(key)))
            for key, stats in self.stats.apps.items()
        }

    def cold_start(self, key: str) -> dict[str, object] | None:
        """How long the last boot of an app took, if known."""
        deployment = self._deployments.served.get(key)
        found = deployment.cold_start if deployment is not None else None
        return None if found is None else found.to_json()

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
            deployment = (
                self._deployments.by_state.get(record.app) if record.app is not None else None
            )
            yield deployment.app if deployment is not None else None, record.state, worker.process

    def queues(self) -> Iterator[tuple[App, int]]:
        """How many requests wait for a worker of an app; an app may come twice."""
        for state, deployment in self._deployments.by_state.items():
            count = state.queued()
            if count:
                yield deployment.app, count

    # How it is done

    def _describe_worker(self, worker: Worker, now: float) -> dict[str, object]:
        record = self._scheduler.workers[worker.number]
        return {
            "id": worker.name,
            "pid": worker.process.pid,
            "app": worker.app_name or None,
            "version": worker.app_version,
            "status": record.state.value,
            "sandbox": worker.sandbox,
            "inHand": record.in_hand,
            "busy": record.busy_share if record.app is not None and record.app.spreads else None,
            "requestCount": record.served,
            "ageSeconds": round(now - record.born_s, 1) if record.app is not None else None,
        }


def _describe_program(program: Program, now: float) -> dict[str, object]:
    """As a worker that gets no requests."""
    return {
        "id": program.name,
        "pid": program.process.pid,
        "app": program.app.name,
        "version": program.app.version,
        "status": "ending" if program.is_ending else "program",
        "sandbox": program.sandbox,
        "inHand": 0,
        "busy": None,
        "requestCount": 0,
        "ageSeconds": round(now - program.started_s, 1),
        "program": program.label,
    }


def _describe_app(deployment: Deployment, now: float) -> dict[str, object]:
    """`bootError` and its neighbours describe the present: they disappear when a worker has
    loaded."""
    wait_s = deployment.state.retry_at_s - now
    return {
        "app": deployment.app.name,
        "version": deployment.app.version,
        "status": _status(deployment),
        "workers": len(deployment.state.workers),
        "queued": deployment.state.queued(),
        "bootFailures": deployment.state.boot_failures,
        "bootError": deployment.state.boot_error or None,
        "limitsWithoutEffect": list(deployment.limits_lost),
        # Rounded up, so that after that time a boot is not too early.
        "nextBootInSeconds": ceil(wait_s * 10) / 10
        if deployment.state.boot_failures and wait_s > 0
        else None,
    }


def _describe_unstarted(app: App, why: str) -> dict[str, object]:
    """An app that has never had a worker, and why."""
    return {
        "app": app.name,
        "version": app.version,
        "status": "offline",
        "workers": 0,
        "queued": 0,
        "bootFailures": 1,
        "bootError": why,
        "limitsWithoutEffect": [],
        "nextBootInSeconds": None,
    }


def _status(deployment: Deployment | None) -> str:
    if deployment is None:
        return "offline"
    workers = deployment.state.workers.values()
    if deployment.app.manifest.ttl_s == 0:
        return "ephemeral"
    if any(worker.in_hand for worker in workers):
        return "active"
    return "idle" if workers else "offline"
