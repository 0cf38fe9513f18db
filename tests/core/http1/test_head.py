"""Heads that were seen before are not parsed again: nobody can tell."""

from __future__ import annotations

import pytest

from buntime.core.errors import ClientFault
from buntime.core.http1.head import Head, HeadParser, Limits
from tests.corpus.cases import Case, load_cases

GET = b"GET /shop/?q=1 HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n\r\n"


def told(head: Head) -> dict[str, object]:
    return head._asdict()


@pytest.mark.parametrize("case", load_cases("valid"), ids=lambda case: case.name)
def test_remembered_heads_are_as_parsed(case: Case) -> None:
    """Every head of the corpus is the same the second time."""
    data = case.data.lstrip(b"\r\n")
    raw = data[: data.index(b"\r\n\r\n") + 4]
    parser = HeadParser(Limits())
    first = told(parser.parse(raw))
    assert told(parser.parse(raw)) == first
    assert told(HeadParser(Limits()).parse(raw)) == first


@pytest.mark.parametrize("name", [*Head._fields, "invented"])
def test_a_head_never_changes(name: str) -> None:
    """Requests with the same bytes share one head: none of them can write to it."""
    parser = HeadParser(Limits())
    head = parser.parse(GET)
    with pytest.raises(AttributeError):
        setattr(head, name, "x")
    assert parser.parse(GET) is head
    assert head.keep_alive
    assert head.headers == (("host", "a"), ("x-a", "1"))


def test_few_and_small_heads_are_remembered() -> None:
    """A client that varies its heads, or makes them large, does not fill the memory."""
    parser = HeadParser(Limits())
    for number in range(1000):
        parser.parse(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
    assert len(parser._seen) == 256
    parser.parse(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 2000 + b"\r\n\r\n")
    assert len(parser._seen) == 256


def test_refused_heads_are_refused_again() -> None:
    """What is no request is not remembered as one."""
    parser = HeadParser(Limits())
    for _ in range(2):
        with pytest.raises(ClientFault):
            parser.parse(b"GET / HTTP/1.1\r\n\r\n")


def test_headers_smaller_than_a_line() -> None:
    """A bound on headers that lies below that on the request line holds for a head that is
    whole at once."""
    limits = Limits(request_line_max_bytes=8192, headers_max_bytes=1024)
    raw = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: %b\r\n\r\n"
    assert HeadParser(limits).parse(raw % (b"x" * 990)).headers[0] == ("host", "a")
    with pytest.raises(ClientFault) as caught:
        HeadParser(limits).parse(raw % (b"x" * 1100))
    assert caught.value.status == 431
