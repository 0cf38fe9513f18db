"""What is kept about jobs in state.db: up to when each has been handled, and its last runs.

Written in batches, at most one per tick; a failure is reported once, and jobs go on.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from time import time
from typing import TYPE_CHECKING

from buntime.core.errors import StateFault, StateOff
from buntime.core.schedule.expression import Schedule
from buntime.core.schedule.planner import KEPT_RUNS, Ended, JobKey, Kept, Seen
from buntime.core.telemetry.records import Tell
from buntime.core.values.units import BadValue
from buntime.server.apps.zones import zone
from buntime.server.state.statedb import StateDb

if TYPE_CHECKING:
    from sqlite3 import Connection

_FORGOTTEN_S = 90 * 86_400.0  # of jobs that are gone

_Since = tuple[str, str, float]  # schedule, time zone, since
_Row = tuple[str, str, float, float, float, str, str]


class Keeping:
    """Reads it once, and writes it down as it changes."""

    def __init__(self, db: StateDb, *, warn: Tell, wall: Callable[[], float] = time) -> None:
        self._db = db
        self._warn = warn
        self._wall = wall
        self._since: dict[JobKey, _Since] = {}  # as it is written
        self._changed: dict[JobKey, _Since] = {}
        self._runs: list[_Row] = []
        self._is_writing = False
        self._has_warned = False

    def __repr__(self) -> str:
        return f"Keeping({len(self._since)} jobs, {len(self._runs)} runs to write)"

    @property
    def is_behind(self) -> bool:
        """Whether something is not written yet."""
        return self._is_writing or bool(self._changed or self._runs or not self._since)

    def follow(self, then: Callable[[Mapping[JobKey, Kept]], None]) -> None:
        """`then` gets what was kept, in a later turn, and again whenever the file is reopened.

        It gets nothing if the file cannot be read.
        """

        def read(kept: Mapping[JobKey, tuple[_Since, list[Ended]]] | BaseException) -> None:
            if isinstance(kept, BaseException):
                self._tell(kept)
                then({})
                return
            self._since = {key: since for key, (since, _) in kept.items()}
            then({key: made for key, each in kept.items() if (made := _made(*each)) is not None})

        ask = partial(self._db.ask, lambda connection: _read(connection, self._wall()), read)
        self._db.follow(ask)
        ask()  # also called if it cannot be opened

    def put(self, jobs: Iterable[Seen]) -> None:
        """Write what has changed about these."""
        for seen in jobs:
            job = seen.planned.job
            since = (job.schedule, job.timezone, seen.since_s)
            if self._since.get(seen.key) != since:
                self._since[seen.key] = self._changed[seen.key] = since
        self._write()

    def add(self, key: JobKey, ended: Ended) -> None:
        """Let the next `put` write a run."""
        self._runs.append((key.app, key.name, self._wall(), *ended))

    def _write(self) -> None:
        if self._is_writing or not (self._changed or self._runs):
            return
        changed, self._changed = self._changed, {}
        runs, self._runs = self._runs, []
        self._is_writing = True

        def written(result: object) -> None:
            self._is_writing = False
            if isinstance(result, BaseException):
                self._tell(result)

        self._db.ask(lambda connection: _write(connection, changed, runs), written)

    def _tell(self, fault: BaseException) -> None:
        if not isinstance(fault, StateFault):
            raise fault
        if not self._has_warned and not isinstance(fault, StateOff):
            self._has_warned = True
            self._warn(
                "cron.not_kept",
                "runs of jobs cannot be recorded: after a restart `catchUp` has no effect",
                error=str(fault),
            )


def _made(since: _Since, ended: list[Ended]) -> Kept | None:
    text, name, since_s = since
    try:
        return Kept(Schedule(text, zone(name)), since_s, tuple(ended))
    except BadValue:  # the database of time zones has gone
        return None


# On the thread of the database


def _read(connection: "Connection", now: float) -> dict[JobKey, tuple[_Since, list[Ended]]]:
    connection.execute("DELETE FROM cron_runs WHERE ended_at < ?", (now - _FORGOTTEN_S,))
    connection.execute(
        "DELETE FROM cron_jobs WHERE since < ? AND NOT EXISTS (SELECT 1 FROM cron_runs r "
        "WHERE r.app = cron_jobs.app AND r.name = cron_jobs.name)",
        (now - _FORGOTTEN_S,),
    )
    found: dict[JobKey, tuple[_Since, list[Ended]]] = {}
    for app, name, *since in connection.execute(
        "SELECT app, name, schedule, timezone, since FROM cron_jobs"
    ):
        found[JobKey(app, name)] = tuple(since), []
    for app, name, *run in connection.execute(
        "SELECT app, name, at, seconds, result, detail FROM cron_runs ORDER BY ended_at"
    ):
        if (key := JobKey(app, name)) in found:
            found[key][1].append(Ended(*run))
    return found


def _write(
    connection: "Connection", changed: Mapping[JobKey, _Since], runs: Iterable[_Row]
) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO cron_jobs VALUES (?, ?, ?, ?, ?)",
        [(*key, *since) for key, since in changed.items()],
    )
    connection.executemany("INSERT INTO cron_runs VALUES (?, ?, ?, ?, ?, ?, ?)", runs)
    connection.executemany(
        "DELETE FROM cron_runs WHERE app = ?1 AND name = ?2 AND ended_at <= (SELECT ended_at FROM "
        "cron_runs WHERE app = ?1 AND name = ?2 ORDER BY ended_at DESC LIMIT 1 "
        f"OFFSET {KEPT_RUNS})",
        {(row[0], row[1]) for row in runs},
    )
