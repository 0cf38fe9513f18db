"""The runtime's own pages: health, discovery, metrics, and what operators see and do.

GET  /api/health  /api/health/live  /api/health/ready  /health   open
GET  /.well-known/buntime                                        open
GET  /.well-known/buntime/health                                 open, at hosts of apps too
GET  /api/workers  /api/workers/stats  /api/workers/metrics      operators
POST /api/workers/{id}/recycle  /api/apps/{name}/recycle         operators
GET  /api/plugins, and what can be done to one: see `plugins`    operators
GET  /api/config                                                 operators
GET  /metrics                                                    as RUNTIME_METRICS says
"""

from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from buntime import __version__
from buntime.core.access.guesses import Guesses
from buntime.core.access.operators import is_direct
from buntime.core.access.origins import is_foreign
from buntime.core.apps.router import split_target
from buntime.core.errors import ClientFault, ServerFault
from buntime.core.settings.endpoint import TcpEndpoint
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import Settings
from buntime.server.admin.localkey import NAME as LOCAL_KEY
from buntime.server.admin.localkey import LocalKey
from buntime.server.admin.metrics import Metrics
from buntime.server.admin.plugins import PATH as PLUGINS
from buntime.server.admin.plugins import PluginPages
from buntime.server.admin.respond import respond
from buntime.server.apps.catalog import Catalog
from buntime.server.http1.exchange import Exchange
from buntime.server.pool.pool import Pool

_READING = ("GET", "HEAD")
_HARMLESS = frozenset(("GET", "HEAD", "OPTIONS"))  # methods that change nothing
_RECYCLE = "/recycle"


def _to_all(_: Settings) -> bool:
    return True


def _to_operators(_: Settings) -> bool:
    return False


def _as_metrics_say(settings: Settings) -> bool:
    return settings.metrics == "public"


class _Page(NamedTuple):
    """What stands at a path. `answer` gets the exchange."""

    answer: Callable[[Exchange], None]
    methods: tuple[str, ...] = _READING
    is_open: Callable[[Settings], bool] = _to_operators


