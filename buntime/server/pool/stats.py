"""Counts what the pool has done: for `/metrics`, `/api/workers/metrics` and `.../stats`."""

from datetime import UTC, datetime
from time import time

from buntime.core.pool.boot import Boot
from buntime.core.telemetry.autopsies import Autopsies
from buntime.core.telemetry.meters import Cause, Meters
from buntime.server.http1.exchange import Exchange
from buntime.server.pool.lasterrors import LastErrors


class AppStats:
    """Requests of one app, by its key ("shop@1.2.0")."""

    __slots__ = ("created_at", "last_request_at", "request_count")

    def __init__(self) -> None:
        self.created_at = time()  # seconds since the epoch
        self.last_request_at = 0.0
        self.request_count = 0

    def to_json(self, status: str) -> dict[str, object]:
        return {
            "status": status,
            "requestCount": self.request_count,
            "lastRequest": _iso(self.last_request_at) if self.last_request_at else None,
            "createdAt": _iso(self.created_at),
        }


class PoolStats:
    """Counters since the start."""

    def __init__(self) -> None:
        self.meters = Meters()
        self.hits = 0  # requests given to a worker that had loaded
        self.misses = 0
        self.requests = 0
        self.finished = 0
        self.total_ms = 0.0  # of the finished ones
        self.worker_created = 0
        self.worker_failed = 0
        self.apps: dict[str, AppStats] = {}
        self.errors = LastErrors()
        self.autopsies = Autopsies()
        # workers that are dying, by number
        self._killed: dict[int, Cause] = {}
        self._unasked: set[int] = set()  # they closed their channel without being told to end

    def on_request(self, key: str) -> None:
        """A request for the app came to the pool."""
        self.requests += 1
        app = self.apps.get(key)
        if app is None:
            app = self.apps[key] = AppStats()
        app.request_count += 1
        app.last_request_at = time()

    def on_assign(self, exchange: Exchange, now: float, boot: Boot) -> None:
        """The request is about to be given to a worker, whose boot state is given."""
        if boot.is_loaded:
            self.hits += 1
            if boot.loaded_s > exchange.started_s:
                exchange.meet_cold_worker(boot)
        else:
            self.misses += 1
            exchange.meet_cold_worker(boot)
        if exchange.tries == 0:
            exchange.meter.queue_wait.observe(now - exchange.started_s)

    def on_done(self, ms: float) -> None:
        self.finished += 1
        self.total_ms += ms

    def will_end(self, number: int, cause: Cause) -> None:
        """The worker is about to be ended; the latest cause counts."""
        self._killed[number] = cause

    def on_unasked_end(self, number: int) -> None:
        """The worker's channel has ended, and it was not told to end."""
        self._unasked.add(number)

    def ends_as_ordered(self, number: int, *, was_ordered: bool) -> bool:
        """Whether a worker that has died was asked to end, and was not killed for something.

        `was_ordered`: its state says that it was told to end.
        """
        cause = self._killed.get(number, Cause.IDLE)
        return was_ordered and number not in self._unasked and cause is Cause.IDLE

    def on_death(
        self, number: int, returncode: int, *, was_ordered: bool, failed_to_load: bool
    ) -> tuple[Cause, bool]:
        """The worker's process has ended: why, and whether it did so as it was told to.

        `was_ordered`: its state says that it was told to end.
        """
        was_ordered = was_ordered and number not in self._unasked
        self._unasked.discard(number)
        cause = self._killed.pop(number, None)
        if cause is None or (cause is Cause.IDLE and not was_ordered):
            if was_ordered:
                cause = Cause.ENDED
            elif failed_to_load:
                cause = Cause.BOOT
            else:
                cause = Cause.SIGNAL if returncode < 0 else Cause.EXIT
        if not was_ordered:
            self.worker_failed += 1
        return cause, was_ordered

    def to_json(self, *, cache_size: int, evictions: int) -> dict[str, object]:
        """The fixed names; `cacheHitRate` from 0 to 1, `avgRequestDuration` in milliseconds."""
        lookups = self.hits + self.misses
        return {
            "cacheHitRate": round(self.hits / lookups, 4) if lookups else 0.0,
            "cacheSize": cache_size,
            "evictionCount": evictions,
            "hitCount": self.hits,
            "missCount": self.misses,
            "requestCount": self.requests,
            "avgRequestDuration": round(self.total_ms / self.finished, 3) if self.finished else 0.0,
            "workerCreatedCount": self.worker_created,
            "workerFailedCount": self.worker_failed,
        }


def _iso(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
