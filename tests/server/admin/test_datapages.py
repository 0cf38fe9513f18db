"""Who gets a backup, and when."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from buntime.core.access.rights import Caller
from buntime.core.admin.dataroutes import DATA
from buntime.core.errors import HttpError
from buntime.server.admin.datapages import DataPages
from tests.support.calls import ADMIN, call_of
from tests.support.exchanges import FakeExchange, FakeService
from tests.support.fakes import FakeAudit, FakeLoop, FakeSink, make_log


class World:
    def __init__(self) -> None:
        self.loop: Any = FakeLoop()
        live: Any = SimpleNamespace(
            now=SimpleNamespace(state_dir="/nonexistent", worker_dirs=(), plugin_dirs=())
        )
        self.db: Any = SimpleNamespace(trouble="", is_off=False)
        self.audit: Any = FakeAudit()
        kernel: Any = None
        self.sink = FakeSink()
        log = make_log(self.sink)
        self.pages = DataPages(self.loop, log, live, self.db, self.audit, kernel)

    def ask(self, query: str = "", source: Any = "key", method: str = "GET") -> str:
        """The error's code, or "" if the backup begins."""
        exchange = FakeExchange(f"/api/data/backup{query}", method, service=FakeService())
        call = call_of(exchange, DATA[1], Caller("me", source, ADMIN.verbs))
        try:
            self.pages.handlers()["data.backup"](call)
        except HttpError as error:
            return error.code
        return ""


def test_a_page_of_what_is_kept(tmp_path: Path) -> None:
    """Backups are listed by name; a page's cursor leads to the next page."""
    world = World()
    world.pages._live.now.state_dir = str(tmp_path)
    for name in ("c", "a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)

    def ask(query: str) -> Any:
        exchange = FakeExchange(f"/api/data{query}", service=FakeService())
        world.pages.handlers()["data.list"](call_of(exchange, DATA[0], ADMIN))
        world.loop.turn()
        told = json.loads(exchange.body)
        return [each["name"] for each in told["data"]], told["next"]

    assert ask("?limit=2") == (["a", "b"], "b")
    assert ask("?cursor=b") == (["c"], None)


@pytest.mark.parametrize("source", ["key", "master"])
def test_secrets_stay_here(source: str) -> None:
    """Secrets' values are never given to a key that may be used from elsewhere."""
    assert World().ask("?secrets=1", source) == "secrets_not_sent"


def test_one_at_a_time() -> None:
    """A second backup is told to wait; after a failure, which is recorded, another one can
    start."""
    world = World()
    assert world.ask("?secrets=1", "socket") == ""
    assert world.ask() == "backup_running"
    world.loop.turn()  # there is no such state folder
    assert world.sink.events() == ["data.backup_failed"]
    assert world.audit.noted == [("data.backup", "all", None, None, "backup_failed", None)]
    assert world.ask() == ""


def test_a_state_that_cannot_be_read() -> None:
    """An unreadable state is reported before anything is sent; a backup that needs no state is
    made."""
    world = World()
    world.db.trouble = "it is damaged"
    assert world.ask() == world.ask("?only=state") == "state_unavailable"
    assert world.ask("?only=data") == ""


def test_head() -> None:
    """A HEAD request reads nothing."""
    world = World()
    assert world.ask(method="HEAD") == ""
    assert world.loop.calls == []
