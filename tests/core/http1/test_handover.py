"""The fields of a request as its app gets them, in JSON, which caching never changes."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from buntime.core.http1.forwarded import Sender
from buntime.core.http1.handover import _known, write_fields_for_app
from buntime.core.http1.head import Head, HeadParser
from buntime.core.http1.limits import Limits

NAMES = st.sampled_from(
    "host accept cookie x-a x-forwarded-for x_forwarded_host x-base x-request-id forwarded "
    "x-real-ip x-identity x_identity_user y".split()
)
VALUES = st.text(st.characters(max_codepoint=0xFF), max_size=20)
SENDERS = st.sampled_from(
    [
        Sender(("192.0.2.1", 1234)),
        Sender(("::1", 1)),
        Sender(None),
        Sender(("192.0.2.1", 0), "https", 'a"b', "/tools", is_forwarded=True),
        Sender(None, "https", "", "", is_forwarded=True),
    ]
)


def head_of(*headers: tuple[str, str], fields_bytes: int = 100) -> Head:
    return Head("GET", "/", "1.1", headers=headers, fields_bytes=fields_bytes)


def read(text: str) -> list[tuple[str, str]]:
    assert text.isascii()
    assert "\n" not in text
    return [(name, value) for name, value in json.loads(f"[{text}null]")[:-1]]


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6), SENDERS, st.sampled_from([100, 100_000]))
def test_an_app_gets_what_its_sender_may_tell(
    headers: list[tuple[str, str]], sender: Sender, fields_bytes: int
) -> None:
    """The text has the fields that are passed on, then those that the runtime adds."""
    head = head_of(*headers, fields_bytes=fields_bytes)
    for _ in range(2):
        written, is_less = write_fields_for_app(head, head.headers, sender)
        passed = sender.passed_fields(headers)
        assert read(written) == passed + sender.forwarded_fields(passed)
        assert is_less == (not sender.is_forwarded and len(passed) < len(headers))


def test_what_is_remembered_is_not_the_senders() -> None:
    """Two clients with the same fields still get their own addresses."""
    head = head_of(("host", "a"))
    first, second = (
        dict(read(write_fields_for_app(head, head.headers, Sender((address, 1)))[0]))
        for address in ("192.0.2.1", "192.0.2.2")
    )
    assert (first["x-forwarded-for"], second["x-forwarded-for"]) == ("192.0.2.1", "192.0.2.2")


def test_a_field_that_was_taken_away_is_not_told() -> None:
    """The headers that are handed over count, not those that came with the head."""
    head = head_of(("host", "a"), ("x-api-key", "secret"))
    sender = Sender(None)
    assert "secret" in write_fields_for_app(head, head.headers, sender)[0]
    assert "secret" not in write_fields_for_app(head, head.headers[:1], sender)[0]


def test_large_sections_are_not_remembered() -> None:
    """Large fields are not cached, nor are fields that a large target makes large."""
    parser = HeadParser(Limits())
    _known.cache_clear()
    for raw in (
        b"GET / HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"x" * 3000),
        b"GET http://%b/ HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * 3000),
    ):
        head = parser.parse(raw)
        assert "x" * 3000 in write_fields_for_app(head, head.headers, Sender(None))[0]
    assert _known.cache_info().currsize == 0
    small = parser.parse(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    write_fields_for_app(small, small.headers, Sender(None))
    assert _known.cache_info().currsize == 1
