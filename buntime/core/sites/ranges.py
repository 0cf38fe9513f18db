"""Byte ranges (RFC 9110 14): which bytes a Range field requests, and how several are framed."""

from collections.abc import Sequence

from buntime.core.values.regex import regex
from buntime.core.values.tuples import QuickTuple

# More ranges than any player or PDF reader requests at once; each one costs a part.
RANGES_MAX = 16
# Two ranges this close are sent as one: the head of a part would be longer than the gap.
GAP_MAX_BYTES = 80

_SPEC = regex(r"([0-9]*)-([0-9]*)")
# int() refuses 4300 digits or more, and no file has 10**18 bytes: means "beyond the end".
_BEYOND = 10**18


class Span(QuickTuple):
    """`length` bytes from `offset`; length is at least 1."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length


def select(value: str, size: int) -> tuple[Span, ...] | None:
    """The spans of `size` bytes that a Range field requests.

    "bytes=0-9,-5" of 100 -> (Span(0, 10), Span(95, 5)). () where none can be satisfied (416). None
    where the field must be ignored: malformed, another unit, more than RANGES_MAX ranges, ranges
    that overlap so much that they request more bytes than there are, or an empty file (clients that
    always send Range want the empty file then, not an error).
    """
    unit, _, range_set = value.partition("=")
    specs = [spec for spec in (item.strip(" \t") for item in range_set.split(",")) if spec]
    if unit.lower() != "bytes" or not 0 < len(specs) <= RANGES_MAX or size == 0:
        return None
    spans = []
    for spec in specs:
        match = _SPEC.fullmatch(spec)
        if match is None or spec == "-":
            return None
        first, last = match.groups()
        if first and last and _number(last) < _number(first):
            return None
        span = _span(first, last, size)
        if span.length > 0:
            spans.append(span)
    if sum(span.length for span in spans) > size:
        return None
    return tuple(_coalesce(spans))


def content_range(span: Span, size: int) -> str:
    """Span(0, 10) of 100 -> "bytes 0-9/100"."""
    return f"bytes {span.offset}-{span.end - 1}/{size}"


def part_heads(
    spans: Sequence[Span], size: int, content_type: str, boundary: str
) -> tuple[list[bytes], bytes]:
    """What precedes each span in a multipart/byteranges body, and what ends the body."""
    heads = [
        f"\r\n--{boundary}\r\nContent-Type: {content_type}\r\n"
        f"Content-Range: {content_range(span, size)}\r\n\r\n".encode("ascii")
        for span in spans
    ]
    heads[0] = heads[0][2:]  # the first delimiter needs no preceding line break
    return heads, f"\r\n--{boundary}--\r\n".encode("ascii")


def _span(first: str, last: str, size: int) -> Span:
    """One range cut to the file; a length of 0 or less means that it cannot be satisfied."""
    if not first:
        length = min(_number(last), size)
        return Span(size - length, length)
    offset = _number(first)
    end = min(_number(last) + 1, size) if last else size
    return Span(offset, end - offset)


def _number(digits: str) -> int:
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= 18 else _BEYOND


def _coalesce(spans: Sequence[Span]) -> list[Span]:
    """Merge spans that overlap or nearly touch; keeps the order of the request."""
    merged: list[Span] = []
    for span in spans:
        near = [
            other
            for other in merged
            if span.offset <= other.end + GAP_MAX_BYTES and other.offset <= span.end + GAP_MAX_BYTES
        ]
        if not near:
            merged.append(span)
            continue
        offset = min(span.offset, *(other.offset for other in near))
        end = max(span.end, *(other.end for other in near))
        place = merged.index(near[0])
        merged = [other for other in merged if other not in near]
        merged.insert(place, Span(offset, end - offset))
    return merged
