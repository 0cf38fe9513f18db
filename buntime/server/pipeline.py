"""A request's way through the runtime: a list of steps, each of which answers it or passes it on.

The order stands in `Pipeline.__init__`, and in docs/architecture.md. A step refuses a request by
raising an `HttpError`, which is answered as one.

Before they come here, requests have an id and a known sender. An app's steps are made once for each
`App`, see `steps`; they are dropped with it, and when settings change. Which app a path leads to is
found out once for each edition of the catalog, which lasts a second at most.
"""

from collections.abc import Callable
from typing import NamedTuple
from weakref import WeakKeyDictionary

from buntime.core.access.guesses import Guesses
from buntime.core.apps.app import App
from buntime.core.apps.router import RESERVED, Target, split_target
from buntime.core.errors import HttpError, ManifestError
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import Settings
from buntime.server.admin.api import Api
from buntime.server.apps.catalog import Catalog
from buntime.server.http1.exchange import Exchange
from buntime.server.pool import faults
from buntime.server.pool.pool import Pool
from buntime.server.steps import (
    AppStep,
    access_step,
    app_not_found,
    pool_step,
    size_step,
    static_step,
    upgrade_step,
)
from buntime.server.telemetry.logs import Log

_ROUTES_MAX = 256  # paths whose route is remembered
_PATH_MAX = 512  # characters of each

_ALLOWED = ("allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")


class _Route(NamedTuple):
    """Where requests for a path go."""

    app: App
    target: Target
    steps: tuple[AppStep, ...]


class Pipeline:
    """Answers exchanges, or hands them to who does."""

    def __init__(
        self,
        live: LiveSettings,
        catalog: Catalog,
        pool: Pool,
        api: Api,
        log: Log,
        *,
        guesses: Guesses,
    ) -> None:
        self._api_prefix = live.now.api_prefix
        self._catalog = catalog
        self._api = api
        self._log = log
        recheck_s = 0.0 if live.now.is_development else 1.0
        submit = pool_step(pool)
        # The order of a request's way, once its app is known.
        self._app_steps: tuple[Callable[[App], AppStep | None], ...] = (
            lambda app: access_step(app, live.now.master_key, guesses),
            size_step,
            upgrade_step,
            lambda app: static_step(app, recheck_s=recheck_s),
            lambda _: submit,
        )
        self._made: WeakKeyDictionary[App, tuple[AppStep, ...]] = WeakKeyDictionary()
        # What the second character of a reserved target can be. Most targets have another one.
        self._initials = frozenset({"", self._api_prefix[1:2], *(word[0] for word in RESERVED)})
        self._routes: dict[str, _Route] = {}  # by path, of one edition of the catalog
        self._edition = 0
        live.follow(self._forget)

    def handle(self, exchange: Exchange) -> None:
        """Answer a request, now or later."""
        try:
            route = self._known_route(exchange)
            if route is None:
                if self._answer_reserved(exchange):
                    return
                route = self._find_app(exchange)
            app, target, steps = route
            exchange.route_to(app, base=exchange.sender.prefix + target.base)
            for step in steps:
                if step(exchange, app, target):
                    return  # the last one always does
        except HttpError as error:
            exchange.fail(error)
        except ManifestError as error:
            self._log.error(
                "app.invalid", "app cannot be served", error=str(error), path=exchange.head.path
            )
            exchange.fail(faults.misconfigured(str(error)))

    def _answer_reserved(self, exchange: Exchange) -> bool:
        """What no app can have: `OPTIONS *`, and the runtime's own paths."""
        target = exchange.head.target
        if target[1:2] not in self._initials:
            return False
        if target == "*":  # asks what the server as a whole can do
            exchange.respond(204, [_ALLOWED])
            return True
        path = _reserved_path(target, self._api_prefix)
        if path is None:
            return False
        self._api.answer(exchange, path)
        return True

    def _known_route(self, exchange: Exchange) -> _Route | None:
        """The route of a path that was asked for lately; a reserved path has none."""
        route = self._routes.get(exchange.head.target.partition("?")[0])
        if route is None or self._catalog.edition(exchange.started_s) != self._edition:
            return None
        return route

    def _find_app(self, exchange: Exchange) -> _Route:
        """Which app and version the path names; the rest of the way is by the app's own steps."""
        path, now = exchange.head.path, exchange.started_s
        edition = self._catalog.edition(now)
        if edition != self._edition or len(self._routes) == _ROUTES_MAX:
            self._edition = edition
            self._routes.clear()
        target = split_target(path)
        if target is None:
            raise app_not_found(path)
        app = self._catalog.find(target.name, target.spec, now)
        route = _Route(app, target, self._made.get(app) or self._make(app))
        if len(path) <= _PATH_MAX:
            self._routes[path] = route
        return route

    def _forget(self, _: Settings) -> None:
        """Settings have changed: steps are made anew."""
        self._made.clear()
        self._routes.clear()

    def _make(self, app: App) -> tuple[AppStep, ...]:
        steps = tuple(step for make in self._app_steps if (step := make(app)) is not None)
        self._made[app] = steps
        return steps


def _reserved_path(target: str, api_prefix: str) -> str | None:
    """`"/_/api/workers?x=1"` -> "/api/workers" with the API prefix "/_"; None for apps."""
    path = target.partition("?")[0]
    if api_prefix and path.startswith(api_prefix + "/api"):
        path = path[len(api_prefix) :]
    elif api_prefix and path.startswith("/api"):
        return None
    end = path.find("/", 1)
    first = path[1:] if end < 0 else path[1:end]
    return path if first in RESERVED else None
