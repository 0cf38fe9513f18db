"""The JSON of a HOOK, which is written by hand."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.http1.head import Head
from buntime.core.plugins.hooktext import (
    Facts,
    seen_by,
    write_fields,
    write_path,
    write_shared,
)

TEXT = st.text(st.characters(max_codepoint=255), max_size=30)
FIELDS = (("host", "a"), ("cookie", "sid=1; other=2"), ("x-forwarded-user", "ann"), ("x-b", '"'))


def head_of(fields: tuple[tuple[str, str], ...], size: int = 100) -> Head:
    return Head("GET", "/", "1.1", fields, fields_bytes=size)


@given(st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_fields_are_json(fields: list[tuple[str, str]]) -> None:
    """The fields are valid JSON, whatever they hold."""
    assert json.loads(write_fields(tuple(fields))) == [list(pair) for pair in fields]


@given(TEXT, st.none() | TEXT, st.none() | TEXT, st.booleans(), st.sampled_from((1, 1000)))
def test_what_requests_share_is_json(
    host: str, app: str | None, version: str | None, public: bool, count: int
) -> None:
    """Absent parts are left out, whether the text is cached or too large for that."""
    fields = write_fields((("x-a", host),) * count)
    facts = Facts(app, version, "/", public)
    told = json.loads(write_shared(fields, facts, "GET", "https", host, "/a"))
    assert told.get("app") == app
    assert told.get("version") == version
    assert told.get("isPublic", False) == public
    assert told["headers"] == [["x-a", host]] * count
    rest = (told["method"], told["scheme"], told["host"], told["base"])
    assert rest == ("GET", "https", host, "/a")


@pytest.mark.parametrize("count", [1, 1000])
def test_a_path_is_json(count: int) -> None:
    """It is decoded, or as received if it has no plain form."""
    assert json.loads(write_path("/a%20b" * count)) == "/a b" * count
    assert json.loads(write_path("/a%2Fb" * count)) == "/a%2Fb" * count


def test_who_sees_what() -> None:
    """Stage identity sees all cookies and what a trusted proxy says; other stages see neither."""
    hidden = frozenset({"sid"})
    for size in (100, 100_000):  # cached, and too large for the cache
        head = head_of(FIELDS, size)
        seen = seen_by(head, FIELDS, from_proxy=True, sees_all=True, hidden=hidden)
        assert dict(seen.fields)["cookie"] == "sid=1; other=2"
        assert seen.proxy == (("x-forwarded-user", "ann"),)
        seen = seen_by(head, FIELDS, from_proxy=True, sees_all=False, hidden=hidden)
        assert json.loads(seen.text) == [["host", "a"], ["cookie", "other=2"], ["x-b", '"']]
        assert seen.proxy == ()
        client = seen_by(head, FIELDS, from_proxy=False, sees_all=True, hidden=hidden)
        assert client.proxy == ()
        assert "x-forwarded-user" not in dict(client.fields)


def test_cookies_that_others_hide() -> None:
    """What is cached for one plugin is not shown to another."""
    head = head_of(FIELDS)
    for hidden, left in (("sid", "other=2"), ("other", "sid=1"), ("sid", "other=2")):
        seen = seen_by(head, FIELDS, from_proxy=False, sees_all=False, hidden=frozenset({hidden}))
        assert dict(seen.fields)["cookie"] == left
