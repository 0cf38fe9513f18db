"""state.db on disks that are full, not writable, or remote."""

from __future__ import annotations

import os
import resource
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from buntime.core.errors import StateFault
from buntime.server.bundle import cachefolder
from buntime.server.state import statedb, statefile
from buntime.server.state.filesystem import kind_of, remote_kind
from buntime.server.state.statefile import StateDamage, StateTrouble, open_file
from tests.support.disks import fill, remount, small_disk
from tests.support.statesubject import Subject

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
Start = Callable[..., Subject]
NOBODY = 65534


def wait_until_well(subject: Subject) -> None:
    while subject.db.trouble:
        subject.loop.run_once(0.01)


def test_a_full_disk(tmp_path: Path) -> None:
    """What does not fit is refused as a whole, existing data can be read, and new space is
    noticed."""
    with small_disk(tmp_path / "disk", size="400k", inodes=40) as disk:
        subject = Subject(disk / "state", retry_s=0.02)
        subject.db.start()
        subject.sql("CREATE TABLE t (a)")
        subject.sql("INSERT INTO t VALUES (1)")
        filler = fill(disk)
        fault = subject.sql("INSERT INTO t VALUES (zeroblob(100000))")
        assert type(fault) is StateFault
        assert "full; make room on that disk" in fault.message
        assert "make room" in subject.db.trouble
        assert subject.events == ["state.db_unavailable"]
        assert subject.sql("SELECT a FROM t") == [(1,)]
        assert "make room" in subject.db.trouble  # a successful read says nothing about space
        filler.unlink()
        wait_until_well(subject)
        assert subject.sql("INSERT INTO t VALUES (2)") == []
        assert subject.sql("SELECT a FROM t") == [(1,), (2,)]
        assert subject.events == ["state.db_unavailable", "state.db_available"]
        subject.close()


def test_a_disk_that_is_full_at_the_start(tmp_path: Path) -> None:
    """No half-written file is left that would make a later start fail."""
    with small_disk(tmp_path / "disk", size="400k", inodes=40) as disk:
        (disk / "state").mkdir(mode=0o711)
        filler = fill(disk)
        subject = Subject(disk / "state", retry_s=0.02)
        subject.db.start()
        assert "make room on that disk" in subject.sql("SELECT 1").message
        filler.unlink()
        wait_until_well(subject)
        assert subject.sql("CREATE TABLE t (a)") == []
        subject.close()


def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    """However the disk fills up, also in the log and at the end, what was reported as done
    stays."""
    with small_disk(tmp_path / "disk", size="600k", inodes=40) as disk:
        for run in range(3):
            subject = Subject(disk / "state")
            subject.db.start()
            subject.sql("CREATE TABLE IF NOT EXISTS t (run, number, filling)")
            done = 0
            while done < 200:
                if subject.sql("INSERT INTO t VALUES (?, ?, zeroblob(7000))", run, done) != []:
                    break
                done += 1
            assert "make room" in subject.db.trouble
            subject.close()
            subject = Subject(disk / "state")
            subject.db.start()
            rows = subject.sql("SELECT number FROM t WHERE run = ? ORDER BY 1", run)
            assert rows == [(number,) for number in range(done)]
            assert subject.sql("PRAGMA quick_check") == [("ok",)]
            assert type(subject.sql("DELETE FROM t")) in (list, StateFault)
            subject.close()


@contextmanager
def small_files(size_bytes: int) -> Iterator[None]:
    """No file of this process can grow beyond this size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_writes_that_fail(start: Start) -> None:
    """After a disk error the file is reopened; it is intact, and works when the disk does."""
    subject = start(retry_s=0.02)
    subject.sql("CREATE TABLE t (a)")
    with small_files(100_000):
        fault = subject.sql("INSERT INTO t VALUES (zeroblob(300000))")
        assert type(fault) is StateFault
        assert "check the disk" in fault.message
    wait_until_well(subject)
    assert subject.sql("SELECT a FROM t") == []
    assert subject.sql("INSERT INTO t VALUES (1)") == []


@needs_root
def test_a_disk_that_can_only_be_read(tmp_path: Path) -> None:
    """This is reported, and the file is opened when the disk becomes writable."""
    with small_disk(tmp_path / "disk", size="400k", inodes=40) as disk:
        remount(disk, "ro")
        subject = Subject(disk / "state")
        subject.db.start()
        assert "Read-only file system" in subject.sql("SELECT 1").message
        assert "Read-only file system" in subject.db.trouble
        remount(disk, "rw")
        subject.folder.take()
        subject.db.start()
        assert subject.sql("SELECT 1") == [(1,)]
        subject.close()


@contextmanager
def as_nobody() -> Iterator[Path]:
    """Run the whole process as nobody, with a folder of its own that it can reach."""
    with tempfile.TemporaryDirectory(prefix="buntime-state-") as name:
        os.chown(name, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, 0)
        try:
            yield Path(name).resolve()
        finally:
            os.setresuid(0, 0, 0)


@needs_root
def test_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file or folder that the runtime's user may not write to is reported by its path."""
    monkeypatch.setattr(cachefolder, "_TRUSTED_UIDS", frozenset((0, NOBODY)))
    with as_nobody() as folder:
        subject = Subject(folder)
        subject.db.start()
        assert subject.sql("CREATE TABLE t (a)") == []
        subject.close()
        (folder / "state.db").chmod(0o400)
        subject = Subject(folder, retry_s=0.01)
        subject.db.start()
        assert f"{folder}/state.db: Permission denied" in subject.sql("SELECT 1").message
        (folder / "state.db").chmod(0o600)
        wait_until_well(subject)
        subject.close()
        folder.chmod(0o555)
        subject = Subject(folder, retry_s=0.01)
        subject.db.start()
        assert "check the disk, and the folder's rights" in subject.sql("DELETE FROM t").message
        folder.chmod(0o711)
        wait_until_well(subject)
        assert subject.sql("DELETE FROM t") == []
        subject.close()


