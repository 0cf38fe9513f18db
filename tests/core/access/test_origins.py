"""Requests that a browser sends on behalf of pages from other sites."""

import pytest

from buntime.core.access.origins import is_foreign


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:8000", "localhost:8000"),
        ("http://localhost", "localhost"),
        ("http://localhost", "localhost:80"),
        ("http://localhost", "localhost:"),
        ("https://apps.example.org", "apps.example.org"),
        ("https://apps.example.org:443", "apps.example.org"),
        ("https://APPS.example.org", "apps.EXAMPLE.org:443"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("http://[::1]", "[::1]:80"),
    ],
)
def test_page_of_the_same_site(origin: str, host: str) -> None:
    """A page with exactly the same host and port may make changes."""
    assert not is_foreign([("origin", origin)], host=host)
    assert not is_foreign([("Origin", origin), ("Sec-Fetch-Site", "same-origin")], host=host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://evil.example", "localhost:8000"),
        ("http://localhost", "localhost:8000"),
        ("http://localhost:3000", "localhost:8000"),
        ("https://localhost", "localhost:80"),
        ("http://localhost:8000.evil.example", "localhost:8000"),
        ("http://localhost:8000@evil.example", "localhost:8000"),
        ("http://a.localhost:8000", "localhost:8000"),
        ("null", "localhost"),
        ("", "localhost"),
        ("file://", "localhost"),
        ("http://", ""),
        ("http://localhost:8000/", "localhost:8000"),
        ("http://[::1]:8000", "[::1]"),
        ("chrome-extension://localhost", "localhost"),
    ],
)
def test_page_of_another_site(origin: str, host: str) -> None:
    """A page with another host or port, or with an unknown origin, may not."""
    assert is_foreign([("origin", origin)], host=host)
    same = f"http://{host}"
    assert is_foreign([("origin", same), ("origin", origin)], host=host)


@pytest.mark.parametrize("said", ["cross-site", "same-site", "", "SAME-ORIGIN", "else"])
def test_browser_says_that_the_page_is_foreign(said: str) -> None:
    """A request is foreign unless the browser marks it as the user's own or same-origin."""
    fields = [("sec-fetch-site", said), ("origin", "http://localhost")]
    assert is_foreign(fields, host="localhost")


@pytest.mark.parametrize("headers", [[], [("sec-fetch-site", "none")], [("x-origin", "null")]])
def test_no_page_at_all(headers: list[tuple[str, str]]) -> None:
    """Requests of non-browsers, and of users who typed the address, come from no page."""
    assert not is_foreign(headers, host="localhost")
