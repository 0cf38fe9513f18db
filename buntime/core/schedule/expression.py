"""When a cron schedule is due: `"*/5 * * * *"` in a time zone -> moments.

Moments are seconds since 1970, UTC. When clocks change, this does what Debian's cron does:

- A schedule with a star in its minute or hour follows elapsed time: "*/30 * * * *" runs every half
  hour, even while the clock is put forward or back.
- A schedule that names minute and hour runs once a day: a time that the clock skips in spring is
  run right after the gap, and one that occurs twice in autumn counts only the first time.
"""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown

if TYPE_CHECKING:
    from cronsim import CronSim

_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS = 5
_TEXT_MAX_CHARS = 200  # a list of all minutes has 170
# On a day with repeated hours, each minute may have to be skipped.
_PASSED_MAX = 2 * 24 * 60
_REFERENCE = datetime(2024, 1, 1, tzinfo=UTC)  # any day: a schedule is due then, or never
_EXAMPLE = '"*/5 * * * *" (minute, hour, day of month, month, day of week)'


def parse_schedule(value: object) -> str:
    """A schedule in its stored form: `"@daily"` -> "0 0 * * *". Raises BadValue."""
    if not isinstance(value, str) or not value.strip():
        raise BadValue(f"{shown(value)} is not a schedule; write one like {_EXAMPLE}, in quotes")
    text = " ".join(value.split())
    if text.startswith("@"):
        if text.lower() not in _ALIASES:
            raise BadValue(f"{shown(value)} is not one of {', '.join(_ALIASES)}")
        return _ALIASES[text.lower()]
    fields = text.count(" ") + 1
    if fields != _FIELDS or len(text) > _TEXT_MAX_CHARS:
        raise BadValue(
            f"{shown(value)} has {fields} fields in {len(text)} characters; write five in "
            f"{_TEXT_MAX_CHARS} at most, like {_EXAMPLE}"
        )
    _check(text)
    return text


def _check(text: str) -> None:
    from cronsim import CronSimError  # only needed for apps with jobs

    try:
        next(_simulation(text, _REFERENCE))
    except CronSimError as exc:
        raise BadValue(f"{shown(text)}: {exc}; write a schedule like {_EXAMPLE}") from None
    except (StopIteration, OverflowError):
        raise BadValue(f"{shown(text)} is never due; there is no such day") from None


def _simulation(text: str, start: datetime) -> "CronSim":
    from cronsim import CronSim  # only needed for apps with jobs

    return CronSim(text, start)


class Schedule:
    """One schedule in one time zone."""

    __slots__ = ("_zone", "text")

    def __init__(self, text: str, zone: tzinfo) -> None:
        """`text` is a result of `parse_schedule`."""
        self.text = text
        self._zone = zone

    def __repr__(self) -> str:
        return f"Schedule({self.text!r}, {self._zone})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[str, str]:
        return self.text, str(self._zone)

    def after(self, moment: float) -> float | None:
        """The first moment after this one; None if there is none within 50 years."""
        try:
            start = datetime.fromtimestamp(moment, self._zone)
            simulation = _simulation(self.text, start)
            for _ in range(_PASSED_MAX):
                # An hour that occurs twice is searched from its first occurrence.
                found = _moment(next(simulation))
                if found > moment:
                    return found
        except (StopIteration, OverflowError, ValueError, OSError):
            pass
        return None


def _moment(local: datetime) -> float:
    return (local - _EPOCH) / timedelta(seconds=1)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
