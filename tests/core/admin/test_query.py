"""Queries are read as their routes declare them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.admin.query import read_query
from buntime.core.admin.route import LIMIT, Param, Route
from buntime.core.errors import ClientFault

ROUTE = Route(
    method="POST",
    path="/api/x",
    verb="apps:read",
    name="x.x",
    summary="X.",
    query=(
        LIMIT,
        Param("level", {"type": "string", "enum": ["info", "warn"]}, "The least level."),
        Param("app", {"type": "string", "minLength": 1}, "Of which app."),
    ),
)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ("", {}),
        ("limit=5", {"limit": 5}),
        ("dryRun=1", {"dryRun": True}),
        ("dryRun=false&level=warn", {"level": "warn"}),
        ("app=%40acme%2Fshop", {"app": "@acme/shop"}),
        ("limit=5.0", {"limit": 5}),
    ],
)
def test_values(raw: str, told: dict[str, Any]) -> None:
    """A parameter that is not given is None, or its default."""
    nothing = {"limit": 100, "level": None, "app": None, "dryRun": False}
    assert read_query(ROUTE, raw) == nothing | told


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        ("limti=5", "unknown query parameter 'limti'; did you mean"),
        ("limit=5&limit=6", "'limit' is given twice"),
        ("limit=0", "limit: 0 is less than 1"),
        ("limit=1001", "limit: 1001 is more than 1000"),
        ("limit=many", "limit: 'many' is not an integer"),
        ("limit=1e3", "limit: '1e3' is not an integer"),
        ("limit=", "limit: '' is not an integer"),
        ("limit=5.5", "limit: 5.5 is not an integer"),
        ("dryRun=maybe", "dryRun: 'maybe' is not a boolean"),
        ("level=wran", "level: 'wran' is not one of info, warn"),
        ("app=", "app: 0 characters are too few"),
        ("app=a%0Ab", "app: it has characters that cannot be printed"),
        ("app=%ff", "cannot be read"),
        ("app", "cannot be read"),
        ("&&", "cannot be read"),
        ("&".join(f"a{n}=1" for n in range(60)), "cannot be read"),
    ],
)
def test_faults(raw: str, named: str) -> None:
    """A faulty query is 400, and the message names what is wrong."""
    with pytest.raises(ClientFault) as caught:
        read_query(ROUTE, raw)
    assert (caught.value.status, caught.value.code) == (400, "bad_query")
    assert named in caught.value.message


def test_what_is_missing() -> None:
    """The message about a missing parameter names it."""
    route = Route(
        method="GET",
        path="/",
        verb="apps:read",
        name="x.y",
        summary="X.",
        query=(Param("app", {"type": "string"}, "Of which app.", required=True),),
    )
    with pytest.raises(ClientFault, match="app is missing"):
        read_query(route, "")
    with pytest.raises(ClientFault, match="dryRun"):
        read_query(route, "app=a&dryRun=1")  # a GET changes nothing anyway


@given(st.text(max_size=40))
def test_garbage(raw: str) -> None:
    """Any query is read or refused, and never raises anything else."""
    try:
        told = read_query(ROUTE, raw)
    except ClientFault:
        return
    assert told.keys() == {"limit", "level", "app", "dryRun"}
