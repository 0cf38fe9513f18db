"""The JSON of a HOOK, which is written by hand."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from buntime.core.http1.head import Head
from buntime.core.plugins.hooktext import Facts, seen_by, write_fields, write_target

TEXT = st.text(st.characters(max_codepoint=255), max_size=30)
FIELDS = (("host", "a"), ("cookie", "sid=1; other=2"), ("x-forwarded-user", "ann"), ("x-b", '"'))


def head_of(fields: tuple[tuple[str, str], ...], size: int = 100) -> Head:
    return Head("GET", "/", "1.1", fields, fields_bytes=size)


@given(st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_fields_are_json(fields: list[tuple[str, str]]) -> None:
    """The fields are valid JSON, whatever they hold."""
    assert json.loads(write_fields(tuple(fields))) == [list(pair) for pair in fields]


@given(TEXT, st.none() | TEXT, st.none() | TEXT, st.booleans())
def test_a_target_is_json(path: str, app: str | None, version: str | None, public: bool) -> None:
    """Absent parts of a target are left out."""
    told = json.loads("{" + write_target(Facts(app, version, path, public)).rstrip(",") + "}")
    assert told.get("app") == app
    assert told.get("version") == version
    assert told.get("isPublic", False) == public


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
