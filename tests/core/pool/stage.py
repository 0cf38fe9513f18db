"""A scheduler with apps and workers, brought into a given state in few lines."""

from buntime.core.pool.decisions import Adopt
from buntime.core.pool.scheduler import Scheduler
from buntime.core.pool.workforce import AppState, Policy, PoolLimits, WorkerState


class Stage:
    """A pool with workers in it, and a clock that stands still."""

    def __init__(self, pool_size: int = 10_000) -> None:
        limits = PoolLimits(
            pool_size=pool_size,
            ephemeral_concurrency=1000,
            ephemeral_queue_limit=10,
            queue_limit=10,
            spare_workers=0,
            boots_at_once=10_000,
        )
        self.pool = Scheduler(limits, jitter=lambda: 0.5)
        self.now = 0.0

    def app(self, name: str = "a", **changes: float) -> AppState:
        values = {
            "spare_key": "python",
            "ttl_s": 1000.0,
            "idle_timeout_s": 500.0,
            "max_requests": 1000,
            "workers": 1,
            "prewarm": 0,
            "timeout_s": 30.0,
        }
        app = AppState(name, Policy(**{**values, **changes}))  # type: ignore[arg-type]  # as above
        for each in self.pool.add_app(app, self.now):
            if isinstance(each, Adopt):
                self.pool.loaded(each.worker, 1, self.now)
        return app

    def idle_app(self, name: str, **changes: float) -> None:
        """An app with a worker that has had a request."""
        app = self.app(name, **changes)
        decisions = self.pool.submit(app, name, self.now)
        worker = decisions[-1].worker  # type: ignore[union-attr]  # Assign, or Adopt
        if app.queue:
            self.pool.loaded(worker, 1, self.now)
        self.pool.finished(worker, self.now)

    def boot(self, app: AppState, number: int, capacity: int = 1) -> list[int]:
        """Start so many busy workers, each with a request."""
        workers = []
        for _ in range(number):
            decisions = self.pool.submit(app, object(), self.now)
            worker = next(each.worker for each in decisions if isinstance(each, Adopt))
            self.pool.loaded(worker, 1, self.now)
            workers.append(worker)
        for worker in workers:
            self.pool.finished(worker, self.now)
            self.pool.workers[worker].capacity = capacity
            self.pool.submit(app, object(), self.now)
        return workers

    def worker(self, number: int) -> WorkerState:
        return self.pool.workers[number]

    def finish(self, number: int) -> None:
        """One of the worker's requests has ended."""
        self.pool.finished(number, self.now)

    def give(self, number: int, requests: int) -> None:
        """Give this worker so many more requests."""
        worker = self.worker(number)
        assert worker.app is not None
        for _ in range(requests):
            self.pool._census.begin(worker, worker.app, self.now)
