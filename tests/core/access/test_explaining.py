"""The reasons why a caller is let in or refused, in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from buntime.core.access.explaining import Situation, explain, is_let_in, of_right
from buntime.core.access.keyring import KeyRecord
from buntime.core.access.rules import Decision, Rule, Who

NOW = 1000.0
PUBLIC = {"visibility": "public"}
ALLOW = Rule((Who("role", "admin"),), "allow", place="f:2")
DENY = Rule((Who("anyone"),), "deny", paths=("/x",), methods=("GET",), place="f:3")
KEY = KeyRecord("ci", b"", "bt_", ("viewer",), ("blog-*",), NOW, "master")


def ask(visibility: str = "protected", **more: Any) -> tuple[bool, str]:
    """Whether the caller is let in, and the first reason against it, else the last reason for
    it."""
    given: dict[str, Any] = {"is_public": False, "key": None, "app": "blog-1", "now": NOW, **more}
    checks = explain(Situation(visibility=visibility, **given))
    against = [check.why for check in checks if check.passes is False]
    return is_let_in(checks), (against or [checks[-1].why])[0]


@pytest.mark.parametrize(
    ("given", "is_in", "why"),
    [
        ({"visibility": "public"}, True, "public"),
        ({"visibility": "internal", "key": KEY}, False, "internal"),
        ({"is_public": True}, True, "publicRoutes"),
        ({}, False, "401"),
        ({"key": KEY}, True, "has the right apps:open for blog-*"),
        ({"key": KEY, "app": "shop"}, False, "covers blog-*, but not shop: 403"),
        ({"key": replace(KEY, roles=("logs:read",))}, False, "(logs:read) lacks the right"),
        ({"key": replace(KEY, revoked_at=NOW)}, False, "ci is revoked: 401"),
        ({"key": replace(KEY, expires_at=NOW)}, False, "ci is expired: 401"),
        ({"key": KEY, "maintenance": True}, False, "closed for a while"),
        ({"visibility": "public", "maintenance": True}, False, "closed for a while"),
        ({"key": KEY, "hooks": (("authz", "access"),)}, True, "authz is asked"),
        ({**PUBLIC, "auth": "required"}, False, "the app requires a sign-in"),
        ({**PUBLIC, "auth": "required", "identity": {"user": "ann"}}, True, "public"),
        ({**PUBLIC, "auth": "required", "is_public": True}, True, "public"),
        ({**PUBLIC, "auth": "optional"}, True, "public"),
        ({**PUBLIC, "auth": "required", "signs_in": False}, False, "503"),
        ({"auth": "required", "identity": {"user": "ann"}}, False, "without a key: 401"),
        (
            {**PUBLIC, "decision": Decision("deny", DENY)},
            False,
            "deny anyone at /x by GET: 403",
        ),
        ({"decision": Decision("allow", ALLOW)}, True, "f:2 decides: allow role:admin"),
        ({"decision": Decision("deny", DENY, True)}, False, "a rule before it would let in"),
        ({"decision": Decision(None, None, True)}, False, "a rule would let in people"),
    ],
)
def test_reasons(given: dict[str, Any], is_in: bool, why: str) -> None:
    """The reason that decides is named."""
    told, reason = ask(**given)
    assert told is is_in
    assert why in reason


def test_the_order() -> None:
    """Identity plugins come before the key, access plugins after it."""
    hooks = (("authz", "access"), ("authn", "identity"))
    checks = explain(Situation("blog-1", "protected", False, NOW, KEY, hooks=hooks))
    assert [check.check for check in checks] == ["plugin", "visibility", "key", "plugin"]
    assert "authn" in checks[0].why


def test_rights() -> None:
    """A single right is explained in the same way."""
    assert of_right(KEY, "apps:read", "blog-1", NOW).passes
    assert not of_right(KEY, "apps:deploy", "blog-1", NOW).passes
