"""The file: killed at any statement, full, from another version, open elsewhere."""

from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from buntime import ServiceError
from keyval.database import Database
from keyval.schema import MIGRATIONS
from tests.support.harness import ROOT
from tests.support.keyvalstore import Kept

# Writes pairs that belong together, and prints each one that was committed.
WRITER = """
import sys
from pathlib import Path
from tests.support.keyvalstore import Kept
kept = Kept(Path(sys.argv[1]))
kv = kept.client()
number = kv.get(("done",), 0)
while True:
    number += 1
    change = kv.atomic().set(("left", number % 50), number).set(("right", number % 50), number)
    change.enqueue("jobs", number).set(("done",), number).commit()
    taken = kv.take("jobs")
    taken.ack()
    print(number, flush=True)
"""
PATHS = os.pathsep.join([str(ROOT), str(ROOT / "plugins/keyval")])


def writer(folder: Path, source: str = WRITER, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", source, str(folder)],
        env={"PYTHONPATH": PATHS},
        stdout=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]  # what a test needs of it
    )


def test_killed_while_writing(tmp_path: Path) -> None:
    """After a SIGKILL everything committed is there, and nothing else, not even half of a pair."""
    chance = random.Random(1)
    for _ in range(4):
        process = writer(tmp_path)
        assert process.stdout is not None
        for _ in range(chance.randrange(1, 200)):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        told = [int(line) for line in process.stdout if line.endswith("\n")]
        process.wait()
        process.stdout.close()
        kept = Kept(tmp_path)
        kv = kept.client()
        done = kv.get(("done",))
        assert not told or done >= told[-1]
        left = [entry.value for entry in kv.list(("left",))]
        assert left == [entry.value for entry in kv.list(("right",))]
        assert max(left) == done
        assert kept.database.row("PRAGMA integrity_check") == ("ok",)
        rows = kept.database.rows("SELECT key, value FROM entries")
        values = kept.database.rows("SELECT value FROM messages")
        size = sum(len(key) + len(value) + 64 for key, value in rows)
        size += sum(len(value) + len("jobs") + 64 for (value,) in values)
        assert kept.size() == (size, len(rows), len(values))
        kept.close()


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """At its limit writes are refused with a clear message, reads work, and deleting makes room."""
    kept = Kept(tmp_path, file_bytes=1 << 20)
    kv = kept.client()
    kv.set(("first",), "kept")
    with pytest.raises(ServiceError, match="keyval cannot write: database or disk is full") as full:
        for number in range(100):
            kv.set((number,), b"x" * 60_000)
    assert full.value.code == "disk"
    assert kv.get(("first",)) == "kept"
    assert kept.size()[1] == len([*kv.list()])
    while [*kv.list((), page=5)][1:]:
        kv.delete(next(entry.key for entry in kv.list() if entry.key != ("first",)))
    kv.set(("next",), b"x" * 60_000)
    kept.close()


# Files are limited to 300 kB, which acts like a full disk and needs no root.
FULL = """
import resource, sys
from pathlib import Path
from buntime import ServiceError
from tests.support.keyvalstore import Kept
kept = Kept(Path(sys.argv[1]))
kv = kept.client()
kv.set(("first",), "kept")
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
try:
    for number in range(100):
        kv.set((number,), b"x" * 60_000)
except ServiceError as exc:
    print(exc.code, str(exc))
print(kv.get(("first",)), len([*kv.list()]) == kept.size()[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
kv.set(("next",), "written")
print(kv.get(("next",)))
"""


def test_a_full_disk(tmp_path: Path) -> None:
    """A write that the disk refuses is reported, reads go on, and so do later writes that fit."""
    assert resource.RLIMIT_FSIZE
    process = writer(tmp_path, FULL)
    told, _ = process.communicate(timeout=30)
    first, second, third = told.splitlines()
    assert first.startswith("disk keyval cannot write: ")
    assert (second, third) == ("kept True", "written")


