"""The order of a request's way, and what each step does with it."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from buntime.core.access.guesses import Guesses
from buntime.core.apps.router import RESERVED
from buntime.core.plugins.plan import Standing, compile_plan
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import Settings, load_settings
from buntime.server.apps.catalog import Catalog
from buntime.server.http1.exchange import Exchange
from buntime.server.pipeline import Pipeline
from tests.support.exchanges import FakeExchange, FakeService
from tests.support.harness import write_app
from tests.support.pluginmanifests import make_manifest
from tests.support.withoutplugins import WithoutPlugins

KEY = "the-operator-s-key"
SHAKE = (
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("sec-websocket-version", "13"),
)
APP = {"app.py": ""}


class FakePool:
    """Remembers what came to it."""

    def __init__(self) -> None:
        self.submitted: list[tuple[Any, Any]] = []

    def submit(self, exchange: Any, app: Any) -> None:
        self.submitted.append((exchange, app))


class FakeApi:
    """Answers with the path that it was asked for."""

    def answer(self, exchange: FakeExchange, path: str) -> None:
        exchange.respond(200, [], path.encode())


class Way:
    """A pipeline over a folder of apps."""

    def __init__(self, root: Path, plugins: WithoutPlugins | None = None, **environ: str) -> None:
        self.service = FakeService()
        self.pool = FakePool()
        self.errors: list[str] = []
        self.live = LiveSettings(settings_of(root, **environ))
        self.catalog = Catalog(
            [root], body_default=1000, body_max=2000, warn=lambda *_, **__: None, reserved=RESERVED
        )
        self.pipeline = Pipeline(
            self.live,
            self.catalog,
            self.pool,  # type: ignore[arg-type]  # a fake
            FakeApi(),  # type: ignore[arg-type]  # a fake
            self,  # type: ignore[arg-type]  # a fake
            guesses=Guesses(),
            plugins=plugins or WithoutPlugins(),
            hooking=None,  # type: ignore[arg-type]  # nobody is asked
        )

    def error(self, event: str, _: str, /, **__: object) -> None:
        self.errors.append(event)

    def ask(self, target: str, method: str = "GET", **more: Any) -> FakeExchange:
        exchange = FakeExchange(target, method, service=self.service, **more)
        self.pipeline.handle(exchange)  # type: ignore[arg-type]  # a fake
        return exchange

    def is_submitted(self, exchange: FakeExchange) -> bool:
        return any(each is exchange for each, _ in self.pool.submitted)


def settings_of(root: Path, **environ: str) -> Settings:
    return load_settings(
        args={},
        environ={"RUNTIME_WORKER_DIRS": str(root), **environ},
        dotenv={},
        mode="pyz",
        cores=2,
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_app(tmp_path / "shop@1.2.0", APP)
    write_app(tmp_path / "secret", APP, visibility="protected", publicRoutes=["/open"])
    write_app(tmp_path / "hidden", APP, visibility="internal")
    write_app(tmp_path / "site", {"index.html": "<p>hello"}, injectBase=False)
    write_app(tmp_path / "broken", APP, ttl="no time")
    return tmp_path


@pytest.fixture
def way(root: Path) -> Way:
    return Way(root)


def test_fakes_are_like_the_real_thing() -> None:
    """A fake exchange has nothing to be used that a real one has not."""
    own = {"fields", "body", "error", "code", "json"}
    assert {name for name in dir(FakeExchange("/")) if name[0] != "_"} - own <= set(dir(Exchange))


# The order


def test_the_order(root: Path) -> None:
    """Of all that is wrong with a request the first step tells; what is right comes to the pool."""
    way = Way(root, RUNTIME_MASTER_KEY=KEY)
    wrong: dict[str, Any] = {"content_length": 5000, "upgrade": "websocket"}
    key = (("x-api-key", KEY),)
    assert way.ask("/api/../secret/x", **wrong).body == b"/api/../secret/x"
    assert way.ask("/nobody/x", **wrong).code == "app_not_found"
    assert way.ask("/secret/x", **wrong).code == "unauthorized"
    assert way.ask("/secret/x", headers=key, **wrong).code == "body_too_large"
    wrong = {"upgrade": "websocket"}
    assert way.ask("/secret/x", headers=key, **wrong).status == 426
    assert way.pool.submitted == []
    assert way.is_submitted(way.ask("/secret/x", headers=key + SHAKE, **wrong))


def test_a_static_site_has_no_size(way: Way) -> None:
    """A site answers from its files behind the check of access; it reads no body."""
    answer = way.ask("/site/", content_length=5000)
    assert (answer.status, answer.body, answer.body_max_bytes) == (200, b"<p>hello", 0)


def test_an_https_url_over_plain_http(way: Way) -> None:
    """What is asked for over https is not answered to who came without it: neither an app's page
    nor the runtime's own; a proxy that is trusted may say that he came with it."""
    for target in ("/site/", "/health", "/nobody/"):
        assert way.ask(target, is_secure=True).code == "misdirected_request"
    assert way.ask("/site/", is_secure=True, scheme="https").status == 200


