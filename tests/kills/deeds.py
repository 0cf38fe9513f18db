"""What a runtime does to state.db, one transaction after another, by the parts that do it.

A deed follows from its number and from the content of the tables. So the same deeds, done to a copy
in memory by `Direct`, show what must be in the file.
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable
from datetime import UTC
from typing import Any

from buntime.core.access.keyring import KeyRecord
from buntime.core.access.keytext import digest_of, make_key
from buntime.core.admin.audittrail import Change
from buntime.core.deploys.steps import Step
from buntime.core.errors import ServerFault
from buntime.core.schedule.expression import Schedule
from buntime.core.schedule.jobs import CronJob
from buntime.core.schedule.planner import Ended, JobKey, Planned, Seen
from buntime.server.admin.audit import Audit, Note
from buntime.server.admin.keystore import KeyStore
from buntime.server.admin.maintenance import Maintenance
from buntime.server.deploys.deploy import Deploy
from buntime.server.deploys.history import History
from buntime.server.schedule.keeping import Keeping
from buntime.server.state import audittable
from buntime.server.state.audittable import Bounds
from buntime.server.state.hostclaims import HostClaims
from tests.support.fakes import FakeSink, make_log

APPS = [f"app{number}" for number in range(6)]
BEGAN_S = 1_790_000_000.0
RUN = "one"  # the same in all lives: what one has begun the next one may end
BOUNDS = Bounds(rows=40)
JOB = CronJob(
    name="clean", schedule="*/5 * * * *", timezone="UTC", path="/clean", method="POST", run=(),
    overlap="forbid", timeout_s=60.0, catch_up=True, cron_only=False,
)  # fmt: skip


class Direct:
    """A StateDb that does its work at once, over its own connection."""

    is_off = False

    trouble = ""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.followers: list[Callable[[], None]] = []

    def follow(self, callback: Callable[[], None]) -> None:
        self.followers.append(callback)

    def ask(self, work: Callable[[sqlite3.Connection], Any], then: Callable[[Any], None]) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(self.connection)
        except Exception as exc:
            self.connection.execute("ROLLBACK")
            result = exc
        else:
            self.connection.execute("COMMIT")
        then(result)


class Clock:
    """Stands still within a deed."""

    def __init__(self) -> None:
        self.now = BEGAN_S

    def __call__(self) -> float:
        return self.now


class Parts:
    """All parts that keep something in the file. The caller sets `time.time` to their clock."""

    def __init__(self, db: Any) -> None:
        self.clock = Clock()
        self.db = db
        self.audit = Audit(
            db, make_log(FakeSink()), clock=self.clock, keep_rows=BOUNDS.rows, run=RUN
        )
        self.keys = KeyStore(db, self.clock)
        self.maintenance = Maintenance(db)
        self.hosts = HostClaims(db, tell=_unheard)
        self.cron = Keeping(db, warn=_unheard, wall=self.clock)
        self.cron.follow(lambda kept: None)
        self.history = History(db)

    def do(self, number: int) -> None:
        """One deed, in one transaction at most; an error is raised on the loop."""
        self.clock.now = BEGAN_S + number
        chance = random.Random(number)
        chance.choice(DEEDS)(self, number, chance)

    def note(self, number: int, chance: random.Random) -> Note:
        return Note(self.audit, self.change(number, chance))

    def change(self, number: int, chance: random.Random) -> Change:
        values = {"field": "x" * chance.choice((3, 200, 3900)), "secrets": {"A": "never"}}
        return Change(
            self.clock(), "laptop", "key", "192.0.2.1", f"r{number}", "apps.some",
            chance.choice(APPS), chance.choice((None, *APPS)), None, values, "done",
        )  # fmt: skip


def _unheard(event: str, message: str, /, **fields: object) -> None:
    pass


def _no_fault(result: object) -> None:
    if isinstance(result, BaseException) and getattr(result, "status", 0) != 409:
        raise result


def note_change(parts: Parts, number: int, chance: random.Random) -> None:
    parts.db.ask(parts.note(number, chance).keep, _no_fault)


def begin_change(parts: Parts, number: int, chance: random.Random) -> None:
    change = parts.change(number, chance)._replace(result="begun")

    def work(connection: sqlite3.Connection) -> None:
        audittable.begin(connection, change, RUN, BOUNDS)

    parts.db.ask(work, _no_fault)


def end_change(parts: Parts, number: int, chance: random.Random) -> None:
    change = parts.change(number, chance)

    def work(connection: sqlite3.Connection) -> None:
        row = connection.execute("SELECT max(number) FROM audit_open").fetchone()
        audittable.end(connection, change, row[0], RUN, BOUNDS)

    parts.db.ask(work, _no_fault)


def add_key(parts: Parts, number: int, chance: random.Random) -> None:
    digest = digest_of(_key(number))
    name = f"key{chance.randrange(5)}"
    record = KeyRecord(name, digest, "bt_abcd", ("viewer",), ("*",), parts.clock(), "local")
    parts.keys.add(record, parts.note(number, chance).keep, _no_fault)


def use_key(parts: Parts, number: int, chance: random.Random) -> None:
    for record in [*parts.keys.ring.by_name.values()][:1]:
        text = _key(round(record.created_at - BEGAN_S))
        parts.keys.find([("X-API-Key", text)])


def _key(number: int) -> str:
    return make_key(number.to_bytes(32, "big"))


def revoke_key(parts: Parts, number: int, chance: random.Random) -> None:
    name = f"key{chance.randrange(5)}"
    parts.keys.revoke(name, parts.note(number, chance).keep, _no_fault)


def close_app(parts: Parts, number: int, chance: random.Random) -> None:
    keep = parts.note(number, chance).keep
    message = "m" * chance.choice((5, 900))
    parts.maintenance.close(chance.choice(APPS), message, 30, lambda closed: keep, _no_fault)


def open_app(parts: Parts, number: int, chance: random.Random) -> None:
    parts.maintenance.open(chance.choice(APPS), parts.note(number, chance).keep, _no_fault)


def claim_hosts(parts: Parts, number: int, chance: random.Random) -> None:
    hosts = [f"{letter}.example.com" for letter in chance.sample("abcdefgh", 4)]
    parts.hosts.note({host: chance.choice(APPS) for host in hosts})


def run_jobs(parts: Parts, number: int, chance: random.Random) -> None:
    seen = []
    for app in chance.sample(APPS, 2):
        planned = Planned(JOB, Schedule(JOB.schedule, UTC), None)
        key = JobKey(app, "clean")
        seen.append(Seen(key, planned, None, parts.clock(), 0, 0, ()))
        parts.cron.add(key, Ended(parts.clock(), 0.5, "ok", "200"))
    parts.cron.put(seen)


def end_deploy(parts: Parts, number: int, chance: random.Random) -> None:
    deploy = Deploy(f"d{number}", "deploy", chance.choice(APPS), "1.0.0", "laptop")
    parts.history.add(deploy)
    for _ in range(chance.choice((1, 60))):
        deploy.say(Step.INSTALLING, "Collecting " + "y" * 60)
    deploy.fail(ServerFault(500, "broken", "it does not boot"), log=["a line"])


def fill_others(parts: Parts, number: int, chance: random.Random) -> None:
    """A row for tables that no other deed knows."""

    def work(connection: sqlite3.Connection) -> None:
        for table in _tables(connection):
            if table not in KNOWN:
                _fill(connection, table, number)

    parts.db.ask(work, _no_fault)


KNOWN = {
    *("about", "audit", "audit_open", "cron_jobs", "cron_runs", "deploys", "hosts", "keys"),
    "maintenance",
}
DEEDS = [
    *(note_change, begin_change, end_change, add_key, use_key, revoke_key),
    *(close_app, open_app, claim_hosts, run_jobs, end_deploy, fill_others),
]


def fill_up(connection: sqlite3.Connection) -> None:
    """Put rows into each existing table, whatever its columns; some fill many pages."""
    for table in _tables(connection):
        for number in range(30):
            _fill(connection, table, number)


def _tables(connection: sqlite3.Connection) -> list[str]:
    tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    return [name for (name,) in connection.execute(tables)]


def _fill(connection: sqlite3.Connection, table: str, number: int) -> None:
    columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
    row = [_value(kind, number) for _, _, kind, *_ in columns]
    places = ", ".join("?" * len(row))
    connection.execute(f"INSERT OR IGNORE INTO {table} VALUES ({places})", row)


def _value(kind: str, number: int) -> object:
    if kind in ("REAL", "INTEGER"):
        return number + 1
    text = json.dumps([f"{number}", " " * (900 * (number % 7 == 0))])
    return text.encode() if kind == "BLOB" else text
