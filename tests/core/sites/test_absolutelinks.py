"""Links of a page that leave the base of its app."""

from __future__ import annotations

import time

import pytest

from buntime.core.sites.absolutelinks import absolute_links

VITE = b"""<!doctype html><html><head><link rel="icon" href="/vite.svg" />
<script type="module" crossorigin src="/assets/index-4sK3.js"></script>
<link rel="stylesheet" crossorigin href="/assets/index-0h.css"></head></html>"""


@pytest.mark.parametrize(
    ("page", "found"),
    [
        (VITE, ("/vite.svg", "/assets/index-4sK3.js", "/assets/index-0h.css")),
        (VITE.replace(b'="/', b'="./'), ()),
        (VITE.replace(b'="/', b'="/shop/'), ()),
        (b'<a href="//cdn.example.com/x.js"><script src="https://x/a.js">', ()),
        (b"<A class=x HREF=/other>", ("/other",)),
        (b"<img data-src='/x'><p href='/x'>", ()),
        (b"<a href='/shopping'><a href='/shop'>", ("/shopping",)),
        (b"<a href='/a'>" * 3, ("/a",)),
        (b"\xff\xfe", ()),
    ],
)
def test_links(page: bytes, found: tuple[str, ...]) -> None:
    """Links that begin with one slash, but not with the base, are found."""
    assert absolute_links(page, "/shop") == found


def test_a_page_that_is_made_to_be_slow() -> None:
    """Only the first part of a long page is read, so it takes no time."""
    begun = time.process_time()
    for page in (b"<a " * 200_000, b"<a href=" * 100_000, b"<link " + b" " * 500_000):
        absolute_links(page, "/shop")
    assert time.process_time() - begun < 5
