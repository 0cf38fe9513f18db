"""Sessions depend on keys, are found by their cookie, and last for a while."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from buntime.core.access.keyring import KeyRecord
from buntime.core.access.keytext import digest_of, make_key
from buntime.core.access.rights import admin
from buntime.core.access.sessions import IDLE_S, OF_ONE_MAX, csrf_of
from buntime.core.errors import ClientFault, StateFault
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import load_settings
from buntime.server.admin.operatorsessions import Found, OperatorSessions
from buntime.server.admin.signin import SignIn, secret_of
from tests.support.calls import FakeKeys, NoDb
from tests.support.exchanges import FakeExchange, FakeLoop

MASTER = "the-operator-s-key"
KEY = make_key(b"a" * 32)
RECORD = KeyRecord("ci", digest_of(KEY), KEY[:7], ("viewer",), ("blog-*",), 0.0, "master")
OWN = (("origin", "http://localhost"), ("sec-fetch-site", "same-origin"))


class Subject:
    """Sessions in memory, for clients on other machines; and a clock."""

    def __init__(self) -> None:
        self.keys = FakeKeys(RECORD)
        self.local: Any = SimpleNamespace(value="local-key")
        self.live = self.settings(MASTER)
        loop, log, db = cast(Any, FakeLoop()), cast(Any, SimpleNamespace()), cast(Any, NoDb())
        self.sessions = OperatorSessions(
            loop, log, db, self.live, self.keys, self.local, self.keys.clock
        )

    def settings(self, master: str) -> LiveSettings:
        environ = {"RUNTIME_WORKER_DIRS": "/", "RUNTIME_MASTER_KEY": master}
        return LiveSettings(load_settings(args={}, environ=environ, dotenv={}, mode="pyz", cores=2))

    def begin(self, source: str) -> Found:
        record = self.keys.ring.by_name["ci"]
        made = {
            "key": SignIn(record.caller, record.digest, "key"),
            "master": SignIn(admin("master", "master"), secret_of(MASTER), "master"),
            "local": SignIn(admin("local", "local"), secret_of("local-key"), "local"),
            "link": SignIn(admin("link", "link"), b"", "link"),
        }
        found: list[Found] = []
        self.sessions.begin(made[source], found.append)
        return found[0]

    def find(self, *tokens: str) -> Found | None:
        return self.sessions.find(bearing(*tokens))


def bearing(
    *tokens: str, method: str = "GET", headers: tuple[tuple[str, str], ...] = (), **more: Any
) -> FakeExchange:
    """A request from another machine with these cookies."""
    exchange = FakeExchange("/api/workers", method, headers, peer="10.0.0.1", **more)
    cookies = tuple(("bt", token) for token in tokens)
    exchange.rewrite(exchange.head._replace(operators=cookies))
    return exchange


@pytest.fixture
def subject() -> Subject:
    return Subject()


@pytest.mark.parametrize("source", ["key", "master", "local", "link"])
def test_each_kind(subject: Subject, source: str) -> None:
    """A session is found by its cookie until it is ended, and has the rights of the key behind
    it."""
    made = subject.begin(source)
    assert subject.find(made.token) == made
    assert made.caller.globs == (("blog-*",) if source == "key" else ("*",))
    assert subject.find(made.token[:-1] + "x") is None
    subject.sessions.end(made.session)
    assert subject.find(made.token) is None


def test_what_ends_with_its_key(subject: Subject) -> None:
    """A session ends at once when its key is revoked, expires, is recreated under the same name, or
    when the master or local key changes."""
    by_key, master, local, link = (
        subject.begin(each) for each in ("key", "master", "local", "link")
    )
    other = KeyRecord("ci", digest_of(make_key(b"b" * 32)), "bt_", ("admin",), ("*",), 0.0, "")
    subject.keys.put(other)
    assert subject.find(by_key.token) is None
    again = subject.begin("key")
    subject.keys.ring.revoke("ci", 1.0)
    assert subject.find(again.token) is None
    subject.live.replace(subject.settings("another-key").now)
    subject.local.value = "another-key"
    assert subject.find(master.token) is None
    assert subject.find(local.token) is None
    assert subject.find(link.token) == link


def test_time(subject: Subject) -> None:
    """A session lasts for a fixed time after its last use, and not a moment longer."""
    made = subject.begin("master")
    subject.keys.now += IDLE_S - 1
    assert subject.find(made.token) is not None
    subject.keys.now += IDLE_S - 1
    assert subject.find(made.token) is not None
    subject.keys.now += IDLE_S
    assert subject.find(made.token) is None


def test_an_open_stream_is_no_use(subject: Subject) -> None:
    """A panel that is left open all night does not keep its session alive."""
    made = subject.begin("master")
    exchange = bearing(made.token)
    exchange.answer = cast(Any, object())
    for _ in range(4):
        subject.keys.now += IDLE_S / 4
        subject.sessions.find(exchange)
    assert subject.find(made.token) is None


@pytest.mark.parametrize(
    "field", [("x-buntime-unattended", "1"), ("accept", "text/event-stream")], ids=lambda f: f[0]
)
def test_a_page_that_asks_by_itself_is_no_use(subject: Subject, field: tuple[str, str]) -> None:
    """A panel that polls, or whose stream reconnects, does not keep the session of someone who has
    left."""
    made = subject.begin("master")
    for _ in range(3):
        subject.keys.now += IDLE_S / 4
        assert subject.sessions.find(bearing(made.token, headers=(field,))) is not None
    subject.keys.now += IDLE_S / 4
    assert subject.find(made.token) is None


def test_keys_that_are_not_known(subject: Subject) -> None:
    """While the keys are not known, no session is rejected for good."""
    made = subject.begin("key")
    subject.keys.is_known = False
    with pytest.raises(StateFault):
        subject.find(made.token)
    subject.keys.is_known = True
    assert subject.find(made.token) == made


def test_several(subject: Subject) -> None:
    """Invalid cookies beside a valid one do no harm; two valid ones cancel each other out."""
    one, two = subject.begin("master"), subject.begin("link")
    assert subject.find("x", one.token, "y" * 43) == one
    assert subject.find(one.token, two.token) is None
    assert [each.token for each in subject.sessions.sessions_in(bearing(one.token, two.token))] == [
        one.token,
        two.token,
    ]


def test_too_many(subject: Subject) -> None:
    """One key has a bounded number of sessions; the one idle the longest is dropped."""
    first = subject.begin("link")
    for _ in range(OF_ONE_MAX):
        subject.begin("link")
    assert subject.find(first.token) is None


def test_over_tls(subject: Subject) -> None:
    """Over TLS, a cookie with the name used for plain HTTP does not count."""
    made = subject.begin("master")
    assert subject.sessions.find(bearing(made.token, scheme="https")) is None


def test_who_comes_by_the_loopback(subject: Subject) -> None:
    """A request over the loopback has no session until it is known that no app made it."""
    made = subject.begin("master")
    exchange = FakeExchange("/api/workers")
    exchange.rewrite(exchange.head._replace(operators=(("bt", made.token),)))
    assert subject.sessions.find(exchange) is None


@pytest.mark.parametrize(
    ("method", "headers", "code"),
    [
        ("GET", (), ""),
        ("GET", (("sec-fetch-site", "none"),), ""),
        ("GET", (("sec-fetch-site", "same-site"),), "cross_site"),
        ("GET", (("origin", "http://localhost:8000"),), "cross_site"),
        ("POST", OWN, ""),
        ("POST", OWN[:1], ""),
        ("POST", OWN[1:], "cross_site"),
        ("POST", (*OWN, ("origin", "http://evil.example")), "cross_site"),
        ("DELETE", (), "cross_site"),
    ],
)
def test_what_a_request_bears(
    subject: Subject, method: str, headers: tuple[tuple[str, str], ...], code: str
) -> None:
    """A read need not say where it comes from; a write must show that it comes from a page of
    ours."""
    made = subject.begin("master")
    bears = (*headers, ("x-buntime-csrf", csrf_of(made.token)))
    exchange = bearing(made.token, method=method, headers=bears)
    if not code:
        subject.sessions.check_use(exchange, made.token)
        return
    with pytest.raises(ClientFault) as caught:
        subject.sessions.check_use(exchange, made.token)
    assert caught.value.code == code


def test_a_websocket_says_where_it_comes_from(subject: Subject) -> None:
    """A script cannot add header fields to a WebSocket, so its Origin must be there."""
    made = subject.begin("master")
    subject.sessions.check_use(bearing(made.token, headers=OWN, upgrade="websocket"), made.token)
    with pytest.raises(ClientFault):
        subject.sessions.check_use(bearing(made.token, upgrade="websocket"), made.token)


def test_links(subject: Subject) -> None:
    """Each link works once, for a quarter of an hour; beyond the limit the oldest is dropped."""
    links = subject.sessions.links
    one, late = links.make(1000.0), links.make(1000.0)
    assert links.use(one, 1001.0)
    assert not links.use(one, 1001.0)
    assert not links.use(late, 1900.0)
    assert not links.use("é", 1000.0)
    many = [links.make(2000.0) for _ in range(101)]
    assert not links.use(many[0], 2000.0)
    assert links.use(many[1], 2000.0)
