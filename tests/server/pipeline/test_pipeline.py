"""The order of the steps that a request goes through, and what each step does."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from buntime.core.apps.router import RESERVED
from buntime.core.plugins.plan import Standing, compile_plan
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import Settings, load_settings
from buntime.core.telemetry.pluginmeters import PluginMeters
from buntime.server.admin.maintenance import Closed
from buntime.server.apps.catalog import Catalog
from buntime.server.deploys.previews import Previews
from buntime.server.http1.exchange import Exchange
from buntime.server.pipeline.pipeline import Pipeline
from buntime.server.pipeline.steps import Admittance, hide_affinity
from buntime.server.plugins.parts import Parts
from buntime.server.state.secretstore import Secrets
from tests.support.callcount import count_calls
from tests.support.calls import gate_of
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
    """Records what it receives."""

    def __init__(self) -> None:
        self.submitted: list[tuple[Any, Any]] = []

    def submit(self, exchange: Any, app: Any) -> None:
        self.submitted.append((exchange, app))


class FakeApi:
    """Answers with the path that was requested."""

    def answer(self, exchange: FakeExchange, path: str) -> None:
        exchange.respond(200, [], path.encode())


class FakeMaintenance:
    """The closed apps."""

    def __init__(self) -> None:
        self.closed: dict[str, Closed] = {}
        self.is_known = True
        self.waiting: list[Callable[[], None]] = []
        self.tell: Callable[[], None] = lambda: None

    def of(self, app: str) -> Closed | None:
        return self.closed.get(app)

    def waits(self, then: Callable[[], None]) -> bool:
        if not self.is_known:
            self.waiting.append(then)
        return not self.is_known

    def follow(self, callback: Callable[[], None]) -> None:
        self.tell = callback


class Way:
    """A pipeline over a folder of apps."""

    def __init__(self, root: Path, plugins: WithoutPlugins | None = None, **environ: str) -> None:
        self.service = FakeService()
        self.pool = FakePool()
        self.errors: list[str] = []
        self.maintenance = FakeMaintenance()
        self.live = LiveSettings(settings_of(root, **environ))
        self.catalog = Catalog(
            [root], body_default=1000, body_max=2000, warn=lambda *_, **__: None, reserved=RESERVED
        )
        known = plugins or WithoutPlugins()
        parts = Parts(self.service.loop, known, PluginMeters())  # type: ignore[arg-type]  # a fake
        hooking = SimpleNamespace(parts=parts)
        self.pipeline = Pipeline(
            self.live,
            self.catalog,
            self.pool,  # type: ignore[arg-type]  # a fake
            FakeApi(),  # type: ignore[arg-type]  # a fake
            self,  # type: ignore[arg-type]  # a fake
            admittance=Admittance(
                gate_of(self.live),
                self.maintenance,  # type: ignore[arg-type]  # a fake
                Previews(),
                Secrets(),
            ),
            plugins=known,
            hooking=hooking,  # type: ignore[arg-type]  # a fake, as nobody is asked
        )

    def error(self, event: str, _: str, /, **__: object) -> None:
        self.errors.append(event)

    def warn(self, event: str, _: str, /, **__: object) -> None:
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
    """Whatever a fake exchange offers, a real one has too."""
    own = {"fields", "body", "error", "code", "json"}
    assert {name for name in dir(FakeExchange("/")) if name[0] != "_"} - own <= set(dir(Exchange))


# The order


def test_the_order(root: Path) -> None:
    """Of all that is wrong with a request, the first step's error is the answer; a valid request
    reaches the pool."""
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
    """A site is answered from its files after the access check, and reads no body."""
    answer = way.ask("/site/", content_length=5000)
    assert (answer.status, answer.body, answer.body_max_bytes) == (200, b"<p>hello", 0)


def test_an_https_url_over_plain_http(way: Way) -> None:
    """A URL with https is not answered over plain HTTP, neither an app's page nor the runtime's
    own, unless a trusted proxy says that the client used https."""
    for target in ("/site/", "/health", "/nobody/"):
        assert way.ask(target, is_secure=True).code == "misdirected_request"
    assert way.ask("/site/", is_secure=True, scheme="https").status == 200


# Reserved paths


@pytest.mark.parametrize("first", sorted(RESERVED))
def test_reserved_paths(way: Way, first: str) -> None:
    """The runtime answers at its own paths, with and without something after them."""
    for path in (f"/{first}", f"/{first}/", f"/{first}/more"):
        assert way.ask(f"{path}?query").body == path.encode()


def test_paths_that_look_reserved(way: Way, root: Path) -> None:
    """An app's name may begin with a reserved word."""
    for name in ("apis", "h", "healthy", "metrics2", "api-docs"):
        write_app(root / name, APP)
    way.catalog.serve_from([root])
    for name in ("apis", "h", "healthy", "metrics2", "api-docs"):
        assert way.is_submitted(way.ask(f"/{name}/"))


