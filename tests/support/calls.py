"""Calls of the runtime's own pages, without a network."""

from __future__ import annotations

from buntime.core.access.rights import Caller, admin
from buntime.core.admin.query import read_query
from buntime.core.admin.route import Route
from buntime.server.admin.call import Call
from buntime.server.http1.exchange import Exchange

GET = Route(method="GET", path="/api/some", verb="apps:read", name="some.show", summary="Some.")
POST = Route(method="POST", path="/api/some", verb="apps:read", name="some.make", summary="Some.")
ADMIN = admin("master", "master")


def call_of(exchange: Exchange, route: Route = GET, caller: Caller = ADMIN, **values: str) -> Call:
    """What a handler gets for this request, past the checks."""
    return Call(exchange, route, values, read_query(route, exchange.head.query), caller)
