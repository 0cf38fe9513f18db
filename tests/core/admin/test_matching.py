"""Which route a path leads to, and which values it holds."""

from __future__ import annotations

import pytest

from buntime.core.admin.matching import RouteTable, app_of
from buntime.core.admin.route import Route


def route(path: str, method: str = "GET") -> Route:
    made: Route = Route(
        method=method,  # type: ignore[arg-type]  # one of them
        path=path,
        verb="apps:read",
        name=path,
        summary="Some.",
    )
    return made


PATHS = (
    "/api/apps",
    "/api/apps/{app}",
    "/api/apps/{app}/secrets",
    "/api/apps/{app}/secrets/{name}",
    "/api/apps/{target}/recycle",
    "/api/plugins/{plugin}/reload",
)
TABLE = RouteTable(route(path) for path in PATHS)


@pytest.mark.parametrize(
    ("path", "expected", "values"),
    [
        ("/api/apps", "/api/apps", {}),
        ("/api/apps/shop", "/api/apps/{app}", {"app": "shop"}),
        ("/api/apps/@acme/shop", "/api/apps/{app}", {"app": "@acme/shop"}),
        ("/api/apps/%40acme/sh%6Fp", "/api/apps/{app}", {"app": "@acme/shop"}),
        ("/api/apps/shop/secrets", "/api/apps/{app}/secrets", {"app": "shop"}),
        ("/api/apps/@acme/secrets", "/api/apps/{app}", {"app": "@acme/secrets"}),
        ("/api/apps/@acme/secrets/secrets", "/api/apps/{app}/secrets", {"app": "@acme/secrets"}),
        (
            "/api/apps/@acme/shop/secrets/A%20B",
            "/api/apps/{app}/secrets/{name}",
            {"app": "@acme/shop", "name": "A B"},
        ),
        ("/api/apps/shop@%5E1/recycle", "/api/apps/{target}/recycle", {"target": "shop@^1"}),
        ("/api/apps/recycle", "/api/apps/{app}", {"app": "recycle"}),
        (
            "/api/plugins/@acme/reload/reload",
            "/api/plugins/{plugin}/reload",
            {"plugin": "@acme/reload"},
        ),
    ],
)
def test_paths(path: str, expected: str, values: dict[str, str]) -> None:
    """Fixed segments win over placeholders, and values are decoded."""
    match = TABLE.find(path)
    assert match is not None
    assert match.routes["GET"].path == expected
    assert match.values == values
    assert match.missing is None


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/apps/..", "app_not_found"),
        ("/api/apps/.git", "app_not_found"),
        ("/api/apps/a%2Fb", "app_not_found"),
        ("/api/apps/a%00", "app_not_found"),
        ("/api/apps/%ff", "app_not_found"),
        ("/api/apps/shop@1", "app_not_found"),
        ("/api/apps/shop@/recycle", "app_not_found"),
        ("/api/apps/" + "x" * 300, "app_not_found"),
        ("/api/plugins/@acme/reload", "plugin_not_found"),
        ("/api/apps/shop/secrets/..", "not_found"),
        ("/api/apps/shop/secrets/%2e%2e", "not_found"),
        ("/api/apps/shop/secrets/a%0Ab", "not_found"),
        ("/api/apps/shop/secrets/a%5Cb", "not_found"),
    ],
)
def test_values_that_name_nothing(path: str, code: str) -> None:
    """A value that cannot name anything is 404 before a handler sees it."""
    match = TABLE.find(path)
    assert match is not None
    assert match.missing is not None
    assert (match.missing.status, match.missing.code) == (404, code)


@pytest.mark.parametrize("path", ["/api", "/api/apps/", "/api/apps//x/y/z", "/api/plugins", ""])
def test_paths_without_a_route(path: str) -> None:
    """These paths have no route."""
    assert TABLE.find(path) is None


def test_a_route_twice() -> None:
    """Two routes with the same method and path are an error."""
    with pytest.raises(ValueError, match="twice"):
        RouteTable([route("/a"), route("/a")])
    assert len(RouteTable([route("/a"), route("/a", "POST")]).routes) == 2


@pytest.mark.parametrize(
    ("target", "app"), [("shop", "shop"), ("shop@^1", "shop"), ("@a/b", "@a/b"), ("@a/b@1", "@a/b")]
)
def test_apps_of_targets(target: str, app: str) -> None:
    """A target names an app, whichever version it asks for."""
    assert app_of(target) == app
