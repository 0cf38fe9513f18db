"""Who may do what: verbs, roles, globs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.access.rights import (
    ANYONE,
    ROLES,
    VERBS,
    Caller,
    admin,
    covers,
    may,
    may_somewhere,
    verbs_of,
)

BLOGS = Caller("ci", "key", frozenset(("apps:read", "plugins:write")), ("blog-*", "@acme/*"))


def test_an_admin_may_do_all() -> None:
    """An admin may do everything, at each app and for the runtime as a whole."""
    assert all(may(admin("master", "master"), verb, app) for verb in VERBS for app in (None, "a"))


def test_nobody_in_particular_may_nothing() -> None:
    """A caller without a key has no rights."""
    assert not any(may(ANYONE, verb, app) for verb in VERBS for app in (None, "a"))
    assert not any(may_somewhere(ANYONE, verb) for verb in VERBS)


def test_globs() -> None:
    """A verb applies to the apps that the globs match, and to no others."""
    assert may(BLOGS, "apps:read", "blog-2")
    assert may(BLOGS, "apps:read", "@acme/shop")
    assert not may(BLOGS, "apps:read", "blog")
    assert not may(BLOGS, "apps:deploy", "blog-2")
    assert may_somewhere(BLOGS, "apps:read")


def test_the_whole() -> None:
    """An action on all apps needs a glob that matches every app."""
    assert not may(BLOGS, "plugins:write")
    assert may(BLOGS._replace(globs=("x", "*")), "plugins:write")


@pytest.mark.parametrize("role", ROLES)
def test_roles(role: str) -> None:
    """A role consists of known verbs, which it grants."""
    assert ROLES[role] <= frozenset(VERBS)
    assert verbs_of([role]) == ROLES[role]


def test_lists() -> None:
    """Roles and verbs can be mixed; any other word is refused."""
    assert verbs_of(["viewer", "data:read"]) == ROLES["viewer"] | {"data:read"}
    for word in ("root", "", "apps:*"):
        with pytest.raises(KeyError):
            verbs_of([word])


@pytest.mark.parametrize(
    ("wide", "narrow", "is_wider"),
    [
        ("*", "@acme/*", True),
        ("blog-*", "blog-*", True),
        ("blog-*", "blog-2-*", True),
        ("blog-*", "blog*", False),
        ("a*b", "a*", False),
        ("a*b", "a*cb", True),
        ("shop", "*", False),
        ("*", "shop", True),
    ],
)
def test_globs_of_globs(wide: str, narrow: str, is_wider: bool) -> None:
    """A glob covers another if it matches everything that the other matches."""
    assert covers(wide, narrow) is is_wider


_GLOBS = st.text("ab*", max_size=6)


@given(wide=_GLOBS, narrow=_GLOBS, fills=st.lists(st.text("ab", max_size=3), max_size=6))
def test_what_is_covered_stays_covered(wide: str, narrow: str, fills: list[str]) -> None:
    """If one glob covers another, it matches each name that the other matches."""
    name = narrow
    for fill in fills:
        name = name.replace("*", fill, 1)
    if covers(wide, narrow) and "*" not in name:
        assert covers(narrow, name)
        assert covers(wide, name)