class Api:
    """Answers the paths that no app can have."""

    def __init__(
        self,
        live: LiveSettings,
        pool: Pool,
        catalog: Catalog,
        metrics: Metrics,
        *,
        guesses: Guesses,
        local_key: LocalKey,
        plugins: PluginPages,
    ) -> None:
        self._live = live
        self._guesses = guesses
        self._local_key = local_key
        self._plugins = plugins
        self._pool = pool
        self._catalog = catalog
        self._started_s = monotonic()
        endpoints = live.now.endpoints
        self._listening = [each.host for each in endpoints if isinstance(each, TcpEndpoint)]
        self._pages = {
            "/health": _Page(self._health, is_open=_to_all),
            "/api/health": _Page(self._health, is_open=_to_all),
            "/api/health/live": _Page(self._alive, is_open=_to_all),
            "/api/health/ready": _Page(self._ready, is_open=_to_all),
            "/.well-known/buntime": _Page(self._discovery, is_open=_to_all),
            "/.well-known/buntime/health": _Page(self._alive, is_open=_to_all),
            "/api/workers": _Page(self._workers),
            PLUGINS: _Page(plugins.list),
            "/api/config": _Page(plugins.config),
            "/api/workers/stats": _Page(self._worker_stats),
            "/api/workers/metrics": _Page(metrics.answer_json),
            "/metrics": _Page(metrics.answer_text, is_open=_as_metrics_say),
        }

    def answer(self, exchange: Exchange, path: str) -> None:
        """Answer `path`, "/api/workers"; raises ClientFault where it is missing or not allowed."""
        head = exchange.head
        if head.method not in _HARMLESS:
            self._check_site(exchange)
        path = path.rstrip("/")
        page = self._pages.get(path) or self._action(path)
        if page is None:
            raise ClientFault(404, "not_found", f"there is no {path[:200]}")
        if not page.is_open(self._live.now):
            self._check_operator(exchange)
        if head.method not in page.methods:
            raise ClientFault(
                405,
                "method_not_allowed",
                f"{path[:200]} answers {' and '.join(page.methods)}",
                headers=(("Allow", ", ".join(page.methods)),),
            )
        page.answer(exchange)

    def _action(self, path: str) -> _Page | None:
        """What can be done to one worker, app or plugin."""
        if self._plugins.is_action(path):
            return _Page(lambda exchange: self._plugins.act(exchange, path), ("POST",))
        if not path.endswith(_RECYCLE):
            return None
        subject = path.removesuffix(_RECYCLE)
        worker = subject.removeprefix("/api/workers/")
        if worker not in ("", subject) and "/" not in worker:
            return _Page(lambda exchange: self._recycle_worker(exchange, worker), ("POST",))
        app = subject.removeprefix("/api/apps")
        if app != subject and app.startswith("/"):
            return _Page(lambda exchange: self._recycle_app(exchange, app), ("POST",))
        return None

    # Access

    def _check_site(self, exchange: Exchange) -> None:
        host = exchange.sender.host or exchange.head.host
        if is_foreign(exchange.head.headers, host=host):
            raise ClientFault(
                403,
                "cross_site",
                "a page of another site must not change anything here: if sent, Origin must match "
                "Host, and Sec-Fetch-Site must be same-origin or none",
            )

    def _check_operator(self, exchange: Exchange) -> None:
        settings, head = self._live.now, exchange.head
        key, what = settings.master_key, "the key"
        if not key:
            key, what = self._local_key.value, f"the key in {LOCAL_KEY} of the state folder"
            self._check_direct(exchange, key)
        client = exchange.sender.text
        if not self._guesses.admit(head.headers, key, address=client, now=exchange.now):
            raise ClientFault(
                401,
                "unauthorized",
                f"this page needs {what}: send it as X-API-Key or as Authorization: Bearer",
                headers=(("WWW-Authenticate", 'Bearer realm="buntime"'),),
            )

    def _check_direct(self, exchange: Exchange, local_key: str | None) -> None:
        """Without a master key: a page of this machine alone, if of anybody."""
        head = exchange.head
        if local_key is None:
            raise ClientFault(
                403,
                "forbidden",
                "this page is closed, as no key is set: set RUNTIME_MASTER_KEY or "
                "RUNTIME_MASTER_KEY_FILE, and send the key as X-API-Key",
            )
        if not is_direct(
            head.headers,
            peer=exchange.client.peer_text,
            host=head.host,
            is_absolute=head.is_absolute,
            listening=self._listening,
        ):
            raise ClientFault(
                403,
                "forbidden",
                "without RUNTIME_MASTER_KEY this page answers only direct requests from this "
                "machine, addressed to localhost or to an address that the runtime listens on",
            )

    # Pages

    def _health(self, exchange: Exchange) -> None:
        respond(
            exchange,
            {
                "status": "draining" if exchange.is_draining else "ok",
                "version": __version__,
                "uptimeSeconds": round(monotonic() - self._started_s, 1),
            },
        )

    def _alive(self, exchange: Exchange) -> None:
        respond(exchange, {"status": "ok"})

    def _ready(self, exchange: Exchange) -> None:
        if exchange.is_draining:
            raise ServerFault(503, "draining", "the runtime is shutting down")
        respond(exchange, {"status": "ok"})

    def _discovery(self, exchange: Exchange) -> None:
        respond(
            exchange,
            {
                "name": "buntime",
                "version": __version__,
                "api": f"{exchange.sender.prefix}{self._live.now.api_prefix}/api",
            },
        )

    def _workers(self, exchange: Exchange) -> None:
        now = exchange.now
        report = self._pool.report
        respond(
            exchange,
            {
                "workers": report.workers(now),
                "apps": report.apps(now),
                "sandbox": self._pool.sandboxes.to_json(),
                "limits": self._pool.groups.to_json(),
            },
        )

    def _worker_stats(self, exchange: Exchange) -> None:
        respond(exchange, self._pool.report.app_stats())

    # Actions

    def _recycle_worker(self, exchange: Exchange, name: str) -> None:
        if not self._pool.recycle_worker(name):
            raise ClientFault(404, "worker_not_found", f"no worker of an app is named {name[:200]}")
        respond(exchange, {"recycled": [name]}, 202)

    def _recycle_app(self, exchange: Exchange, path: str) -> None:
        """All versions that run of "/shop"; of "/shop@1.2.0" and "/shop@^1" the one it means."""
        target = split_target(path)
        if target is None or target.rest:
            raise ClientFault(404, "app_not_found", f"there is no app {path[:200]}")
        app = self._catalog.find(target.name, target.spec, exchange.now)
        key = app.key if target.spec is not None else None
        respond(exchange, {"recycled": self._pool.recycle_app(app.name, key)}, 202)
