"""All pages of the runtime's own: which handler answers which route of core/admin/routes.py.

A group of pages is a class with `handlers()`, by the names of routes. It is made in
`Runtime._make_pipeline` and handed to `api_of` with the others; a route without a handler, and a
handler without a route, keep the runtime from starting.
"""

from collections.abc import Mapping
from typing import Protocol

from buntime.core.admin.routes import ROUTES
from buntime.core.settings.live import LiveSettings
from buntime.server.admin.api import Api, Handler
from buntime.server.admin.gate import Gate


class Pages(Protocol):
    """Some pages that belong together."""

    def handlers(self) -> Mapping[str, Handler]:
        """By the names of routes."""


def api_of(live: LiveSettings, gate: Gate, *groups: Pages) -> Api:
    """The API that these pages make. Raises ValueError where two answer the same route."""
    handlers: dict[str, Handler] = {}
    for group in groups:
        for name, handler in group.handlers().items():
            if name in handlers:
                raise ValueError(f"{name} has two handlers")
            handlers[name] = handler
    return Api(live, gate, ROUTES, handlers)
