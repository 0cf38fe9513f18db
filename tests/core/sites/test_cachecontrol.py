"""Cache-Control: `core/sites/cachecontrol.py`."""

import pytest

from buntime.core.sites.cachecontrol import cache_control
from buntime.core.sites.mediatypes import HTML

TEXT = "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("name", "kind", "private", "expected"),
    [
        ("index.html", HTML, False, "no-cache"),
        ("index.3f9a1c2b.html", HTML, False, "no-cache"),
        ("app.3f9a1c2b.js", TEXT, False, "public, max-age=31536000, immutable"),
        ("app.js", TEXT, False, "public, max-age=0, must-revalidate"),
        ("index.html", HTML, True, "private, no-cache"),
        ("app.3f9a1c2b.js", TEXT, True, "private, max-age=31536000, immutable"),
        ("app.js", TEXT, True, "private, max-age=0, must-revalidate"),
    ],
)
def test_cache_control(name: str, kind: str, private: bool, expected: str) -> None:
    """Hashed names are cached for ever, all else is revalidated; pages are never immutable."""
    assert cache_control(name, kind, private=private) == expected