def test_the_api_s_prefix(root: Path) -> None:
    """With RUNTIME_API_PREFIX the API is below it and nowhere else; the other paths stay."""
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
    """An app with a faulty manifest is 500, and the log says so."""
    for _ in range(3):
        assert way.ask("/broken/").status == 500
    assert way.errors == ["app.invalid"]


# Access


def test_a_protected_app(root: Path) -> None:
    """A request with the key reaches the app, and so does one for a public route; the app never
    sees the key."""
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
    """A public app does not see the key either; other values are passed on."""
    way = Way(root, RUNTIME_MASTER_KEY=KEY)
    exchange = way.ask("/shop/", headers=(("x-api-key", KEY), ("x-api-key", "its own")))
    assert exchange.headers == (("x-api-key", "its own"),)


def test_paths_of_jobs(root: Path) -> None:
    """A path with `cronOnly` exists for nobody, however it is written; other paths do."""
    jobs = [{"schedule": "@daily", "path": "/jobs/clean?all=1", "cronOnly": True}]
    write_app(root / "busy", APP, visibility="protected", cron=jobs)
    way = Way(root, RUNTIME_MASTER_KEY=KEY)
    key = (("x-api-key", KEY), ("x-buntime-cron", "jobs-clean"))
    written = ("clean", "clean/", "clean?x=1", "%63lean", "clean;x=1", "./clean", "x/../clean")
    for path in (
        *(f"jobs/{each}" for each in written),
        "/jobs/clean",
        "jobs%2Fclean",
        "jobs//clean",
    ):
        for method in ("GET", "POST"):
            refused = way.ask(f"/busy/{path}", method, headers=key)
            assert refused.error is not None, path
            assert refused.error.status == 404, path
    for path in ("jobs/cleaner", "jobs", "jobs/clean/x", "Jobs/clean"):
        assert way.is_submitted(way.ask(f"/busy/{path}", headers=key))


def test_an_internal_app(root: Path) -> None:
    """An internal app exists for nobody, and the error is the one for a missing app."""
    way = Way(root, RUNTIME_MASTER_KEY=KEY)
    refused = way.ask("/hidden@1/x", headers=(("x-api-key", KEY),))
    unknown = way.ask("/nobody@1/x")
    assert str(refused.error).replace("hidden", "nobody") == str(unknown.error)


def test_an_app_that_is_closed_for_a_while(root: Path) -> None:
    """Visitors are turned away after the access check, also from a site; other apps are not
    affected."""
    way = Way(root)
    assert way.is_submitted(way.ask("/shop/"))
    way.maintenance.closed = {name: Closed(0.0, "later", 60) for name in ("shop", "site", "secret")}
    way.maintenance.tell()
    for path in ("/shop/", "/shop@1/x", "/site/", "/secret/open"):
        exchange = way.ask(path)
        assert (exchange.code, exchange.error and exchange.error.status) == ("maintenance", 503)
        assert exchange.error.headers == (("Retry-After", "60"),)
    assert way.ask("/secret/").code == "unauthorized"
    assert way.ask("/broken/").code != "maintenance"
    way.maintenance.closed = {}
    way.maintenance.tell()
    assert way.is_submitted(way.ask("/shop/"))