# Reserved paths


@pytest.mark.parametrize("first", sorted(RESERVED))
def test_reserved_paths(way: Way, first: str) -> None:
    """The runtime answers at its own paths, with and without something behind."""
    for path in (f"/{first}", f"/{first}/", f"/{first}/more"):
        assert way.ask(f"{path}?query").body == path.encode()


def test_paths_that_look_reserved(way: Way, root: Path) -> None:
    """An app's name may begin like a reserved word."""
    for name in ("apis", "h", "healthy", "metrics2", "api-docs"):
        write_app(root / name, APP)
    way.catalog.serve_from([root])
    for name in ("apis", "h", "healthy", "metrics2", "api-docs"):
        assert way.is_submitted(way.ask(f"/{name}/"))


def test_the_api_s_prefix(root: Path) -> None:
    """With RUNTIME_API_PREFIX the API is below it and nowhere else; the others stay."""
    way = Way(root, RUNTIME_API_PREFIX="/_/x")
    assert way.ask("/_/x/api/workers").body == b"/api/workers"
    assert way.ask("/api/workers").code == "app_not_found"
    assert way.ask("/health").body == b"/health"


def test_the_server_as_a_whole(way: Way) -> None:
    """`OPTIONS *` is answered with the methods that the server knows."""
    answer = way.ask("*", "OPTIONS")
    assert (answer.status, answer.body) == (204, b"")
    assert "DELETE" in answer.fields["allow"]


# Which app


@pytest.mark.parametrize("target", ["/", "//shop", "/../x", "/.git/config", "/shop@", "/shop@2"])
def test_no_app(way: Way, target: str) -> None:
    """A target that names no app is 404."""
    assert way.ask(target).code == "app_not_found"


def test_what_the_exchange_learns(way: Way) -> None:
    """The exchange gets its app, its meter and its base, also behind a proxy's prefix."""
    exchange = way.ask("/shop@1/cart", prefix="/tools")
    assert (exchange.app.key, exchange.base) == ("shop@1.2.0", "/tools/shop@1")
    assert (exchange.meter.name, exchange.meter.version) == ("shop", "1.2.0")
    assert exchange.body_max_bytes == 1000


def test_a_faulty_manifest(way: Way) -> None:
    """An app whose manifest is wrong is 500, and the log says so."""
    assert way.ask("/broken/").status == 500
    assert way.errors == ["app.invalid"]


# Access


def test_a_protected_app(root: Path) -> None:
    """Who bears the key reaches it, and who asks for a public route; the app never sees the key."""
    way = Way(root, RUNTIME_MASTER_KEY=KEY)
    refused = way.ask("/secret/")
    assert refused.code == "unauthorized"
    assert refused.error is not None
    assert refused.error.headers == (("WWW-Authenticate", 'Bearer realm="buntime"'),)
    assert way.is_submitted(way.ask("/secret/open"))
    others = (("accept", "*/*"), ("authorization", "Basic abc"))
    let_in = way.ask("/secret/", headers=(*others, ("authorization", f"Bearer {KEY}")))
    assert way.is_submitted(let_in)
    assert let_in.headers == others


def test_the_key_at_a_public_app(root: Path) -> None:
    """A public app does not see the key either; what is no key passes."""
    way = Way(root, RUNTIME_MASTER_KEY=KEY)
    exchange = way.ask("/shop/", headers=(("x-api-key", KEY), ("x-api-key", "its own")))
    assert exchange.headers == (("x-api-key", "its own"),)


def test_an_internal_app(root: Path) -> None:
    """An internal app is there for nobody, in the words for no app at all."""
    way = Way(root, RUNTIME_MASTER_KEY=KEY)
    refused = way.ask("/hidden@1/x", headers=(("x-api-key", KEY),))
    unknown = way.ask("/nobody@1/x")
    assert str(refused.error).replace("hidden", "nobody") == str(unknown.error)


# Steps of an app


