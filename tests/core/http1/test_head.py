"""Heads, lines and sections that were seen before are not parsed again; the result is the same."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.errors import ClientFault
from buntime.core.http1.head import Head, HeadParser
from buntime.core.http1.limits import Limits
from tests.corpus.cases import Case, load_cases

GET = b"GET /shop/?q=1 HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n\r\n"
CASES = [case for kind in ("valid", "invalid", "handshake") for case in load_cases(kind)]
LIMITS = Limits(request_line_max_bytes=200, headers_max_bytes=1000, header_fields_max=20)

Outcome = Head | tuple[int, str, bool]


def parse(parser: HeadParser, raw: bytes) -> Outcome:
    """The result for a head, with everything that a client and the log see of it."""
    try:
        return parser.parse(raw)
    except ClientFault as fault:
        return fault.status, str(fault), fault.closes


@cache
def halves() -> tuple[list[bytes], list[bytes]]:
    """The lines and the sections of the corpus, each once, and lines that it has no case for."""
    methods = (b"GET", b"POST", b"OPTIONS", b"CONNECT")
    targets = (b"/", b"*", b"b:1", b"http://b:1/x", b"HTTPS://b?q", b"http://b#x", b"/a#b")
    versions = (b"1.0", b"1.1", b"2.0")
    lines = {
        method + b" " + target + b" HTTP/" + version
        for method in methods
        for target in targets
        for version in versions
    }
    sections = {b"\r\n"}
    for case in CASES:
        head = case.data.lstrip(b"\r\n").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        line, _, section = head.partition(b"\r\n")
        if len(section) < 5000 and len(line) < 1000:
            lines.add(line)
            sections.add(section)
    return sorted(lines), sorted(sections)


@pytest.mark.parametrize("case", load_cases("valid"), ids=lambda case: case.name)
def test_remembered_heads_are_as_parsed(case: Case) -> None:
    """Every head of the corpus gives the same result the second time."""
    data = case.data.lstrip(b"\r\n")
    raw = data[: data.index(b"\r\n\r\n") + 4]
    parser = HeadParser(Limits())
    first = parser.parse(raw)._asdict()
    assert parser.parse(raw)._asdict() == first
    assert HeadParser(Limits()).parse(raw)._asdict() == first


@pytest.mark.parametrize("at", range(len(halves()[1])))
def test_each_line_goes_with_each_section_as_if_both_were_new(at: int) -> None:
    """A line and a section give the same result together, whichever of them was seen before."""
    lines, sections = halves()
    section = sections[at]
    for limits in (Limits(), LIMITS):
        warm = HeadParser(limits)
        for line in (b"GET / HTTP/1.0", b"POST /a HTTP/1.1", b"OPTIONS * HTTP/1.1"):
            parse(warm, line + b"\r\n" + section)
        taken = 0
        for line in lines:
            raw = line + b"\r\n" + section
            cold = parse(HeadParser(limits), raw)
            assert parse(warm, line + b"\r\nHost: other\r\n\r\n") is not None
            assert parse(warm, raw) == cold
            assert parse(warm, raw) == cold
            taken += isinstance(cold, Head)
        is_small = len(section) <= 2048 and section.count(b"\r\n") <= 25
        assert (section in warm._sections) is (taken > 0 and is_small)


METHODS = st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"X", b"get", b"G@T"])
TARGETS = st.sampled_from(
    [b"/", b"/a?b", b"*", b"http://b:1/x", b"https://c", b"b:1", b"/a#b", b"/%00", b"/ b", b""]
)
VERSIONS = st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0", b"1.0", b"1.2", b"2.0", b"11"])
FIELDS = st.sampled_from(
    [
        b"Host: a",
        b"Host: b:80",
        b"host:a ",
        b"Host: a/b",
        b"Content-Length: 5",
        b"content-length: 0",
        b"Content-Length: 5, 5",
        b"Content-Length: -1",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip",
        b"Connection: close",
        b"Connection: keep-alive, x-a",
        b"Connection: upgrade, host, content-length",
        b"Upgrade: websocket",
        b"Expect: 100-continue",
        b"Expect: x",
        b"X-A: 1",
        b"X-A:\t\xe9\t",
        b"X A: 1",
        b" folded",
        b"",
    ]
)
HEADS = st.builds(
    lambda method, target, version, fields: (
        method
        + b" "
        + target
        + b" HTTP/"
        + version
        + b"\r\n"
        # Host first in most of them, otherwise few would be valid requests
        + b"".join(field + b"\r\n" for field in fields)
        + b"\r\n"
    ),
    METHODS,
    TARGETS,
    VERSIONS,
    st.one_of(
        st.lists(FIELDS, max_size=3).map(lambda fields: [b"Host: a", *fields]),
        st.lists(FIELDS, max_size=4),
    ),
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A head with a byte or two changed."""
    raw = bytearray(draw(HEADS))
    for _ in range(draw(st.integers(1, 2))):
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    return bytes(raw)


