"""The runtime's own pages: who may see which, and what they show."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from buntime import __version__
from buntime.core.access.rights import VERBS, Caller
from buntime.core.admin.route import OPEN, Route
from buntime.core.admin.routes import ROUTES
from buntime.core.errors import HttpError
from buntime.core.plugins.manifest import parse_plugin_manifest
from buntime.core.plugins.plan import NO_PLUGINS
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import Settings, load_settings
from buntime.core.telemetry.pluginmeters import PluginMeters
from buntime.server.admin.accesspages import AccessPages
from buntime.server.admin.api import Handler
from buntime.server.admin.keypages import KeyPages
from buntime.server.admin.own import OwnPages
from buntime.server.admin.pages import Pages, api_of
from buntime.server.admin.plugins import PluginPages
from buntime.server.admin.secretpages import SecretPages
from buntime.server.admin.workers import WorkerPages
from buntime.server.apps.catalog import Catalog
from buntime.server.plugins.found import Found
from buntime.server.plugins.roster import Roster
from buntime.server.plugins.switches import Switches
from buntime.server.state.statefolder import StateFolder
from tests.support.calls import FakeKeys, gate_of
from tests.support.exchanges import FakeExchange, FakeService
from tests.support.fakes import FakeAudit
from tests.support.harness import write_app

KEY = "the-operator-s-key"
BEARS = (("x-api-key", KEY),)
LOCAL_KEY = "the-key-in-the-state-folder"
LOCAL = (("x-api-key", LOCAL_KEY),)
OPEN_PATHS = (
    "/health",
    "/api/health",
    "/api/health/live",
    "/api/health/ready",
    "/.well-known/buntime",
)
DESCRIPTION = ("/api/openapi.json", "/api/docs")  # of what is public anyway
# These check for themselves who asks: tests/e2e/access/test_sessions.py
SIGNING_IN = ("session.show", "session.begin", "session.end", "session.open")
OPERATORS = (
    "/api/plugins",
    "/api/workers",
    "/api/workers/stats",
    "/api/workers/metrics",
    "/metrics",
)
READ = [*OPEN_PATHS, *OPERATORS]
READS = (
    "apps:read",
    "logs:read",
    "data:read",
    "config:read",
    "keys:read",
    "plugins:read",
    "audit:read",
    "users:read",
)
ACTIONS = ("/api/workers/w1/recycle", "/api/apps/shop/recycle")


class FakePool:
    """One worker, w1, and the pool's report."""

    def __init__(self) -> None:
        self.report = self.orders = self
        self.sandboxes = SimpleNamespace(to_json=lambda: {"level": "off"})
        self.groups = SimpleNamespace(to_json=lambda: {"memoryMax": False})
        self.recycled: list[tuple[str, str | None]] = []

    def workers(self, now: float) -> list[object]:
        return [{"id": "w1", "app": "shop", "version": "2.0.0", "now": now}]

    def apps(self, now: float) -> list[object]:
        return [{"app": "shop"}]

    def app_stats(self) -> dict[str, object]:
        return {"shop": {"requestCount": 3}}

    def recycle_worker(self, name: str) -> bool:
        return name == "w1"

    def recycle_app(self, name: str, key: str | None) -> list[str]:
        self.recycled.append((name, key))
        return ["w1"]


class FakeMetrics:
    def handlers(self) -> dict[str, Handler]:
        return {
            "metrics.text": lambda call: call.answer("text"),
            "workers.metrics": lambda call: call.answer("json"),
        }


class OtherPages:
    """Pages that have their own tests; here only access to them is checked."""

    def __init__(self, *groups: Pages) -> None:
        self._known = {name for group in groups for name in group.handlers()}

    def handlers(self) -> dict[str, Handler]:
        names = {route.name for route in ROUTES.routes} - self._known
        return dict.fromkeys(names, lambda call: call.answer({}))


