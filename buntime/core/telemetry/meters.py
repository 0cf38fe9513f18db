"""Counts what happens in each app while it is served.

Counters live as long as the runtime, not as long as a worker, and never decrease. They are plain
numbers in slots: a request costs a look-up and two calls, about 1 us in total. `metrics` defines
their public names.
"""

from collections.abc import Callable, Iterator

from buntime.core.apps.app import App
from buntime.core.telemetry.histogram import BOOT_BOUNDS, DURATION_BOUNDS, WAIT_BOUNDS, Histogram
from buntime.core.values.enums import StrEnum
from buntime.core.values.tuples import NamedTuple

# After this long without a request, a sweep checks whether the app still exists.
GONE_AFTER_S = 600.0
_CHECKS_MAX = 16  # per sweep: each check may access the disk


class Held(NamedTuple):
    """What an app uses at a moment."""

    workers: int = 0
    memory_bytes: int = 0


class Cause(StrEnum):
    """Why a worker's process ended."""

    ENDED = "ended"  # as it was told to: too old, replaced, not needed, shut down
    IDLE = "idle"  # as it was told to, after idleTimeout
    BOOT = "boot"  # the app could not be loaded
    BOOT_TIMEOUT = "boot_timeout"  # killed: it took too long to load
    STUCK = "stuck"  # killed: a request timed out, and the worker did not let go
    MEMORY = "memory"  # killed: far above its maxMemory
    PROTOCOL = "protocol"  # killed: it sent what no worker sends, or more than it may
    UNRESPONSIVE = "unresponsive"  # killed: it did not end when told to
    EXIT = "exit"  # it ended by itself
    SIGNAL = "signal"  # killed: by the kernel, by a crash in C, by someone; its channel broke


class Drop(StrEnum):
    """Why a request left the queue without being given to a worker."""

    REFUSED = "refused"  # the queue is full, or boots fail and the next one is not due
    TIMEOUT = "timeout"
    CLIENT_LEFT = "client_left"
    BOOT_FAILED = "boot_failed"


class Cut(StrEnum):
    """Who ended a connection in the middle of an answer."""

    CLIENT = "client"
    RUNTIME = "runtime"


class Slow(StrEnum):
    """What a client was too slow at, while a resource that it used was scarce."""

    BODY = "body"
    ANSWER = "answer"


class Meter:
    """The counters of one version of an app; the one without a name counts what belongs to no
    app."""

    __slots__ = (
        "boot_seconds",
        "boots_failed",
        "boots_loaded",
        "cuts",
        "deaths",
        "drops",
        "duration",
        "has_workers",
        "last_s",
        "name",
        "queue_wait",
        "received_bytes",
        "requests",
        "retries",
        "sent_bytes",
        "slow",
        "timeouts",
        "version",
    )

    def __init__(self, name: str, version: str | None, *, has_workers: bool) -> None:
        self.name = name
        self.version = version
        self.has_workers = has_workers
        self.last_s = 0.0  # the end of the last request, or when the app was last seen to exist
        # requests
        self.requests = [0] * 10  # by the first digit of the status
        self.duration = Histogram(DURATION_BOUNDS)
        self.cuts = dict.fromkeys(Cut, 0)
        self.slow = dict.fromkeys(Slow, 0)
        self.received_bytes = 0  # for requests that have ended
        self.sent_bytes = 0
        # their way through the pool
        self.queue_wait = Histogram(WAIT_BOUNDS)
        self.drops = dict.fromkeys(Drop, 0)
        self.retries = 0
        self.timeouts = 0
        # workers
        self.boots_loaded = 0
        self.boots_failed = 0
        self.boot_seconds = Histogram(BOOT_BOUNDS)
        self.deaths = dict.fromkeys(Cause, 0)

    def __repr__(self) -> str:
        return f"Meter({self.name!r}, {self.version!r}, {sum(self.requests)} requests)"

    def on_end(
        self, status: int, now: float, seconds: float | None, received: int, sent: int
    ) -> None:
        """A request has ended at `now`. `seconds` is None where the duration says nothing about the
        app: WebSockets and event streams last as long as their client likes."""
        self.requests[status // 100] += 1
        self.received_bytes += received
        self.sent_bytes += sent
        self.last_s = now
        if seconds is not None:
            self.duration.observe(seconds)

    def on_boot(self, seconds: float) -> None:
        """A worker has loaded the app, this long after it was told to."""
        self.boots_loaded += 1
        self.boot_seconds.observe(seconds)


class Meters:
    """The meters of all apps that had a request or a worker, and still exist."""

    def __init__(self) -> None:
        self.of_none = Meter("", None, has_workers=True)  # spares, health, requests for no app
        self._by_key: dict[str, Meter] = {}
        self._checked_s: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"Meters({len(self._by_key)} apps)"

    def __iter__(self) -> Iterator[Meter]:
        yield self.of_none
        yield from self._by_key.values()

    def of(self, app: App) -> Meter:
        meter = self._by_key.get(app.key)
        if meter is None:
            meter = self._by_key[app.key] = Meter(
                app.name, app.version, has_workers=not app.is_static
            )
        return meter

    def sweep(
        self,
        now: float,
        *,
        is_used: Callable[[Meter], bool],
        exists: Callable[[str, str | None], bool],
    ) -> list[str]:
        """Drop apps that are gone; returns their keys.

        Apps without a request for GONE_AFTER_S are checked, the longest unchecked ones first.
        `is_used(meter)`: does it have a worker or a request at this moment? `exists(name, version)`
        may look at the disk.
        """
        dropped = []
        due = [key for key, meter in self._by_key.items() if self._is_due(key, meter, now)]
        due.sort(key=lambda key: self._checked_s.get(key, float("-inf")))
        for key in due[:_CHECKS_MAX]:
            meter = self._by_key[key]
            if is_used(meter) or exists(meter.name, meter.version):
                self._checked_s[key] = now
            else:
                del self._by_key[key]
                self._checked_s.pop(key, None)
                dropped.append(key)
        return dropped

    def _is_due(self, key: str, meter: Meter, now: float) -> bool:
        return now - max(meter.last_s, self._checked_s.get(key, float("-inf"))) >= GONE_AFTER_S
