"""Keys: which one a request carries, what it may do, and which keys it may create."""

from __future__ import annotations

from dataclasses import replace

import pytest

from buntime.core.access.keyring import KeyRecord, KeyRing, bears_form, excess, outlives
from buntime.core.access.keytext import digest_of, make_key
from buntime.core.access.rights import ROLES, Caller, admin, verbs_of

NOW = 1_800_000_000.0
KEY, OTHER = make_key(b"a" * 32), make_key(b"b" * 32)
RECORD = KeyRecord(
    name="ci",
    digest=digest_of(KEY),
    hint=KEY[:7],
    roles=("deployer", "data:read"),
    globs=("blog-*",),
    created_at=NOW,
    created_by="master",
)


def test_the_key_of_a_request() -> None:
    """A key is found in either field, and no other key matches."""
    ring = KeyRing([RECORD])
    assert ring.find([("x-api-key", KEY)]) is RECORD
    assert ring.find([("authorization", f"Bearer {KEY}")]) is RECORD
    assert ring.find([("authorization", "Bearer app's"), ("X-API-Key", KEY)]) is RECORD
    for fields in ([], [("x-api-key", OTHER)], [("x-api-key", KEY[:-1])], [("x-other", KEY)]):
        assert ring.find(fields) is None
    assert bears_form([("x-api-key", OTHER)])
    assert not bears_form([("x-api-key", KEY[:-1]), ("authorization", "Basic YTpi")])


def test_a_wrong_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key with a wrong checksum is refused without a lookup."""
    ring = KeyRing([RECORD])
    monkeypatch.setattr(ring, "_by_digest", None)  # a lookup would raise
    assert ring.find([("x-api-key", KEY[:-1] + "0" if KEY[-1] != "0" else KEY[:-1] + "1")]) is None


def test_what_it_may() -> None:
    """A key has its roles and rights, only at its apps, and unknown ones do not count."""
    ring = KeyRing([RECORD])
    assert ring.caller_of(RECORD) == Caller(
        "ci", "key", ROLES["deployer"] | {"data:read"}, ("blog-*",), None
    )
    newer = replace(RECORD, roles=("apps:read", "moons:write", "emperor"))
    assert newer.caller.verbs == {"apps:read"}


def test_standing() -> None:
    """A key stops working when it expires or is revoked."""
    until = replace(RECORD, expires_at=NOW + 10)
    assert [until.standing(NOW + s) for s in (0, 9, 10)] == ["active", "active", "expired"]
    ring = KeyRing([RECORD])
    ring.revoke("ci", NOW)
    ring.revoke("nobody", NOW)
    found = ring.find([("x-api-key", KEY)])
    assert found is not None
    assert found.standing(NOW) == "revoked"


def test_a_name_that_comes_again() -> None:
    """A new key with the same name replaces the old one."""
    ring = KeyRing([RECORD])
    ring.put(replace(RECORD, digest=digest_of(OTHER)))
    assert ring.find([("x-api-key", KEY)]) is None
    assert ring.find([("x-api-key", OTHER)]) is not None
    assert len(ring) == 1


@pytest.mark.parametrize(
    ("roles", "globs", "more"),
    [
        (("deployer",), ("blog-*",), ""),
        (("apps:read",), ("blog-2", "blog-3*"), ""),
        (("viewer",), ("blog-*",), "the rights config:read, plugins:read"),
        (("keys:write",), ("blog-*",), "the right keys:write"),
        (("deployer",), ("blog-*", "*"), "the apps *"),
        (("deployer",), ("blog*",), "the apps blog*"),
        (("admin",), ("*",), "the rights "),
    ],
)
def test_no_key_makes_a_stronger_one(
    roles: tuple[str, ...], globs: tuple[str, ...], more: str
) -> None:
    """A key cannot create a key with more rights or more apps."""
    made = replace(RECORD, name="new", roles=roles, globs=globs)
    told = excess(made, RECORD.caller)
    assert told.startswith(more)
    assert bool(told) == bool(more)
    assert excess(made, admin("master", "master")) == ""


def test_no_key_makes_one_that_lives_longer() -> None:
    """A key that expires cannot create one that expires later or never."""
    until = replace(RECORD, expires_at=NOW + 10).caller
    assert outlives(RECORD, until)
    assert outlives(replace(RECORD, expires_at=NOW + 11), until)
    assert not outlives(replace(RECORD, expires_at=NOW + 10), until)
    assert not outlives(RECORD, RECORD.caller)


def test_an_admin_of_some_apps() -> None:
    """An admin of some apps cannot create an admin of others."""
    caller = Caller("a", "key", verbs_of(["admin"]), ("@acme/*",))
    assert excess(replace(RECORD, roles=("admin",), globs=("@acme/shop",)), caller) == ""
    assert excess(replace(RECORD, roles=("admin",), globs=("@*",)), caller) == "the apps @*"
