"""The last hour is recorded without being asked for, and each caller sees the part about his
apps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from buntime.core.access.rights import Caller, admin
from buntime.core.admin.watchroutes import WATCHING
from buntime.core.apps.app import App
from buntime.core.apps.manifest import default_manifest
from buntime.core.pool.lifecycle import State
from buntime.server.admin.chronicle import STEP_S, Chronicle
from buntime.server.admin.historypages import HistoryPages
from tests.support.calls import call_of
from tests.support.exchanges import FakeExchange, FakeService
from tests.support.fakes import FakeProcess

ROUTE = WATCHING[0]
ADMIN = admin("master", "master")
SHOPKEEPER = Caller("laptop", "key", frozenset(("apps:read",)), ("shop", "plugin*"))
NOON = 1772368496.0


def app(name: str) -> App:
    return App(name, None, Path("/apps"), "app.py", default_manifest(1), Path("/apps"))


SHOP, BLOG, AUDIT = app("shop"), app("blog"), app("plugin:audit")


class FakeReport:
    def __init__(self) -> None:
        self.process = FakeProcess()
        self.process.size_bytes = 1000

    def census(self) -> Iterator[tuple[App | None, State, Any]]:
        for owner in (SHOP, SHOP, BLOG, None):
            yield owner, State.IDLE, self.process


class Site:
    def __init__(self) -> None:
        self.service = FakeService()
        service = cast(Any, self.service)
        self.chronicle = Chronicle(service, cast(Any, FakeReport()))
        loop = cast(Any, self.service.loop)
        self.pages = HistoryPages(loop, self.chronicle, clock=lambda: NOON)
        self.chronicle.start()

    def wait(self) -> None:
        [(seconds, callback)], self.service.loop.later = self.service.loop.later, []
        assert seconds == STEP_S
        self.service.loop.now += seconds
        callback()

    def show(self, query: str = "", caller: Caller = ADMIN) -> Any:
        exchange = FakeExchange(f"/api/history{query}", service=self.service)
        self.pages.handlers()["history.show"](call_of(exchange, ROUTE, caller))
        return exchange.json


@pytest.fixture
def site() -> Site:
    site = Site()
    for asked in (SHOP, BLOG, BLOG, AUDIT):
        site.service.meters.of(asked).on_end(200, 1000.0, 0.003, 0, 0)
    site.wait()
    return site


def test_the_hour_is_kept(site: Site) -> None:
    """There is a point every ten seconds, with what happened in that time."""
    site.service.meters.of(SHOP).on_end(500, 1010.0, 0.003, 0, 0)
    site.wait()
    told = site.show()
    assert (told["stepSeconds"], told["end"]) == (10, "2026-03-01T12:34:56Z")
    assert told["apps"]["shop"]["requests"] == [1, 1]
    assert told["apps"]["shop"]["errors"] == [0, 1]
    assert told["apps"]["shop"]["memoryBytes"] == [2000, 2000]
    assert told["total"]["workers"] == [4, 4]
    site.service.loop.now += 4
    assert site.show("?step=20")["end"] == "2026-03-01T12:34:52Z"
    assert site.show("?step=20")["total"]["requests"] == [4]  # without the plugin's


def test_nothing_yet() -> None:
    """Before the first point there is nothing to show."""
    told = Site().show()
    assert told["total"]["requests"] == []


def test_globs(site: Site) -> None:
    """A caller who sees only some apps gets their sum as the total, without plugins and other
    apps."""
    assert site.show()["apps"].keys() == {"shop", "blog", "plugin:audit"}
    told = site.show(caller=SHOPKEEPER)
    assert told["apps"].keys() == {"shop"}
    assert told["total"] == told["apps"]["shop"]
    assert site.show("?app=blog")["total"]["requests"] == [2]
