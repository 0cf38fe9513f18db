"""Kills a process that keeps things in state.db, again and again, and looks at what is left.

    python -m tests.support.statekills FOLDER --steps 20000 --moments 600 --seed 7   (a minute)

One process, without a thread, forks each that is to die: nothing is imported anew. Each works on
what the one before it has left, so what SQLite must recover is what a kill has left, and not what a
look at it has made tidy: that is at a copy. A child tells each transaction through a pipe when its
`then` is called. What is right is computed beside it, from the seed:

- the file opens, and PRAGMA integrity_check finds nothing;
- all transactions that were told are there, and at most one that was not;
- none of them is there in part.

`--steps`: die as SQLite's machine begins its Nth instruction, for N = 1, 2, ... through the opening
of a new file, the making of its tables and a few transactions, until one lives to the end, or the
number given is reached; `--every` takes some of them. `--moments`: die after a random time.
"""

from __future__ import annotations

import argparse
import os
import random
import select
import shutil
import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

from buntime.server.loop import Loop
from buntime.server.state.statedb import StateDb
from buntime.server.state.statefolder import StateFolder

TRANSACTIONS = 6
_MOMENT_MAX_S = 0.012
_LIFE = 40  # kills that one file lives through
Rows = dict[int, str]


class Wrong(Exception):
    """What is on the disk is not what it should be."""


def changes(seed: int) -> list[tuple[str, int, str]]:
    """What a transaction does: put and remove keys, some with values of many pages."""
    chance = random.Random(seed)
    made = []
    for _ in range(chance.randint(1, 4)):
        key = chance.randrange(12)
        size = chance.choice((3, 200, 9000))
        verb = "remove" if chance.random() < 0.25 else "put"
        made.append((verb, key, chance.choice("abcd") * size))
    return made


def after(rows: Rows, seed: int) -> Rows:
    """The rows that the transaction makes of these."""
    rows = dict(rows)
    for verb, key, value in changes(seed):
        if verb == "put":
            rows[key] = value
        else:
            rows.pop(key, None)
    rows[-1] = str(seed)  # that it was the last one
    return rows


def work(connection: sqlite3.Connection, seed: int) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS rows (key INTEGER PRIMARY KEY, value TEXT)")
    connection.execute("CREATE INDEX IF NOT EXISTS by_value ON rows (value)")
    for verb, key, value in changes(seed):
        if verb == "put":
            connection.execute("INSERT OR REPLACE INTO rows VALUES (?, ?)", (key, value))
        else:
            connection.execute("DELETE FROM rows WHERE key = ?", (key,))
    connection.execute("INSERT OR REPLACE INTO rows VALUES (-1, ?)", (str(seed),))


def child(folder: Path, seed: int, told: int, die_at: int) -> None:
    """Do the transactions, tell each; `die_at` is an instruction of SQLite's, 0 for none."""

    class Dying(sqlite3.Connection):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.steps = 0
            if die_at:
                super().set_progress_handler(self.step, 1)
            self.execute("PRAGMA wal_autocheckpoint=4")  # pages: it happens at each commit or so

        def step(self) -> int:
            self.steps += 1
            if self.steps == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return 0

        def set_progress_handler(self, *args: Any) -> None:  # type: ignore[override]
            pass  # the runtime's own, at its check

    connect = sqlite3.connect
    sqlite3.connect = lambda path, **options: connect(path, factory=Dying, **options)  # type: ignore[assignment]
    loop = Loop(lambda exc: os._exit(3))
    state = StateFolder(str(folder))
    state.take()

    def fail(event: str, message: str, /, **fields: object) -> None:
        os.write(2, f"{event}: {fields}\n".encode())
        os._exit(4)

    db = StateDb(state, loop, tell=fail, warn=fail, error=fail)
    db.start()

    def ask(number: int) -> None:
        if number == TRANSACTIONS:
            os._exit(0)
        db.ask(
            lambda connection: work(connection, seed + number), lambda result: tell(number, result)
        )

    def tell(number: int, result: object) -> None:
        if result is not None:
            os.write(2, f"{result!r}\n".encode())
            os._exit(5)
        os.write(told, b".")
        ask(number + 1)

    ask(0)
    loop.run()


def run(folder: Path, seed: int, *, die_at: int = 0, after_s: float = 0.0) -> tuple[int, bool]:
    """How many transactions were told, and whether the process was killed."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(reader)
            child(folder, seed, writer, die_at)
        finally:
            os._exit(6)
    os.close(writer)
    if after_s:
        ends = os.pidfd_open(pid)
        select.select([ends], [], [], after_s)
        os.close(ends)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    count = 0
    while data := os.read(reader, 4096):
        count += len(data)
    os.close(reader)
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, -signal.SIGKILL):
        raise Wrong(f"the process ended with {code}")
    return count, code != 0


def look(folder: Path, copy: Path) -> Rows:
    """What is in the file, by a copy of what lies there."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for path in folder.glob("state.db*"):
        shutil.copy(path, copy)
    if not (copy / "state.db").exists():  # killed before it was made
        return {}
    connection = sqlite3.connect(copy / "state.db")
    try:
        found = connection.execute("PRAGMA integrity_check").fetchall()
        if found != [("ok",)]:
            raise Wrong(f"integrity_check: {found}")
        try:
            return dict(connection.execute("SELECT key, value FROM rows"))
        except sqlite3.OperationalError as exc:
            if "no such table" not in str(exc):
                raise
            return {}
    finally:
        connection.close()


def check(before: Rows, seed: int, told: int, found: Rows) -> None:
    """Raises Wrong where a transaction is missing, is there in part, or was never begun."""
    expected = before
    for number in range(told):
        expected = after(expected, seed + number)
    following = after(expected, seed + told) if told < TRANSACTIONS else expected
    if found not in (expected, following):
        raise Wrong(f"seed {seed}, {told} told: {sorted(found)} is neither {sorted(expected)} ...")


def by_steps(folder: Path, most: int, every: int, seed: int) -> int:
    """Kill at each instruction of a short life, or every so many; how many were killed."""
    killed = 0
    for number in range(1 + seed % every, most + 1, every):
        shutil.rmtree(folder / "state", ignore_errors=True)
        told, was_killed = run(folder / "state", seed, die_at=number)
        check({}, seed, told, look(folder / "state", folder / "copy"))
        if not was_killed:
            break
        killed += 1
    return killed


def by_moments(folder: Path, count: int, seed: int) -> int:
    """Kill at random moments of a long life; how many were killed."""
    chance = random.Random(seed)
    killed = begun = 0
    rows: Rows = {}
    while killed < count:
        if begun % _LIFE == 0:
            shutil.rmtree(folder / "state", ignore_errors=True)
            rows = {}
        begun += 1
        seed += 100
        told, was_killed = run(folder / "state", seed, after_s=chance.uniform(0, _MOMENT_MAX_S))
        found = look(folder / "state", folder / "copy")
        check(rows, seed, told, found)
        rows = found
        killed += was_killed
    return killed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--moments", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    begun = time.monotonic()
    steps = by_steps(given.folder, given.steps, given.every, given.seed)
    moments = by_moments(given.folder, given.moments, given.seed)
    print(f"killed {steps} at a step, {moments} at a moment")
    print(f"in {time.monotonic() - begun:.1f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
