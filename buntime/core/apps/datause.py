"""How much of their `dataMax` apps use, and when to report it.

Each change of level is reported, and again each hour while a folder is over its limit. Between 75 %
and 80 % the level does not change, so an app that writes and removes around the threshold does not
cause a report each time. Where not all could be counted, the level does not fall: an app could keep
the runtime from its files.
"""

from collections.abc import Iterable, Iterator, Mapping

from buntime.core.values.enums import StrEnum
from buntime.core.values.tuples import NamedTuple

FILLING = 0.8
_WITHIN = 0.75
AGAIN_S = 3600.0


class Level(StrEnum):
    """Named after the log event that reports it."""

    WITHIN = "data.within"
    FILLING = "data.filling"
    OVER = "data.over"


class Measured(NamedTuple):
    """The measured size of one folder."""

    name: str  # the folder's name: "shop", "@acme+shop", "plugin+keyval"
    size_bytes: int
    most_bytes: int
    is_whole: bool = True  # else it has more, which was not counted


class Use(NamedTuple):
    """The level of a folder, and when it was last reported."""

    measured: Measured
    level: Level
    reported_s: float


class DataUse:
    """All folders with a limit. `now` is in seconds, monotonic."""

    def __init__(self) -> None:
        self.uses: Mapping[str, Use] = {}

    def __repr__(self) -> str:
        return f"DataUse({len(self.uses)} folders)"

    def take(self, measured: Iterable[Measured], now: float) -> list[Use]:
        """Take all folders that exist now; returns those to report."""
        before, self.uses = self.uses, {}
        found = {each.name: each for each in measured}
        to_report = []
        uses: dict[str, Use] = {}
        for name, each in found.items():
            old = before.get(name)
            level = _level(each, old.level if old is not None else Level.WITHIN)
            is_new = level is not (old.level if old is not None else Level.WITHIN)
            is_due = level is Level.OVER and old is not None and now - old.reported_s >= AGAIN_S
            use = Use(each, level, now if is_new or is_due or old is None else old.reported_s)
            uses[name] = use
            if is_new or is_due:
                to_report.append(use)
        self.uses = uses
        return to_report

    def raised(self) -> Iterator[Use]:
        """The folders that need attention."""
        return (use for use in self.uses.values() if use.level is not Level.WITHIN)


def _level(measured: Measured, before: Level) -> Level:
    share = measured.size_bytes / measured.most_bytes
    if share > 1 or (before is Level.OVER and not measured.is_whole):
        return Level.OVER
    if share >= FILLING or (share >= _WITHIN and before is not Level.WITHIN):
        return Level.FILLING
    return Level.WITHIN if measured.is_whole else before