class FakePlugins:
    """One plugin, switched off; records what it was asked to do."""

    def __init__(self) -> None:
        off = parse_plugin_manifest(
            b"{name: audit, enabled: false}", path="audit", body_default=1, body_max=1
        )[0]
        switches = Switches(StateFolder("/nonexistent"), lambda *_, **__: None)
        self.roster = Roster(switches)
        self.roster.found = {"@acme/audit": Found("@acme/audit", Path("/audit"), off)}
        self.asked: list[tuple[object, ...]] = []
        self.meters = PluginMeters()
        self.plan = NO_PLUGINS
        self.rules = ()
        self.options = SimpleNamespace(of=lambda name: {})

    def switch(self, name: str, *, enabled: bool, by: str) -> None:
        self.asked.append((name, enabled, by))

    def reset(self, name: str, *, by: str) -> None:
        self.asked.append((name, None, by))

    def reload(self, name: str, *, by: str) -> int:
        self.asked.append((name, by))
        return 0


class Fixture:
    def __init__(self, root: Path, **environ: str) -> None:
        self.service = FakeService()
        self.pool = FakePool()
        self.live = LiveSettings(settings(root, **environ))
        pool: Any = self.pool
        catalog = Catalog([root], body_default=1, body_max=1, warn=lambda *_, **__: None)
        self.local = SimpleNamespace(value=None)
        self.plugins = FakePlugins()
        self.secrets: Any = SimpleNamespace(found={})
        self.keys = FakeKeys()
        store: Any = self.keys
        gate = gate_of(self.live, self.keys, local=self.local)
        self.audit = FakeAudit()
        audit: Any = self.audit
        plugins: Any = self.plugins
        groups: tuple[Pages, ...] = (
            OwnPages(self.live, started_s=0.0),
            WorkerPages(pool, catalog, audit),
            FakeMetrics(),
            PluginPages(
                plugins,
                self.live,
                audit,
                cast(Any, SimpleNamespace(folder=str(root))),
                cast(Any, SimpleNamespace(of_next_look=lambda: lambda end: end(""))),
            ),
            SecretPages(self.secrets, catalog, plugins, audit),
            KeyPages(store, audit),
            AccessPages(
                self.live, ROUTES, store, catalog, plugins, is_closed=lambda app: app == "closed"
            ),
        )
        self.api = api_of(self.live, gate, *groups, OtherPages(*groups))

    def ask(self, path: str, method: str = "GET", query: str = "", **more: Any) -> FakeExchange:
        """Ask with the local key, if there is one and no other key is given."""
        if self.local.value and "headers" not in more:
            more["headers"] = LOCAL
        exchange = FakeExchange(path + query, method, service=self.service, **more)
        try:
            self.api.answer(exchange, path)
        except HttpError as error:  # as the pipeline does
            exchange.fail(error)
        return exchange


def settings(root: Path, **environ: str) -> Settings:
    environ = {"RUNTIME_WORKER_DIRS": str(root), "RUNTIME_LISTEN": "10.1.2.3:8000", **environ}
    return load_settings(args={}, environ=environ, dotenv={}, mode="pyz", cores=2)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for label in ("shop@1.0.0", "shop@1.1.0", "shop@2.0.0"):
        write_app(tmp_path / label, {"app.py": ""})
    return tmp_path


def in_development(root: Path, **environ: str) -> Fixture:
    """Without a master key, but with a local key for this machine."""
    fixture = Fixture(root, **environ)
    fixture.local.value = LOCAL_KEY
    return fixture


@pytest.fixture
def fixture(root: Path) -> Fixture:
    return in_development(root)


# Who gets which


@pytest.mark.parametrize("path", OPEN_PATHS)
def test_open_pages(root: Path, path: str) -> None:
    """Health and discovery are open to everybody, from anywhere, with or without a key."""
    for environ in ({}, {"RUNTIME_MASTER_KEY": KEY}):
        answer = Fixture(root, **environ).ask(path, peer="192.0.2.1", host="apps.example.org")
        assert answer.status == 200


