"""Services: both sides must agree to a call, and each caller has a limited number of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.plugins.offers import parse_grants
from buntime.core.plugins.services import (
    CALLS_MAX,
    Call,
    CallBudget,
    ServiceFault,
    Services,
    caller_of_app,
    caller_of_plugin,
    lacking,
    read_call,
)
from buntime.core.values.units import BadValue
from tests.support.pluginmanifests import make_manifest

KEYVAL = make_manifest(
    "keyval",
    provides={
        "kv": {"to": "all"},
        "mail": {"to": ["app:shop", "app:blog-*", "plugin:*"]},
        "raw": {},
    },
)
SERVICES = Services([KEYVAL, make_manifest("log", provides=["audit"])])


def code(
    caller: str, service: str, *, uses: Any = ("kv", "mail", "raw"), table: Services = SERVICES
) -> str:
    try:
        return table.provider_for(caller, uses, service).plugin
    except ServiceFault as fault:
        return fault.code


def test_both_sides() -> None:
    """The caller's manifest must name the service, and the provider must open it."""
    assert code("app:shop", "kv") == "keyval"
    assert code("app:shop", "kv", uses=()) == "no grant"
    assert code("app:shop", "raw") == "no grant"
    assert code("app:shop", "gone", uses=["gone"]) == "unknown"


@pytest.mark.parametrize(
    ("caller", "is_open"),
    [
        ("app:shop", True),
        ("app:blog-a", True),
        ("plugin:audit", True),
        ("plugin:@acme/x", True),
        ("app:shop2", False),
        ("app:Shop", False),
        ("app:other", False),
        ("app:plugin:audit", False),
        ("app:shop~pr-12", False),
        ("app:blog-a~pr-1", False),
        ("app:shop\n", False),
        ("", False),
    ],
)
def test_callers(caller: str, is_open: bool) -> None:
    """Callers are compared as a whole; a preview gets none of its app's grants."""
    assert (code(caller, "mail") == "keyval") is is_open


def test_names_of_callers() -> None:
    """An app with the same name as a plugin is still an app."""
    assert caller_of_app("shop~pr-12") == "app:shop~pr-12"
    assert caller_of_plugin("audit") == "plugin:audit"
    assert code(caller_of_app("plugin"), "mail") == "no grant"


def test_operators_grants() -> None:
    """An operator's grants replace those of the manifest: they may open and close."""
    grants = {"keyval": parse_grants({"raw": ["app:shop"], "kv": ["app:blog"], "mail": "all"})}
    table = Services([KEYVAL], grants)
    assert code("app:shop", "raw", table=table) == "keyval"
    assert code("app:shop", "kv", table=table) == "no grant"
    assert code("app:other", "mail", table=table) == "keyval"


@pytest.mark.parametrize(
    "value", [[], {"kv": "some"}, {"kv": ["shop"]}, {"k v": "all"}, {"kv": None}]
)
def test_what_is_no_grant(value: object) -> None:
    """An invalid grant in the config file is an error."""
    with pytest.raises(BadValue):
        parse_grants(value)


def test_what_a_plugin_offers() -> None:
    """A plugin's services are known by name, and a reload that drops a used one is detected."""
    assert SERVICES.of("keyval") == {"kv", "mail", "raw"}
    assert SERVICES.of("nobody") == frozenset()
    assert lacking(["kv", "audit"], {"kv"}) == ["audit"]
    assert lacking(["kv"], {"kv", "x"}) == []


def test_a_call() -> None:
    """A call without a deadline has five seconds."""
    message = {"service": "kv", "method": "get_many"}
    assert read_call(message) == Call("kv", "get_many", 5.0)
    assert read_call({**message, "timeout_ms": 250}).timeout_s == 0.25
    for long in (1e12, float("inf"), 10**400):
        assert read_call({**message, "timeout_ms": long}).timeout_s == 3600
    for wrong in (0, -1, "5", True, float("nan"), None):
        assert read_call({**message, "timeout_ms": wrong}).timeout_s == 5.0


@pytest.mark.parametrize(
    "method", ["", "_get", "__class__", "a.b", "get()", 5, None, "a" * 200, "gét"]
)
def test_methods_that_nobody_exposes(method: Any) -> None:
    """Names that begin with "_" or lead into objects are never looked up."""
    with pytest.raises(ServiceFault) as caught:
        read_call({"service": "kv", "method": method})
    assert caught.value.code == "unknown"


@given(
    st.dictionaries(
        st.sampled_from(["service", "method", "timeout_ms"]),
        st.none() | st.text() | st.integers() | st.floats(),
    )
)
def test_garbage(message: dict[str, Any]) -> None:
    """Whatever a worker sends is a call with a deadline, or a one-line fault."""
    try:
        call = read_call(message)
    except ServiceFault as fault:
        line = fault.message
    else:
        line = call.service
        assert 0 < call.timeout_s <= 3600
    assert line.isprintable()


def test_the_budget() -> None:
    """Each caller may have a limited number of calls in progress, whatever others do."""
    budget = CallBudget()
    for _ in range(CALLS_MAX):
        budget.begin("app:shop")
    with pytest.raises(ServiceFault) as caught:
        budget.begin("app:shop")
    assert caught.value.dump() == {"code": "busy", "message": "64 calls of app:shop are under way"}
    budget.begin("app:blog")
    budget.end("app:shop")
    budget.begin("app:shop")
    for _ in range(CALLS_MAX):
        budget.end("app:shop")
    assert budget.count("app:shop") == 0
    assert "app:shop" not in repr(budget)
