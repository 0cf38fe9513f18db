"""A process that opens state.db, does deeds and is killed; and what may be in the file then.

One process without threads forks each that will die, so nothing is imported again. SQLite must
recover what a kill left, not what an examination of it tidied up, so a copy is examined. A child
reports each deed through a pipe once it is known to be done. What must hold:

- the file opens, and PRAGMA integrity_check finds nothing;
- it is exactly one of the stages that a life goes through: what was there before, then the tables
  of one version after another, then one deed after another;
- no reported stage is lost, and at most the next one is there too;
- the chain of the audit trail is whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from buntime.core.admin.audittrail import Walk
from buntime.server.loop.loop import Loop
from buntime.server.state import statefile
from buntime.server.state.audittable import removed_from
from buntime.server.state.migrations import SCRIPTS
from buntime.server.state.statedb import StateDb
from buntime.server.state.statefolder import StateFolder
from tests.kills import dying
from tests.kills.deeds import Direct, Parts, fill_up

Tables = dict[str, list[tuple[Any, ...]]]  # rows by table, and whatever else differs between files


class Wrong(Exception):
    """What is on the disk is not what it should be."""


class Life(NamedTuple):
    """The numbers of the deeds, and when to die: at an instruction, a system call, a time."""

    first: int
    deeds: int
    at_step: int = 0
    at_write: int = 0
    after_s: float = 0.0


class Lived(NamedTuple):
    told: int  # deeds; the first byte only says that the file is open
    is_open: bool
    was_killed: bool
    counted: int = 0  # instructions or calls, if it came to its end


def live(folder: Path, life: Life) -> Lived:
    """Have a process live this life."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(reader)
            _child(folder, life, writer)
        finally:
            os._exit(6)
    os.close(writer)
    if life.after_s:
        ends = os.pidfd_open(pid)
        select.select([ends], [], [], life.after_s)
        os.close(ends)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with open(reader, "rb") as file:
        words, _, counted = file.read().partition(b"\n")
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, -signal.SIGKILL):
        raise Wrong(f"the process ended with {code}")
    return Lived(max(0, len(words) - 1), bool(words), code != 0, int(counted or 0))


def _child(folder: Path, life: Life, told: int) -> None:
    dying.at_step(life.at_step)
    if life.at_write:
        dying.at_write(life.at_write)
    loop = Loop(lambda exc: _fail(repr(exc)))
    state = StateFolder(str(folder))
    state.take()

    def fail(event: str, message: str, /, **fields: object) -> None:
        _fail(f"{event}: {fields}")

    db = StateDb(state, loop, tell=fail, warn=fail, error=fail)
    if life.deeds:  # parts that read at the opening remove old rows
        parts = Parts(db)
        time.time = parts.clock

    def go_on(number: int, result: object = None) -> None:
        """Everything requested before this has been answered."""
        if result is not None:
            _fail(repr(result))
        os.write(told, b".")
        if number == life.deeds:
            os.write(told, b"\n%d" % dying.counted)
            os._exit(0)
        parts.do(life.first + number)
        db.ask(_nothing, partial(go_on, number + 1))

    db.follow(lambda: db.ask(_nothing, partial(go_on, 0)))
    db.start()
    loop.run()


def _nothing(connection: sqlite3.Connection) -> None:
    pass


def _fail(text: str) -> None:
    os.write(2, f"{text}\n".encode())
    os._exit(4)


# What may be in the file


def made_at(folder: Path, version: int) -> None:
    """Make a state folder whose file has the tables of that version, filled."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with tables_up_to(version):
        connection = statefile.open_file(str(folder / statefile.NAME), has_log=True)
    fill_up(connection)
    connection.close()


@contextlib.contextmanager
def tables_up_to(version: int) -> Iterator[None]:
    """Within this block SCRIPTS ends at that version, as in an older buntime."""
    vars(statefile)["SCRIPTS"] = SCRIPTS[:version]
    try:
        yield
    finally:
        vars(statefile)["SCRIPTS"] = SCRIPTS


def stages(file: Path | None, life: Life) -> list[Tables]:
    """The content before, after each step of the tables, then after each deed."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    if file is not None:
        with sqlite3.connect(file) as source:
            source.backup(connection)
        source.close()
    found = [tables_of(connection)]
    for version in range(statefile._number(connection, "user_version") + 1, len(SCRIPTS) + 1):
        with tables_up_to(version):
            statefile._migrate(connection)
        found.append(tables_of(connection))
    db = Direct(connection)
    parts, real = Parts(db), time.time
    time.time = parts.clock
    try:
        for callback in db.followers:
            callback()
        for number in range(life.deeds):
            parts.do(life.first + number)
            found.append(tables_of(connection))
    finally:
        time.time = real
        connection.close()
    return found


def tables_of(connection: sqlite3.Connection) -> Tables:
    """Everything in a file."""
    schema = connection.execute(
        "SELECT name, type, sql FROM sqlite_schema ORDER BY name"
    ).fetchall()
    found: Tables = {"schema": schema}
    for pragma in ("user_version", "application_id"):
        found[pragma] = connection.execute(f"PRAGMA {pragma}").fetchall()
    for name, kind, _ in schema:
        if kind == "table":
            found[f"table {name}"] = sorted(connection.execute(f"SELECT * FROM {name}"), key=repr)
    return found


def look(folder: Path, copy: Path) -> tuple[Path | None, Tables]:
    """A recovered copy of the file, and its content. Raises Wrong if it is damaged."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for path in folder.glob("state.db*"):
        shutil.copy(path, copy)
    file = copy / statefile.NAME
    if not file.exists():  # killed before it was made
        return None, tables_of(sqlite3.connect(":memory:"))
    connection = sqlite3.connect(file)
    try:
        found = connection.execute("PRAGMA integrity_check").fetchall()
        if found != [("ok",)]:
            raise Wrong(f"integrity_check: {found}")
        return file, tables_of(connection)
    finally:
        connection.close()


def check(found: Tables, stages: Sequence[Tables], lived: Lived, deeds: int) -> None:
    """Raises Wrong if a stage is missing, there in part, or was never begun."""
    opened = len(stages) - 1 - deeds  # the stage of a file that was opened
    earliest = opened + lived.told if lived.is_open else 0
    latest = opened + lived.told + 1
    if found not in stages[earliest : latest + 1]:
        near = stages[min(latest, len(stages) - 1)]
        parts = [name for name in {**near, **found} if near.get(name) != found.get(name)]
        place = stages.index(found) if found in stages else "none"
        raise Wrong(f"{lived}: stage {place}, not {earliest} to {latest}; it differs in {parts}")


def check_chain(file: Path | None) -> int:
    """Check the audit trail's chain; returns its length."""
    if file is None:
        return 0
    connection = sqlite3.connect(file)
    try:
        if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'audit'").fetchone():
            return 0
        walk = Walk()
        rows = "SELECT entry, hash FROM audit ORDER BY number DESC"
        for entry, told in connection.execute(rows):
            walk.take({**json.loads(entry), "hash": told})
        walk.end(removed_from(connection))
        return walk.count
    finally:
        connection.close()
