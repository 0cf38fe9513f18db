"""A request's way: reserved paths, then the app that its first path segment names.

Everything the runtime refuses ends here as an `HttpError`, and is answered as one.
"""

from buntime.core.access.access import bears_key
from buntime.core.apps.app import App, app_key
from buntime.core.apps.router import RESERVED, Target, split_target
from buntime.core.errors import ClientFault, HttpError, ManifestError
from buntime.core.settings.load import Settings
from buntime.core.websocket.handshake import check_upgrade, is_websocket
from buntime.server.admin.api import Api
from buntime.server.apps.catalog import Catalog
from buntime.server.http1.exchange import Exchange, body_too_large
from buntime.server.pool import faults
from buntime.server.pool.pool import Pool
from buntime.server.sites.site import FilePart, StaticAnswer, StaticSite
from buntime.server.telemetry.logs import Log

# Where a client may put the runtime's key; an app has no business with it.
_KEY_FIELDS = frozenset({"x-api-key", "authorization"})


class Pipeline:
    """Answers exchanges, or hands them to who does."""

    def __init__(
        self, settings: Settings, catalog: Catalog, pool: Pool, api: Api, log: Log
    ) -> None:
        self._key = settings.master_key
        self._is_development = settings.is_development
        self._api_prefix = settings.api_prefix
        self._catalog = catalog
        self._pool = pool
        self._api = api
        self._log = log
        self._sites: dict[str, tuple[App, StaticSite]] = {}  # by App.key

    def reconfigure(self, settings: Settings) -> None:
        """Take what may change later."""
        self._key = settings.master_key

    def handle(self, exchange: Exchange) -> None:
        """Answer a request, now or later."""
        try:
            self._dispatch(exchange)
        except HttpError as error:
            exchange.fail(error)
        except ManifestError as error:
            self._log.error(
                "app.invalid", "app cannot be served", error=str(error), path=exchange.head.path
            )
            exchange.fail(faults.misconfigured(str(error)))

    def _dispatch(self, exchange: Exchange) -> None:
        head = exchange.head
        if head.target == "*":  # OPTIONS * asks what the server as a whole can do
            exchange.respond(204, [("allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")])
            return
        path = self._reserved_path(head.target)
        if path is not None:
            self._api.answer(exchange, path)
            return
        target = split_target(head.target)
        if target is None:
            raise _app_not_found(head.path)
        now = exchange.connection.service.loop.now
        app = self._catalog.find(target.name, target.spec, now)
        exchange.app = app
        exchange.meter = exchange.connection.service.meters.of(app)
        exchange.base = exchange.sender.prefix + target.base
        if app.manifest.visibility != "public" or self._key is not None:
            self._check_access(exchange, app, target)
        if app.is_static:
            self._answer_static(exchange, app, target.rest, target.query, now)
            return
        limit_bytes = app.manifest.max_body_size_bytes
        if head.content_length > limit_bytes:
            raise body_too_large(limit_bytes)
        exchange.body_max_bytes = limit_bytes
        if is_websocket(head.upgrade):
            exchange.upgrade = check_upgrade(head, head.upgrade)
        self._pool.submit(exchange, app)

    def _reserved_path(self, target: str) -> str | None:
        """`"/_/api/workers?x=1"` -> "/api/workers" with the API prefix "/_"; None for apps."""
        path = target.partition("?")[0]
        prefix = self._api_prefix
        if prefix and path.startswith(prefix + "/api"):
            path = path[len(prefix) :]
        elif prefix and path.startswith("/api"):
            return None
        end = path.find("/", 1)
        first = path[1:] if end < 0 else path[1:end]
        return path if first in RESERVED else None

    def _check_access(self, exchange: Exchange, app: App, target: Target) -> None:
        head = exchange.head
        bears = bears_key(head.headers, self._key)
        if app.manifest.visibility == "internal":
            raise _app_not_found("/" + app_key(target.name, target.spec))
        if (
            app.manifest.visibility == "protected"
            and not bears
            and not app.public_routes.cover(head.method, target.rest)
        ):
            raise ClientFault(
                401,
                "unauthorized",
                "this app needs a key: send it as X-API-Key or as Authorization: Bearer",
                headers=(("WWW-Authenticate", 'Bearer realm="buntime"'),),
            )
        if bears:  # the key is the runtime's secret: no app gets to see it
            exchange.headers = tuple(pair for pair in head.headers if not self._is_key_field(pair))

    def _is_key_field(self, pair: tuple[str, str]) -> bool:
        return pair[0] in _KEY_FIELDS and bears_key((pair,), self._key)

    def _answer_static(
        self, exchange: Exchange, app: App, rest: str, query: str, now: float
    ) -> None:
        head = exchange.head
        site = self._site(app)
        answer = site.answer(head.method, rest, exchange.headers, exchange.base, now, query=query)
        body = answer.body
        if isinstance(body, bytes):
            exchange.respond(answer.status, answer.headers, body)
        else:
            _send_parts(exchange, answer, body if isinstance(body, list) else [body])

    def _site(self, app: App) -> StaticSite:
        known = self._sites.get(app.key)
        if known is not None and known[0] is app:
            return known[1]
        site = StaticSite(
            str(app.dir),
            app.entrypoint,
            app.injects_base,
            private=app.manifest.visibility != "public",
            recheck_s=0.0 if self._is_development else 1.0,
        )
        self._sites[app.key] = (app, site)
        return site


def _send_parts(exchange: Exchange, answer: StaticAnswer, parts: list[bytes | FilePart]) -> None:
    """A body from open files; they are closed once it is sent, or nobody takes it any more."""
    connection = exchange.connection
    try:
        exchange.start(answer.status, answer.headers, None)
        for part in parts:
            if isinstance(part, bytes):
                exchange.send(part)
            else:
                exchange.send_file(part.fd, part.offset, part.length)
    finally:
        connection.release_later(answer)
    exchange.finish()


def _app_not_found(shown: str) -> ClientFault:
    """In the catalog's words, so that nobody can tell a hidden app from one that is not there."""
    return ClientFault(404, "app_not_found", f"there is no app {shown[:200]}")
