"""state.db: what was reported as stored is stored, and its failures are reported."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buntime.core.errors import ServerFault, StateFault
from buntime.server.state.migrations import SCRIPTS
from buntime.server.state.statefile import open_file
from tests.support.harness import ROOT
from tests.support.statesubject import Subject

Start = Callable[..., Subject]


def raw(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(folder / "state.db", isolation_level=None)


def test_it_is_kept(start: Start, folder: Path) -> None:
    """A finished change is there for the next process; the file is for us only, with a log and no
    index."""
    first = start()
    assert first.sql("CREATE TABLE t (a)") == []
    assert first.sql("INSERT INTO t VALUES (?)", 7) == []
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"lock": 0o600, "state.db": 0o600, "state.db-wal": 0o600}
    assert (first.db.trouble, first.told, first.opened) == ("", [], 1)
    second = start()
    assert second.sql("SELECT a FROM t") == [(7,)]
    settings = [second.sql(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous")]
    assert settings == ["wal", 2]  # 2 is FULL
    second.close()
    assert sorted(path.name for path in folder.iterdir()) == ["lock", "state.db"]


def test_a_start_pays_nothing() -> None:
    """What state and backups need is imported when used, not at a start."""
    late = ("sqlite3", "tarfile", "gzip", "tempfile", "shutil", "zipfile")
    code = f"import sys, buntime.server.runtime; print({late!r} & sys.modules.keys())"
    code = code.replace(repr(late), repr(set(late)))
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "set()\n"


def test_what_was_asked_before_the_start_waits(folder: Path) -> None:
    """Requests made early are answered once the file is open; the callbacks that read it come
    first."""
    subject = Subject(folder)
    order: list[object] = []
    subject.db.ask(lambda connection: connection.total_changes, lambda _: order.append("then"))
    subject.db.follow(lambda: order.append("follow"))
    subject.db.start()
    while len(order) < 2:
        subject.loop.run_once(10)
    assert order == ["follow", "then"]
    subject.close()


def test_nothing_half(start: Start) -> None:
    """A request that raises is undone, gets its own exception, and stops no others."""

    def fails(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (1)")
        raise ServerFault(500, "x", "y")

    subject = start()
    subject.sql("CREATE TABLE t (a UNIQUE)")
    assert subject.ask(fails).code == "x"
    assert type(subject.sql("SELECT * FROM unknown")) is sqlite3.OperationalError
    assert subject.sql("INSERT INTO t VALUES (1)") == []
    assert type(subject.sql("INSERT INTO t VALUES (1)")) is sqlite3.IntegrityError
    assert subject.sql("SELECT * FROM t") == [(1,)]
    assert (subject.db.trouble, subject.told) == ("", [])


def test_a_new_one_is_made_at_once(folder: Path) -> None:
    """All tables come in one transaction: each costs a start some milliseconds of the disk."""
    folder.mkdir(mode=0o711)
    connection = open_file(str(folder / "state.db"), has_log=True)
    log = (folder / "state.db-wal").read_bytes()
    page_bytes = int.from_bytes(log[8:12], "big")
    frames = range(32, len(log), 24 + page_bytes)
    commits = [at for at in frames if int.from_bytes(log[at + 4 : at + 8], "big")]
    assert len(frames) > 1
    assert len(commits) == 1
    assert connection.execute("PRAGMA user_version").fetchone() == (len(SCRIPTS),)
    connection.close()


def test_a_newer_one_is_refused(start: Start, folder: Path) -> None:
    """The file of a newer version is left unchanged, and the error names that version."""
    start().close()
    with raw(folder) as connection:
        connection.execute(f"PRAGMA user_version={len(SCRIPTS) + 3}")
        connection.execute("UPDATE about SET value = '9.8.7'")
    connection.close()
    before = (folder / "state.db").read_bytes()
    subject = start()
    fault = subject.sql("SELECT 1")
    assert type(fault) is StateFault
    assert (fault.status, fault.code) == (503, "state_unavailable")
    assert "was written by buntime 9.8.7" in fault.message
    assert "was written by buntime 9.8.7" in subject.db.trouble
    assert subject.events == ["state.db_unavailable"]
    assert (folder / "state.db").read_bytes() == before


def test_another_programs_file_is_refused(start: Start, folder: Path) -> None:
    """A database that is not ours is not written to."""
    folder.mkdir(mode=0o711)
    with raw(folder) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    subject = start()
    assert "was not written by buntime; move it away" in subject.sql("SELECT 1").message


def damage_header(file: Path) -> None:
    file.write_bytes(b"x" * 5000)


def damage_page(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[4096 : 2 * 4096] = b"\x7f" * 4096
    file.write_bytes(data)


@pytest.mark.parametrize("harm", [damage_header, damage_page])
def test_a_damaged_one(start: Start, folder: Path, harm: Callable[[Path], None]) -> None:
    """The error says what to do; when the file is valid again it is used, without a restart."""
    first = start()
    first.sql("CREATE TABLE t (a)")
    first.close()
    file = folder / "state.db"
    good = file.read_bytes()
    harm(file)
    subject = start(retry_s=0.01)
    assert "run buntime data restore" in subject.sql("SELECT * FROM t").message
    assert subject.events == ["state.damaged"]
    (folder / "good").write_bytes(good)
    os.replace(folder / "good", file)
    while subject.db.trouble:
        subject.loop.run_once(0.01)
    assert subject.sql("SELECT * FROM t") == []
    assert subject.events == ["state.damaged", "state.db_available"]


def test_a_file_that_goes_away(start: Start, folder: Path) -> None:
    """Nothing is written to a file that has been removed; users with a copy in memory read
    again."""
    subject = start()
    subject.sql("CREATE TABLE t (a)")
    for path in folder.glob("state.db*"):
        path.unlink()
    assert type(subject.sql("SELECT * FROM t")) is sqlite3.OperationalError
    assert (subject.opened, subject.events) == (2, ["state.replaced"])


def test_another_program_has_it(start: Start, folder: Path) -> None:
    """A file that another program is reading is waited for."""
    start().close()
    connection = raw(folder)
    connection.execute("BEGIN EXCLUSIVE")
    subject = start(retry_s=0.01)
    assert "is in use by another program" in subject.sql("SELECT 1").message
    connection.close()
    while subject.db.trouble:
        subject.loop.run_once(0.01)
    assert subject.sql("SELECT 1") == [(1,)]


def make_link(path: Path) -> None:
    (path.parent / "elsewhere").touch()
    path.symlink_to(path.parent / "elsewhere")


@pytest.mark.parametrize("make", [os.mkfifo, make_link, Path.mkdir])
def test_something_else_in_its_place(
    start: Start, folder: Path, make: Callable[[Path], None]
) -> None:
    """Anything but a file of ours is neither followed nor waited for."""
    folder.mkdir(mode=0o711)
    make(folder / "state.db")
    assert str(folder / "state.db") in start().sql("SELECT 1").message


def test_a_folder_of_another_runtime(folder: Path) -> None:
    """Without the folder requests are answered at once; they work when the folder is free."""
    first, second = Subject(folder), Subject(folder)
    second.db.start()
    assert "another runtime, " in second.sql("SELECT 1").message
    first.close()
    second.folder.take()
    second.db.start()
    assert second.sql("SELECT 1") == [(1,)]
    second.close()


def test_the_end(folder: Path) -> None:
    """What was asked before the end is done; later requests are refused."""
    subject = Subject(folder)
    subject.db.start()
    subject.db.ask(lambda connection: connection.execute("CREATE TABLE t (a)"), lambda _: None)
    subject.db.close()
    assert "stopping" in subject.sql("SELECT 1").message
    subject.close()
    with raw(folder) as connection:
        assert connection.execute("SELECT * FROM t").fetchall() == []
    connection.close()


def test_too_many(folder: Path) -> None:
    """If the disk hangs, the memory for requests is bounded."""
    subject = Subject(folder)  # not started
    results: list[Any] = []
    for _ in range(1010):
        subject.db.ask(lambda connection: None, results.append)
    subject.loop.run_once(0)
    assert len(results) == 10
    assert "1000 others already wait" in results[0].message
    subject.close()
