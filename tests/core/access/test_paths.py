"""A path is decoded once, and refused if it is ambiguous."""

import posixpath
from itertools import product
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.access.paths import decode_path, has_dots, inner_path, is_within, plain_path


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/", "/"),
        ("/a//b/../c/.", "/a//b/../c/."),  # checking segments is up to the caller
        ("/caf%C3%A9%20x", "/caf\u00e9 x"),
        ("/%2e%2E/a", "/../a"),
        ("/100%25", "/100%"),
        ("/%2561", "/%61"),
        ("/a%3Fb%23c", "/a?b#c"),
        ("/%e2%80%a8", "/\u2028"),
    ],
)
def test_a_path_is_decoded_once(raw: str, path: str) -> None:
    """A well-formed path is decoded, whatever its segments are."""
    assert decode_path(raw) == path


@pytest.mark.parametrize(
    "raw",
    "|a|*|http://x/|/a%2Fb|/a%2fb|/a%5cb|/a\\b|/a%00|/a%0a|/a%7f|/a%c2%80|/%|/a%2|/%zz|/%u002e"
    "|/%c0%ae|/%ff|/%ed%a0%80|/caf\xe9".split("|"),
)
def test_what_is_malformed(raw: str) -> None:
    """Anything that is not a path, not UTF-8, or contains a control character or an encoded
    slash is refused."""
    assert decode_path(raw) is None
    assert raw == "" or plain_path(raw) is None


@pytest.mark.parametrize(
    "raw", "//a|/a//b|/.|/a/..|/../a|/a;/..;x/b|/;/a|/%2561|/a?b|/a#b".split("|")
)
def test_what_an_app_could_take_for_another_path(raw: str) -> None:
    """A path that decodes may still be ambiguous; then it is not plain."""
    assert decode_path(raw) is not None
    assert plain_path(raw) is None


def test_each_short_path_without_escapes() -> None:
    """A path is plain unless a segment is empty or dots, also with a ";" after them."""
    for size in range(7):
        for letters in product("/.a;", repeat=size):
            raw = "/" + "".join(letters)
            *inner, last = [segment.partition(";")[0] for segment in raw[1:].split("/")]
            is_plain = "" not in inner and not {".", ".."} & {*inner, last}
            assert plain_path(raw) == (raw if is_plain else None), raw


def test_the_base_itself() -> None:
    """An empty path means the root."""
    assert plain_path("") == "/"


@given(st.lists(st.text(min_size=1).filter(str.isprintable), min_size=1, max_size=4))
def test_a_plain_path_is_what_the_app_sees(parts: list[str]) -> None:
    """A plain path decodes to exactly what was encoded."""
    path = "/" + "/".join(parts)
    assert plain_path(quote(path)) in (path, None)


@given(st.text(max_size=40) | st.text("/.%25ef\\;?cC0", max_size=20).map(lambda text: "/" + text))
def test_no_path_raises(raw_path: str) -> None:
    """Whatever a client sends as a path, the result is a path without dot segments, or None."""
    path = plain_path(raw_path)
    assert path is None or not {"..", "."}.intersection(path.split("/"))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("app.py", "app.py"),
        ("./src//app.py", "src/app.py"),
        ("a/../b", "b"),
        ("..a/b..", "..a/b.."),
        ("dist/", "dist"),
    ],
)
def test_paths_below_a_folder(text: str, path: str) -> None:
    """A relative path is normalized."""
    assert inner_path(text) == path


@pytest.mark.parametrize("text", "|.|..|./|/|//|/a|//a|../a|a/..|a/../..|a/../../b".split("|"))
def test_paths_that_lead_away(text: str) -> None:
    """A path that is absolute, leaves its folder, or is the folder itself gives None."""
    assert inner_path(text) is None


@given(st.lists(st.sampled_from(["a", "b", "..", ".", "", "..."]), max_size=8).map("/".join))
def test_no_inner_path_leads_away(text: str) -> None:
    """The result stays below the folder and means the same as the input."""
    path = inner_path(text)
    if path is not None:
        assert not has_dots(path.split("/"))
        assert posixpath.normpath(f"/folder/{text}") == f"/folder/{path}"


@pytest.mark.parametrize(
    ("path", "folder", "found"),
    [
        ("/a/b", "/a", True),
        ("/a", "/a", True),
        ("/a", "/", True),
        ("/a", "/a/b", False),
        ("/ab", "/a", False),  # only begins alike
    ],
)
def test_within_a_folder(path: str, folder: str, found: bool) -> None:
    """A path is within itself and all folders above it."""
    assert is_within(path, folder) is found
