"""One form of a file, as HTTP calls it, and what to send of it for a given request."""

from collections.abc import Mapping

from buntime.core.errors import ClientFault
from buntime.core.sites.conditions import Validators, Verdict, judge, range_applies
from buntime.core.sites.ranges import Span, content_range, part_heads, select
from buntime.core.values.tuples import QuickTuple
from buntime.sdk.files import http_date

# Header fields that a 304 repeats (RFC 9110 15.4.5).
_OF_304 = frozenset(("cache-control", "etag", "vary"))

Fields = tuple[tuple[str, str], ...]


class Representation(QuickTuple):
    """A file in one coding: its size in bytes, and all header fields that are known beforehand."""

    size: int
    content_type: str
    coding: str
    validators: Validators
    headers: Fields  # for a 200
    unchanged_headers: Fields  # for a 304


class Plan(QuickTuple):
    """What to send: the whole body (`spans` is None), some spans of it, or nothing, ()."""

    status: int
    headers: Fields
    spans: tuple[Span, ...] | None


def describe(
    *,
    size: int,
    content_type: str,
    coding: str = "",
    etag: str,
    modified_s: int | None,
    cache_control: str,
    varies: bool = False,
    more: Fields = (),
) -> Representation:
    """A representation with its headers built once.

    `etag` is strong and quoted, `modified_s` seconds since 1970 (None: send no date), `coding`
    "br", "gzip" or "". `varies` means that the same path has other codings too. `more` are
    additional fields, which replace those of the same name; names in lower case.
    """
    content_type = dict(more).get("content-type", content_type)
    validators = Validators(etag, modified_s, "" if modified_s is None else http_date(modified_s))
    fields = [
        ("content-type", content_type),
        ("content-length", str(size)),
        ("content-encoding", coding),
        ("etag", etag),
        ("last-modified", validators.last_modified),
        ("cache-control", cache_control),
        ("vary", "Accept-Encoding" if varies else ""),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
    ]
    present = {name: value for name, value in fields if value} | dict(more)
    headers = tuple(present.items())
    unchanged = tuple(field for field in headers if field[0] in _OF_304)
    return Representation(size, content_type, coding, validators, headers, unchanged)


def plan(method: str, fields: Mapping[str, str], form: Representation) -> Plan:
    """What a GET or HEAD with these conditional fields gets of `form`.

    `fields` maps lower-case names to values, repeats joined by ", ". Raises ClientFault: 412 if a
    precondition fails, 416 if no range can be satisfied.
    """
    if not fields:
        return Plan(200, form.headers, None)
    verdict = judge(fields, form.validators)
    if verdict is Verdict.FAILED:
        raise ClientFault(
            412,
            "precondition_failed",
            "the file does not match If-Match or If-Unmodified-Since",
            headers=(("etag", form.validators.etag),),
        )
    if verdict is Verdict.NOT_MODIFIED:
        return Plan(304, form.unchanged_headers, ())
    # RFC 9110 14.2: Range only has a meaning with GET.
    if method == "GET" and "range" in fields and range_applies(fields, form.validators):
        spans = select(fields["range"], form.size)
        if spans == ():
            raise _not_satisfiable(form.size)
        # Several parts of an encoded file: RFC 9110 does not say whether Content-Encoding would
        # describe the parts or the multipart around them, so the whole file is sent.
        if spans is not None and (len(spans) == 1 or not form.coding):
            return Plan(206, form.headers, spans)
    return Plan(200, form.headers, None)


def single_part_headers(form: Representation, span: Span) -> list[tuple[str, str]]:
    """The fields of a 206 with one span."""
    return _replaced(
        form, span.length, form.content_type, [("content-range", content_range(span, form.size))]
    )


def multipart(
    form: Representation, spans: tuple[Span, ...], boundary: str
) -> tuple[list[tuple[str, str]], list[bytes], bytes]:
    """The fields of a 206 with several spans, what precedes each of them, and what ends the
    body."""
    heads, tail = part_heads(spans, form.size, form.content_type, boundary)
    length = sum(map(len, heads)) + sum(span.length for span in spans) + len(tail)
    kind = f"multipart/byteranges; boundary={boundary}"
    return _replaced(form, length, kind, []), heads, tail


def _replaced(
    form: Representation, length: int, content_type: str, more: list[tuple[str, str]]
) -> list[tuple[str, str]]:
    changed = {"content-length": str(length), "content-type": content_type}
    return [(name, changed.get(name, value)) for name, value in form.headers] + more


def _not_satisfiable(size: int) -> ClientFault:
    return ClientFault(
        416,
        "range_not_satisfiable",
        f"the file has {size} bytes, none of which is in the range",
        headers=(("content-range", f"bytes */{size}"), ("accept-ranges", "bytes")),
    )
