"""What gives access to a preview."""

import pytest

from buntime.core.deploys.preview import COOKIE, cookie_for, hash_of, offered

TOKEN = "abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("target", "left"),
    [
        (f"/a/?preview={TOKEN}", "/a/"),
        (f"/a/?x=1&preview={TOKEN}&y=2", "/a/?x=1&y=2"),
        (f"/a?preview={TOKEN}&", "/a"),
    ],
)
def test_a_link(target: str, left: str) -> None:
    """A link has a token in its query, which the app does not see."""
    found = offered(target, [])
    assert found == (TOKEN, left)


@pytest.mark.parametrize(
    "target", ["/", "/?preview=", "/?preview=short", f"/?xpreview={TOKEN}", f"/?preview={TOKEN}%0d"]
)
def test_no_link(target: str) -> None:
    """A malformed token is ignored."""
    assert offered(target, []) is None


def test_a_cookie() -> None:
    """A link wins over a cookie, and a cookie is found among others."""
    headers = [("cookie", f"a=b; {COOKIE}={TOKEN}; c=d")]
    assert offered("/", headers) == (TOKEN, None)
    assert offered(f"/?preview={TOKEN[::-1]}", headers) == (TOKEN[::-1], "/")
    assert offered("/", [("cookie", f"x{COOKIE}={TOKEN}")]) is None


def test_the_cookie_that_is_given() -> None:
    """The cookie applies to this preview's paths only, and is hidden from scripts."""
    assert cookie_for(TOKEN, "/shop@0.0.0-preview.a", is_secure=True) == (
        f"{COOKIE}={TOKEN}; Path=/shop@0.0.0-preview.a/; HttpOnly; SameSite=Lax; Secure"
    )
    assert len(hash_of(TOKEN)) == 64