def test_an_app_of_which_it_is_not_known_yet(root: Path) -> None:
    """At a start a request waits until it is known whether its app is closed."""
    way = Way(root)
    way.maintenance.is_known = False
    for is_closed in (True, False):
        way.maintenance.tell()
        exchange = way.ask("/shop/")
        assert not exchange.is_ended
        assert not way.is_submitted(exchange)
        way.maintenance.closed = {"shop": Closed(0.0, "later", 60)} if is_closed else {}
        way.maintenance.waiting.pop()()
        assert exchange.is_ended is is_closed
        assert way.is_submitted(exchange) is not is_closed


# Steps of an app


def test_steps_are_made_once(way: Way) -> None:
    """While an app stays the same, so do its steps; another `App` gets new ones."""
    made = way.pipeline._made
    way.ask("/site/")
    [(app, steps)] = made.items()
    way.ask("/site/")
    assert made[app] is steps
    way.catalog.outdate(app)
    way.ask("/site/")
    assert [each for each in made if each is not app and each.key == app.key]


def test_steps_go_with_their_app(way: Way, root: Path) -> None:
    """Nothing is kept of a removed app, static or not."""
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
    """A client that invents paths fills no memory, and reaches the same app by each."""
    routes = way.pipeline._routes._nobodys.routes
    for number in range(1000):
        assert way.is_submitted(way.ask(f"/shop/{number}?{number}"))
        assert len(routes) <= 256
    way.ask("/shop/" + "a" * 1000)
    assert "/shop/999" in routes
    assert all(len(path) <= 512 for path in routes)


def test_a_remembered_path_is_no_older_than_the_catalog(way: Way, root: Path) -> None:
    """When the catalog would find something new, after a change or by the clock, the next request
    gets it."""
    way.ask("/shop/x")
    [(found, _)] = way.pool.submitted
    assert found.app is not None
    way.catalog.outdate(found.app)
    assert way.ask("/shop/x").app is not found.app
    shutil.rmtree(root / "shop@1.2.0")
    os.utime(root, (1, 1))
    assert way.is_submitted(way.ask("/shop/x"))  # within the second for which a result is valid
    way.service.loop.now += 10
    assert way.ask("/shop/x").code == "app_not_found"


def test_reserved_paths_need_no_disk(way: Way) -> None:
    """Health is answered however long a check of the app folders would take."""
    way.ask("/shop/")
    looks = way.catalog._check
    way.service.loop.now += 10
    assert way.ask("/health").body == b"/health"
    assert way.catalog._check == looks


def test_a_new_key(way: Way, root: Path) -> None:
    """After a change of settings the next request is checked against the new key."""
    headers = (("x-api-key", KEY),)
    assert way.ask("/secret/", headers=headers).code == "unauthorized"
    way.live.replace(settings_of(root, RUNTIME_MASTER_KEY=KEY))
    assert way.is_submitted(way.ask("/secret/", headers=headers))
    assert way.ask("/shop/", headers=headers).headers == ()


# What plugins cost


def plugged(root: Path, match: dict[str, object], count: int = 5) -> Way:
    """This many plugins with hooks, which match only these requests."""
    hooks = frozenset({"on_request", "on_response"})
    manifests = [make_manifest(f"p{number}", match=match) for number in range(count)]
    plugins = WithoutPlugins()
    plugins.plan = compile_plan([Standing(each, hooks) for each in manifests], {})
    return Way(root, plugins)


