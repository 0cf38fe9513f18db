"""The cookie of operators' sessions: removed from each request, and set only by the runtime."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.http1.head import HeadParser
from buntime.core.http1.limits import Limits
from buntime.core.http1.operatorscookie import (
    NAMES,
    cookie_for,
    is_set_by,
    take_out,
    tokens_of,
)


@pytest.mark.parametrize(
    ("sent", "left", "taken"),
    [
        ("a=1; bt=x; b=2", "a=1; b=2", [("bt", "x")]),
        ("bt=x", None, [("bt", "x")]),
        ("__Host-bt=x;bt=y", None, [("__Host-bt", "x"), ("bt", "y")]),
        (" bt = x ;a=1", "a=1", [("bt", "x")]),
        ('a="; bt=x; "', 'a="; "', [("bt", "x")]),
        ("bt=a=b", None, [("bt", "a=b")]),
        ("bt", None, [("bt", "")]),
        ("bt=x; bt=y", None, [("bt", "x"), ("bt", "y")]),
        ("bt-affinity=x; abt=1; btx=2; BT=3", "bt-affinity=x; abt=1; btx=2; BT=3", []),
        ("a=bt=x", "a=bt=x", []),
    ],
)
def test_taking_out(sent: str, left: str | None, taken: list[tuple[str, str]]) -> None:
    """The cookie is removed by its name, wherever it is; all else stays as it came."""
    found = take_out((("host", "a"), ("cookie", sent), ("x", "bt=1")))
    kept = () if left is None else (("cookie", left),)
    assert found.fields == (("host", "a"), *kept, ("x", "bt=1"))
    assert list(found.cookies) == taken


@given(st.lists(st.text("bt=; \t_Host-ax\"'", max_size=30), max_size=4))
def test_nothing_is_left(values: list[str]) -> None:
    """Whatever is sent, in however many fields, nothing behind the runtime can read this cookie."""
    found = take_out(tuple(("cookie", value) for value in values))
    for _, value in found.fields:
        assert not NAMES & {pair.partition("=")[0].strip() for pair in value.split(";")}


def test_where_fields_are_read() -> None:
    """The fields of a head never contain this cookie, nor do those of a WebSocket handshake."""
    lines = ["GET / HTTP/1.1", "Host: a", "Cookie: a=1; bt=x", "Connection: upgrade"]
    raw = "\r\n".join([*lines, "Upgrade: websocket", "", ""]).encode()
    head = HeadParser(Limits()).parse(raw)
    assert ("cookie", "a=1") in head.headers
    assert head.operators == (("bt", "x"),)
    bare = HeadParser(Limits()).parse(b"GET / HTTP/1.0\r\nCookie: bt=x\r\n\r\n")
    assert (bare.headers, bare.operators) == ((), (("bt", "x"),))


@pytest.mark.parametrize(
    "value",
    ["bt=x", "bt=x; Path=/", "__Host-bt=x; Secure; Path=/", "=bt=x", " bt =x", "\t=\tbt=x", "bt="],
)
def test_what_sets_it(value: str) -> None:
    """Each spelling that a browser would store or send under one of these names is detected."""
    assert is_set_by(value)


@pytest.mark.parametrize("value", ["bt", "abt=x", "bt-affinity=x", "a=bt=x", "a; bt=x", "BT=x"])
def test_what_sets_another(value: str) -> None:
    """Other cookies belong to the app."""
    assert not is_set_by(value)


def test_which_counts() -> None:
    """Over TLS the cookie that only TLS can set counts, otherwise the other one."""
    cookies = (("bt", "a"), ("__Host-bt", "b"), ("bt", "a"), ("bt", "c"))
    assert tokens_of(cookies, is_secure=True) == ["b"]
    assert tokens_of(cookies, is_secure=False) == ["a", "c"]
    many = [("bt", str(number)) for number in range(100)]
    assert len(tokens_of(many, is_secure=False)) == 4


def test_what_is_set() -> None:
    """The cookie is hidden from scripts and other sites, and over TLS it is limited to TLS."""
    assert (
        cookie_for("x", is_secure=False) == "bt=x; Path=/; HttpOnly; SameSite=Strict; Priority=High"
    )
    assert (
        cookie_for("", is_secure=True)
        == "__Host-bt=; Path=/; HttpOnly; SameSite=Strict; Priority=High; Secure; Max-Age=0"
    )
