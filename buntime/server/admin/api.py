"""The runtime's own pages: who gets which, by the single table in core/admin/routes.py.

    path ── a route? ── of another site? ── who asks? ── a method of it? ── may he? ──┐
            404          403                401 403 429   405               403       │
                                                            handler <── is it kept? <─┘
                                                                        409

A page is added by a `Route` there and a handler here: see `pages`.
"""

from collections.abc import Callable, Mapping

from buntime.core.access.origins import is_foreign
from buntime.core.access.rights import ANYONE, Caller, may, may_somewhere
from buntime.core.admin.kept import INSTEAD
from buntime.core.admin.matching import Match, RouteTable
from buntime.core.admin.query import read_query
from buntime.core.admin.route import OPEN, Route
from buntime.core.errors import ClientFault, StateOff
from buntime.core.settings.live import LiveSettings
from buntime.server.admin.call import Call
from buntime.server.admin.gate import Gate
from buntime.server.http1.exchange import Exchange

_HARMLESS = frozenset(("GET", "HEAD", "OPTIONS"))  # methods that change nothing

Handler = Callable[[Call], None]


class Api:
    """Answers the paths that no app can have."""

    def __init__(
        self, live: LiveSettings, gate: Gate, table: RouteTable, handlers: Mapping[str, Handler]
    ) -> None:
        """`handlers` are keyed by route name: each route has one."""
        names = {route.name for route in table.routes}
        if names != handlers.keys():
            raise ValueError(f"routes and handlers differ: {sorted(names ^ handlers.keys())}")
        self._live = live
        self._gate = gate
        self._table = table
        self._handlers = handlers

    def answer(self, exchange: Exchange, path: str, caller: Caller | None = None) -> None:
        """Answer `path`, "/api/workers"; raises ClientFault if it does not exist or is not allowed.

        `caller` is given if the way the request came in already identifies the caller.
        """
        head = exchange.head
        if head.method not in _HARMLESS:
            self._check_site(exchange)
        path = path.rstrip("/")
        match = self._table.find(path)
        if match is None:
            raise ClientFault(404, "not_found", f"there is no {path[:200]}")
        route = match.routes.get("GET" if head.method == "HEAD" else head.method)
        if caller is None:
            caller = self._caller_of(exchange, route, match)
            if caller is not ANYONE:
                self._gate.ground(exchange, caller)
        if route is None:
            raise _no_such_method(path, match)
        if match.missing is not None:
            raise match.missing
        is_open = self._is_open(route)
        if not is_open and not may_somewhere(caller, route.verb):
            raise _no_right(route, caller, "")
        query = read_query(route, head.query)
        call = Call(exchange, route, match.values, query, caller)
        if not is_open:
            _check_right(call)
        if not self._live.now.has_state and route.name in INSTEAD:
            raise StateOff(INSTEAD[route.name])
        call.guard(lambda: self._handlers[route.name](call))

    def _caller_of(self, exchange: Exchange, route: Route | None, match: Match) -> Caller:
        """Nobody in particular if the page is open, or all pages at this path are."""
        routes = match.routes.values() if route is None else (route,)
        if all(self._is_open(each) for each in routes):
            return ANYONE
        return self._gate.caller_of(exchange)

    def _is_open(self, route: Route) -> bool:
        if route.open_when is not None:
            name, value = route.open_when
            return getattr(self._live.now, name) == value  # type: ignore[no-any-return]
        return route.verb == OPEN

    def _check_site(self, exchange: Exchange) -> None:
        host = exchange.sender.host or exchange.head.host
        if is_foreign(exchange.head.headers, host=host):
            raise ClientFault(
                403,
                "cross_site",
                "a page of another site must not change anything here: if sent, Origin must match "
                "Host, and Sec-Fetch-Site must be same-origin or none",
            )


def _check_right(call: Call) -> None:
    """The one check of a route's verb, for a caller that has it for at least one app."""
    route, caller, app = call.route, call.caller, call.app
    if app is None and route.filters:
        return
    if not may(caller, route.verb, app):
        where = " for all apps" if app is None else f" at the app {app[:200]}"
        raise _no_right(route, caller, where)


def _no_right(route: Route, caller: Caller, where: str) -> ClientFault:
    message = f"this needs the right {route.verb}{where}, which the key {caller.name} does not have"
    return ClientFault(403, "not_allowed", message)


def _no_such_method(path: str, match: Match) -> ClientFault:
    methods = [each for name in match.routes for each in (("GET", "HEAD"), (name,))[name != "GET"]]
    return ClientFault(
        405,
        "method_not_allowed",
        f"{path[:200]} answers {' and '.join(methods)}",
        headers=(("Allow", ", ".join(methods)),),
    )
