"""The audit trail in state.db, in the log, and as a page."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from buntime.core.access.rights import Caller
from buntime.core.admin.auditroutes import AUDIT
from buntime.core.admin.audittrail import Broken, Walk
from buntime.core.errors import ClientFault, HttpError, StateFault
from buntime.server.admin.audit import Audit, Begun
from buntime.server.admin.auditpages import AuditPages
from buntime.server.admin.call import Call
from tests.support.calls import ADMIN, POST, call_of
from tests.support.exchanges import FakeExchange, FakeService
from tests.support.fakes import FakeSink, make_log
from tests.support.statesubject import Subject

LAPTOP = Caller("laptop", "key", ADMIN.verbs)


class World:
    def __init__(self, path: Path, **options: Any) -> None:
        self.subject = Subject(path)
        self.subject.db.start()
        self.sink = FakeSink()
        self.now = 1_795_000_000.0
        self.audit = Audit(self.subject.db, make_log(self.sink), clock=lambda: self.now, **options)
        self.pages = AuditPages(self.subject.db)
        self.service = FakeService()

    def call(self, path: str = "/api/some", caller: Caller = ADMIN, **values: str) -> Call:
        exchange = FakeExchange(path, "POST", service=self.service, peer="192.0.2.1")
        return call_of(exchange, POST, caller, **values)

    def note(self, action: str, subject: str, caller: Caller = ADMIN, **more: Any) -> None:
        """Record it, and wait until it is in the log."""
        before = len(self.sink.records)
        self.audit.record(self.call(caller=caller), action, subject, **more)
        while len(self.sink.records) == before:
            self.subject.loop.run_once(10)

    def ask(self, query: str = "") -> Any:
        """Return the answer, or the code of the error."""
        exchange = FakeExchange(f"/api/audit{query}", service=self.service)
        try:
            call = call_of(exchange, AUDIT[0])
            self.pages.handlers()["audit.list"](call)
        except HttpError as error:
            return error.code
        while not exchange.is_ended:
            self.subject.loop.run_once(10)
        return exchange.error.code if exchange.error else json.loads(exchange.body)

    def subjects(self, query: str = "") -> list[str]:
        return [entry["subject"] for entry in self.ask(query)["entries"]]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "state")
    yield world
    world.subject.close()


def walk(page: Any) -> int:
    walk = Walk()
    for entry in page["entries"]:
        walk.take(entry)
    walk.end(page["removed"])
    return walk.count


def test_an_entry(world: World) -> None:
    """Who, from where, what, and the state before and after are kept; the log has them with number
    and hash."""
    world.note("plugins.disable", "audit", LAPTOP, before={"token": "x"}, after={"enabled": False})
    (entry,) = world.ask()["entries"]
    hash_, previous = entry.pop("hash"), entry.pop("previous")
    assert (len(hash_), previous) == (64, "")
    assert entry == {
        "number": 1,
        "time": "2026-11-18T11:06:40.000Z",
        "actor": "laptop",
        "source": "key",
        "address": "192.0.2.1",
        "request": "1",
        "action": "plugins.disable",
        "subject": "audit",
        "app": None,
        "before": {"token": "***"},
        "after": {"enabled": False},
        "result": "done",
    }
    (record,) = world.sink.records
    assert record.event == "audit.changed"
    assert record.fields == {
        "number": 1,
        "hash": hash_,
        "actor": "laptop",
        "source": "key",
        "address": "192.0.2.1",
        "action": "plugins.disable",
        "subject": "audit",
        "result": "done",
        "before": {"token": "***"},
        "after": {"enabled": False},
        "request_id": "1",
    }


def test_dry_runs_are_none(world: World) -> None:
    """A dry run changes nothing, so it is not recorded."""
    world.audit.record(world.call("/api/some?dryRun=1"), "plugins.disable", "audit")
    assert world.ask()["entries"] == []


def test_whose_it_is(world: World) -> None:
    """The app is taken from the path, from the target within it, or from the handler that knows
    better."""
    for values, app in (
        ({"app": "shop"}, "shop"),
        ({"target": "@acme/blog@^1"}, "@acme/blog"),
        ({}, None),
    ):
        assert world.audit.change(world.call(**values), "x", "y").app == app
    assert world.audit.change(world.call(), "x", "y", app="shop").app == "shop"


def test_filters_and_pages(world: World) -> None:
    """The newest entries come first; a page has a cursor to older ones, which works with filters
    too."""
    for number in range(6):
        app = "shop" if number % 2 else "blog"
        action = "apps.recycle" if number < 3 else "apps.remove"
        caller = LAPTOP if number < 4 else ADMIN
        world.note(action, str(number), caller, app=app)
    world.note("apps", "6")
    world.note("appsx.remove", "7")
    assert world.subjects() == ["7", "6", "5", "4", "3", "2", "1", "0"]
    assert world.subjects("?app=shop") == ["5", "3", "1"]
    assert world.subjects("?actor=laptop&app=blog") == ["2", "0"]
    assert world.subjects("?action=apps.remove") == ["5", "4", "3"]
    assert world.subjects("?action=apps.*") == ["5", "4", "3", "2", "1", "0"]
    first = world.ask("?limit=2&app=shop")
    assert [entry["subject"] for entry in first["entries"]] == ["5", "3"]
    assert world.subjects(f"?limit=2&app=shop&cursor={first['next']}") == ["1"]
    assert world.ask("?limit=3&app=shop")["next"] is None
    for cursor in ("x", "-1", "1" * 30, "%D9%A1"):
        assert world.ask(f"?cursor={cursor}") == "bad_query"
    assert walk(world.ask()) == 8


def test_old_ones_go(tmp_path: Path) -> None:
    """The number and age of entries are bounded; what is left is a whole chain, even after all were
    dropped."""
    world = World(tmp_path / "state", keep_rows=3, keep_s=100.0)
    for number in range(8):
        world.note("x", str(number))
    page = world.ask()
    assert [entry["number"] for entry in page["entries"]] == [8, 7, 6]
    assert page["removed"]["number"] == 5
    assert walk(page) == 3
    world.now += 101
    world.note("x", "late")
    page = world.ask()
    assert [entry["number"] for entry in page["entries"]] == [9]
    assert walk(page) == 1
    world.subject.sql("DELETE FROM audit")
    with pytest.raises(Broken, match="there is no entry"):
        walk(world.ask())
    world.subject.close()


def test_within_another_transaction(world: World) -> None:
    """A change in state.db and its entry are written together, or not at all."""
    change = world.audit.change(world.call(), "keys.add", "k")

    def fails(connection: Any) -> None:
        world.audit.insert(connection, change)
        raise ValueError

    assert type(world.subject.ask(fails)) is ValueError
    assert world.ask()["entries"] == []
    entry = world.subject.ask(lambda connection: world.audit.insert(connection, change))
    assert world.ask()["entries"] == [entry]


def test_changes_of_nobody(world: World) -> None:
    """A change made by a signal has no request."""
    world.audit.own("config.reread", "settings", after={"changed": ["RUNTIME_POOL_SIZE"]})
    (entry,) = world.ask()["entries"]
    told = [entry[name] for name in ("actor", "source", "address", "request")]
    assert told == ["signal", "signal", "", ""]


def begin(world: World, audit: Audit | None = None, **values: str) -> list[Begun]:
    """Begin a change; returns a list that holds it once it has begun."""
    begun: list[Begun] = []
    (audit or world.audit).begin(
        world.call(**values), "shop", {"workers": 1}, {"workers": 2}, then=begun.append
    )
    return begun


def turn(world: World, until: Callable[[], object]) -> None:
    while not until():
        world.subject.loop.run_once(10)


def results(world: World) -> list[tuple[int, str, int | None]]:
    entries = world.ask()["entries"]
    return [(each["number"], each["result"], each.get("begun")) for each in entries]


def test_a_change_in_two_steps(world: World) -> None:
    """The beginning is on disk before the change is made; the end refers to it, and is recorded
    once."""
    begun = begin(world, app="shop")
    turn(world, lambda: begun)
    assert results(world) == [(1, "begun", None)]
    begun[0].end({"workers": 3})
    begun[0].end(result="twice")
    turn(world, lambda: len(world.sink.records) == 2)
    page = world.ask()
    first, second = reversed(page["entries"])
    assert results(world) == [(2, "done", 1), (1, "begun", None)]
    assert (first["before"], first["after"]) == ({"workers": 1}, {"workers": 2})
    assert (second["before"], second["after"]) == ({"workers": 1}, {"workers": 3})
    assert first["action"] == second["action"] == "some.make"
    assert walk(page) == 2
    assert [record.event for record in world.sink.records] == ["audit.begun", "audit.changed"]
    assert world.sink.records[1].fields["begun"] == 1


def test_errors_end_a_change(world: World) -> None:
    """A change that is refused after it began is recorded with its error code, and so is an
    internal error."""

    def refuse(begun: Begun) -> None:
        raise ClientFault(409, "job_runs", "it runs")

    call = world.call()
    world.audit.begin(call, "shop", then=refuse)
    turn(world, lambda: len(world.sink.records) == 2)
    assert results(world) == [(2, "job_runs", 1), (1, "begun", None)]
    assert call.exchange.error.code == "job_runs"  # type: ignore[attr-defined]  # a fake
    begun = begin(world)
    turn(world, lambda: begun)
    with pytest.raises(ZeroDivisionError):
        begun[0].run(lambda: [1 / 0][0])
    turn(world, lambda: len(world.sink.records) == 4)
    assert results(world)[0] == (4, "internal", 3)


def test_what_was_cut_short(world: World) -> None:
    """The next process reports changes that began and never ended, and closes them with an unknown
    result. It leaves its own running changes alone."""
    cut, ended, running = begin(world), begin(world, app="shop"), begin(world)
    turn(world, lambda: running)
    ended[0].end()
    world.now += 60
    sink = FakeSink()
    again = Audit(world.subject.db, make_log(sink), clock=lambda: world.now)
    own = begin(world, again)
    turn(world, lambda: own)
    for callback in world.subject.db._followers[-1:] * 2:  # when the file is opened, and once more
        callback()
    turn(world, lambda: sink.events().count("audit.unknown") == 2)
    page = world.ask()
    assert [each["begun"] for each in page["entries"] if each["result"] == "unknown"] == [3, 1]
    assert walk(page) == 7
    told = page["entries"][0]
    assert (told["actor"], told["subject"], told["action"]) == ("master", "shop", "some.make")
    assert (told["before"], told["after"]) == ({"workers": 1}, None)
    own[0].end()
    running[0].end()  # by a process that was believed dead
    turn(world, lambda: sink.events().count("audit.changed") == 1)
    turn(world, lambda: len(world.ask()["entries"]) == 9)
    assert results(world)[:2] == [(9, "done", None), (8, "done", 5)]
    assert cut[0].number == 1


def test_a_disk_that_hangs(tmp_path: Path) -> None:
    """Nobody waits long for the row of a beginning; it still comes before the row of the end."""
    world = World(tmp_path / "state", wait_s=0.01)
    goes_on = threading.Event()
    world.subject.db.ask(lambda connection: goes_on.wait(10), lambda _: None)
    begun = begin(world)
    turn(world, lambda: begun)
    begun[0].end()
    goes_on.set()
    turn(world, lambda: len(world.sink.records) == 2)
    assert results(world) == [(2, "done", 1), (1, "begun", None)]
    assert len(begun) == 1
    world.subject.close()


def test_what_cannot_be_kept(tmp_path: Path) -> None:
    """An entry that cannot be stored is still in the log, with the reason; its page answers 503."""
    (tmp_path / "state").mkdir()
    os.mkfifo(tmp_path / "state" / "state.db")
    world = World(tmp_path / "state")
    world.note("plugins.disable", "audit", before={"key": "x"})
    (record,) = world.sink.records
    assert record.event == "audit.not_kept"
    assert "move it away" in str(record.fields["error"])
    assert record.fields["subject"] == "audit"
    assert record.fields["before"] == {"key": "***"}
    assert world.ask() == StateFault("").code
    world.subject.close()
