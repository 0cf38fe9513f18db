"""Request lines on their own: the forms of a target, checked against h11."""

from __future__ import annotations

import re

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.errors import ClientFault
from buntime.core.http1.grammar import REQUEST_LINE
from buntime.core.http1.requestline import REQUEST_LINE_START, RequestLine, read_line


def read(line: bytes) -> RequestLine:
    found = REQUEST_LINE_START.match(line + b"\r\nHost: a\r\n\r\n")
    assert found is not None
    return read_line(found)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"GET / HTTP/1.1", RequestLine("GET", "/", "1.1", "")),
        (b"get /a?b=/*%00 HTTP/1.0", RequestLine("get", "/a?b=/*%00", "1.0", "")),
        (b"OPTIONS * HTTP/1.1", RequestLine("OPTIONS", "*", "1.1", "")),
        (b"GET http://a:80/b?c HTTP/1.1", RequestLine("GET", "/b?c", "1.1", "a:80")),
        (b"GET HTTPS://[::1]?c HTTP/1.1", RequestLine("GET", "/?c", "1.1", "[::1]", True)),
        (b"GET / HTTP/1.2", RequestLine("GET", "/", "1.1", "")),
        (b"GET / HTTP/1.9", RequestLine("GET", "/", "1.1", "")),
        (b"GET http://a HTTP/1.0", RequestLine("GET", "/", "1.0", "a")),
    ],
)
def test_a_line_is_read(line: bytes, expected: RequestLine) -> None:
    """The target is returned in origin form, with the authority of an absolute one beside it."""
    assert read(line) == expected


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET / HTTP/0.9", 505),
        (b"GET / HTTP/2.0", 505),
        (b"CONNECT * HTTP/3.0", 505),
        (b"CONNECT /a HTTP/1.1", 400),
        (b"CONNECT a:443 HTTP/1.1", 400),
        (b"GET * HTTP/1.1", 400),
        (b"GET a HTTP/1.1", 400),
        (b"GET /a#b HTTP/1.1", 400),
        (b"GET http://a/#b HTTP/1.1", 400),
        (b"GET http:///a HTTP/1.1", 400),
        (b"GET http://u@a/ HTTP/1.1", 400),
        (b"GET ftp://a/ HTTP/1.1", 400),
        (b"A" * 33 + b" / HTTP/1.1", 501),
    ],
)
def test_a_line_is_refused(line: bytes, status: int) -> None:
    """A line that is no request for a server is refused, whatever the fields are; version first."""
    with pytest.raises(ClientFault) as caught:
        read(line)
    assert caught.value.status == status
    assert caught.value.closes


def test_the_grammar_is_no_wider_than_h11() -> None:
    """h11 accepts each character that our grammar allows in a method or target."""
    for code in range(256):
        char = bytes([code])
        for method, target in ((b"A" + char, b"/"), (b"A", b"/" + char)):
            if re.fullmatch(REQUEST_LINE, method + b" " + target + b" HTTP/1.1"):
                h11.Request(method=method, target=target, headers=[], http_version="1.0")


@given(st.from_regex(REQUEST_LINE, fullmatch=True))
def test_h11_would_say_the_same(line: bytes) -> None:
    """h11 accepts each line that we accept, and reads the same method and target."""
    found = re.fullmatch(REQUEST_LINE, line)
    assert found is not None
    method, target, _ = found.groups()
    request = h11.Request(method=method, target=target, headers=[], http_version="1.0")
    assert (request.method, request.target) == (method, target)
