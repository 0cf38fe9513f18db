"""Why somebody is let in or not, in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from buntime.core.access.explaining import explain, is_let_in, of_right
from buntime.core.access.keyring import KeyRecord

NOW = 1000.0
KEY = KeyRecord("ci", b"", "bt_", ("viewer",), ("blog-*",), NOW, "master")


def ask(visibility: str = "protected", **more: Any) -> tuple[bool, str]:
    """Whether he is let in, and the last reason."""
    given: dict[str, Any] = {"is_public": False, "key": None, "app": "blog-1", "now": NOW, **more}
    checks = explain(visibility=visibility, **given)
    return is_let_in(checks), checks[-1].why


@pytest.mark.parametrize(
    ("given", "is_in", "why"),
    [
        ({"visibility": "public"}, True, "public"),
        ({"visibility": "internal", "key": KEY}, False, "internal"),
        ({"is_public": True}, True, "publicRoutes"),
        ({}, False, "401"),
        ({"key": KEY}, True, "has the right apps:open at blog-*"),
        ({"key": KEY, "app": "shop"}, False, "covers blog-*, and not shop: 403"),
        ({"key": replace(KEY, roles=("logs:read",))}, False, "(logs:read) has not the right"),
        ({"key": replace(KEY, revoked_at=NOW)}, False, "ci is revoked: 401"),
        ({"key": replace(KEY, expires_at=NOW)}, False, "ci is expired: 401"),
        ({"key": KEY, "maintenance": True}, False, "closed for a while"),
        ({"visibility": "public", "maintenance": True}, False, "closed for a while"),
        ({"key": KEY, "hooks": (("authz", "access"),)}, True, "authz is asked"),
    ],
)
def test_reasons(given: dict[str, Any], is_in: bool, why: str) -> None:
    """The last one says why."""
    told, reason = ask(**given)
    assert told is is_in
    assert why in reason


def test_the_order() -> None:
    """Plugins of stage identity come before the key, those of access behind it."""
    checks = explain(
        visibility="protected",
        is_public=False,
        key=KEY,
        app="blog-1",
        now=NOW,
        hooks=(("authz", "access"), ("authn", "identity")),
    )
    assert [check.check for check in checks] == ["plugin", "visibility", "key", "plugin"]
    assert "authn" in checks[0].why


def test_rights() -> None:
    """The same of any right."""
    assert of_right(KEY, "apps:read", "blog-1", NOW).passes
    assert not of_right(KEY, "apps:deploy", "blog-1", NOW).passes
