"""Counts what happens in each plugin: its hooks, calls of its services, its starts, its notices.

Counters live as long as the plugin's folder exists, not as long as its process, and never decrease.
Every possible label is in a list here: callers and plugins cannot invent any.
"""

from collections import deque
from collections.abc import Collection

from buntime.core.telemetry.histogram import WAIT_BOUNDS, Histogram
from buntime.core.values.enums import StrEnum
from buntime.core.values.tuples import NamedTuple

VERDICTS = ("continue", "respond", "change", "done")
# Of the failures of hooks that operators are told of.
WINDOW_S = 300.0
_SLICE_S = 30.0
_SLICES = round(WINDOW_S / _SLICE_S)
_WHY_MAX_CHARS = 1000


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


class Lately(NamedTuple):
    """What was noted: how often the hook `failed`, the last time `ago_s` ago because of `why`, and
    how many `verdicts` it gave since the first failure."""

    failed: int
    verdicts: int
    ago_s: float
    why: str


class HookFailures:
    """The failures of one hook in the last minutes: how many in each 30 s, and the last one.

    Only a failure costs anything: a verdict is not noted here, because how many verdicts there were
    besides is the difference of a counter that exists anyway.
    """

    __slots__ = ("_last_s", "_slices", "_why")

    def __init__(self) -> None:
        # The slice's number, its failures, and the hook's verdicts before its first failure.
        self._slices: deque[tuple[int, int, int]] = deque(maxlen=_SLICES)
        self._last_s = 0.0
        self._why = ""

    def __repr__(self) -> str:
        return f"HookFailures({list(self._slices)})"

    def add(self, why: str, verdicts: int, now: float) -> None:
        """Note one; `verdicts` is how many the hook has given in all."""
        self._last_s, self._why = now, why[:_WHY_MAX_CHARS]
        number = int(now // _SLICE_S)
        if self._slices and self._slices[-1][0] == number:
            _, count, before = self._slices.pop()
            self._slices.append((number, count + 1, before))
        else:
            self._slices.append((number, 1, verdicts))

    def lately(self, verdicts: int, now: float) -> Lately | None:
        """Those of the window; None if there were none."""
        oldest = int(now // _SLICE_S) - _SLICES + 1
        kept = [each for each in self._slices if each[0] >= oldest]
        if not kept:
            return None
        count = sum(each[1] for each in kept)
        return Lately(count, verdicts - kept[0][2], now - self._last_s, self._why)


class HookMeter:
    """The counters of one hook."""

    __slots__ = ("_failed", "failures", "seconds", "verdicts")

    def __init__(self) -> None:
        self.seconds = Histogram(WAIT_BOUNDS)  # each time that it was asked
        self.verdicts = dict.fromkeys(VERDICTS, 0)
        self.failures = dict.fromkeys(Failure, 0)
        self._failed: HookFailures | None = None  # until the first failure

    def __repr__(self) -> str:
        return f"HookMeter({self.seconds!r}, {sum(self.failures.values())} failures)"

    def on_verdict(self, kind: str, seconds: float) -> None:
        """`kind` is one of VERDICTS."""
        self.verdicts[kind] += 1
        self.seconds.observe(seconds)

    def on_failure(self, kind: Failure, why: str, now: float, asked_s: float | None = None) -> None:
        """`asked_s` is when it was asked; None if it was not."""
        self.failures[kind] += 1
        if asked_s is not None:
            self.seconds.observe(now - asked_s)
        if self._failed is None:
            self._failed = HookFailures()
        self._failed.add(why, sum(self.verdicts.values()), now)

    def lately(self, now: float) -> Lately | None:
        """Its failures in the last minutes; None if there were none."""
        if self._failed is None:
            return None
        return self._failed.lately(sum(self.verdicts.values()), now)


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
