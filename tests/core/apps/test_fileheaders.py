"""Header fields that a manifest sets for files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.apps.fileheaders import HeaderRules, parse_file_headers
from buntime.core.values.units import BadValue


def test_of_a_file() -> None:
    """If several patterns match a file, the later one wins for a field that both set."""
    rules = parse_file_headers(
        {
            "/**": {"X-Frame-Options": "DENY", "Cache-Control": "no-store"},
            "/assets/*.js": {"cache-control": "max-age=60"},
        }
    )
    of = HeaderRules(rules).of
    assert dict(of("/assets/a.js")) == {"x-frame-options": "DENY", "cache-control": "max-age=60"}
    assert dict(of("/index.html")) == {"x-frame-options": "DENY", "cache-control": "no-store"}
    assert HeaderRules(rules, below="/assets").of("/a.js") == of("/assets/a.js")
    assert HeaderRules().of("/a.js") == ()


@pytest.mark.parametrize(
    "name",
    ["Content-Length", "transfer-encoding", "CONNECTION", "Set-Cookie", "ETag", "Content-Encoding",
     "Vary", "Location", "Trailer", "Upgrade", "content-range"],
)  # fmt: skip
def test_what_is_the_runtimes(name: str) -> None:
    """Framing, conditions, codings, the connection and cookies belong to the runtime."""
    with pytest.raises(BadValue, match="only the runtime sets"):
        parse_file_headers({"/**": {name: "x"}})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "is not a mapping; write lines like"),
        ({"/**": "x"}, "is not a mapping; write one like"),
        ({"assets": {}}, "is not a path"),
        ({"/../x": {}}, "dot segment"),
        ({"/**": {"a b": "x"}}, "is not the name of a header field"),
        ({"/**": {"": "x"}}, "is not the name of a header field"),
        ({"/**": {"x:": "x"}}, "is not the name of a header field"),
        ({"/**": {"X-A": "1", "x-a": "2"}}, "x-a is given twice"),
        ({"/**": {"X-A": ""}}, "is not a line of printable ASCII"),
        ({"/**": {"X-A": "a\r\nSet-Cookie: b"}}, "is not a line of printable ASCII"),
        ({"/**": {"X-A": "a\n"}}, "is not a line of printable ASCII"),
        ({"/**": {"X-A": "a\0"}}, "is not a line of printable ASCII"),
        ({"/**": {"X-A": "é"}}, "is not a line of printable ASCII"),
        ({"/**": {"X-A": ["a"]}}, "is not a line of printable ASCII"),
        ({"/**": {"X-A": "a" * 9000}}, "more than 8192 characters"),
        ({"/" + "a*" * 2049: {}}, "more than 4096 characters"),
    ],
)
def test_faults(value: object, message: str) -> None:
    """What is not a valid field, or would break out of one, is refused with what to write
    instead."""
    with pytest.raises(BadValue, match=message):
        parse_file_headers(value)


@given(st.dictionaries(st.text(), st.text(), max_size=3))
def test_nothing_ends_a_field(fields: dict[str, str]) -> None:
    """Any accepted field is a single line of a head."""
    try:
        rules = parse_file_headers({"/**": fields})
    except BadValue:
        return
    for name, value in HeaderRules(rules).of("/x"):
        assert f"{name}: {value}".isprintable() or "\t" in value
        assert not {"\r", "\n", "\0"} & set(name + value)
