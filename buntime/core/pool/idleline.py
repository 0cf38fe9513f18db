"""Which workers are idle, and for how long, for all apps with the same idleTimeout."""

from collections.abc import Iterator

from buntime.core.pool.workforce import AppState, WorkerState


class IdleLine:
    """The idle workers of all apps with the same idleTimeout, the one idle longest first.

    `kept` are those idle for longer than that, whose app wants them ready (`prewarm`).
    """

    __slots__ = ("fresh", "kept", "timeout_s")

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.fresh: dict[WorkerState, None] = {}
        self.kept: dict[WorkerState, None] = {}

    def keep(self, worker: WorkerState) -> None:
        del self.fresh[worker]
        self.kept[worker] = None
        worker.idle_line = self.kept

    def expired(self, now: float) -> Iterator[tuple[WorkerState, AppState]]:
        """Each of `fresh` that has been idle for too long, with its app: to be kept or ended at
        once."""
        while self.fresh:
            worker = next(iter(self.fresh))
            if worker.app is None or not worker.is_idle_for(self.timeout_s, now):
                return
            yield worker, worker.app
