"""What an app's manifest says of its jobs, `cron`, and of its processes."""

from typing import Literal

from buntime.core.values.frozen import frozen
from buntime.core.values.tuples import NamedTuple

Overlap = Literal["forbid", "allow", "queue"]


@frozen(kw_only=True)
class CronJob:
    """Something that an app does by the clock: a request to it, or a program of it."""

    name: str
    schedule: str  # as `parse_schedule` gives it
    timezone: str  # as the database of time zones names it
    path: str | None  # with a query, where there is one; None of a program
    method: str
    run: tuple[str, ...]  # the program's words; none of a request
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
