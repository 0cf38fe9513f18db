"""Checks all workers twice a second: their memory, and whether they keep others from starting."""

from collections.abc import Callable

from buntime.core.pool.decisions import Decision
from buntime.core.pool.lifecycle import State
from buntime.core.pool.scheduler import Scheduler
from buntime.core.telemetry.meters import Cause
from buntime.core.values.units import format_size
from buntime.sdk import closecodes
from buntime.server.pool.supervisor import Supervisor
from buntime.server.pool.worker import Worker

_KILLED_ABOVE = 1.5  # of maxMemory
_STREAMS_S = 86_400.0  # how long streams may keep a worker if its ttl has no end
_WAITED_S = 0.5  # a request that waits longer for a slot ends a stream that holds one


class Upkeep:
    """Replaces workers that have grown, and ends what keeps others from leaving."""

    def __init__(
        self,
        scheduler: Scheduler,
        supervisor: Supervisor,
        *,
        is_development: bool,
        carry_out: Callable[[list[Decision]], None],
    ) -> None:
        self._scheduler = scheduler
        self._supervisor = supervisor
        self._is_development = is_development
        self._carry_out = carry_out

    def look(self, now: float) -> None:
        """Look at each worker, and for processes that have left theirs."""
        self._end_streams_in_the_way(now)
        for worker in tuple(self._supervisor.workers.values()):
            self._end_streams_of_leaving(worker, now)
            if worker.memory_max_bytes:
                self._check_memory(worker, worker.memory_max_bytes, now)
            if self._supervisor.groups.look(worker.number):
                worker.log.warn(
                    "worker.child_out_of_memory",
                    "a process that a worker started was killed: both need more than memoryMax",
                )
        self._supervisor.sweep()

    def _end_streams_in_the_way(self, now: float) -> None:
        """WebSockets and event streams of `ttl: 0` may hold half of the slots for ever.

        If there are more, and requests wait, the oldest are ended, one for each request that waits.
        """
        waiting = self._scheduler.waiting(now)
        if waiting.waited_s < _WAITED_S:
            return
        records = self._scheduler.workers
        streams = [
            (exchange, worker)
            for worker in self._supervisor.workers.values()
            if records[worker.number].state is State.ONCE
            for exchange in worker.streams()
        ]
        streams.sort(key=lambda each: each[0].started_s)
        too_many = len(streams) - self._scheduler.limits.ephemeral_concurrency // 2
        for exchange, worker in streams[: max(0, min(too_many, waiting.requests))]:
            worker.log.warn(
                "worker.stream_ended",
                "ended a WebSocket or event stream, because requests wait for its worker",
                request_id=exchange.id,
                hint="give the app a `ttl`, so that one worker has many streams",
            )
            exchange.end_open(closecodes.TRY_AGAIN_LATER)

    def _end_streams_of_leaving(self, worker: Worker, now: float) -> None:
        """WebSockets and event streams may keep a leaving worker for another ttl, a day at most.

        In development they are closed at once, so that their pages reconnect to the new code. So
        are those of a worker whose time to stay for its sessions (`affinity`) is over.
        """
        record = self._scheduler.workers[worker.number]
        if record.state is not State.RETIRING or record.app is None:
            return
        if worker.leaving_since_s is None:
            worker.leaving_since_s = now
        ttl_s = min(record.app.policy.ttl_s, _STREAMS_S)
        is_at_once = self._is_development or record.kept_since_s is not None
        grace_s = 0.0 if is_at_once else ttl_s
        if now - worker.leaving_since_s >= grace_s:
            for exchange in worker.streams():
                exchange.end_open(closecodes.SERVICE_RESTART)

    def _check_memory(self, worker: Worker, limit_bytes: int, now: float) -> None:
        """maxMemory: above it a worker is replaced, above 1.5 times that it is killed."""
        size_bytes = worker.process.resident_bytes()
        if size_bytes <= limit_bytes:
            return
        sizes = {"size": format_size(size_bytes), "limit": format_size(limit_bytes)}
        if size_bytes > _KILLED_ABOVE * limit_bytes:
            worker.log.error(
                "worker.memory_killed", "worker is far above maxMemory; killing it", **sizes
            )
            why = f"it had {sizes['size']}, far more than maxMemory, {sizes['limit']}"
            self._supervisor.will_end(worker, Cause.MEMORY, why)
            self._supervisor.kill(worker, Cause.MEMORY)
            return
        decisions = self._scheduler.replace(worker.number, now)
        if decisions:
            worker.log.warn(
                "worker.memory_exceeded", "worker is above maxMemory; replacing it", **sizes
            )
            why = f"it had {sizes['size']}, more than maxMemory, {sizes['limit']}"
            self._supervisor.will_end(worker, Cause.ENDED, why)
            self._carry_out(decisions)