def calls_of(way: Way, host: str = "localhost") -> int:
    """How many functions a warm request calls, in Python and in C, on its way to the pool."""
    exchange = FakeExchange("/shop/cart", service=way.service, host=host)
    for _ in range(3):
        way.ask("/shop/cart", host=host)
    count = count_calls(lambda: way.pipeline.handle(exchange))  # type: ignore[arg-type]  # a fake
    assert way.is_submitted(exchange)
    return count


def test_hooks_of_other_apps_cost_nothing(root: Path) -> None:
    """A request makes as many calls as without plugins."""
    assert calls_of(plugged(root, {"apps": ["other"]})) == calls_of(Way(root))


@pytest.mark.parametrize("match", [{"paths": ["/admin/**"]}, {"hosts": ["a.b"]}])
def test_hooks_of_other_requests_cost_little(root: Path, match: dict[str, object]) -> None:
    """It costs as much for many plugins as for one: the match was found before."""
    five, one = calls_of(plugged(root, match)), calls_of(plugged(root, match, 1))
    assert five == one
    assert one - calls_of(Way(root)) <= 2  # the step, and its look-up in a dict


# Affinity


def test_affinity_costs_others_nothing(root: Path) -> None:
    """A request to an app without affinity makes no more calls beside apps with it, also if the app
    at `/` has none."""
    calls = calls_of(Way(root))
    write_app(root / "sticky", APP, ttl="1h", affinity="cookie")
    assert calls_of(Way(root)) == calls_of(Way(root, RUNTIME_DEFAULT_APP="site")) == calls


def test_the_cookie_of_an_app_at_the_root(root: Path) -> None:
    """Its cookie comes with the requests for all other apps, and is hidden from them; cookies of
    other apps are not."""
    write_app(root / "front", APP, ttl="1h")
    fields = (("cookie", "bt-affinity=x; a=b"),)
    way = Way(root, RUNTIME_DEFAULT_APP="front")
    assert way.ask("/shop/", headers=fields).headers == fields
    write_app(root / "front", APP, ttl="1h", affinity="cookie")
    way.catalog.serve_from([root])
    assert way.ask("/shop/", headers=fields).headers == (("cookie", "a=b"),)
    way.live.replace(settings_of(root))
    assert way.ask("/shop/", headers=fields).headers == fields


def test_where_a_hook_may_lead_to_the_root(root: Path) -> None:
    """If a hook may send the request to an app at the root, the affinity cookie may be any app's,
    so it is hidden."""
    way = Way(root)
    exchange = FakeExchange("/shop/", service=way.service)
    for keep in (True, False):
        route = way.pipeline._routes.find(exchange, keep=keep)  # type: ignore[arg-type]  # a fake
        assert (hide_affinity in route.steps) is not keep


# Hosts


SHOP_HOST = "shop.example.com"


@pytest.fixture
def hosted(tmp_path: Path) -> Path:
    write_app(tmp_path / "shop@1.2.0", APP, hosts=[SHOP_HOST, "*.example.com"])
    write_app(tmp_path / "shop@1.0.0", APP)
    write_app(tmp_path / "secret", APP, visibility="protected", hosts=["secret.example.com"])
    write_app(tmp_path / "hidden", APP, visibility="internal", hosts=["hidden.example.com"])
    write_app(tmp_path / "site", {"index.html": "<p>hello", "robots.txt": "all"}, hosts=["a.site"])
    write_app(tmp_path / "other", APP)
    return tmp_path


def routed(way: Way, target: str, **more: Any) -> tuple[str, str]:
    """The app that a request reaches, and its base."""
    exchange = way.ask(target, **more)
    assert way.is_submitted(exchange), exchange.error
    assert exchange.app is not None
    return exchange.app.key, exchange.base


