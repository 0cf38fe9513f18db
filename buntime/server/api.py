"""The runtime's own pages: health, discovery, metrics, and what operators see and do.

GET  /api/health  /api/health/live  /api/health/ready  /health   open
GET  /.well-known/buntime                                        open
GET  /api/workers  /api/workers/stats  /api/workers/metrics      operators
GET  /metrics                                                    as RUNTIME_METRICS says
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from buntime import __version__
from buntime.core.access import operator_may
from buntime.core.errors import ClientFault, ServerFault
from buntime.core.settings import Settings
from buntime.server.exchange import Exchange
from buntime.server.metrics import Metrics
from buntime.server.pool import Pool

_JSON = ("content-type", "application/json")
_FRESH = ("cache-control", "no-store")
_READING = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class _Page:
    """What stands at a path. `answer` gets the exchange."""

    answer: Callable[[Exchange], None]
    methods: tuple[str, ...] = _READING
    is_open: bool = False  # to everybody


class Api:
    """Answers the paths that no app can have."""

    def __init__(self, settings: Settings, pool: Pool, metrics: Metrics) -> None:
        self._settings = settings
        self._pool = pool
        self._started_s = monotonic()
        self._pages = {
            "/health": _Page(self._health, is_open=True),
            "/api/health": _Page(self._health, is_open=True),
            "/api/health/live": _Page(self._live, is_open=True),
            "/api/health/ready": _Page(self._ready, is_open=True),
            "/.well-known/buntime": _Page(self._discovery, is_open=True),
            "/api/workers": _Page(self._workers),
            "/api/workers/stats": _Page(self._worker_stats),
            "/api/workers/metrics": _Page(metrics.answer_json),
            "/metrics": _Page(metrics.answer_text, is_open=settings.metrics == "public"),
        }

    def answer(self, exchange: Exchange, path: str) -> None:
        """Answer `path`, "/api/workers"; raises ClientFault where it is missing or not allowed."""
        head = exchange.head
        path = path.rstrip("/")
        page = self._pages.get(path)
        if page is None:
            raise ClientFault(404, "not_found", f"there is no {path[:200]}")
        if not page.is_open:
            self._check_operator(exchange)
        if head.method not in page.methods:
            raise ClientFault(
                405,
                "method_not_allowed",
                f"{path[:200]} answers {' and '.join(page.methods)}",
                headers=(("Allow", ", ".join(page.methods)),),
            )
        page.answer(exchange)

    # Access

    def _check_operator(self, exchange: Exchange) -> None:
        key = self._settings.master_key
        if operator_may(
            exchange.head.headers,
            key=key,
            peer=exchange.connection.peer_text,
        ):
            return
        if key:
            raise ClientFault(
                401,
                "unauthorized",
                "this page needs the key: send it as X-API-Key or as Authorization: Bearer",
                headers=(("WWW-Authenticate", 'Bearer realm="buntime"'),),
            )
        raise ClientFault(
            403,
            "forbidden",
            "without RUNTIME_MASTER_KEY this page answers direct requests of this machine only",
        )

    # Pages

    def _health(self, exchange: Exchange) -> None:
        _respond(
            exchange,
            {
                "status": "draining" if self._is_draining(exchange) else "ok",
                "version": __version__,
                "uptimeSeconds": round(monotonic() - self._started_s, 1),
            },
        )

    def _live(self, exchange: Exchange) -> None:
        _respond(exchange, {"status": "ok"})

    def _ready(self, exchange: Exchange) -> None:
        if self._is_draining(exchange):
            raise ServerFault(503, "draining", "the runtime is shutting down")
        _respond(exchange, {"status": "ok"})

    def _discovery(self, exchange: Exchange) -> None:
        _respond(
            exchange,
            {
                "name": "buntime",
                "version": __version__,
                "api": f"{exchange.sender.prefix}{self._settings.api_prefix}/api",
            },
        )

    def _workers(self, exchange: Exchange) -> None:
        now = exchange.connection.service.loop.now
        report = self._pool.report
        _respond(exchange, {"workers": report.workers(now), "apps": report.apps(now)})

    def _worker_stats(self, exchange: Exchange) -> None:
        _respond(exchange, self._pool.report.app_stats())

    def _is_draining(self, exchange: Exchange) -> bool:
        return exchange.connection.service.is_draining


def _respond(exchange: Exchange, told: object, status: int = 200) -> None:
    exchange.respond(status, [_JSON, _FRESH], json.dumps(told).encode("ascii") + b"\n")