def test_a_network(start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a network disk a rollback journal replaces the log, even for a file that had a log."""
    start().sql("CREATE TABLE t (a)")
    monkeypatch.setattr(statedb, "remote_kind", lambda folder: "nfs4")
    subject = start()
    assert subject.sql("PRAGMA journal_mode") == [("delete",)]
    assert subject.sql("INSERT INTO t VALUES (1)") == []
    assert [*folder.glob("*-wal")] == []
    assert subject.told == [("state.remote", {"folder": str(folder), "kind": "nfs4"})]


MOUNTS = r"""
21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
22 21 0:21 / /proc rw - proc proc rw
30 21 0:50 / /var/lib rw shared:1 master:2 - nfs4 host:/x rw,vers=4.2
31 30 0:51 / /var/lib/my\040disk rw - fuse.sshfs me@host: rw
32 30 0:52 / /var/lib/local rw - xfs /dev/vdb rw
33 30 0:53 / /var/lib/local rw - tmpfs tmpfs rw
a line that is none
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/", "ext4"),
        ("/home/x", "ext4"),
        ("/var/library", "ext4"),
        ("/var/lib", "nfs4"),
        ("/var/lib/buntime", "nfs4"),
        ("/var/lib/my disk/state", "fuse.sshfs"),
        ("/var/lib/local/state", "tmpfs"),
        ("/proc", "proc"),
    ],
)
def test_kinds(folder: str, kind: str) -> None:
    """The deepest mount counts, and of several at one place the last."""
    assert kind_of(folder, MOUNTS) == kind


def test_no_mounts() -> None:
    """If nothing is known there is no kind."""
    assert kind_of("/x", "") == ""
    assert remote_kind("/proc") == ""


def test_no_sqlite(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python without sqlite3 is reported, and apps still run."""
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    subject = start()
    assert "has no sqlite3" in subject.sql("SELECT 1").message


def test_a_check_that_takes_too_long(start: Start, folder: Path) -> None:
    """The check is given up, and the file is used."""
    subject = start()
    subject.sql("CREATE TABLE t (a)")
    subject.sql(
        "INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 9999)"
        " SELECT i FROM n"
    )
    subject.close()
    connection = open_file(str(folder / "state.db"), has_log=True, check_s=-1)
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (9999,)
    connection.close()


@pytest.mark.parametrize("size", [100, 4000, 4096, 20_000])
def test_a_file_that_was_cut(start: Start, folder: Path, size: int) -> None:
    """However short the file is, the result is damage or an empty file, and never an error of
    ours."""
    subject = start()
    subject.sql("CREATE TABLE t (a)")
    subject.sql("INSERT INTO t VALUES (zeroblob(30000))")
    subject.close()
    file = folder / "state.db"
    os.truncate(file, size)
    with pytest.raises(StateDamage, match="run buntime data restore"):
        open_file(str(file), has_log=True).close()


def test_a_log_without_its_file(start: Start, folder: Path) -> None:
    """The log of a removed file is not applied to a new one."""
    subject = start()
    subject.sql("CREATE TABLE t (a)")
    log = (folder / "state.db-wal").read_bytes()
    subject.close()
    (folder / "state.db").unlink()
    (folder / "state.db-wal").write_bytes(log)
    assert type(start().sql("SELECT * FROM t")) is sqlite3.OperationalError


def test_messages() -> None:
    """Every error says what to do."""
    path = "/s/state.db"
    troubles: list[StateTrouble] = [
        statefile.trouble_of(OSError(5, "Input/output error", path), path),
        statefile.trouble_of(sqlite3.OperationalError("disk I/O error"), path),
        statefile.damage(path, "x"),
    ]
    for each in troubles:
        assert str(each).startswith(path)
        assert "; " in str(each)
