from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime import Response
from buntime.sdk.cookies import parse_cookies

OCTETS = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '",;\\')
TOKENS = st.text(alphabet="!#$%&'*+-.^_`|~09azAZ", min_size=1)


def cookie(*args: Any, **kwargs: Any) -> str:
    response = Response()
    response.set_cookie(*args, **kwargs)
    return response.headers["set-cookie"]


def test_defaults() -> None:
    """A cookie is for the whole host, hidden from scripts, and Lax."""
    assert cookie("sid", "abc") == "sid=abc; Path=/; HttpOnly; SameSite=Lax"


def test_all_attributes() -> None:
    """Every attribute appears in the header."""
    line = cookie("a", "b", 60, "/x", "example.com", secure=True, same_site="none")
    assert line == ("a=b; Max-Age=60; Domain=example.com; Path=/x; Secure; HttpOnly; SameSite=None")


def test_no_attributes() -> None:
    """Every attribute can be omitted."""
    assert cookie("a", "", path=None, http_only=False, same_site=None) == "a="


def test_cookies_repeat_in_order() -> None:
    """Each cookie is a header of its own, in the order of the calls."""
    response = Response("x")
    response.set_cookie("a", "1", path=None, http_only=False, same_site=None)
    response.set_cookie("b", "2", path=None, http_only=False, same_site=None)
    assert response.headers.getall("set-cookie") == ["a=1", "b=2"]


def test_delete_cookie() -> None:
    """A cookie is deleted by setting one with age 0 and the same path and domain."""
    response = Response()
    response.delete_cookie("sid", path="/x", domain="example.com", secure=True)
    assert response.headers["set-cookie"] == (
        "sid=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Domain=example.com; Path=/x; "
        "Secure; HttpOnly; SameSite=Lax"
    )


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a;b", "é", "a\r\nb"])
def test_bad_names(name: str) -> None:
    """A name that is not a token is refused, and shown."""
    with pytest.raises(ValueError, match="is not a token") as caught:
        cookie(name, "x")
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("value", ["a b", "a;b", "a,b", 'a"b', "a\\b", "é", "a\r\nb", "\x7f"])
def test_bad_values(value: str) -> None:
    """A value that no cookie can carry is refused, with a way around it."""
    with pytest.raises(ValueError, match=r"cookie 'sid'.*urllib\.parse\.quote"):
        cookie("sid", value)


@pytest.mark.parametrize(
    ("attributes", "error", "says"),
    [
        ({"path": "x"}, ValueError, "path 'x' must start with \"/\""),
        ({"path": "/x; Domain=evil"}, ValueError, "path"),
        ({"path": "/\r\nx"}, ValueError, "path"),
        ({"domain": "a;b"}, ValueError, "domain"),
        ({"domain": ""}, ValueError, "domain"),
        ({"same_site": "some"}, ValueError, "same_site 'some'"),
        ({"same_site": "None"}, ValueError, "without secure=True"),
        ({"max_age": 1.5}, TypeError, "whole seconds"),
        ({"max_age": True}, TypeError, "whole seconds"),
    ],
)
def test_bad_attributes(attributes: dict[str, Any], error: type[Exception], says: str) -> None:
    """An attribute that a browser would drop or misread is refused."""
    with pytest.raises(error, match="cookie 'sid'") as caught:
        cookie("sid", "x", **attributes)
    assert says in str(caught.value)


def test_values_are_text() -> None:
    """A value of another type is a TypeError that names the cookie."""
    with pytest.raises(TypeError, match="cookie 'n': the value must be str, not int"):
        cookie("n", 5)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["a=1; b=2"], {"a": "1", "b": "2"}),
        (["a=1", "b=2"], {"a": "1", "b": "2"}),
        (["a=1;b=2 ;\tc = 3"], {"a": "1", "b": "2", "c": "3"}),
        (['a="1"; b="'], {"a": "1", "b": '"'}),
        (["a=1; a=2"], {"a": "1"}),
        (["a=b=c"], {"a": "b=c"}),
        (["a; =b; ; c="], {"c": ""}),
        ([], {}),
    ],
)
def test_parse_cookies(lines: list[str], expected: dict[str, str]) -> None:
    """Cookies are parsed leniently: the first of a name wins, and what is no pair is skipped."""
    assert parse_cookies(lines) == expected


@given(st.dictionaries(TOKENS, st.text(alphabet=OCTETS)))
def test_round_trip(cookies: dict[str, str]) -> None:
    """What set_cookie accepts reads back unchanged."""
    pairs = [cookie(name, value).partition(";")[0] for name, value in cookies.items()]
    assert parse_cookies(["; ".join(pairs)]) == cookies
