"""What a client that has not signed in is answered, depending on what it asks for."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import parse_qs, urlsplit

import pytest

from buntime.core.http1.signin import SCRIPT, SCRIPT_HASH, sign_in_page, sign_in_url, way_to_sign_in

HTML = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("method", "dest", "accept", "way"),
    [
        ("GET", "document", "*/*", "lead"),
        ("POST", "document", HTML, "lead"),
        ("GET", "iframe", HTML, "show"),
        ("GET", "embed", HTML, "show"),
        ("GET", "empty", HTML, "tell"),
        ("GET", "image", "image/*", "tell"),
        ("GET", "script", HTML, "tell"),
        ("GET", None, HTML, "lead"),
        ("HEAD", None, HTML, "lead"),
        ("POST", None, HTML, "tell"),
        ("GET", None, "*/*", "tell"),
        ("GET", None, "application/json", "tell"),
        ("GET", None, None, "tell"),
        ("GET", None, "text/html;q=0", "tell"),
    ],
)
def test_the_way(method: str, dest: str | None, accept: str | None, way: str) -> None:
    said = (("sec-fetch-dest", dest), ("accept", accept))
    fields = [(name, value) for name, value in said if value is not None]
    assert way_to_sign_in(method, fields) == way


@pytest.mark.parametrize(
    ("prefix", "target", "to"),
    [
        ("", "/shop/cart?id=1&x=a%20b", "/shop/cart?id=1&x=a%20b"),
        ("/tools", "/shop", "/tools/shop"),
        ("", "*", "/"),
        ("", "/" + "x" * 3000, "/"),
        ("", "//evil.example/x", "//evil.example/x"),  # the target of the link checks it
    ],
)
def test_where_one_comes_from_is_told(prefix: str, target: str, to: str) -> None:
    url = urlsplit(sign_in_url(prefix, target))
    assert url.path == f"{prefix}/.well-known/buntime/auth/sign-in"
    assert parse_qs(url.query) == {"to": [to]}


def test_the_page_of_a_frame_escapes_its_link() -> None:
    page = sign_in_page('/x?to="><script>alert(1)</script>')
    assert page.count(b"<script>") == 1  # the page's own


def test_the_hash_is_of_the_script() -> None:
    """The hash covers exactly what the page has between its script tags, as browsers compare it."""
    found = sign_in_page("/x").partition(b"<script>")[2].partition(b"</script>")[0]
    assert found == SCRIPT.encode()
    digest = base64.b64encode(hashlib.sha256(found).digest()).decode()
    assert f"sha256-{digest}" == SCRIPT_HASH