@pytest.mark.parametrize(
    "target",
    """
    / /cart /other/x /shop@1.0.0/x /api /api/workers /health /metrics /robots.txt /favicon.ico
    /.well-known/acme-challenge/x /.well-known/security.txt /.well-known/buntimes //other/x
    /../other /%2ewell-known/buntime /.git/config /@acme/x
    """.split(),
)
@pytest.mark.parametrize("host", [SHOP_HOST, "SHOP.example.com.:8443"])
def test_every_path_is_the_app_s(hosted: Path, target: str, host: str) -> None:
    """At its host an app has all paths, also those that are the runtime's on other hosts, and no
    base."""
    way = Way(hosted)
    way.pipeline.prepare(way.service.loop.now)
    assert routed(way, target, host=host) == ("shop@1.2.0", "")
    assert routed(way, target + "?x=1", host=host) == ("shop@1.2.0", "")  # as it is cached


def test_what_stays_the_runtime_s(hosted: Path) -> None:
    """Health is answered at each host, and nothing else of the runtime's is."""
    way = Way(hosted)
    for path in ("/.well-known/buntime/health", "/.well-known/buntime/health/"):
        assert way.ask(path, host=SHOP_HOST).body == path.encode()
    for path in ("/.well-known/buntime", "/.well-known/buntime/", "/.well-known/buntime/x"):
        assert way.ask(path, host=SHOP_HOST).code == "not_found"
    assert way.ask("*", "OPTIONS", host=SHOP_HOST).status == 204


@pytest.mark.parametrize(
    "host",
    [
        "", "localhost:8000", "example.com", "a.b.example.com", "shop.example.com.evil.example",
        "sh%6fp.example.com", "[::1]", "127.0.0.1", "shop.example.com..", "x" * 5000,
    ],
)  # fmt: skip
def test_hosts_that_no_app_names(hosted: Path, host: str) -> None:
    """At other hosts everything is as without hosts, including pins, also if the Host is
    invalid."""
    way = Way(hosted)
    for _ in range(2):
        assert routed(way, "/shop/cart", host=host) == ("shop@1.2.0", "/shop")
        assert routed(way, "/shop@1.0/cart", host=host) == ("shop@1.0.0", "/shop@1.0")
        assert way.ask("/api/workers", host=host).body == b"/api/workers"
        assert way.ask("/cart", host=host).code == "app_not_found"
        assert routed(way, "/cart", host=SHOP_HOST) == ("shop@1.2.0", "")


def test_a_trusted_proxy_tells_the_host(hosted: Path) -> None:
    """A trusted proxy's host counts, and what it has removed from the path is the base."""
    way = Way(hosted)
    exchange = FakeExchange("/cart", service=way.service, host="10.0.0.9", prefix="/tools")
    exchange.sender = exchange.sender._replace(host="shop.example.com:443")
    way.pipeline.handle(exchange)  # type: ignore[arg-type]  # a fake
    assert (exchange.app and exchange.app.key, exchange.base) == ("shop@1.2.0", "/tools")


def test_access_at_a_host(hosted: Path) -> None:
    """A protected app requires its key at its host; an internal one is missing there, and its name
    is not revealed."""
    way = Way(hosted, RUNTIME_MASTER_KEY=KEY)
    assert way.ask("/x", host="secret.example.com").code == "unauthorized"
    key = (("x-api-key", KEY),)
    assert routed(way, "/x", host="secret.example.com", headers=key) == ("secret", "")
    refused = way.ask("/x", host="hidden.example.com")
    assert (refused.code, str(refused.error)) == ("app_not_found", "there is no app /x")


def test_a_site_at_a_host(hosted: Path) -> None:
    """A site's files are at the root of its host, and its page's links start there."""
    way = Way(hosted)
    assert way.ask("/robots.txt", host="a.site").body == b"all"
    assert b'<base href="/">' in way.ask("/", host="a.site").body
    assert way.ask("/robots.txt").code == "app_not_found"


