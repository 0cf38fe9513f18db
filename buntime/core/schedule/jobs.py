"""What an app's manifest says about its jobs, `cron`, and its processes."""

from typing import Literal

from buntime.core.values.frozen import frozen
from buntime.core.values.tuples import NamedTuple

Overlap = Literal["forbid", "allow", "queue"]


@frozen(kw_only=True)
class CronJob:
    """Something that an app does by the clock: a request to itself, or a program."""

    name: str
    schedule: str  # as `parse_schedule` returns it
    timezone: str  # a name from the time zone database
    path: str | None  # with its query, if any; None for a program
    method: str
    run: tuple[str, ...]  # the program's words; empty for a request
    overlap: Overlap
    timeout_s: float
    catch_up: bool
    cron_only: bool

    @property
    def bare_path(self) -> str | None:
        """The path without its query."""
        return None if self.path is None else self.path.partition("?")[0]


class AppProcess(NamedTuple):
    """A program of an app that runs all the time."""

    name: str
    command: tuple[str, ...]
