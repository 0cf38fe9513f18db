"""Only a name that certainly contains a hash of its content is cached for ever."""

import random
import string

import pytest

from buntime.core.sites.fingerprint import is_content_hashed


@pytest.mark.parametrize(
    "name",
    [
        "app.3f9a1c2b.js",
        "main.3f9a1c2b4d5e6f708192.chunk.js",
        "style.3f9a1c2b.min.css",
        "app.3f9a1c2b.js.map",
        "index-BkT3x9aZ.js",
        "inter-latin-Dx4kXJAl.woff2",
        "chunk-5GQ7QXKD.js",
        "logo.d41d8cd98f00b204e9800998ecf8427e.svg",
    ],
)
def test_hashed(name: str) -> None:
    """Names as bundlers make them are recognized."""
    assert is_content_hashed(name)


@pytest.mark.parametrize(
    "name",
    [
        "app.js",
        "index.html",
        "jquery-3.6.0.min.js",
        "bootstrap.bundle.min.js",
        "report-20240131.pdf",
        "report-2024-01-31.pdf",
        "photo-2024dec1.jpg",
        "IMG-20240131-WA0001.jpg",
        "photo-iPhone15.jpg",
        "book-Chapter1.html",
        "clip-1080p60fps.mp4",
        "video-h264aac.mp4",
        "facade-defaced.png",
        "lib-MyModule.js",
        "lib.JavaScript.js",
        "notes-Version2b.txt",
        "3f9a1c2b.js",
        "3f9a1c2b",
        "app-3f9a1c2b",
        "app.3f9a1c.js",
        "user-550e8400-e29b-41d4-a716-446655440000.jpg",
        "user-3f9a1c2b-e29b-41d4-a716-4a6b5c440d00.jpg",
        "tel-0123456789.txt",
        ".3f9a1c2b",
        "",
        "...",
    ],
)
def test_not_hashed(name: str) -> None:
    """Words, dates, versions, models and ids are not taken for hashes."""
    assert not is_content_hashed(name)


@pytest.mark.parametrize(
    ("alphabet", "length", "least"),
    [
        ("0123456789abcdef", 8, 0.68),
        ("0123456789abcdef", 20, 0.99),
        (string.ascii_letters + string.digits + "-_", 8, 0.53),
        (string.ascii_uppercase + "234567", 8, 0.32),
    ],
)
def test_rate(alphabet: str, length: int, least: float) -> None:
    """The share of random hashes recognized for each bundler is at least the documented one."""
    chance = random.Random(0)
    names = [f"app-{''.join(chance.choices(alphabet, k=length))}.js" for _ in range(2000)]
    found = sum(map(is_content_hashed, names)) / len(names)
    assert found >= least
