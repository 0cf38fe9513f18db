"""Content types come from one table, the same on every machine."""

import pytest

from buntime.core.sites import mediatypes
from buntime.core.sites.mediatypes import content_type
from buntime.sdk.mediatypes import BINARY, TEXT


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("index.html", "text/html; charset=utf-8"),
        ("INDEX.HTM", "text/html; charset=utf-8"),
        ("app.min.js", "text/javascript; charset=utf-8"),
        ("app.mjs", "text/javascript; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("data.json", "application/json; charset=utf-8"),
        ("app.js.map", "application/json; charset=utf-8"),
        ("site.webmanifest", "application/manifest+json; charset=utf-8"),
        ("notes.txt", "text/plain; charset=utf-8"),
        ("feed.xml", "text/xml; charset=utf-8"),
        ("logo.svg", "image/svg+xml"),
        ("logo.png", "image/png"),
        ("font.woff2", "font/woff2"),
        ("lib.wasm", "application/wasm"),
        ("film.mp4", "video/mp4"),
        ("app.js.gz", "application/gzip"),
        ("app.js.br", "application/octet-stream"),
        ("apple-app-site-association", "application/json; charset=utf-8"),
        ("LICENSE", "application/octet-stream"),
        ("odd.", "application/octet-stream"),
        ("odd.whatever", "application/octet-stream"),
        ("html", "application/octet-stream"),
    ],
)
def test_types(name: str, expected: str) -> None:
    """A name has the type of its last extension, in any case."""
    assert content_type(name) == expected


def test_the_table() -> None:
    """Extensions are lower case and unique, and every text type has its charset."""
    assert not TEXT.keys() & BINARY.keys()
    for extension, kind in mediatypes._BY_EXTENSION.items():
        assert extension == extension.lower()
        assert kind.endswith("; charset=utf-8") or not kind.startswith("text/")
        assert kind.isascii()
