"""What is sent of a representation: all, some spans, or only its headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.errors import ClientFault
from buntime.core.sites.ranges import Span
from buntime.core.sites.representation import (
    Representation,
    describe,
    multipart,
    plan,
    single_part_headers,
)

TEXT = "text/plain; charset=utf-8"


def form(size: int = 1000, coding: str = "", varies: bool = False) -> Representation:
    return describe(
        size=size,
        content_type=TEXT,
        coding=coding,
        etag='"abc"',
        modified_s=784111777,
        cache_control="no-cache",
        varies=varies,
    )


def test_headers_of_a_200() -> None:
    """A 200 has all headers that are known of a file."""
    assert dict(form().headers) == {
        "content-type": TEXT,
        "content-length": "1000",
        "etag": '"abc"',
        "last-modified": "Sun, 06 Nov 1994 08:49:37 GMT",
        "cache-control": "no-cache",
        "accept-ranges": "bytes",
        "x-content-type-options": "nosniff",
    }


def test_headers_of_a_coded_form() -> None:
    """A coded form names its coding and what the choice depended on."""
    headers = dict(form(coding="br", varies=True).headers)
    assert headers["content-encoding"] == "br"
    assert headers["vary"] == "Accept-Encoding"


def test_headers_of_a_304() -> None:
    """A 304 has what a cache needs to select and keep its copy, and no more."""
    status, headers, spans = plan("GET", {"if-none-match": '"abc"'}, form(varies=True))
    assert (status, spans) == (304, ())
    assert dict(headers) == {
        "etag": '"abc"',
        "cache-control": "no-cache",
        "vary": "Accept-Encoding",
    }


@pytest.mark.parametrize(
    ("method", "fields", "status", "spans"),
    [
        ("GET", {}, 200, None),
        ("HEAD", {}, 200, None),
        ("GET", {"range": "bytes=0-9"}, 206, (Span(0, 10),)),
        ("GET", {"range": "bytes=0-9,500-"}, 206, (Span(0, 10), Span(500, 500))),
        ("GET", {"range": "bytes=x"}, 200, None),
        ("HEAD", {"range": "bytes=0-9"}, 200, None),
        ("HEAD", {"range": "bytes=5000-"}, 200, None),
        ("GET", {"range": "bytes=0-9", "if-range": '"abc"'}, 206, (Span(0, 10),)),
        ("GET", {"range": "bytes=0-9", "if-range": '"x"'}, 200, None),
        ("GET", {"range": "bytes=5000-", "if-range": '"x"'}, 200, None),
        ("GET", {"range": "bytes=0-9", "if-none-match": '"abc"'}, 304, ()),
        ("GET", {"range": "bytes=5000-", "if-none-match": '"abc"'}, 304, ()),
        ("HEAD", {"if-none-match": '"abc"'}, 304, ()),
    ],
)
def test_plans(
    method: str, fields: dict[str, str], status: int, spans: tuple[Span, ...] | None
) -> None:
    """Conditions are evaluated first, then Range, for GET only and if If-Range permits it."""
    made = plan(method, fields, form())
    assert (made.status, made.spans) == (status, spans)


def test_several_ranges_of_a_coded_form() -> None:
    """One range of a coded form is sent, several are not."""
    assert plan("GET", {"range": "bytes=0-9"}, form(coding="br")).status == 206
    assert plan("GET", {"range": "bytes=0-9,500-"}, form(coding="br")).status == 200


@pytest.mark.parametrize(
    ("fields", "status", "header"),
    [
        ({"range": "bytes=1000-"}, 416, ("content-range", "bytes */1000")),
        ({"if-match": '"x"'}, 412, ("etag", '"abc"')),
        ({"if-match": '"x"', "range": "bytes=1000-"}, 412, ("etag", '"abc"')),
    ],
)
def test_faults(fields: dict[str, str], status: int, header: tuple[str, str]) -> None:
    """A range beyond the end and a failed precondition still describe the file."""
    with pytest.raises(ClientFault) as caught:
        plan("GET", fields, form())
    assert caught.value.status == status
    assert header in caught.value.headers


def test_single_part_headers() -> None:
    """A single span has its own length and position; all else is as for the whole."""
    headers = dict(single_part_headers(form(), Span(0, 10)))
    assert headers == dict(form().headers) | {
        "content-length": "10",
        "content-range": "bytes 0-9/1000",
    }


@given(st.lists(st.integers(0, 10**6).map(lambda n: Span(n, 7)), min_size=2, max_size=16))
def test_multipart_length(spans: list[Span]) -> None:
    """The Content-Length of several spans matches the bytes sent."""
    headers, heads, tail = multipart(form(2 * 10**6), tuple(spans), "B")
    length = sum(map(len, heads)) + sum(span.length for span in spans) + len(tail)
    assert dict(headers)["content-length"] == str(length)
    assert dict(headers)["content-type"] == "multipart/byteranges; boundary=B"
    assert all(f"Content-Type: {TEXT}\r\n".encode() in head for head in heads)
