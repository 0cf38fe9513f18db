"""Who sends a request: what is removed from requests, and what apps and upstreams are told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.plugins.identity import (
    SIZE_MAX_BYTES,
    BadIdentity,
    identity_fields,
    identity_key,
    read_identity,
    signature,
    take_out,
    without_cookies,
)

SPELLINGS = (
    "x-identity",
    "x_identity",
    "x-identity-user",
    "x-forwarded-user",
    "x_forwarded_groups",
)


def test_what_a_client_says_is_taken_out() -> None:
    """Identity fields of a client are removed in any spelling; other fields keep their order."""
    fields = (("host", "a"), *((name, "root") for name in SPELLINGS), ("x-a", "b"))
    told = take_out(fields, from_proxy=False)
    assert told.fields == (("host", "a"), ("x-a", "b"))
    assert told.proxy == ()


def test_what_a_trusted_proxy_says() -> None:
    """A trusted proxy's user, e-mail and groups are set aside in one spelling; X-Identity is
    not."""
    fields = tuple((name, "ann") for name in SPELLINGS)
    assert take_out(fields, from_proxy=True).proxy == (("x-forwarded-user", "ann"),)


def test_nothing_to_take_out() -> None:
    """Most requests have no identity fields, and stay the same object."""
    fields = (("host", "a"),)
    assert take_out(fields, from_proxy=True).fields is fields


def test_what_apps_are_told() -> None:
    """X-Identity has the whole identity, the other fields have what fits into a field."""
    identity = read_identity(
        {"user": "ann", "email": "ann@example.com", "groups": ["staff", "a,b", "größe"], "x": 1}
    )
    assert identity_fields(identity) == (
        (
            "x-identity",
            (
                '{"email":"ann@example.com","groups":["staff","a,b","gr\\u00f6\\u00dfe"],'
                '"user":"ann","x":1}'
            ),
        ),
        ("x-forwarded-user", "ann"),
        ("x-forwarded-email", "ann@example.com"),
        ("x-forwarded-groups", "staff"),
    )


def test_a_user_that_no_field_can_hold() -> None:
    """A name beyond ASCII, or with spaces at its ends, is in X-Identity only."""
    for user in ("änn", " ann", "ann "):
        ((name, value),) = identity_fields(read_identity({"user": user}))
        assert (name, json.loads(value)) == ("x-identity", {"user": user})


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "a list is not a mapping"),
        ("ann", "'ann' is not a mapping"),
        ({"user": ""}, "user '' is not text of 1 to 256 characters"),
        ({"user": 5}, "user 5 is not text"),
        ({"user": "a\r\nx: y"}, "has a character that cannot be shown"),
        ({"user": "a" * 257}, "is not text of 1 to 256"),
        ({"email": ["a"]}, "email a list is not text"),
        ({"groups": "staff"}, "groups 'staff' is not a list of at most 200 texts"),
        ({"groups": [1]}, "groups 1 is not text"),
        ({"roles": ["a"] * 201}, "roles a list is not a list of at most"),
        ({"x": float("nan")}, "it is not JSON"),
        ({"x": "a" * SIZE_MAX_BYTES}, "bytes as JSON; 4096 are allowed"),
    ],
)
def test_what_is_no_identity(value: object, reason: str) -> None:
    """What rules and fields use is checked before anything relies on it."""
    with pytest.raises(BadIdentity) as caught:
        read_identity(value)
    assert reason in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda each: (
        st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=5), each, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["user", "email", "groups", "x"]), JSON))
def test_the_fields_can_be_sent(value: dict[str, Any]) -> None:
    """Whatever the identity, its fields are printable ASCII, and its JSON reads back unchanged."""
    try:
        identity = read_identity(value)
    except BadIdentity:
        return
    fields = identity_fields(identity)
    assert all(text.isascii() and text.isprintable() for _, text in fields)
    assert json.loads(fields[0][1]) == value


def test_a_key_of_an_identity() -> None:
    """The order of an identity's parts does not matter; no identity differs from an empty one."""
    one, other = read_identity({"user": "a", "x": 1}), read_identity({"x": 1, "user": "a"})
    assert identity_key(one) == identity_key(other)
    assert len({identity_key(one), identity_key(None), identity_key(read_identity({}))}) == 3


def test_the_signature() -> None:
    """An upstream that knows the secret can verify the signature as documented."""
    told = signature(
        secret=b"s",
        time_s=17,
        request_id="r1",
        method="GET",
        target="/a?b",
        identity='{"user":"a"}',
    )
    message = b'v1\n17\nr1\nGET\n/a?b\n{"user":"a"}'
    digest = hmac.new(b"s", message, hashlib.sha256).digest()
    assert told == f"t=17,v1={base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("a=1; sid=secret; b=2", "a=1; b=2"),
        ("sid=secret", None),
        ("sid=1;sid=2", None),
        ("a=1;sid=secret", "a=1"),
        ("sid =secret; a=1", "a=1"),
        ("\xa0sid=secret; a=1", "a=1"),
        ("sid", None),
        # a cookie of an app that begins with a quote
        ('q="x; sid=secret; r="', 'q="x; r="'),
        ("SID=1; xsid=2; sidx=3", "SID=1; xsid=2; sidx=3"),
        ("a=sid", "a=sid"),
        ("", ""),
    ],
)
def test_cookies_that_are_nobody_elses(line: str, left: str | None) -> None:
    """A plugin's cookie is removed, however it is written beside others."""
    fields = (("cookie", line), ("x", "y"))
    kept = [("cookie", left)] if left is not None else []
    assert without_cookies(fields, {"sid"}) == (*kept, ("x", "y"))


def test_several_cookie_fields() -> None:
    """Each cookie field is searched; without names nothing is done."""
    fields = (("cookie", "sid=1"), ("cookie", "a=1; sid=2"))
    assert without_cookies(fields, ["sid"]) == (("cookie", "a=1"),)
    assert without_cookies(fields, []) is fields


@given(st.text(st.characters(max_codepoint=0xFF), max_size=30))
def test_no_cookie_survives(line: str) -> None:
    """Whatever surrounds it, what a server would read as the cookie is removed."""
    for _, value in without_cookies((("cookie", f"{line}; sid=secret;{line}"),), {"sid"}):
        assert not any(pair.partition("=")[0].strip() == "sid" for pair in value.split(";"))
