"""What happens to a batch that a collector did not accept: when to try again, and when to give up.

OTLP/HTTP: 429, 502, 503 and 504 are tried again, when Retry-After says or after a pause that
doubles; so is a connection that failed or was cut. All other results are final.
"""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from buntime.core.values.tuples import NamedTuple

RETRIED = frozenset((429, 502, 503, 504))
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
# A batch that is older than this makes room for newer ones.
GIVE_UP_S = 60.0


class Outcome(NamedTuple):
    """The result of one try. `status` is 0 if there was no answer; then `error` says why."""

    status: int
    error: str = ""
    retry_after: str | None = None
    rejected: int = 0  # items of a batch that was accepted

    @property
    def is_taken(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_final(self) -> bool:
        """Would another try change nothing?"""
        return self.status != 0 and self.status not in RETRIED


def pause_s(outcome: Outcome, tries: int, *, now: float, luck: float) -> float:
    """How long to wait after this many tries; `now` in seconds since the epoch, `luck` 0 to 1."""
    wanted_s = _retry_after_s(outcome.retry_after, now)
    if wanted_s is not None:
        return min(wanted_s, GIVE_UP_S)
    longest = min(_FIRST_PAUSE_S * float(2 ** min(tries - 1, 10)), _LONGEST_PAUSE_S)
    return longest * (0.5 + luck / 2)


def _retry_after_s(text: str | None, now: float) -> float | None:
    """Reads Retry-After: `"120"`, or a date."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max((moment.replace(tzinfo=moment.tzinfo or UTC) - _moment(now)).total_seconds(), 0.0)


def _moment(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC)