@pytest.mark.parametrize("path", OPERATORS)
def test_pages_for_operators(root: Path, path: str) -> None:
    """With a key set they require it, wherever the request comes from; without one they are open to
    this machine alone, and require the local key from its file."""
    keyless, keyed = in_development(root), Fixture(root, RUNTIME_MASTER_KEY=KEY)
    assert keyless.ask(path).status == 200
    for fields in ((), (("x-api-key", "wrong"),), BEARS, (("authorization", LOCAL_KEY),)):
        assert keyless.ask(path, headers=fields).code == "unauthorized"
    assert keyless.ask(path, host="10.1.2.3:8000").status == 200  # where it listens
    assert keyless.ask(path, peer="192.0.2.1").code == "forbidden"
    assert keyless.ask(path, host="rebound.example").code == "forbidden"
    assert keyless.ask(path, headers=(*LOCAL, ("via", "1.1 proxy"))).code == "forbidden"
    refused = keyed.ask(path)
    assert refused.code == "unauthorized"
    assert refused.error is not None
    assert refused.error.headers == (("WWW-Authenticate", 'Bearer realm="buntime"'),)
    assert keyed.ask(path, headers=BEARS, peer="192.0.2.1", host="else").status == 200


@pytest.mark.parametrize("path", OPERATORS)
def test_pages_that_are_closed(root: Path, path: str) -> None:
    """Without any key nobody gets in, and the answer says what to set."""
    closed = Fixture(root)
    for fields in ((), BEARS, (("x-api-key", ""),), (("authorization", "Bearer None"),)):
        answer = closed.ask(path, headers=fields)
        assert (answer.status, answer.code) == (403, "forbidden")
        assert "set RUNTIME_MASTER_KEY" in str(answer.error)


def test_wrong_keys(root: Path) -> None:
    """A client that guesses keys has to wait, even with the right key; other clients do not."""
    keyed = Fixture(root, RUNTIME_MASTER_KEY=KEY)
    wrong = (("x-api-key", "wrong"),)
    told = [keyed.ask("/api/workers", headers=wrong).status for _ in range(20)]
    assert (set(told[:10]), set(told[11:])) == ({401}, {429})
    answer = keyed.ask("/metrics", headers=BEARS)
    assert answer.code == "too_many_keys"
    assert answer.error is not None
    assert answer.error.headers == (("Retry-After", "5"),)
    assert keyed.ask("/api/workers", headers=BEARS, peer="192.0.2.1").status == 200
    assert keyed.ask("/health", headers=wrong).status == 200


def test_public_metrics(fixture: Fixture, root: Path) -> None:
    """RUNTIME_METRICS=public opens /metrics, but not its JSON form, from the next request on."""
    assert fixture.ask("/metrics", peer="192.0.2.1").status == 403
    fixture.live.replace(settings(root, RUNTIME_METRICS="public"))
    assert fixture.ask("/metrics", peer="192.0.2.1").status == 200
    assert fixture.ask("/api/workers/metrics", peer="192.0.2.1").status == 403


def test_a_new_key(fixture: Fixture, root: Path) -> None:
    """A key that is set later counts from the next request on."""
    assert fixture.ask("/api/workers").status == 200
    fixture.live.replace(settings(root, RUNTIME_MASTER_KEY=KEY))
    assert fixture.ask("/api/workers").status == 401
    assert fixture.ask("/api/workers", headers=BEARS).status == 200