_warm = HeadParser(Limits())  # keeps what it has cached over all examples


@given(st.lists(st.one_of(HEADS, HEADS, mutated()), min_size=1, max_size=12))
def test_what_was_seen_changes_nothing(heads: list[bytes]) -> None:
    """A parser that has seen other heads gives the same result as a new one."""
    fresh = HeadParser(Limits())
    for raw in heads:
        cold = parse(HeadParser(Limits()), raw)
        assert parse(fresh, raw) == cold
        assert parse(_warm, raw) == cold


@pytest.mark.parametrize("name", [*Head._fields, "invented"])
def test_a_head_never_changes(name: str) -> None:
    """Requests with the same bytes share one head, so heads are immutable."""
    parser = HeadParser(Limits())
    head = parser.parse(GET)
    with pytest.raises(AttributeError):
        setattr(head, name, "x")
    assert parser.parse(GET) is head
    assert head.keep_alive
    assert head.headers == (("host", "a"), ("x-a", "1"))


def test_a_known_section_is_not_read_again() -> None:
    """Requests that differ in their lines only share the result for their fields."""
    parser = HeadParser(Limits())
    first, second = (parser.parse(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n) for n in (1, 2))
    assert (first.target, second.target) == ("/1", "/2")
    assert first.headers is second.headers


def test_few_and_small_heads_are_remembered() -> None:
    """A client that varies its heads, or makes them large, does not fill the memory."""
    parser = HeadParser(Limits())
    for number in range(1000):
        parser.parse(b"GET /%d HTTP/1.1\r\nHost: a%d\r\n\r\n" % (number, number))
    assert len(parser._heads) == len(parser._sections) == 256
    before = [*parser._heads], [*parser._sections]
    parser.parse(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 2100 + b"\r\n\r\n")
    parser.parse(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: x\r\n" * 24 + b"\r\n")
    assert before == ([*parser._heads], [*parser._sections])


def test_refused_heads_are_refused_again() -> None:
    """A refused head is not cached, and neither are its invalid halves."""
    parser = HeadParser(Limits())
    for _ in range(2):
        for raw in (
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\n\r\n",
            b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        ):
            with pytest.raises(ClientFault):
                parser.parse(raw)
    assert not parser._heads
    assert not parser._sections


def test_a_section_may_need_another_line() -> None:
    """What is valid only in HTTP/1.0, or only in HTTP/1.1, is refused with the other version."""
    parser = HeadParser(Limits())
    hostless, chunked = b"A: 1\r\n\r\n", b"Host: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    for _ in range(2):
        assert parser.parse(b"GET / HTTP/1.0\r\n" + hostless).host == ""
        with pytest.raises(ClientFault, match="Host field is missing"):
            parser.parse(b"GET / HTTP/1.1\r\n" + hostless)
        assert parser.parse(b"GET / HTTP/1.1\r\n" + chunked).chunked
        with pytest.raises(ClientFault, match="no Transfer-Encoding"):
            parser.parse(b"GET / HTTP/1.0\r\n" + chunked)


def test_a_targets_host_is_not_remembered_with_the_section() -> None:
    """The authority in one target does not reach the next request with the same fields."""
    parser = HeadParser(Limits())
    section = b"Host: a\r\n\r\n"
    for _ in range(2):
        other = parser.parse(b"GET http://evil/x HTTP/1.1\r\n" + section)
        assert (other.host, other.headers) == ("evil", (("host", "evil"),))
        own = parser.parse(b"GET /x HTTP/1.1\r\n" + section)
        assert (own.host, own.headers) == ("a", (("host", "a"),))


def test_headers_smaller_than_a_line() -> None:
    """A headers limit below the request line limit also applies to a head that arrives whole."""
    limits = Limits(request_line_max_bytes=8192, headers_max_bytes=1024)
    raw = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: %b\r\n\r\n"
    assert HeadParser(limits).parse(raw % (b"x" * 990)).headers[0] == ("host", "a")
    with pytest.raises(ClientFault) as caught:
        HeadParser(limits).parse(raw % (b"x" * 1100))
    assert caught.value.status == 431
