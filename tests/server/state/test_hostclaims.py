"""Which app had a host first, as state.db records it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, cast

import pytest

from buntime.core.errors import StateFault
from buntime.server.state.hostclaims import HostClaims
from buntime.server.state.migrations import SCRIPTS
from tests.support.exchanges import FakeLoop


class FakeDb:
    """A database in memory that opens when the test says so."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        for script in SCRIPTS:
            self.connection.executescript(script)
        self.fault: BaseException | None = None
        self.trouble = ""
        self.loop = FakeLoop()
        self._followers: list[Callable[[], None]] = []

    def follow(self, callback: Callable[[], None]) -> None:
        self._followers.append(callback)

    def ask(self, work: Callable[[Any], Any], then: Callable[[Any], None]) -> None:
        then(self.fault or work(self.connection))

    def open(self) -> None:
        for callback in self._followers:
            callback()


def claims_of(db: FakeDb) -> tuple[HostClaims, list[dict[str, object]]]:
    told: list[dict[str, object]] = []

    def tell(event: str, message: str, /, **fields: object) -> None:
        told.append({"event": event, **fields})

    return HostClaims(cast(Any, db), tell=tell), told


def test_what_was_noted_is_there_after_a_restart() -> None:
    """Recorded claims are there after a restart, and followers are told when they are read."""
    db = FakeDb()
    claims, told = claims_of(db)
    db.open()
    claims.note({"x.y": "a"})
    claims.note({"x.y": "a", "*.y": "b"})
    again, _ = claims_of(db)
    calls: list[int] = []
    again.follow(lambda: calls.append(1))
    db.open()
    assert again.holders == {"x.y": "a", "*.y": "b"}
    assert calls == [1]
    assert told == []


def test_nothing_is_noted_before_it_is_known_what_was() -> None:
    """An app that claims a host while the runtime starts does not keep it."""
    db = FakeDb()
    first, _ = claims_of(db)
    db.open()
    first.note({"x.y": "a"})
    claims, _ = claims_of(db)
    claims.note({"x.y": "thief"})
    db.open()
    assert claims.holders == {"x.y": "a"}


def test_who_comes_before_it_is_known() -> None:
    """A request waits until it is known who had the host first."""
    db = FakeDb()
    first, _ = claims_of(db)
    db.open()
    first.note({"x.y": "a"})
    claims, _ = claims_of(db)
    seen: list[object] = []
    assert claims.waits(lambda: seen.append(claims.holders))
    assert seen == [{"x.y": "a"}]
    assert not claims.waits(lambda: seen.append("again"))


def test_nobody_waits_for_what_cannot_be_read() -> None:
    """Without the database apps have hosts in their order, at once."""
    db = FakeDb()
    db.fault = StateFault("it is damaged")
    claims, _ = claims_of(db)
    seen: list[object] = []
    assert claims.waits(lambda: seen.append(claims.holders))
    assert seen == [{}]
    assert not claims.waits(lambda: seen.append("again"))


def test_a_move_is_told() -> None:
    """A move is logged with both apps."""
    db = FakeDb()
    claims, told = claims_of(db)
    db.open()
    claims.note({"x.y": "a"})
    claims.note({"x.y": "b"})
    assert told == [{"event": "host.moved", "host": "x.y", "app": "b", "before": "a"}]
    assert db.connection.execute("SELECT host, app FROM hosts").fetchall() == [("x.y", "b")]


def test_an_operator_moves_a_host() -> None:
    """The host moves once that is written, and stays moved after a restart; if it cannot be
    written, or what is written with it is refused, nothing changes."""
    db = FakeDb()
    claims, told = claims_of(db)
    db.open()
    claims.note({"x.y": "a"})
    faults: list[BaseException | None] = []
    seen: list[str | None] = []

    def refuse(connection: object, holder: str | None) -> None:
        seen.append(holder)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):  # the real one passes it on
        claims.move("x.y", "b", refuse, faults.append)
    db.fault = OSError("full")
    claims.move("x.y", "b", refuse, faults.append)
    assert (claims.holders, faults, seen) == ({"x.y": "a"}, [db.fault], ["a"])
    db.fault = None
    calls: list[int] = []
    claims.follow(lambda: calls.append(1))
    claims.move("x.y", "b", lambda _, holder: seen.append(holder), faults.append)
    assert (claims.holders, faults[1:], seen[1:], calls) == ({"x.y": "b"}, [None], ["a"], [1])
    assert told == [{"event": "host.moved", "host": "x.y", "app": "b", "before": "a"}]
    again, _ = claims_of(db)
    db.open()
    assert again.holders == {"x.y": "b"}
    assert again.since == claims.since


def test_what_could_not_be_kept_is_kept_later() -> None:
    """After a full disk, once the file is opened again, everything is read and recorded again."""
    db = FakeDb()
    claims, _ = claims_of(db)
    db.open()
    db.fault = OSError("full")
    claims.note({"x.y": "a"})
    db.fault = None
    claims.note({"x.y": "a"})  # not yet
    assert db.connection.execute("SELECT * FROM hosts").fetchall() == []
    db.open()
    claims.note({"x.y": "a"})
    assert db.connection.execute("SELECT host, app FROM hosts").fetchall() == [("x.y", "a")]
