"""WebSockets and event streams that plugins have let in, for as long as their verdicts hold.

`plugin.forget(tag)` ends those that a verdict with that tag has let in, and `until` those whose
time has come.
"""

from collections.abc import Sequence
from time import time

from buntime.core.plugins.openstreams import Footing, OpenStreams
from buntime.core.plugins.verdict import Continue
from buntime.core.plugins.verdictcache import VerdictCache
from buntime.sdk import closecodes
from buntime.server.http1 import parties
from buntime.server.http1.exchange import Exchange
from buntime.server.loop.loop import Loop, Timer


class Footings:
    """All that are open."""

    def __init__(self, loop: Loop, kept: VerdictCache) -> None:
        self._loop = loop
        self._open: OpenStreams[Exchange] = OpenStreams(kept.forgotten)
        self._timer: Timer | None = None

    def __repr__(self) -> str:
        return f"Footings({len(self._open)} open)"

    def note(self, exchange: Exchange, plugin: str, verdict: Continue, asked_s: float) -> None:
        """A hook has let this request in, possibly for a limited time."""
        if not verdict.tags and verdict.until_s is None:
            return
        if not isinstance(exchange.footing, _Ground):
            exchange.stand_on(_Ground(self, exchange, exchange.footing))
        if isinstance(exchange.footing, _Ground):
            exchange.footing.footings.append(Footing(plugin, verdict, asked_s))

    def forget(self, plugin: str, tag: str) -> None:
        """End what this plugin's verdicts with this tag have let in."""
        for exchange in self._open.forget(plugin, tag):
            exchange.end_open(closecodes.POLICY)

    def stand(self, exchange: Exchange, footings: Sequence[Footing]) -> bool:
        """The stream opens now; returns whether it may."""
        may = self._open.stand(exchange, footings, now=self._loop.now, wall_s=time())
        self._wake_in_time()
        return may

    def leave(self, exchange: Exchange) -> None:
        """It has ended."""
        self._open.leave(exchange)

    def _wake_in_time(self) -> None:
        due_s = self._open.due_at
        if self._timer is not None:
            self._timer.cancel()
        wait_s = None if due_s is None else max(0.0, due_s - self._loop.now)
        self._timer = None if wait_s is None else self._loop.call_later(wait_s, self._end_due)

    def _end_due(self) -> None:
        self._timer = None
        for exchange in self._open.due(self._loop.now):
            exchange.end_open(closecodes.POLICY)
        self._wake_in_time()


class _Ground:
    """Add a verdict to those that have let this request in."""

    __slots__ = ("_all", "_before", "_exchange", "footings")

    def __init__(
        self, all_: Footings, exchange: Exchange, before: "parties.Footing | None"
    ) -> None:
        self.footings: list[Footing] = []
        self._all = all_
        self._before = before
        self._exchange = exchange

    def on_open(self) -> bool:
        if self._before is not None and not self._before.on_open():
            return False
        return self._all.stand(self._exchange, self.footings)

    def on_end(self) -> None:
        self._all.leave(self._exchange)
        if self._before is not None:
            self._before.on_end()
