"""Codings are ranked by the client's weights, then by ours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.http1.negotiation import accepts_html, wanted_codings


@pytest.mark.parametrize(
    ("value", "codings"),
    [
        ("", ()),
        ("gzip", ("gzip",)),
        ("br", ("br",)),
        ("gzip, deflate, br, zstd", ("br", "gzip")),
        ("GZIP,BR", ("br", "gzip")),
        ("x-gzip", ("gzip",)),
        ("gzip;q=1.0, br;q=0.5", ("gzip", "br")),
        ("gzip ; q=0.2 , br ; Q=0.3", ("br", "gzip")),
        ("gzip;q=0", ()),
        ("gzip;q=0.000, br", ("br",)),
        ("*", ("br", "gzip")),
        ("*;q=0.1, gzip", ("gzip", "br")),
        ("br;q=0, *", ("gzip",)),
        ("*;q=0", ()),
        ("identity", ()),
        ("identity;q=0.5, gzip;q=0.4, br;q=0.6", ("br",)),
        ("identity;q=0, gzip;q=0.1", ("gzip",)),
        ("identity, gzip, br", ("br", "gzip")),
        ("gzip;q=2, br", ("br",)),
        ("gzip;q=, br", ("br",)),
        ("gzip;q=0.1234, br", ("br",)),
        ("gzip;level=9", ("gzip",)),
        (",;,=;q", ()),
        ("gzip" + " " * 300, ()),
    ],
)
def test_codings(value: str, codings: tuple[str, ...]) -> None:
    """Each field gives this ranking; a malformed element is not accepted."""
    assert wanted_codings(value) == codings


@given(st.text() | st.lists(st.sampled_from([*"gzipbr*;q=01.,"])).map("".join))
def test_garbage(value: str) -> None:
    """No value raises, and only codings that we know are returned, each once."""
    codings = wanted_codings(value)
    assert set(codings) <= {"br", "gzip"}
    assert len(set(codings)) == len(codings)


@pytest.mark.parametrize(
    ("value", "accepts"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("TEXT/HTML", True),
        ("image/png, text/html;q=0.1", True),
        ("text/html;q=0", False),
        ("*/*", False),
        ("text/*", False),
        ("application/json", False),
        ("", False),
    ],
)
def test_accepts_html(value: str, accepts: bool) -> None:
    """Only a client that names text/html is taken for a browser's navigation."""
    assert accepts_html(value) is accepts


def test_what_is_too_long() -> None:
    """A field longer than any browser sends is not read, and asks for nothing."""
    assert accepts_html("text/html," + "a/b," * 200)
    assert not accepts_html("text/html," + "," * 60_000)
    assert wanted_codings("gzip," + "," * 60_000) == ()