@pytest.mark.parametrize("path", [*READ, *ACTIONS, "/api/nowhere"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_pages_of_other_sites(fixture: Fixture, path: str, method: str) -> None:
    """A browser that acts for another site's page can change nothing, on any route."""
    answer = fixture.ask(path, method, headers=(("origin", "http://evil.example"),))
    assert answer.code == "cross_site"
    assert fixture.pool.recycled == []


def test_a_page_of_this_site(fixture: Fixture) -> None:
    """A page served from the same host may do what operators may."""
    headers = (*LOCAL, ("origin", "http://localhost"))
    assert fixture.ask(ACTIONS[1], "POST", headers=headers).status == 202


@pytest.mark.parametrize("path", READ)
@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
def test_methods(fixture: Fixture, path: str, method: str) -> None:
    """Pages are read with GET; other methods get 405, and the answer lists the allowed ones."""
    answer = fixture.ask(path, method)
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert answer.error is not None
    assert answer.error.headers == (("Allow", "GET, HEAD"),)
    assert fixture.ask(path, "HEAD").status == 200


@pytest.mark.parametrize("path", ACTIONS)
def test_actions_are_posted(fixture: Fixture, path: str) -> None:
    """What changes something is a POST, by operators only."""
    assert fixture.ask(path).code == "method_not_allowed"
    assert fixture.ask(path, "POST", peer="192.0.2.1").code == "forbidden"
    assert fixture.pool.recycled == []


@pytest.mark.parametrize(
    "path",
    """/api /api/ /api/workersx /health/x /metrics/x /.well-known /.well-known/security.txt
    /api/workers/w1 /api/workers//recycle /api/workers/a/b/recycle /api/recycle
    /api/workers/recycle""".split(),
)
def test_unknown_pages(fixture: Fixture, path: str) -> None:
    """A path without a page is 404, to operators and to others."""
    for peer in ("127.0.0.1", "192.0.2.1"):
        for method in ("GET", "POST"):
            answer = fixture.ask(path, method, peer=peer)
            assert (answer.status, answer.code) == (404, "not_found")


def test_a_long_path(fixture: Fixture) -> None:
    """What an error says about an unknown path has a bounded length."""
    assert len(str(fixture.ask("/api/" + "x" * 5000).error)) < 300


# The table


def some_path(route: Route) -> str:
    """A path of the route, with something in each place."""
    return re.sub(r"\{\w+\}", "shop", route.path.replace("{script}", "frame.js"))


@pytest.mark.parametrize("route", ROUTES.routes, ids=lambda route: route.name)
def test_no_route_without_a_rule(root: Path, route: Route) -> None:
    """Each route needs a known verb and a key that has it, or is open and declares so."""
    path, method = some_path(route), route.method
    query = "".join(f"?{param.name}=shop" for param in route.query if param.required)
    keyed, closed = Fixture(root, RUNTIME_MASTER_KEY=KEY), Fixture(root)
    if route.name in SIGNING_IN:
        assert route.verb == OPEN
        return
    if route.verb == OPEN:
        assert method == "GET"
        known = ("/.well-known/buntime/health", "/.well-known/buntime/frame.js")
        assert path in (*OPEN_PATHS, *DESCRIPTION, *known)
        assert keyed.ask(path, method).status == 200
        return
    assert route.verb in VERBS
    # An archive is the app's code: it is for those who may deploy such code.
    assert route.is_write == (route.verb not in READS) or route.name == "deploys.archive"
    for fields in ((), (("x-api-key", "wrong"),)):
        assert keyed.ask(path, method, headers=fields).status == 401
        assert closed.ask(path, method, headers=fields).status == 403
    assert keyed.ask(path, method, headers=BEARS, query=query).status not in (401, 403, 405)
    others = Caller("weak", "key", frozenset(VERBS) - {route.verb})
    elsewhere = Caller("elsewhere", "key", frozenset(VERBS), ("other-*",))
    for caller in (others, elsewhere):
        gate = SimpleNamespace(caller_of=lambda _, caller=caller: caller, ground=lambda *_: None)
        keyed.api._gate = gate  # type: ignore[assignment]  # a fake
        answer = keyed.ask(path, method, query=query)
        if not (route.filters and caller is elsewhere):
            assert (answer.status, answer.code) == (403, "not_allowed")


def test_routes_and_handlers(root: Path) -> None:
    """A route without a handler, and a handler without a route, make no API."""
    live, gate = Fixture(root).live, cast(Any, None)
    own = OwnPages(live, started_s=0.0)
    with pytest.raises(ValueError, match=r"workers\.list"):
        api_of(live, gate, own)
    with pytest.raises(ValueError, match="two handlers"):
        api_of(live, gate, own, own)


def test_what_a_key_s_apps_are(root: Path) -> None:
    """A key for some apps sees only those in lists, and may do nothing to the others."""
    keyed = Fixture(root, RUNTIME_MASTER_KEY=KEY)
    caller = Caller("ci", "key", frozenset(VERBS), ("blog-*",))
    gate = SimpleNamespace(caller_of=lambda _: caller, ground=lambda *_: None)
    keyed.api._gate = gate  # type: ignore[assignment]  # a fake
    told = keyed.ask("/api/workers").json
    assert (told["workers"], told["apps"]) == ([], [])
    assert keyed.ask("/api/workers/stats").json == {}
    assert keyed.ask(ACTIONS[0], "POST").code == "worker_not_found"
    assert keyed.ask(ACTIONS[1], "POST").code == "not_allowed"
    assert keyed.pool.recycled == []


@pytest.mark.parametrize("query", ["?x=1", "?dryRun=1", "?limit=1"])
def test_unknown_parameters(fixture: Fixture, query: str) -> None:
    """A page that takes no parameters says so; probes and scrapers may add any they like."""
    answer = fixture.ask("/api/workers/stats", query=query)
    assert (answer.status, answer.code) == (400, "bad_query")
    for path in ("/health", "/metrics", "/.well-known/buntime"):
        assert fixture.ask(path, query=query).status == 200


def test_dry_runs(fixture: Fixture) -> None:
    """A dry run answers and fails like the real thing, and changes nothing."""
    dry = "?dryRun=1"
    assert fixture.ask(ACTIONS[0], "POST", query=dry).json == {"recycled": ["w1"]}
    assert fixture.ask(ACTIONS[1], "POST", query=dry).status == 202
    assert fixture.ask("/api/apps/none/recycle", "POST", query=dry).code == "app_not_found"
    assert fixture.ask("/api/workers/w2/recycle", "POST", query=dry).code == "worker_not_found"
    assert fixture.ask("/api/plugins/@acme/audit/enable", "POST", query=dry).status == 202
    assert (fixture.pool.recycled, fixture.plugins.asked) == ([], [])


# What the pages show


def test_health(fixture: Fixture) -> None:
    """Health shows the version, and says when the runtime drains."""
    answer = fixture.ask("/health/")
    assert answer.fields == {"content-type": "application/json", "cache-control": "no-store"}
    assert answer.json.keys() == {"status", "version", "uptimeSeconds"}
    assert (answer.json["status"], answer.json["version"]) == ("ok", __version__)
    fixture.service.is_draining = True
    assert fixture.ask("/health").json["status"] == "draining"
    assert fixture.ask("/api/health/live").json == {"status": "ok"}
    ready = fixture.ask("/api/health/ready")
    assert (ready.status, ready.code) == (503, "draining")


def test_discovery(root: Path) -> None:
    """Discovery says where the API is, including a proxy's prefix."""
    fixture = Fixture(root, RUNTIME_API_PREFIX="/_")
    assert fixture.ask("/.well-known/buntime", prefix="/tools").json == {
        "name": "buntime", "version": __version__, "api": "/tools/_/api",
    }  # fmt: skip


def test_the_pool_s_report(fixture: Fixture) -> None:
    """Workers, apps and statistics are the pool's own report at that moment."""
    now = fixture.service.loop.now
    told = fixture.ask("/api/workers").json
    assert told == {
        "workers": [{"id": "w1", "app": "shop", "version": "2.0.0", "now": now}],
        "next": None,
        "apps": [{"app": "shop"}],
        "sandbox": {"level": "off"},
        "limits": {"memoryMax": False},
    }
    assert fixture.ask("/api/workers/stats").json == {"shop": {"requestCount": 3}}
    assert fixture.ask("/api/workers/metrics").json == "json"
    assert fixture.ask("/metrics").json == "text"


def test_recycling_a_worker(fixture: Fixture) -> None:
    """A worker is recycled by name; an unknown one is 404."""
    answer = fixture.ask("/api/workers/w1/recycle", "POST")
    assert (answer.status, answer.json) == (202, {"recycled": ["w1"]})
    assert fixture.ask("/api/workers/w2/recycle", "POST").code == "worker_not_found"


@pytest.mark.parametrize(
    ("path", "recycled"),
    [
        ("/shop", ("shop", None)),  # all versions
        ("/shop@1.0.0", ("shop", "shop@1.0.0")),
        ("/shop@%5E1", ("shop", "shop@1.1.0")),
    ],
)
def test_recycling_an_app(fixture: Fixture, path: str, recycled: tuple[str, str | None]) -> None:
    """A bare name means all versions; a range means the one that serves it."""
    answer = fixture.ask(f"/api/apps{path}/recycle", "POST")
    assert (answer.status, answer.json) == (202, {"recycled": ["w1"]})
    assert fixture.pool.recycled == [recycled]


@pytest.mark.parametrize("path", ["/none", "/shop@3", "/shop/x", "/..", "/shop@"])
def test_recycling_no_app(fixture: Fixture, path: str) -> None:
    """A target that names no app is 404."""
    assert fixture.ask(f"/api/apps{path}/recycle", "POST").code == "app_not_found"
    assert fixture.pool.recycled == []


# Plugins


def test_plugins_are_listed(fixture: Fixture) -> None:
    """Each plugin is listed with its state, whether it runs or not."""
    [plugin] = fixture.ask("/api/plugins").json["plugins"]
    assert (plugin["name"], plugin["state"], plugin["pid"]) == ("@acme/audit", "disabled", None)


def test_plugins_are_switched(fixture: Fixture) -> None:
    """A plugin is switched by POST only, and the switch is recorded with who did it."""
    for action in ("enable", "disable"):
        path = f"/api/plugins/@acme/audit/{action}"
        assert fixture.ask(path).status == 405
        assert fixture.ask(path, "POST").status == 202
    name = "@acme/audit"
    assert [each[:2] for each in fixture.plugins.asked] == [(name, True), (name, False)]
    assert all(each[2] for each in fixture.plugins.asked)
    assert fixture.ask(f"/api/plugins/{name}/reset").status == 405
    assert fixture.ask(f"/api/plugins/{name}/reset", "POST").status == 202
    assert fixture.plugins.asked[-1][:2] == (name, None)


def test_plugins_that_do_not_run(fixture: Fixture) -> None:
    """A plugin that does not run cannot be reloaded; an unknown one is not found."""
    answer = fixture.ask("/api/plugins/@acme/audit/reload", "POST")
    assert (answer.status, answer.code) == (409, "plugin_not_running")
    for path in ("/api/plugins/nobody/reload", "/api/plugins/@acme/nobody/enable"):
        answer = fixture.ask(path, "POST")
        assert (answer.status, answer.code) == (404, "plugin_not_found")
    assert fixture.ask("/api/plugins/@acme/audit/remove", "POST").status == 404


def test_what_is_configured(root: Path) -> None:
    """Each setting says where it comes from, no key is shown, and only operators see the page."""
    fixture = Fixture(root, RUNTIME_MASTER_KEY=KEY, RUNTIME_LOG_LEVEL="warn")
    assert fixture.ask("/api/config").status == 401
    answer = fixture.ask("/api/config", headers=BEARS)
    told = answer.json["settings"]
    assert told["RUNTIME_DEPLOY_DIR"] == {**told["RUNTIME_DEPLOY_DIR"], "value": str(root)}
    assert told["RUNTIME_LOG_LEVEL"] == {
        "value": "warn",
        "origin": "env RUNTIME_LOG_LEVEL",
        "live": True,
        "meaning": "lowest level that is logged",
    }
    assert told["RUNTIME_MASTER_KEY"]["value"] == "********"
    assert KEY not in json.dumps(answer.json)
    assert answer.json["plugins"]["@acme/audit"]["enabled"]["value"] is False


def test_plugins_are_for_operators(root: Path) -> None:
    """Without the key nobody can switch plugins."""
    fixture = Fixture(root, RUNTIME_MASTER_KEY=KEY)
    assert fixture.ask("/api/plugins/@acme/audit/disable", "POST").status == 401
    assert fixture.plugins.asked == []
