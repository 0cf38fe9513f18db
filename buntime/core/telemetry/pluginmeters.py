"""Counts what happens in each plugin: its hooks, calls of its services, its starts, its notices.

Counters live as long as the plugin's folder exists, not as long as its process, and never decrease.
Every possible label is in a list here: callers and plugins cannot invent any.
"""

from collections.abc import Collection

from buntime.core.telemetry.histogram import WAIT_BOUNDS, Histogram
from buntime.core.values.enums import StrEnum

VERDICTS = ("continue", "respond", "change", "done")


class Failure(StrEnum):
    """The result of a hook that gave no verdict."""

    RAISED = "raised"
    LATE = "late"
    BAD = "bad"  # it returned something forbidden
    DIED = "died"  # its process ended meanwhile
    AWAY = "away"  # it was not asked: the plugin does not serve, or has no slot


class Outcome(StrEnum):
    """The result of a call to a service."""

    OK = "ok"
    ERROR = "error"  # raised by the method
    LATE = "late"
    AWAY = "away"
    BUSY = "busy"
    MOVED = "moved"
    GIVEN_UP = "given_up"  # by the caller


class HookMeter:
    """The counters of one hook."""

    __slots__ = ("failures", "seconds", "verdicts")

    def __init__(self) -> None:
        self.seconds = Histogram(WAIT_BOUNDS)  # each time that it was asked
        self.verdicts = dict.fromkeys(VERDICTS, 0)
        self.failures = dict.fromkeys(Failure, 0)

    def __repr__(self) -> str:
        return f"HookMeter({self.seconds!r}, {sum(self.failures.values())} failures)"

    def on_verdict(self, kind: str, seconds: float) -> None:
        """`kind` is one of VERDICTS."""
        self.verdicts[kind] += 1
        self.seconds.observe(seconds)

    def on_failure(self, kind: Failure, seconds: float | None = None) -> None:
        """`seconds` is None if it was not asked."""
        self.failures[kind] += 1
        if seconds is not None:
            self.seconds.observe(seconds)


class PluginMeter:
    """The counters of one plugin."""

    __slots__ = (
        "call_seconds",
        "calls",
        "deaths",
        "hooks",
        "kept_hits",
        "kept_misses",
        "notices_dropped",
        "notices_sent",
        "starts_failed",
        "starts_served",
    )

    def __init__(self) -> None:
        self.hooks: dict[str, HookMeter] = {}  # by name, those asked at least once
        self.kept_hits = 0  # requests answered by a cached verdict
        self.kept_misses = 0
        self.calls = dict.fromkeys(Outcome, 0)
        self.call_seconds = Histogram(WAIT_BOUNDS)
        self.notices_sent = 0
        self.notices_dropped = 0
        self.starts_served = 0
        self.starts_failed = 0
        self.deaths = 0

    def __repr__(self) -> str:
        return f"PluginMeter({list(self.hooks)}, {sum(self.calls.values())} calls)"

    def hook(self, name: str) -> HookMeter:
        """`name` is a hook's, as the runtime calls it."""
        meter = self.hooks.get(name)
        if meter is None:
            meter = self.hooks[name] = HookMeter()
        return meter

    def on_call(self, outcome: Outcome, seconds: float) -> None:
        """A call of one of its services has ended for the caller."""
        self.calls[outcome] += 1
        self.call_seconds.observe(seconds)


class PluginMeters:
    """The meters of all installed plugins."""

    def __init__(self) -> None:
        self._by_name: dict[str, PluginMeter] = {}

    def __repr__(self) -> str:
        return f"PluginMeters({list(self._by_name)})"

    def of(self, name: str) -> PluginMeter:
        """`name` is that of a plugin that is, or was, installed."""
        meter = self._by_name.get(name)
        if meter is None:
            meter = self._by_name[name] = PluginMeter()
        return meter

    def keep(self, names: Collection[str]) -> None:
        """Only these still exist."""
        for name in self._by_name.keys() - names:
            del self._by_name[name]
