"""What commands change without a runtime is added to the audit trail, once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from buntime.commands.noting import noted
from buntime.core.admin.audittrail import Change
from buntime.core.errors import CommandError
from buntime.server.admin.audit import Audit
from buntime.server.state import auditspool
from buntime.server.state.auditspool import AuditSpool
from buntime.server.state.audittable import Bounds, take
from tests.support.fakes import FakeSink, make_log
from tests.support.statesubject import Subject

CHANGE = Change(
    *(1.5, "ann", "command", "", "", "apps.secrets.set", "shop A", "shop", None, {}, "done")
)


@pytest.fixture
def subject(tmp_path: Path) -> Iterator[Subject]:
    subject = Subject(tmp_path / "state")
    yield subject
    subject.close()


def take_in(subject: Subject, spool: AuditSpool) -> FakeSink:
    """Take the spool in as a start does; returns the log once the spool is gone."""
    sink = FakeSink()
    Audit(subject.db, make_log(sink), clock=lambda: 9.0).take_in(spool)
    if subject.opened:
        subject.db._followers[-1]()  # as if the file had just been opened
    subject.db.start()
    while os.path.exists(spool.path):
        subject.loop.run_once(10)
    return sink


def rows(subject: Subject) -> list[tuple[str, str]]:
    return [
        tuple(row)
        for row in subject.sql(
            "SELECT action, json_extract(entry, '$.result') FROM audit ORDER BY number"
        )
    ]


def test_what_a_command_does(subject: Subject) -> None:
    """A command writes a line before and one after, even if it fails; the next start adds both to
    the trail, with who it was, and the values without secrets."""
    spool = AuditSpool(subject.folder.path)
    with noted(subject.folder, "data.restore", "a.tar.gz") as change:
        change.after = {"files": 3, "token": "x"}
    with (
        pytest.raises(CommandError),
        noted(subject.folder, "apps.secrets.remove", "shop A", app="shop", before={"isSet": True}),
    ):
        raise CommandError("secret_not_found", "it is not there")
    with pytest.raises(ZeroDivisionError), noted(subject.folder, "plugins.reset", "audit"):
        _ = 1 / 0
    assert Path(spool.path).stat().st_mode & 0o777 == 0o600
    sink = take_in(subject, spool)
    assert rows(subject) == [
        *(("data.restore", "begun"), ("data.restore", "done")),
        *(("apps.secrets.remove", "begun"), ("apps.secrets.remove", "secret_not_found")),
        *(("plugins.reset", "begun"), ("plugins.reset", "failed")),
    ]
    assert sink.events() == ["audit.begun", "audit.changed"] * 3
    fields = sink.records[1].fields
    assert (fields["source"], fields["begun"], fields["subject"]) == ("command", 1, "a.tar.gz")
    assert fields["after"] == {"files": 3, "token": "***"}
    assert fields["actor"]


def test_a_command_that_was_killed(subject: Subject) -> None:
    """What was begun is closed as unknown; half a line is ignored, and the next one is complete."""
    spool = AuditSpool(subject.folder.path)
    begun = spool.put(CHANGE._replace(result="begun"))
    with open(spool.path, "ab") as file:
        file.write(b'{"id": "cut')
    spool.put(CHANGE._replace(subject="shop B"))
    assert begun
    sink = take_in(subject, spool)
    assert [result for _, result in rows(subject)] == ["begun", "done", "unknown"]
    assert "audit.spool_unreadable" in sink.events()
    assert Path(f"{spool.path}.unread").read_bytes().count(b"cut") == 1


def test_taken_once(subject: Subject) -> None:
    """If a runtime is killed before it has removed the file, its entries are not added again."""
    spool = AuditSpool(subject.folder.path)
    subject.db.start()
    spool.put(CHANGE, begun="")
    lines, _ = spool.read()
    taken = subject.ask(lambda connection: take(connection, lines, 9.0, Bounds()))
    assert len(taken) == 1
    take_in(subject, spool)
    assert len(rows(subject)) == 1
    spool.put(CHANGE)
    lines, _ = spool.read()
    subject.ask(lambda connection: take(connection, lines, 9.0, Bounds()))
    spool.put(CHANGE._replace(subject="shop B"))
    take_in(subject, spool)
    assert len(rows(subject)) == 3


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"{}",
        b"7",
        b'{"id": "1", "begun": "", "change": {"at_s": "soon"}}',
        b'{"id": "1", "begun": "", "change": []}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_what_is_no_change(subject: Subject, line: bytes) -> None:
    """An invalid line is left out, and counted."""
    spool = AuditSpool(subject.folder.path)
    Path(spool.path).write_bytes(line + b"\n")
    assert spool.read() == ([], 1)


def test_its_bounds(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spool that no runtime takes in has a maximum size, and is never a link or FIFO."""
    monkeypatch.setattr(auditspool, "MAX_BYTES", 1000)
    spool = AuditSpool(subject.folder.path)
    with pytest.raises(OSError, match="start the runtime, which empties it"):
        for _ in range(10):
            spool.put(CHANGE)
    spool.remove()
    spool.remove()
    Path(spool.path).symlink_to("/dev/null")
    with pytest.raises(OSError, match=r"audit\.spool"):
        spool.put(CHANGE)
    os.unlink(spool.path)
    os.mkfifo(spool.path)
    with pytest.raises(OSError, match="not a file"):
        spool.put(CHANGE)
    with pytest.raises(OSError, match="not a regular file"):
        spool.read()
