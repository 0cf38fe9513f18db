"""A caller who asks for apps' logs gets those that he may see, at his own pace."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from buntime.core.access.rights import Caller, admin
from buntime.core.admin.logroutes import LOGS
from buntime.core.errors import ClientFault, ServerFault
from buntime.core.telemetry.records import Level, Record, format_json
from buntime.server.admin.logs import FOLLOWERS_MAX, LogPages
from buntime.server.loop.loop import Loop
from buntime.server.telemetry.appfiles import Keeping
from buntime.server.telemetry.applogs import AppLogs
from buntime.server.telemetry.logtail import KEPT_BYTES
from buntime.wire import DOWNLOAD_WINDOW
from tests.support.calls import call_of
from tests.support.exchanges import FakeClient, FakeLoop

NOON = 1772368496.0
[ROUTE] = LOGS
ADMIN = admin("master", "master")
SHOPKEEPER = Caller("laptop", "key", frozenset(("logs:read",)), ("shop*",))
EVERYBODY = Caller("all", "key", frozenset(("logs:read",)), ("*",))


class WakingLoop(FakeLoop):
    def call_threadsafe(self, callback: Any) -> None:
        callback()


class Site:
    """Logs of some apps, and the page that serves them."""

    def __init__(self) -> None:
        self.loop = WakingLoop()
        self.logs = AppLogs(Keeping(), clock=lambda: NOON)
        self.pages = LogPages(cast(Loop, self.loop), self.logs, clock=lambda: NOON)

    def print(self, app: str, *lines: str) -> None:
        name = "plugin" if app.startswith("plugin:") else "app"
        fields = {name: app.removeprefix("plugin:")} if app else {}
        records = [Record(NOON, Level.INFO, "app.output", line, fields) for line in lines]
        self.logs.take(records, [format_json(record) for record in records])

    def ask(
        self, query: str = "", caller: Caller = ADMIN, accept: str = "application/x-ndjson"
    ) -> FakeClient:
        client = FakeClient()
        head = f"GET /api/logs?{query} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n"
        call = call_of(client.request(head.encode()), ROUTE, caller)
        self.pages.handlers()["logs.list"](call)
        return client


@pytest.fixture
def site() -> Site:
    return Site()


def messages(client: FakeClient) -> list[str]:
    """The messages in a chunked stream."""
    text = client.written.partition(b"\r\n\r\n")[2]
    lines = [line for line in text.split(b"\n") if line.startswith(b"{")]
    return [json.loads(line)["message"] for line in lines]


def fill(site: Site) -> None:
    for app in ("shop", "shop-2", "blog", "plugin:shop", ""):
        site.print(app, f"of {app or 'runtime'}")


@pytest.mark.parametrize(
    ("caller", "seen"),
    [
        (ADMIN, ["shop", "shop-2", "blog", "plugin:shop", "runtime"]),
        (EVERYBODY, ["shop", "shop-2", "blog", "plugin:shop", "runtime"]),
        (SHOPKEEPER, ["shop", "shop-2"]),
        (SHOPKEEPER._replace(globs=("*:shop", "blog")), ["blog"]),
        (SHOPKEEPER._replace(globs=("nobody",)), []),
    ],
)
@pytest.mark.parametrize("query", ["", "since=1h", "follow=1", "cursor=0"])
def test_rights(site: Site, caller: Caller, seen: list[str], query: str) -> None:
    """A caller with globs gets the lines of those apps only, old and new, and none of the
    runtime's."""
    fill(site)
    client = site.ask(query, caller)
    expected = [f"of {app}" for app in seen]
    assert messages(client) == expected
    if query == "follow=1":
        fill(site)
        assert messages(client) == expected * 2
        expected, query = expected * 2, ""
    page = site.ask(query, caller, accept="*/*").written
    told = json.loads(page.partition(b"\r\n\r\n")[2])
    assert [line["message"] for line in told["lines"]] == expected


@pytest.mark.parametrize("app", ["%2Bruntime", "plugin:shop"])
def test_rights_at_what_is_no_app(site: Site, app: str) -> None:
    """A glob that happens to match a name in the log that is no app opens nothing."""
    fill(site)
    caller = SHOPKEEPER._replace(globs=("plugin*", "+*"))
    assert messages(site.ask(f"app={app}", caller)) == []
    assert len(messages(site.ask(f"app={app}"))) == 1


def test_slow_reader(site: Site) -> None:
    """A reader that stops reading falls behind, in bounded memory, and is told how many lines were
    dropped."""
    client = FakeClient()
    client.holds = True
    head = b"GET /api/logs?follow=1 HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n"
    site.pages.handlers()["logs.list"](call_of(client.request(head), ROUTE))
    count = 2 * KEPT_BYTES // 1000
    for number in range(count):
        site.print("shop", f"{number} {'x' * 1000}")
    assert len(client.written) < DOWNLOAD_WINDOW + 65536
    while True:
        before = len(client.written)
        client.pending_bytes = 0
        assert client.exchange is not None
        client.exchange.on_flushed()
        if len(client.written) == before:
            break
    data = [line[6:] for line in client.written.split(b"\n") if line.startswith(b"data: ")]
    told = [json.loads(line) for line in data if line.endswith(b"}")]
    [gap] = [each for each in told if each["event"] == "log.skipped"]
    kept = [int(each["message"].split()[0]) for each in told if each["event"] == "app.output"]
    # A chunk's frame cuts one line in two now and then.
    assert count - gap["lines"] - 200 < len(kept) <= count - gap["lines"]
    assert gap["lines"] > 1000


def test_clients_that_leave(site: Site) -> None:
    """A client that leaves is no longer followed; a bounded number may follow at a time."""
    clients = [site.ask("follow=1") for _ in range(FOLLOWERS_MAX)]
    assert len(site.logs.followers) == FOLLOWERS_MAX
    with pytest.raises(ServerFault, match="already following logs"):
        site.ask("follow=1")
    for client in clients:
        client.abort()
    assert site.logs.followers == []
    assert site.pages.followers == set()
    site.ask("follow=1")


def test_quiet_stream(site: Site) -> None:
    """The bytes that keep proxies awake are not a line of the log."""
    client = site.ask("follow=1")
    before = client.written
    [(seconds, tell)] = site.loop.later
    tell()
    assert client.written.removeprefix(before) == b"1\r\n\n\r\n"
    assert seconds <= 15
    assert messages(client) == []


def test_bad_place(site: Site) -> None:
    """A cursor that is not a place in the log is 400."""
    for cursor in ("-1", "1.5", "\u0661", "9" * 30):
        with pytest.raises(ClientFault):
            site.ask(f"cursor={cursor}")
