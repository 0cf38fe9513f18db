"""A page of an app that asks for paths outside of the app is told of, however clients lie."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from buntime.core.apps.app import App
from buntime.core.errors import ClientFault
from buntime.core.settings.load import load_settings
from buntime.server.pipeline.strays import Strays
from tests.support.apps import make_app

NOWHERE = ClientFault(404, "app_not_found", "there is no app /static")
UNKNOWN = ClientFault(404, "not_found", "there is no /api/todos")
LOCKED = ClientFault(401, "unauthorized", "this needs a key")


class Place:
    """Strays in front of some apps, and what they log."""

    def __init__(self, *names: str, env: str = "production") -> None:
        self.apps = {name: make_app(name) for name in names}
        self.looked_up: list[str] = []
        self.records: list[dict[str, Any]] = []
        environ = {"RUNTIME_ENV": env, "RUNTIME_MASTER_KEY": "k" * 32, "RUNTIME_WORKER_DIRS": "/a"}
        settings = load_settings(args={}, environ=environ, dotenv={}, mode="pyz", cores=2)
        self.strays = Strays(self._find, self._warn, settings)

    def explain(self, path: str, referer: str, error: ClientFault = NOWHERE, **more: Any) -> str:
        given: dict[str, Any] = {
            "app": None, "is_operators": False, "started_s": 100.0, "prefix": "", "fields": (),
            "host": None, "upgrade": "", "method": "GET",
        } | more  # fmt: skip
        headers = (("host", "a.example"), ("referer", referer), *given["fields"])
        request = SimpleNamespace(
            head=SimpleNamespace(
                target=path,
                path=path,
                headers=headers,
                host="a.example",
                upgrade=given["upgrade"],
                method=given["method"],
            ),
            sender=SimpleNamespace(host=given["host"], prefix=given["prefix"]),
            app=given["app"],
            is_operators=given["is_operators"],
            started_s=given["started_s"],
        )
        return self.strays.explain(request, error)

    def _find(self, name: str, spec: str | None, now: float) -> App:
        self.looked_up.append(name)
        if name not in self.apps:
            raise NOWHERE
        return self.apps[name]

    def _warn(self, event: str, message: str, /, **fields: object) -> None:
        self.records.append({"event": event, **fields})


def test_a_page_is_named() -> None:
    """The log says which page of which app asked for which path, and what to do; no query."""
    place = Place("shop")
    hint = place.explain("/static/a.css", "http://a.example/shop/cart?token=1#x")
    assert "the page /shop/cart of shop asks for it" in hint
    [record] = place.records
    assert (record["event"], record["app"]) == ("app.link_away", "shop")
    assert (record["page"], record["path"]) == ("/shop/cart", "/static/a.css")
    assert "request.base" in record["hint"]
    assert "hosts" in record["hint"]


def test_each_app_is_told_of_once() -> None:
    """The rest of its requests are only explained, until its code changes."""
    place = Place("shop", "blog")
    for number in range(50):
        assert place.explain(f"/{number}.css", "http://a.example/shop/")
        assert place.explain(f"/{number}.css", "http://a.example/blog/")
    assert [each["app"] for each in place.records] == ["shop", "blog"]
    place.apps["shop"] = make_app("shop")
    assert place.explain("/a.css", "http://a.example/shop/")
    assert [each["app"] for each in place.records] == ["shop", "blog", "shop"]


@pytest.mark.parametrize(
    "referer",
    [
        "",
        "http://a.example",
        "http://a.example/",
        "http://b.example/shop/",
        "http://a.example:8000/shop/",
        "http://a.example@b.example/shop/",
        "ftp://a.example/shop/",
        "http://a.example/other/",
        "http://a.example//shop/",
        "http://a.example/shop/ /",
        "http://a.example/" + "shop/" * 1000,
        "shop",
    ],
)
def test_other_referers_mean_nothing(referer: str) -> None:
    """Only a page of an app at the same host and port can have asked."""
    place = Place("shop")
    assert not place.explain("/static/a.css", referer)
    assert not place.records


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/favicon.ico", {}),
        ("/apple-touch-icon-precomposed.png", {}),
        ("/shop@9/", {}),
        ("/x", {"is_operators": True}),
        ("/x", {"app": object()}),
        ("/api/apps/none", {}),
    ],
)
def test_what_is_no_link_away(path: str, more: dict[str, Any]) -> None:
    """Browsers ask for icons by themselves, a version is no other place, and an app's page may ask
    the API."""
    place = Place("shop")
    assert not place.explain(path, "http://a.example/shop/", **more)
    assert not place.records


def test_the_runtimes_own_paths() -> None:
    """fetch("/api/todos") reaches the runtime's API: said, unless a key shows that it is meant."""
    place = Place("shop")
    page = "http://a.example/shop/"
    key = ("x-api-key", "x")
    assert not place.explain("/api/users", page, LOCKED, fields=(key,))
    assert not place.records
    assert place.explain("/api/todos", page, UNKNOWN)
    assert place.explain("/api/users", page, LOCKED)


