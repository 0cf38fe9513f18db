"""The runtime's own pages: health, discovery, and what operators ask about workers.

GET /api/health  /api/health/live  /api/health/ready  /health   open
GET /.well-known/buntime                                        open
GET /api/workers  /api/workers/stats  /api/workers/metrics      operators
"""

import json
from collections.abc import Callable
from time import monotonic

from buntime import __version__
from buntime.core.access import operator_may
from buntime.core.errors import ClientFault, ServerFault
from buntime.core.settings import Settings
from buntime.server.exchange import Exchange
from buntime.server.pool import Pool

_JSON = ("content-type", "application/json")
_FRESH = ("cache-control", "no-store")


class Api:
    """Answers the paths that no app can have."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._settings = settings
        self._pool = pool
        self._started_s = monotonic()
        self._open: dict[str, Callable[[Exchange], object]] = {
            "/health": self._health,
            "/api/health": self._health,
            "/api/health/live": self._live,
            "/api/health/ready": self._ready,
            "/.well-known/buntime": self._discovery,
        }
        self._guarded: dict[str, Callable[[Exchange], object]] = {
            "/api/workers": self._workers,
            "/api/workers/stats": self._worker_stats,
            "/api/workers/metrics": self._worker_metrics,
        }

    def answer(self, exchange: Exchange, path: str) -> None:
        """Answer `path`, "/api/workers"; raises ClientFault where it is missing or not allowed."""
        path = path.rstrip("/")
        page = self._open.get(path)
        if page is None:
            page = self._guarded.get(path)
            if page is None:
                raise ClientFault(404, "not_found", f"there is no {path[:200]}")
            self._check_operator(exchange)
        if exchange.head.method not in ("GET", "HEAD"):
            raise ClientFault(
                405,
                "method_not_allowed",
                f"{path} answers GET and HEAD",
                headers=(("Allow", "GET, HEAD"),),
            )
        body = json.dumps(page(exchange)).encode("ascii") + b"\n"
        exchange.respond(200, [_JSON, _FRESH], body)

    def _check_operator(self, exchange: Exchange) -> None:
        key = self._settings.master_key
        peer = exchange.connection.peer_text
        if operator_may(exchange.head.headers, key=key, peer=peer):
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

    def _health(self, exchange: Exchange) -> object:
        return {
            "status": "draining" if self._is_draining(exchange) else "ok",
            "version": __version__,
            "uptimeSeconds": round(monotonic() - self._started_s, 1),
        }

    def _live(self, exchange: Exchange) -> object:
        return {"status": "ok"}

    def _ready(self, exchange: Exchange) -> object:
        if self._is_draining(exchange):
            raise ServerFault(503, "draining", "the runtime is shutting down")
        return {"status": "ok"}

    def _discovery(self, exchange: Exchange) -> object:
        return {
            "name": "buntime",
            "version": __version__,
            "api": f"{exchange.sender.prefix}{self._settings.api_prefix}/api",
        }

    def _workers(self, exchange: Exchange) -> object:
        return {"workers": self._pool.snapshot()}

    def _worker_stats(self, exchange: Exchange) -> object:
        return self._pool.app_stats()

    def _worker_metrics(self, exchange: Exchange) -> object:
        return self._pool.metrics()

    def _is_draining(self, exchange: Exchange) -> bool:
        return exchange.connection.service.is_draining
