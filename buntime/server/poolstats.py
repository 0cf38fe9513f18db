"""What the pool has done so far, for `/api/workers/metrics` and `/api/workers/stats`."""

from datetime import UTC, datetime
from time import time


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
        self.hits = 0  # requests given to a worker that had loaded
        self.misses = 0
        self.requests = 0
        self.finished = 0
        self.total_ms = 0.0  # of the finished ones
        self.worker_created = 0
        self.worker_failed = 0
        self.apps: dict[str, AppStats] = {}

    def on_request(self, key: str) -> None:
        """A request for the app came to the pool."""
        self.requests += 1
        app = self.apps.get(key)
        if app is None:
            app = self.apps[key] = AppStats()
        app.request_count += 1
        app.last_request_at = time()

    def on_assign(self, *, is_hit: bool) -> None:
        if is_hit:
            self.hits += 1
        else:
            self.misses += 1

    def on_done(self, ms: float) -> None:
        self.finished += 1
        self.total_ms += ms

    def to_json(self, *, cache_size: int, evictions: int) -> dict[str, object]:
        """The fixed names; `cacheHitRate` from 0 to 1, `avgRequestDuration` in milliseconds."""
        given = self.hits + self.misses
        return {
            "cacheHitRate": round(self.hits / given, 4) if given else 0.0,
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