def test_one_writer(tmp_path: Path) -> None:
    """A second process is refused while the first has the file open, and accepted afterwards."""
    process = writer(tmp_path)
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(ServiceError, match="another process holds"):
        Database(tmp_path / "keyval.db")
    process.kill()
    process.wait()
    process.stdout.close()
    Database(tmp_path / "keyval.db").close()


def test_a_reader_beside(tmp_path: Path) -> None:
    """A backup can read while the plugin writes, by SQLite's own means."""
    kept = Kept(tmp_path)
    kept.client().set(("a",), 1)
    other = sqlite3.connect(tmp_path / "keyval.db")
    copy = sqlite3.connect(tmp_path / "copy.db")
    other.backup(copy)
    kept.client().set(("a",), 2)
    assert copy.execute("SELECT value FROM entries").fetchall() == [(b"1",)]
    other.close()
    copy.close()
    kept.close()


def test_a_newer_version(tmp_path: Path) -> None:
    """A file from a newer keyval is refused, and not changed."""
    Database(tmp_path / "keyval.db").close()
    newer = sqlite3.connect(tmp_path / "keyval.db")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(ServiceError, match=f"version 99 of the schema.*knows {len(MIGRATIONS)}"):
        Database(tmp_path / "keyval.db")
    again = sqlite3.connect(tmp_path / "keyval.db")
    assert again.execute("PRAGMA user_version").fetchone() == (99,)
    again.close()


def test_migrations(tmp_path: Path) -> None:
    """A file of each older version is migrated to the current one, with its contents."""
    for version in range(len(MIGRATIONS) + 1):
        path = tmp_path / f"{version}.db"
        older = sqlite3.connect(path)
        for script in MIGRATIONS[:version]:
            older.executescript(script)
        older.execute(f"PRAGMA user_version = {version}")
        older.commit()
        older.close()
        database = Database(path)
        assert database.row("PRAGMA user_version") == (len(MIGRATIONS),)
        assert database.rows("SELECT * FROM entries") == []
        database.close()


def test_the_counts_of_an_older_version(tmp_path: Path) -> None:
    """A space of an older version counts what its messages say besides their values, too."""
    older = sqlite3.connect(tmp_path / "keyval.db")
    older.executescript(MIGRATIONS[0])
    older.execute(
        "INSERT INTO spaces VALUES (1, 'app:shop', 2, 65, 0, 1), (2, 'app:b', 1, 9, 1, 0)"
    )
    older.execute(
        "INSERT INTO messages (space, queue, dead, ready, most, reason, kind, value) "
        "VALUES (1, 'jöbs', 1, 0.0, 1, 'cäfe', 1, x'00')"
    )
    older.execute("PRAGMA user_version = 1")
    older.commit()
    older.close()
    kept = Kept(tmp_path)
    assert (kept.size()[0], kept.size("app:b")[0]) == (65 + 5 + 5, 9)
    assert kept.client().drop(1) is True
    assert kept.size() == (0, 0, 0)
    kept.close()


def test_no_database(tmp_path: Path) -> None:
    """A file that is not a database is refused, with its name."""
    (tmp_path / "keyval.db").write_bytes(b"no database at all" * 1000)
    with pytest.raises(ServiceError, match=r"cannot open .*keyval\.db: file is not a database"):
        Database(tmp_path / "keyval.db")
    with pytest.raises(ServiceError, match="cannot open"):
        Database(tmp_path / "nowhere" / "keyval.db")


@pytest.mark.parametrize(("sync", "number"), [("normal", 1), ("full", 2)])
def test_pragmas(tmp_path: Path, sync: str, number: int) -> None:
    """The database uses a write-ahead log, and syncs to disk as the option says."""
    database = Database(tmp_path / "keyval.db", sync=sync)
    assert database.row("PRAGMA journal_mode") == ("wal",)
    assert database.row("PRAGMA synchronous") == (number,)
    database.close()