def test_a_prefix_and_a_proxys_host() -> None:
    """Behind a proxy it is the public page that counts."""
    place = Place("shop")
    proxied = {"prefix": "/tools", "host": "public.example"}
    hint = place.explain("/static/a.css", "https://Public.example/tools/shop/", **proxied)
    assert "the page /shop/ of shop" in hint


def test_hostile_referers_are_logged_at_a_bounded_rate() -> None:
    """Whoever names thousands of apps gets twenty lines at once, and one a minute after that."""
    names = [f"app{number}" for number in range(1000)]
    place = Place(*names)
    for name in names:
        place.explain("/x" * 5000, f"http://a.example/{name}/{'y' * 1000}")
    assert len(place.records) == 20
    assert len(place.looked_up) == 20
    assert max(len(str(each)) for each in place.records) < 1200
    place.explain("/x", "http://a.example/app999/", started_s=161.0)
    assert len(place.records) == 21
    development = Place(*names, env="development")
    hints = [development.explain("/x", f"http://a.example/{name}/") for name in names]
    assert all(hints)  # each page of a developer is explained
    assert len(development.records) == 20


ORIGIN = (("origin", "http://A.example"),)


def test_a_websocket_is_told_of() -> None:
    """Browsers send only the origin with a handshake, so the path is named, once, and what to
    write instead."""
    place = Place("shop")
    for path in ("/ws", "/ws", "/shop2/ws"):
        hint = place.explain(path, "", upgrade="WebSocket", fields=ORIGIN)
        assert f"opens a WebSocket at {path}" in hint
        assert "document.baseURI" in hint
    assert place.explain("/api/ws", "", LOCKED, upgrade="WebSocket", fields=ORIGIN)
    assert [each["path"] for each in place.records] == ["/ws", "/shop2/ws", "/api/ws"]
    assert {each["event"] for each in place.records} == {"app.socket_away"}


def test_websockets_cannot_fill_the_log() -> None:
    """However many paths clients make up, the log gets some of them."""
    place = Place("shop")
    for number in range(1000):
        assert place.explain(
            f"/{number}", "", upgrade="WebSocket", fields=ORIGIN, started_s=100.0 + 60 * number
        )
    assert len(place.records) == 100
    place = Place("shop")
    for number in range(1000):
        place.explain(f"/{number}", "", upgrade="WebSocket", fields=ORIGIN)
    assert len(place.records) == 20


@pytest.mark.parametrize(
    ("fields", "more"),
    [
        ((), {}),
        ((("origin", "null"),), {}),
        ((("origin", "http://b.example"),), {}),
        (ORIGIN, {"upgrade": ""}),
        (ORIGIN, {"app": object()}),
        (ORIGIN, {"is_operators": True}),
        ((*ORIGIN, ("x-api-key", "x")), {"error": LOCKED}),
    ],
)
def test_other_handshakes(fields: tuple[tuple[str, str], ...], more: dict[str, Any]) -> None:
    """Only a page of this host has lost its base, and an app answers for itself."""
    place = Place("shop")
    assert not place.explain("/ws", "", **{"upgrade": "websocket", "fields": fields, **more})
    assert not place.records


FRAMED = (("origin", "null"),)


def test_a_frame_without_its_token() -> None:
    """A page in a frame whose plain `fetch` needs a key is told of once, with what to use."""
    place = Place("shop")
    app = make_app("shop", in_shell=True)
    for _ in range(2):
        hint = place.explain("/shop/api/x", "", LOCKED, fields=FRAMED, app=app)
        assert "use frame.fetch" in hint
    [record] = place.records
    assert (record["event"], record["path"]) == ("frame.no_token", "/shop/api/x")


def test_others_that_lack_a_key() -> None:
    """A preflight has no token either; an app outside of shells, a page with another origin, and
    who sends a key are not meant."""
    place, shown = Place("shop"), make_app("shop", in_shell=True)
    key = ("authorization", "Bearer x")
    for app, fields, more in (
        (shown, FRAMED, {"method": "OPTIONS"}),
        (make_app("shop"), FRAMED, {}),
        (shown, (("origin", "http://a.example"),), {}),
        (shown, (*FRAMED, key), {}),
    ):
        assert not place.explain("/shop/x", "", LOCKED, fields=fields, app=app, **more)
    assert not place.explain("/shop/x", "", NOWHERE, fields=FRAMED, app=shown)
    assert not place.records
