"""All of the real pages: each route has a handler, and each write supports a dry run."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import pytest

from buntime.core.admin.route import Route
from buntime.core.admin.routes import ROUTES
from buntime.server.admin import pages


class Anything:
    """Stands in for what a page needs when it is created but uses only when asked."""

    def __getattr__(self, name: str) -> Any:
        return Anything()

    def __call__(self, *_: object, **__: object) -> Any:
        return Anything()


def real_handlers() -> dict[str, Any]:
    anything: Any = Anything()
    groups = pages._groups(anything)
    return {name: handler for group in groups for name, handler in group.handlers().items()}


def test_each_route_has_a_handler() -> None:
    """No handler is without a route, and no route without a handler."""
    assert real_handlers().keys() == {route.name for route in ROUTES.routes}


WRITES = [route for route in ROUTES.routes if route.can_run_dry]


@pytest.mark.parametrize("route", WRITES, ids=lambda route: route.name)
def test_writes_heed_dry_runs(route: Route) -> None:
    """The handler's module of each route that takes `?dryRun=1` checks for it."""
    module = sys.modules[real_handlers()[route.name].__module__]
    assert "is_dry_run" in inspect.getsource(module)


@pytest.mark.parametrize("route", WRITES, ids=lambda route: route.name)
def test_writes_are_noted(route: Route) -> None:
    """The handler's module of each route that changes something writes to the audit trail."""
    source = inspect.getsource(sys.modules[real_handlers()[route.name].__module__])
    assert any(f"_audit.{way}(" in source for way in ("record", "note_of", "begin"))
