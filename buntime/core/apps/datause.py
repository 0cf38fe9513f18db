"""How much of their `dataMax` apps use, and what is told of it, when.

Told is each change of level, and one that is over it again each hour. Between 75 % and 80 % the
level stays what it was, so that who writes and removes around a bound is not told of all the time.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

from buntime.core.values.tuples import NamedTuple

FILLING = 0.8
_WITHIN = 0.75
AGAIN_S = 3600.0


class Level(StrEnum):
    """By the event of the log that tells of it."""

    WITHIN = "data.within"
    FILLING = "data.filling"
    OVER = "data.over"


class Measured(NamedTuple):
    """One folder, as it was counted."""

    name: str  # of the folder: "shop", "@acme+shop", "plugin+keyval"
    size_bytes: int
    most_bytes: int


class Use(NamedTuple):
    """How a folder stands."""

    measured: Measured
    level: Level
    told_s: float


class DataUse:
    """All folders that have a limit. `now` is in seconds, monotonic."""

    def __init__(self) -> None:
        self.uses: Mapping[str, Use] = {}

    def __repr__(self) -> str:
        return f"DataUse({len(self.uses)} folders)"

    def take(self, measured: Iterable[Measured], now: float) -> list[Use]:
        """These are there now; returns those to be told of."""
        before, self.uses = self.uses, {}
        found = {each.name: each for each in measured}
        told = []
        uses: dict[str, Use] = {}
        for name, each in found.items():
            old = before.get(name)
            level = _level(each, old.level if old is not None else Level.WITHIN)
            is_new = level is not (old.level if old is not None else Level.WITHIN)
            is_due = level is Level.OVER and old is not None and now - old.told_s >= AGAIN_S
            use = Use(each, level, now if is_new or is_due or old is None else old.told_s)
            uses[name] = use
            if is_new or is_due:
                told.append(use)
        self.uses = uses
        return told

    def raised(self) -> Iterator[Use]:
        """Those that need somebody's attention."""
        return (use for use in self.uses.values() if use.level is not Level.WITHIN)


def _level(measured: Measured, before: Level) -> Level:
    share = measured.size_bytes / measured.most_bytes
    if share > 1:
        return Level.OVER
    if share >= FILLING or (share >= _WITHIN and before is not Level.WITHIN):
        return Level.FILLING
    return Level.WITHIN
