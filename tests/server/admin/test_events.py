"""A listener to events gets what he may see, at his own pace, and costs little."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from buntime.core.access.rights import Caller, admin
from buntime.core.admin.watchroutes import WATCHING
from buntime.core.errors import ClientFault, ServerFault
from buntime.core.telemetry.meters import Held
from buntime.server.admin.events import (
    LISTENERS_MAX,
    LOOK_S,
    PENDING_MAX,
    UNREAD_S,
    EventPages,
)
from tests.support.calls import call_of
from tests.support.exchanges import FakeClient, FakeService

ROUTE = WATCHING[1]
ADMIN = admin("master", "master")
SHOPKEEPER = Caller("laptop", "key", frozenset(("apps:read", "plugins:read")), ("shop*", "plugin*"))


class Site:
    """The page, with signs and a clock that a test moves."""

    def __init__(self) -> None:
        self.service = FakeService()
        self.signs: dict[tuple[str, str], object] = {}
        self.looks = 0
        self.told: Any = None
        none = SimpleNamespace(follow=lambda callback: None)
        parts = SimpleNamespace(
            service=self.service,
            plugins=none,
            maintenance=none,
            follow_apps=self._follow_apps,
            chronicle=SimpleNamespace(measure=lambda then: then({"shop": Held(1, 5)})),
            pool=SimpleNamespace(report=SimpleNamespace(queues=list)),
        )
        self.pages = EventPages(cast(Any, parts), self._take)

    def _take(self) -> dict[tuple[str, str], object]:
        self.looks += 1
        return dict(self.signs)

    def _follow_apps(self, callback: Any) -> None:
        self.told = callback

    def listen(self, query: str = "", caller: Caller = ADMIN, *, reads: bool = True) -> FakeClient:
        client = FakeClient(self.service)
        client.holds = not reads
        head = f"GET /api/events?{query} HTTP/1.1\r\nHost: a\r\n\r\n"
        call = call_of(client.request(head.encode()), ROUTE, caller)
        self.pages.handlers()["events.list"](call)
        return client

    def wait(self, looks: int = 1) -> None:
        for _ in range(looks):
            due, self.service.loop.later = self.service.loop.later, []
            self.service.loop.now += LOOK_S
            for _, callback in due:
                callback()


@pytest.fixture
def site() -> Site:
    return Site()


def events(client: FakeClient) -> list[tuple[str, Any]]:
    told = []
    for block in client.written.partition(b"\r\n\r\n")[2].split(b"\n\n"):
        lines = [line for line in block.split(b"\n") if line.startswith((b"event", b"data"))]
        if lines:
            kind, data = lines
            told.append((kind.decode().removeprefix("event: "), json.loads(data[6:])))
    return told


def changes(client: FakeClient) -> list[tuple[str, Any]]:
    return [each for each in events(client) if each[0] != "stats"]


def test_what_changes_is_told(site: Site) -> None:
    """New, changed and removed signs are reported once each."""
    site.signs = {("workers", "shop"): 1, ("deploys", "blog"): 1}
    client = site.listen()
    site.wait()
    assert changes(client) == []
    site.signs = {("workers", "shop"): 2, ("plugins", "audit"): 1}
    site.wait(3)
    assert changes(client) == [
        ("workers", {"app": "shop"}),
        ("deploys", {"app": "blog"}),
        ("plugins", {"plugin": "audit"}),
    ]
    site.told(["new"])
    site.pages.tell("workers", "")
    site.pages.tell("menus", "audit")
    assert changes(client)[-3:] == [
        ("apps", {"app": "new"}),
        ("workers", {"app": None}),
        ("menus", {}),
    ]


def test_stats(site: Site) -> None:
    """Statistics come every two seconds, and at once to a new listener."""
    client = site.listen("kinds=stats")
    site.signs["workers", "shop"] = 1
    site.wait(4)
    assert [kind for kind, _ in events(client)] == ["stats", "stats"]
    assert events(client)[0][1]["apps"]["shop"]["memoryBytes"] == 5
    assert [kind for kind, _ in events(site.listen())] == ["stats"]


def test_globs(site: Site) -> None:
    """A key for some apps hears of no other app, plugin or number, whatever they are called."""
    client = site.listen(caller=SHOPKEEPER)
    for kind in ("apps", "workers", "deploys", "attention"):
        for name in ("shop", "shop-2", "blog", "plugin:shop", ""):
            site.signs[kind, name] = 1
    site.signs["plugins", "shop"] = 1
    site.signs["menus", "shop"] = 1
    site.wait()
    assert {data["app"] for _, data in changes(client)} == {"shop", "shop-2"}
    assert {kind for kind, _ in changes(client)} == {"apps", "workers", "deploys", "attention"}
    site.wait()
    [(_, stats)] = [each for each in events(client) if each[0] == "stats"]
    assert stats["apps"].keys() == {"shop"}


def test_menus(site: Site) -> None:
    """Who may open a plugin hears of its entries, by a name for all, also without plugins:read."""
    visitor = Caller("ann", "key", frozenset(("apps:read", "apps:open")), ("plugin:audit",))
    client, reader = site.listen(caller=visitor), site.listen(caller=SHOPKEEPER)
    site.signs["menus", "queue"] = 1
    site.wait()
    assert changes(client) == []
    site.signs["menus", "audit"] = 1
    site.wait()
    del site.signs["menus", "audit"]
    site.wait()
    assert changes(client) == [("menus", {})] * 2
    assert changes(reader) == []


def test_nothing_is_looked_at_without_listeners(site: Site) -> None:
    """Polling starts with the first listener and stops when the last one has left."""
    assert (site.looks, site.service.loop.later) == (0, [])
    client = site.listen()
    site.wait()
    client.is_gone = True
    site.signs["apps", "shop"] = 1
    site.wait()
    assert site.pages.listeners == set()
    site.wait()
    looks = site.looks
    assert site.service.loop.later == []
    site.listen()
    assert site.looks == looks + 1


def test_who_does_not_read(site: Site) -> None:
    """For a listener that does not read, a bounded amount waits, and after a minute he is cut off;
    others get everything."""
    reader = site.listen("kinds=apps")
    for _ in range(LISTENERS_MAX - 1):
        site.listen(reads=False)
    sizes = []
    for number in range(40):
        many = range(50 + number * 2)
        site.signs = {("apps", f"app{n}{'x' * 150}"): number for n in many}
        site.wait()
        sizes.append(sum(len(each._pending) for each in site.pages.listeners))
    assert max(sizes) <= LISTENERS_MAX * PENDING_MAX
    assert len(site.pages.listeners) == LISTENERS_MAX
    assert all(len(each.stream._kept) < 1000 for each in site.pages.listeners)
    with pytest.raises(ServerFault) as refused:
        site.listen()
    assert refused.value.code == "too_many_listeners"
    site.wait(int(UNREAD_S) + 1)
    assert [each.stream.has_room for each in site.pages.listeners] == [True]
    assert ("apps", {}) in changes(reader)


def test_unknown_kinds(site: Site) -> None:
    """An unknown kind is named in the error."""
    with pytest.raises(ClientFault, match="'stat' is not one of"):
        site.listen("kinds=stat,apps")
