"""The real pages, all of them: each route has a handler, and each write can run dry."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import pytest

from buntime.core.admin.route import Route
from buntime.core.admin.routes import ROUTES
from buntime.server.admin import pages


class Anything:
    """What a page wants of others when it is made, and does not use before it is asked."""

    def __getattr__(self, name: str) -> Any:
        return Anything()

    def __call__(self, *_: object, **__: object) -> Any:
        return Anything()


def real_handlers() -> dict[str, Any]:
    anything: Any = Anything()
    groups = pages._groups(anything)
    return {name: handler for group in groups for name, handler in group.handlers().items()}


def test_each_route_has_a_handler() -> None:
    """And no handler is without a route."""
    assert real_handlers().keys() == {route.name for route in ROUTES.routes}


WRITES = [route for route in ROUTES.routes if route.can_run_dry]


@pytest.mark.parametrize("route", WRITES, ids=lambda route: route.name)
def test_writes_heed_dry_runs(route: Route) -> None:
    """What takes `?dryRun=1` looks at it: the module of its handler does."""
    module = sys.modules[real_handlers()[route.name].__module__]
    assert "is_dry_run" in inspect.getsource(module)


@pytest.mark.parametrize("route", WRITES, ids=lambda route: route.name)
def test_writes_are_noted(route: Route) -> None:
    """What changes something tells the audit trail of it: the module of its handler does."""
    source = inspect.getsource(sys.modules[real_handlers()[route.name].__module__])
    assert any(f"_audit.{way}(" in source for way in ("record", "note_of", "begin"))
