"""Logs the requests for apps that cannot be served: of each fault the first, then once a minute.

Anybody can send such requests, as many as they like, and each says the same until the app's owner
changes something.
"""

from buntime.core.telemetry.records import Tell
from buntime.core.values.tally import Tally

_EVERY_S = 60.0
_FAULTS_MAX = 1000  # of apps at once; then all are forgotten, and logged again


class Misconfigured:
    """The faults that requests have met."""

    def __init__(self, error: Tell) -> None:
        """`error` logs an error."""
        self._error = error
        self._tallies: dict[str, Tally] = {}

    def __repr__(self) -> str:
        return f"Misconfigured({len(self._tallies)} faults)"

    def tell(self, fault: str, path: str, now: float) -> None:
        """A request for `path` has met the fault; `now` is in seconds of the loop's clock."""
        if fault not in self._tallies and len(self._tallies) >= _FAULTS_MAX:
            self._tallies.clear()
        tally = self._tallies.setdefault(fault, Tally(every_s=_EVERY_S))
        requests = tally.add(now)
        if requests:
            self._error(
                "app.invalid", "app cannot be served", error=fault, path=path, requests=requests
            )
