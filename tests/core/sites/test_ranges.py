"""A Range field is ignored, is unsatisfiable, or selects spans within the file."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.sites.ranges import RANGES_MAX, Span, content_range, part_heads, select


@pytest.mark.parametrize(
    ("value", "spans"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-499", [(0, 500)]),
        ("bytes=500-999", [(500, 500)]),
        ("bytes=500-", [(500, 500)]),
        ("bytes=500-5000", [(500, 500)]),
        ("bytes=999-", [(999, 1)]),
        ("bytes=-1", [(999, 1)]),
        ("bytes=-1000", [(0, 1000)]),
        ("bytes=-5000", [(0, 1000)]),
        ("BYTES=0-0", [(0, 1)]),
        ("bytes= 0-0 ", [(0, 1)]),
        ("bytes=,0-0,,", [(0, 1)]),
        ("bytes=00000000000000000000000000-1", [(0, 2)]),
        (f"bytes=0-{'9' * 5000}", [(0, 1000)]),
        ("bytes=0-0,500-599", [(0, 1), (500, 100)]),
        ("bytes=500-599, 0-0", [(500, 100), (0, 1)]),
        ("bytes=0-0,5000-,-1", [(0, 1), (999, 1)]),
        # near or overlapping ones become one
        ("bytes=0-9,10-19", [(0, 20)]),
        ("bytes=0-9,50-59", [(0, 60)]),
        ("bytes=50-59,0-9", [(0, 60)]),
        ("bytes=0-199,100-299", [(0, 300)]),
        ("bytes=100-199,100-199", [(100, 100)]),
        ("bytes=0-9,500-509,250-259,5-14", [(0, 15), (500, 10), (250, 10)]),
        ("bytes=0-9,200-209,100-109,60-149", [(0, 210)]),
    ],
)
def test_selected(value: str, spans: list[tuple[int, int]]) -> None:
    """Each field selects these spans of 1000 bytes, in the requested order."""
    assert select(value, 1000) == tuple(Span(*span) for span in spans)


@pytest.mark.parametrize("value", ["bytes=1000-", "bytes=-0", "bytes=1000-2000,-0", "bytes=9999-"])
def test_not_satisfiable(value: str) -> None:
    """A well-formed field that selects nothing is not ignored."""
    assert select(value, 1000) == ()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=1",
        "bytes=2-1",
        "bytes=0-0,2-1",
        "bytes=0-0;1-1",
        "bytes=0 - 0",
        "bytes=+0-1",
        "bytes=0x0-1",
        "bytes=\u0660-\u0661",
        "bytes=--1",
        "bytes=0-1-2",
        "bytes=1_0-20",
        "items=0-0",
        "bytes =0-0",
        "0-0",
    ],
)
def test_malformed_is_ignored(value: str) -> None:
    """A field that RFC 9110 does not define, or that does not count bytes, is ignored."""
    assert select(value, 1000) is None


def test_too_many_are_ignored() -> None:
    """With one range more than RANGES_MAX the whole file is sent."""
    few = ",".join(f"{n * 1000}-{n * 1000}" for n in range(RANGES_MAX))
    assert len(select(f"bytes={few}", 10**6) or ()) == RANGES_MAX
    assert select(f"bytes={few},999999-", 10**6) is None


def test_overlaps_beyond_the_file_are_ignored() -> None:
    """If overlapping ranges ask for more bytes than the file has, the file is sent once."""
    assert select("bytes=0-,0-", 1000) is None
    assert select("bytes=0-,0-0", 1000) is None
    assert select("bytes=0-599,400-799", 1000) == (Span(0, 800),)


def test_an_empty_file_is_sent_whole() -> None:
    """An empty file has no ranges, and a 416 would not help."""
    assert select("bytes=0-", 0) is None
    assert select("bytes=-5", 0) is None


NUMBERS = st.one_of(st.integers(0, 300), st.integers(0, 10**30)).map(str)
SPECS = st.tuples(NUMBERS | st.just(""), NUMBERS | st.just("")).map("-".join)
FIELDS = st.one_of(
    st.lists(SPECS, min_size=1, max_size=20).map(lambda specs: "bytes=" + ",".join(specs)),
    st.lists(st.sampled_from(["bytes", "=", "-", ",", " ", "0", "17", "x"])).map("".join),
    st.text(),
)


@given(FIELDS, st.integers(0, 400) | st.integers(0, 10**15))
def test_any_field_of_any_size(value: str, size: int) -> None:
    """Spans are within the file, not empty and disjoint, and no larger than the file in total."""
    spans = select(value, size)
    if spans is None:
        return
    assert len(spans) <= RANGES_MAX
    for span in spans:
        assert span.offset >= 0
        assert span.length > 0
        assert span.end <= size
    ordered = sorted(spans)
    assert all(a.end <= b.offset for a, b in pairwise(ordered))
    assert sum(span.length for span in spans) <= size


@given(
    st.lists(st.tuples(st.integers(0, 250), st.integers(0, 250)), min_size=1, max_size=RANGES_MAX)
)
def test_all_that_was_asked_for(pairs: list[tuple[int, int]]) -> None:
    """Each requested byte that exists is in one of the spans."""
    size = 200
    ranges = [(min(pair), max(pair)) for pair in pairs]
    spans = select("bytes=" + ",".join(f"{first}-{last}" for first, last in ranges), size)
    wanted = {n for first, last in ranges for n in range(first, min(last + 1, size))}
    if spans is not None:
        assert wanted <= {n for span in spans for n in range(span.offset, span.end)}
    else:
        assert sum(min(last + 1, size) - first for first, last in ranges if first < size) > size


def test_content_range() -> None:
    """Content-Range names the last byte, not the one after it."""
    assert content_range(Span(0, 10), 100) == "bytes 0-9/100"


def test_part_heads() -> None:
    """A multipart body looks as in RFC 9110 14.6."""
    heads, tail = part_heads((Span(0, 2), Span(7, 3)), 10, "text/plain", "B")
    assert heads[0] + b"01" + heads[1] + b"789" + tail == (
        b"--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01"
        b"\r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 7-9/10\r\n\r\n789"
        b"\r\n--B--\r\n"
    )
