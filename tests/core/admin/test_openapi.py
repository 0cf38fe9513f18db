"""The description of the API: valid, and complete for each route."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from buntime.core.admin.apidocs import page, table
from buntime.core.admin.openapi import STREAMS, document, faults_of
from buntime.core.admin.route import OPEN, Answer, Route
from buntime.core.admin.routes import ROUTES

STREAM = Route(
    method="GET",
    path="/api/x/{app}",
    verb="logs:read",
    name="x.follow",
    summary="<b>&\"'",
    answers=(Answer(200, "Lines.", media="application/x-ndjson", items={"type": "object"}),),
)


@pytest.fixture(scope="module")
def told() -> Any:
    made = document(ROUTES.routes, version="1.2.3", prefix="/hosting", api_prefix="/_")
    return json.loads(json.dumps(made))


def test_it_is_openapi(told: Any) -> None:
    """It passes the validator of the specification."""
    OpenAPIV31SpecValidator(told).validate()


def test_all_routes_are_there(told: Any) -> None:
    """Every route is listed, with its right and its path."""
    assert told["servers"] == [{"url": "/hosting/_"}]
    for route in ROUTES.routes:
        operation = told["paths"][route.path][route.method.lower()]
        assert operation["operationId"] == route.name
        assert operation.get("x-right", OPEN) == route.verb
        assert (operation.get("security") == []) == (route.verb == OPEN)
        assert {"401", "403"} <= operation["responses"].keys() or route.verb == OPEN
        assert (STREAMS in operation["tags"]) == route.is_stream
    assert told["paths"]["/metrics"]["servers"] == [{"url": "/hosting"}]


def test_streams() -> None:
    """Streams have a tag, and a schema for their items."""
    made = document([STREAM], version="1", prefix="", api_prefix="")
    OpenAPIV31SpecValidator(made).validate()
    operation = made["paths"]["/api/x/{app}"]["get"]
    assert operation["tags"] == ["x", STREAMS]
    content = operation["responses"]["200"]["content"]["application/x-ndjson"]
    assert content["x-items"] == {"type": "object"}


def test_forms_of_an_answer(told: Any) -> None:
    """An answer with several forms lists each of them."""
    content = told["paths"]["/api/logs"]["get"]["responses"]["200"]["content"]
    assert set(content) == {"application/json", "application/x-ndjson", "text/event-stream"}
    assert "x-items" in content["text/event-stream"]


def test_the_page() -> None:
    """The page lists each route, runs and loads nothing, and escapes all text."""
    text = page([*ROUTES.routes, STREAM], prefix='/"><script>')
    assert all(f"{route.method} {route.path}<" in text for route in ROUTES.routes)
    assert "&lt;b&gt;&amp;&quot;'" in text
    assert not re.search(r"<(script|img|link|iframe)|\son\w+=|javascript:|src=|url\(", text)


def test_the_table() -> None:
    """The table has a row for each route."""
    assert len(table(ROUTES.routes).splitlines()) == len(ROUTES.routes) + 2


def test_faults() -> None:
    """A route lists the faults of keys, of names in its path, and its own."""
    assert faults_of(STREAM) == [400, 401, 403, 404, 429, 503]