def test_the_label_of_a_wildcard(hosted: Path) -> None:
    """The app is told which of a wildcard's hosts was used, and a client cannot set it."""
    way = Way(hosted)
    for _ in range(2):
        line = way.ask("/x", host="Ann.example.com").to_line(1, b"", ended=True)
        assert b'["x-vhost-tenant","ann"]' in line
    sent = (("x-vhost-tenant", "bob"), ("x_vhost_tenant", "bob"), ("host", SHOP_HOST))
    for host in (SHOP_HOST, "localhost"):
        line = way.ask("/shop", host=host, headers=sent).to_line(1, b"", ended=True)
        assert b"tenant" not in line


def test_hosts_come_and_go(hosted: Path) -> None:
    """Hosts are looked up once a second; nothing of the previous host is kept."""
    way = Way(hosted)
    assert way.ask("/api/x", host="new.example.org").body == b"/api/x"
    write_app(hosted / "new", APP, hosts=["new.example.org"])
    way.service.loop.now += 2
    assert routed(way, "/api/x", host="new.example.org") == ("new", "")
    shutil.rmtree(hosted / "new")
    way.service.loop.now += 2
    assert way.ask("/api/x", host="new.example.org").body == b"/api/x"


def test_many_hosts_take_no_memory(hosted: Path) -> None:
    """A client that asks for ever new hosts and paths fills no memory."""
    way = Way(hosted)
    for number in range(600):
        way.ask(f"/{number}", host=f"h{number}.example.com")
        way.ask("/shop/x", host=f"h{number}.example.org")
    routes = way.pipeline._routes
    assert len(routes._realms) <= 256
    assert sum(len(realm.routes) for realm in routes._realms.values()) <= 257


# RUNTIME_DEFAULT_APP


def test_the_default_app(hosted: Path) -> None:
    """The default app answers paths that name no app, and /; paths of apps and of the runtime
    stay."""
    way = Way(hosted, RUNTIME_DEFAULT_APP="other")
    left = """/ /x /robots.txt /favicon.ico //shop/x /../shop /nobody@1/x /shop@9/ /.git
        /.well-known/security.txt /hidden/x /hidden@9/x"""
    for path in left.split():
        for _ in range(2):
            assert routed(way, path) == ("other", ""), path
    assert routed(way, "/shop/x") == ("shop@1.2.0", "/shop")
    assert routed(way, "/other/x") == ("other", "/other")
    assert routed(way, "/x", host=SHOP_HOST) == ("shop@1.2.0", "")
    for path in ("/api/x", "/health", "/metrics", "/.well-known/buntime"):
        assert way.ask(path).body == path.encode()


def test_the_default_app_has_a_version(hosted: Path) -> None:
    """It may have a version as in a path, and `/` is served by that range. SIGHUP changes it."""
    way = Way(hosted, RUNTIME_DEFAULT_APP="shop@~1.0")
    assert routed(way, "/x") == ("shop@1.0.0", "")
    assert way.pool.submitted[-1][0].spec == "~1.0"
    way.live.replace(settings_of(hosted, RUNTIME_DEFAULT_APP="other"))
    assert routed(way, "/x") == ("other", "")
    way.live.replace(settings_of(hosted))
    assert way.ask("/x").code == "app_not_found"


def test_a_default_app_that_is_not_there(hosted: Path) -> None:
    """This is reported when the runtime starts; requests are answered as without a default app."""
    way = Way(hosted, RUNTIME_DEFAULT_APP="missing")
    way.pipeline.prepare(1.0)
    assert way.errors == ["app.default_missing"]
    assert str(way.ask("/x").error) == "there is no app /x"


def test_what_a_host_costs(hosted: Path) -> None:
    """A warm request costs one look-up in a dict if apps have hosts, and nothing if none has."""
    at_host, beside = calls_of(Way(hosted), SHOP_HOST), calls_of(Way(hosted))
    for name in ("shop@1.2.0", "secret", "hidden", "site"):
        (hosted / name / "buntime.yaml").unlink()
    without = calls_of(Way(hosted))
    assert at_host == beside == without + 1
