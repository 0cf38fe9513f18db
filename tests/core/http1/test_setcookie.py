"""An app's cookies stay at or below its base, however their Path is written."""

import http.cookiejar
import urllib.request
from email.message import Message
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.http1.setcookie import below, is_for_host, sets_cookie


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a=b", "a=b; Path=/shop"),
        ("a=b; Path=/", "a=b; Path=/shop"),
        ("a=b; path=/; HttpOnly", "a=b; Path=/shop; HttpOnly"),
        ("a=b;Path=/;Secure", "a=b; Path=/shop;Secure"),
        ("a=b; Secure", "a=b; Path=/shop; Secure"),
        ("a=b; Path=/x", "a=b; Path=/shop/x"),
        ("a=b; Path=/x/", "a=b; Path=/shop/x/"),
        ("a=b; Path=/shop", "a=b; Path=/shop"),
        ("a=b; Path=/shop/", "a=b; Path=/shop/"),
        ("a=b; Path=/shop/x", "a=b; Path=/shop/x"),
        ("a=b; Path=/shopper", "a=b; Path=/shop/shopper"),
        ("a=b; Path=/Shop", "a=b; Path=/shop/Shop"),
        ("a=b; Path=/shop@1", "a=b; Path=/shop/shop@1"),
        ("a=b; Path=", "a=b; Path=/shop"),
        ("a=b; Path", "a=b; Path=/shop"),
        ("a=b; Path=x", "a=b; Path=/shop"),
        ('a=b; Path="/"', "a=b; Path=/shop"),
        ("a=b; \tPATH \t=\t / ; Secure", "a=b; Path=/shop; Secure"),
        ("a=b; Path=/x; Secure; Path=/", "a=b; Path=/shop; Secure"),
        ("a=b; Path=/; Path=/shop/y", "a=b; Path=/shop/y"),
        ("a=b; Path=/x; Path=", "a=b; Path=/shop"),
        ("a=b; Path=//", "a=b; Path=/shop//"),
        ("a=b; Path=/../blog", "a=b; Path=/shop/../blog"),
        ('a="b; Path=/"', 'a="b; Path=/shop/"'),
        ("a=b; Xpath=/; Path2=/", "a=b; Path=/shop; Xpath=/; Path2=/"),
        ("=b", "=b; Path=/shop"),
        ("", "; Path=/shop"),
        ("a=b;", "a=b; Path=/shop;"),
        ("a=; Max-Age=0; Path=/", "a=; Path=/shop; Max-Age=0"),
        ("__Secure-a=b; Secure; Path=/", "__Secure-a=b; Path=/shop; Secure"),
        (
            "a=b; Domain=x.org; Path=/; SameSite=None; Secure; Partitioned; Expires=Thu, 1 Jan",
            "a=b; Path=/shop; Domain=x.org; SameSite=None; Secure; Partitioned; Expires=Thu, 1 Jan",
        ),
        (f"a=b; Path=/{'x' * 2000}", "a=b; Path=/shop"),
        (f"a=b; Path=/y; Path=/{'x' * 1020}", "a=b; Path=/shop"),
        (f"a=b; Path=/{'x' * 1018}", f"a=b; Path=/shop/{'x' * 1018}"),
    ],
)
def test_paths(value: str, expected: str) -> None:
    """A Path is moved below the base; everything else stays as it was."""
    assert below(value, "/shop") == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/shop@1"),
        ("/x", "/shop@1/x"),
        ("/shop", "/shop@1"),
        ("/shop/x", "/shop@1/x"),
        ("/shop@1/x", "/shop@1/x"),
        ("/shop@2", "/shop@1/shop@2"),
    ],
)
def test_a_pin(path: str, expected: str) -> None:
    """The cookie of a pinned version stays with the pin."""
    assert below(f"a=b; Path={path}", "/shop@1", ("/shop",)) == f"a=b; Path={expected}"


def test_a_base_behind_a_proxy() -> None:
    """The base that the client sees counts."""
    assert below("a=b; Path=/shop/x", "/tools/shop", ("/shop",)) == "a=b; Path=/tools/shop/x"
    assert below("a=b; Path=/tools/shop", "/tools/shop", ("/shop",)) == "a=b; Path=/tools/shop"


def test_a_base_with_a_semicolon() -> None:
    """A base cannot add an attribute."""
    assert below("a=b", "/x; Domain=y/shop") == "a=b; Path=/x%3B Domain=y/shop"


@pytest.mark.parametrize("value", ["__Host-a=b", " __host-a; Path=/", "__Host-Http-a=b", "__HOST-"])
def test_for_the_host(value: str) -> None:
    """A prefix that requires Path=/ is recognized in any case."""
    assert is_for_host(value)


@pytest.mark.parametrize("value", ["__Secure-a=b", "a=__Host-", "_Host-a=b", "", "__Hos"])
def test_not_for_the_host(value: str) -> None:
    """Other names have no such prefix."""
    assert not is_for_host(value)


def test_the_field() -> None:
    """The field's name matches in any case, and only as a whole."""
    assert sets_cookie(["Set-Cookie", ""])
    assert sets_cookie(["set-cookie", ""])
    assert not sets_cookie(["Set-Cookie2", ""])
    assert not sets_cookie(["set_cookie", ""])


_ATTRIBUTES = st.lists(
    st.sampled_from(
        ["Path=/", "path = /x", "Path", "Path=/shop/y", "Secure", " PATH\t=/z ", "Path=;", ";" * 40]
    )
    | st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20),
    max_size=5,
)


class _Response:
    """What http.cookiejar needs of an answer."""

    def __init__(self, value: str) -> None:
        self.message = Message()
        self.message["Set-Cookie"] = value

    def info(self) -> Message:
        return self.message


def _browser_path(value: str) -> str | None:
    """The Path as RFC 6265 5.2 and 5.3 compute it, None if the request's folder applies."""
    found: str | None = None
    for attribute in value.split(";")[1:17]:
        name, _, text = attribute.partition("=")
        if name.strip(" \t").lower() == "path":
            text = text.strip(" \t")
            if len(text.encode()) <= 1024:
                found = text if text.startswith("/") else None
    return found


@given(_ATTRIBUTES, st.sampled_from(["/shop", "/shop@1", "/@acme/wiki"]))
def test_no_cookie_leaves(attributes: list[str], base: str) -> None:
    """Whatever the attributes are, a browser finds one Path, at or below the base."""
    value = below(";".join(["a=b", *attributes]), base)
    path = _browser_path(value)
    assert path is not None
    assert path == base or path.startswith(f"{base}/")
    assert below(value, base) == value


def test_as_a_client_has_it() -> None:
    """The standard library's cookie jar sends it to the app and to no other."""
    jar = http.cookiejar.CookieJar()
    request = urllib.request.Request("http://example.org/shop")
    answer = _Response(below("a=b; Path=/; Max-Age=60", "/shop"))
    jar.extract_cookies(cast("http.client.HTTPResponse", answer), request)
    for path, sent in (("/shop", True), ("/shop/x", True), ("/blog", False), ("/", False)):
        request = urllib.request.Request(f"http://example.org{path}")
        jar.add_cookie_header(request)
        assert request.has_header("Cookie") == sent, path
