"""Ends clients for being slow, counts them, and logs how many there were."""

from buntime.core.http1.connection import too_slow
from buntime.core.telemetry.meters import Slow
from buntime.server.http1.exchange import Exchange
from buntime.server.telemetry.logs import Log

_TELL_S = 10.0  # at most one log line in this time


class SlowTally:
    """The clients that were ended for one reason."""

    def __init__(self, log: Log, message: str) -> None:
        """`message` is the log line's."""
        self._log = log
        self._message = message
        self._counts = dict.fromkeys(Slow, 0)  # since the last log line
        self._told_s = float("-inf")

    @property
    def is_untold(self) -> bool:
        """Were clients ended since the last log line?"""
        return any(self._counts.values())

    def end(self, exchange: Exchange) -> None:
        """End the client that this exchange waits for: 408 for its body, or a cut answer."""
        what = Slow.BODY if exchange.wants_body else Slow.ANSWER
        exchange.meter.slow[what] += 1
        self.count(what)
        if what is Slow.BODY:
            exchange.fail(too_slow("body"))
        else:
            exchange.cut()

    def count(self, what: Slow) -> None:
        self._counts[what] += 1

    def tell(self, now: float) -> None:
        """Write the log line, if there is anything to say and the last one is old enough."""
        if self.is_untold and now - self._told_s >= _TELL_S:
            self._told_s = now
            bodies, answers = self._counts[Slow.BODY], self._counts[Slow.ANSWER]
            self._log.warn("client.too_slow", self._message, bodies=bodies, answers=answers)
            self._counts = dict.fromkeys(Slow, 0)
