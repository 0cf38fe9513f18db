"""A raw path is decoded once, and refused if it is ambiguous."""

from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.errors import ClientFault
from buntime.core.sites.sitepath import (
    SitePath,
    check_method,
    folder_location,
    is_navigation,
    read_fields,
    split_path,
)

HTML = "text/html,application/xhtml+xml,*/*;q=0.8"


@pytest.mark.parametrize(
    ("raw", "segments", "is_folder"),
    [
        ("/", (), True),
        ("/index.html", ("index.html",), False),
        ("/docs/", ("docs",), True),
        ("/docs/a.b/c", ("docs", "a.b", "c"), False),
        ("/caf%C3%A9%20au%20lait.txt", ("café au lait.txt",), False),
        ("/100%25.txt", ("100%.txt",), False),
        ("/%2561", ("%61",), False),
        ("/a+b;c=1,d&e@f:g~h!i$j'k(l)*m", ("a+b;c=1,d&e@f:g~h!i$j'k(l)*m",), False),
        ("/a..b/c..", ("a..b", "c.."), False),
        ("/.well-known/security.txt", (".well-known", "security.txt"), False),
        ("/docs/buntime.yaml", ("docs", "buntime.yaml"), False),
        ("/manifest.json", ("manifest.json",), False),
    ],
)
def test_split(raw: str, segments: tuple[str, ...], is_folder: bool) -> None:
    """A harmless path is accepted and decoded once."""
    assert split_path(raw) == SitePath(segments, is_folder)


@pytest.mark.parametrize(
    "raw",
    "|index.html|*|//a|/a//b|/a//|/.|/..|/a/../b|/%2e%2e/a|/a%2Fb|/a%2fb|/a%5cb|/a\\b|/a%00|/a%0a"
    "|/a%1f|/a%7f|/a%c2%80|/a%c2%9f|/%|/a%2|/%zz|/%c0%ae|/%ff|/%ed%a0%80|/caf\xe9|/caf\xc3\xa9|/.env"
    "|/%2eenv|/a/.env|/a/.well-known|/.well-known/.a|/buntime.yaml|/Manifest.YML|/buntime.yml/a"
    "".split("|"),
)
def test_refused(raw: str) -> None:
    """A path that is ambiguous, hidden, or impossible for a file is refused without a lookup."""
    assert split_path(raw) is None


PATHS = st.one_of(
    st.text().map(lambda text: "/" + text),
    st.lists(
        st.sampled_from("/ / / . . .. % %2e %2F %5c %00 %25 %c3%a9 %ff a b \\ ~ é".split())
    ).map(lambda pieces: "/" + "".join(pieces)),
    st.text().map(lambda text: "/" + quote(text)),
    st.binary().map(lambda data: "/" + quote(data)),
    st.text(),
)


@given(PATHS)
def test_what_comes_through(raw: str) -> None:
    """No path gives a segment that leaves its folder, is hidden, or is invalid in a file name."""
    path = split_path(raw)
    if path is None:
        return
    for place, segment in enumerate(path.segments):
        assert segment
        assert segment[0] != "." or (place == 0 and segment == ".well-known")
        assert not set(segment) & {"/", "\\", "\0", "\n", "\r", "\x7f", "\x80"}
        assert segment.encode("utf-8")
    again = "/" + "/".join(quote(segment, safe="") for segment in path.segments)
    again += "/" * (path.is_folder and path.segments != ())
    assert split_path(again) == path


@given(PATHS)
def test_key(raw: str) -> None:
    """Two paths have the same key only if they name the same file."""
    path = split_path(raw)
    if path is not None:
        assert path.key.split("/")[1:] == [*path.segments, ""][: None if path.is_folder else -1]


SEGMENTS = st.text(min_size=1).filter(lambda text: split_path("/" + quote(text, safe="")))


@given(st.lists(SEGMENTS, max_size=4), st.sampled_from(["", "/shop", "/shop@^1.2.0", "//evil"]))
def test_folder_location(segments: list[str], base: str) -> None:
    """A redirect stays on this host and leads to the requested folder."""
    location = folder_location(base, SitePath(tuple(segments), False), "")
    assert location[0] == "/"
    assert location[1:2] not in ("/", "\\")
    assert location.isascii()
    assert location.isprintable()
    assert unquote(location) == "/" + "/".join(
        [*base.lstrip("/").split("/"), *segments, ""]
    ).lstrip("/")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "/shop/docs/"),
        ("a=1&b=%20?", "/shop/docs/?a=1&b=%20?"),
        ("a\r\nb: c", "/shop/docs/"),
        ("a b", "/shop/docs/"),
        ("\xe9", "/shop/docs/"),
    ],
)
def test_query_of_a_redirect(query: str, expected: str) -> None:
    """A query is kept, unless it is invalid in a header."""
    assert folder_location("/shop", SitePath(("docs",), False), query) == expected


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("/users/1", [("accept", HTML), ("sec-fetch-mode", "navigate")], True),
        ("/users/1", [("accept", HTML)], True),
        ("/users/", [("accept", HTML)], True),
        ("/", [("accept", HTML)], True),
        ("/users/1", [("accept", "*/*")], False),
        ("/users/1", [], False),
        ("/users/1", [("accept", HTML), ("sec-fetch-mode", "cors")], False),
        ("/users/1", [("accept", HTML), ("sec-fetch-mode", "no-cors")], False),
        ("/app.js", [("accept", HTML)], False),
        ("/app.js/", [("accept", HTML)], False),
        ("/v1.2/users", [("accept", HTML)], True),
        ("/users/1", [("accept", "image/png"), ("accept", "text/html")], True),
    ],
)
def test_navigation(path: str, headers: list[tuple[str, str]], expected: bool) -> None:
    """A navigation is a request that accepts HTML, for a path that is not a file's."""
    target = split_path(path)
    assert target is not None
    assert is_navigation(read_fields(headers), target) is expected


def test_read_fields() -> None:
    """Repeated fields become one list; fields without a meaning here are skipped."""
    asked = read_fields(
        [
            ("host", "x"),
            ("if-none-match", '"a"'),
            ("accept-encoding", "gzip"),
            ("if-none-match", '"b"'),
            ("accept-encoding", "br"),
            ("cookie", "a=b"),
        ]
    )
    assert asked.conditions == {"if-none-match": '"a", "b"'}
    assert asked.accept_encoding == "gzip, br"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", ""])
def test_other_methods(method: str) -> None:
    """All methods but GET and HEAD are refused, and the answer lists what is allowed."""
    with pytest.raises(ClientFault) as caught:
        check_method(method)
    assert caught.value.status == 405
    assert ("allow", "GET, HEAD") in caught.value.headers
