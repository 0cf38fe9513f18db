"""Field sections on their own: what they say, and which are refused with any line."""

from __future__ import annotations

import pytest

from buntime.core.errors import ClientFault
from buntime.core.http1.limits import Limits
from buntime.core.http1.section import FIELD_SECTION, Section, nominations, read_section


def read(*lines: bytes, limits: Limits = Limits()) -> Section:  # noqa: B008  # immutable
    raw = b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    assert FIELD_SECTION.fullmatch(raw)
    return read_section(raw, limits)


def test_an_empty_section_says_nothing() -> None:
    """Without fields there is no host and no body; the line decides whether that is enough."""
    assert read() == Section((), None, 0, False, False, False, False, "", 2)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"X-Request-ID: abcdefgh"], "abcdefgh"),
        ([b"x-request-id: short", b"X-REQUEST-ID: long.enough"], "long.enough"),
        ([b"X-Request-ID: spaces in it"], ""),
        ([b"X-Request-ID: " + b"a" * 129], ""),
        ([b"X-Request-ID: abcdefgh", b"Connection: x-request-id"], ""),
        ([b"Host: a", b"X-Request-ID: abcdefgh"], "abcdefgh"),
    ],
)
def test_a_request_id_is_a_plain_word(lines: list[bytes], expected: str) -> None:
    """The first request id that the log can hold unchanged counts, unless it ends at this hop."""
    assert read(*lines).request_id == expected


def test_fields_keep_their_order_and_bytes() -> None:
    """Names become lower-case; values lose surrounding white space and are read as Latin-1."""
    section = read(b"X-B: \t1 2 \t", b"Host:a", b"x-a:", b"X-B: \xe9")
    assert section.fields == (("x-b", "1 2"), ("host", "a"), ("x-a", ""), ("x-b", "\xe9"))
    assert section.host == "a"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"Content-Length: 0", {"content_length": 0}),
        (b"content-LENGTH:\t007 ", {"content_length": 7}),
        (b"Transfer-Encoding: CHUNKED", {"chunked": True, "fields": ()}),
        (b"Expect: 100-Continue", {"expects_continue": True, "fields": ()}),
        (b"Connection: Close, x", {"closes": True, "stays": False, "fields": ()}),
        (b"Connection: Keep-Alive", {"closes": False, "stays": True, "fields": ()}),
        (b"Upgrade: websocket", {"upgrade": "", "fields": ()}),
        (b"Host: [::1]:80", {"host": "[::1]:80"}),
    ],
)
def test_what_a_field_says(line: bytes, expected: dict[str, object]) -> None:
    """The fields that matter to this hop are read, and those for this hop only are removed."""
    section = read(line)
    assert {name: getattr(section, name) for name in expected} == expected


def test_upgrade_counts_where_connection_names_it() -> None:
    """An Upgrade field that Connection does not name may be meant for another hop."""
    assert read(b"Upgrade: websocket", b"Connection: keep-alive, upgrade").upgrade == "websocket"
    assert read(b"Upgrade: a", b"Connection: Upgrade", b"upgrade: b").upgrade == "a, b"


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([b"Host: a", b"Host: a"], 400),
        ([b"Host: a/b"], 400),
        ([b"Content-Length: 5", b"Content-Length: 5"], 400),
        ([b"Content-Length: 5, 5"], 400),
        ([b"Content-Length: +5"], 400),
        ([b"Content-Length: " + b"9" * 19], 400),
        ([b"Content-Length: 5", b"Transfer-Encoding: chunked"], 400),
        ([b"Transfer-Encoding: gzip, chunked"], 501),
        ([b"Transfer-Encoding: x-chunked\t,chunked"], 501),
        ([b"Transfer-Encoding: chunked-x, gzip", b"Transfer-Encoding: CHUNKED"], 501),
        ([b"Transfer-Encoding: chunked, gzip"], 400),
        ([b"Transfer-Encoding: chunked, gzip, chunked"], 400),
        ([b"Transfer-Encoding: gzip;q=1, chunked"], 400),
        ([b"Transfer-Encoding: gzip,, chunked"], 400),
        ([b"Transfer-Encoding: gzip chunked"], 400),
        ([b"Content-Length: 5", b"Transfer-Encoding: gzip, chunked"], 400),
        ([b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"], 400),
        ([b"Expect: 100-continue, x"], 417),
        ([b"A: 1", b"A: 1", b"A: 1"], 431),
    ],
)
def test_a_section_is_refused(lines: list[bytes], status: int) -> None:
    """A body with two lengths, and any field that is not understood, is refused with any line."""
    with pytest.raises(ClientFault) as caught:
        read(*lines, limits=Limits(header_fields_max=2))
    assert caught.value.status == status
    assert caught.value.closes


def test_the_grammar_is_no_wider_than_h11() -> None:
    """h11 accepts each character that our grammar allows in a name or value."""
    for code in range(256):
        char = bytes([code])
        for line in (b"A" + char + b": 1", b"A: 1" + char + b"1"):
            if FIELD_SECTION.fullmatch(line + b"\r\n\r\n"):
                read(line)


def test_some_fields_cannot_be_nominated() -> None:
    """Connection cannot remove what the app or the framing needs, or what a proxy has added."""
    asked = "close, X-A,host, Content-Length,via,x-forwarded-for , cookie,expect"
    assert nominations(asked) == {"close", "x-a", "expect"}