def test_steps_are_made_once(way: Way) -> None:
    """As long as an app is the same, so are its steps; another `App` gets others."""
    made = way.pipeline._made
    way.ask("/site/")
    [(app, steps)] = made.items()
    way.ask("/site/")
    assert made[app] is steps
    way.catalog.outdate(app)
    way.ask("/site/")
    assert [each for each in made if each is not app and each.key == app.key]


def test_steps_go_with_their_app(way: Way, root: Path) -> None:
    """Of an app that was removed nothing is kept, be it static or not."""
    folders = [root / name for name in ("site", "shop@1.2.0")]
    for path in ("/site/", "/shop/", "/secret/open"):
        way.ask(path)
    assert len(way.pipeline._made) == 3
    for folder in folders:
        shutil.rmtree(folder)
    os.utime(root, (1, 1))
    way.pool.submitted.clear()
    way.service.loop.now += 10
    assert way.ask("/site/").code == way.ask("/shop/").code == "app_not_found"
    way.ask("/secret/open")
    gc.collect()
    assert [app.name for app in way.pipeline._made] == ["secret"]


def test_few_and_short_paths_are_remembered(way: Way) -> None:
    """Whoever invents paths fills no memory, and reaches the same app by each."""
    routes = way.pipeline._routes
    for number in range(1000):
        assert way.is_submitted(way.ask(f"/shop/{number}?{number}"))
        assert len(routes) <= 256
    way.ask("/shop/" + "a" * 1000)
    assert "/shop/999" in routes
    assert all(len(path) <= 512 for path in routes)


def test_a_remembered_path_is_no_older_than_the_catalog(way: Way, root: Path) -> None:
    """What the catalog would find anew, the next request gets: by a change, by the clock."""
    way.ask("/shop/x")
    [(found, _)] = way.pool.submitted
    assert found.app is not None
    way.catalog.outdate(found.app)
    assert way.ask("/shop/x").app is not found.app
    shutil.rmtree(root / "shop@1.2.0")
    os.utime(root, (1, 1))
    assert way.is_submitted(way.ask("/shop/x"))  # within the second that what was found holds
    way.service.loop.now += 10
    assert way.ask("/shop/x").code == "app_not_found"


def test_reserved_paths_need_no_disk(way: Way) -> None:
    """Health is told however long a look at the app folders would take."""
    way.ask("/shop/")
    looks = way.catalog._check
    way.service.loop.now += 10
    assert way.ask("/health").body == b"/health"
    assert way.catalog._check == looks


def test_a_new_key(way: Way, root: Path) -> None:
    """After a change of settings the next request is let in by the new ones."""
    headers = (("x-api-key", KEY),)
    assert way.ask("/secret/", headers=headers).code == "unauthorized"
    way.live.replace(settings_of(root, RUNTIME_MASTER_KEY=KEY))
    assert way.is_submitted(way.ask("/secret/", headers=headers))
    assert way.ask("/shop/", headers=headers).headers == ()


# What plugins cost


def plugged(root: Path, match: dict[str, object], count: int = 5) -> Way:
    """So many plugins with hooks, which are to be asked about such requests alone."""
    hooks = frozenset({"on_request", "on_response"})
    manifests = [make_manifest(f"p{number}", match=match) for number in range(count)]
    plugins = WithoutPlugins()
    plugins.plan = compile_plan([Standing(each, hooks) for each in manifests], {})
    return Way(root, plugins)


def calls_of(way: Way) -> int:
    """How many functions a warm request calls, in Python and in C, on its way to the pool."""
    exchange = FakeExchange("/shop/cart", service=way.service)
    for _ in range(3):
        way.ask("/shop/cart")
    count = 0

    def note(frame: FrameType, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    gc.disable()
    sys.setprofile(note)
    try:
        way.pipeline.handle(exchange)  # type: ignore[arg-type]  # a fake
    finally:
        sys.setprofile(before)
        gc.enable()
    assert way.is_submitted(exchange)
    return count


def test_hooks_of_other_apps_cost_nothing(root: Path) -> None:
    """A request calls as much as where there are no plugins."""
    assert calls_of(plugged(root, {"apps": ["other"]})) == calls_of(Way(root))


@pytest.mark.parametrize("match", [{"paths": ["/admin/**"]}, {"hosts": ["a.b"]}])
def test_hooks_of_other_requests_cost_little(root: Path, match: dict[str, object]) -> None:
    """As much for many as for one: such a request was looked at before."""
    five, one = calls_of(plugged(root, match)), calls_of(plugged(root, match, 1))
    assert five == one
    assert one - calls_of(Way(root)) <= 8
