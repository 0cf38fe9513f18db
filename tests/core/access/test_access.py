"""Access: public routes, the key, the operator's pages. What is ambiguous is not let in."""

import re
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.access.access import (
    UNIX_PEER,
    PublicRoutes,
    bears_key,
    is_foreign,
    is_loopback,
    names_this_machine,
    operator_may,
    plain_path,
)

COVERED = [
    ("/health", "/health"),
    ("/", ""),
    ("/", "/"),
    ("/a/", "/a/"),
    ("/*", "/a"),
    ("/api/*", "/api/x"),
    ("/api/*/info", "/api/x/info"),
    ("/*.css", "/site.css"),
    ("/v*-b*c", "/v1-bxbc"),
    ("/**", "/"),
    ("/**", "/a"),
    ("/**", "/a/b/"),
    ("**", "/a/b"),
    ("/assets/**", "/assets/"),
    ("/assets/**", "/assets/a"),
    ("/assets/**", "/assets/a/b.css"),
    ("/a/**/z", "/a/z"),
    ("/a/**/z", "/a/b/z"),
    ("/a/**/z", "/a/z/b/z"),
    ("/**/b/*/**/e", "/a/b/c/d/e"),
    ("/**/*.js", "/a/b/c.js"),
    ("/**/a/**/a/**", "/x/a/y/a/z"),
    ("/a/**/**/b", "/a/b"),
    ("health", "/health"),
    ("/a.b", "/a.b"),
    ("/caf\u00e9", "/caf%C3%A9"),
    ("/a b", "/a%20b"),
    ("/shop", "/%73hop"),
    ("/x;v=1", "/x;v=1"),
]
NOT_COVERED = [
    ("/health", "/healthy"),
    ("/health", "/Health"),
    ("/health", "/health/"),
    ("/health", "/"),
    ("/health", "/a/health"),
    ("/*", "/"),
    ("/*", "/a/b"),
    ("/*", "/a/"),
    ("/api/*", "/api/"),
    ("/api/*", "/api"),
    ("/api/*/info", "/api/info"),
    ("/api/*/info", "/api/a/b/info"),
    ("/assets/**", "/assets"),
    ("/assets/**", "/assetsx/a"),
    ("/a/**/z", "/a/bz"),
    ("/a/**/z", "/a/z/b"),
    ("/**/b/**/b/**", "/a/b/c"),
    ("/*.css", "/a/b.css"),
    ("/a.b", "/aXb"),
    ("/a*a", "/a"),
    ("/health", "/health\n"),
]
# Everything below /public is public, everything else wants a key. None of these may get in by the
# pattern, whatever stands behind the runtime makes of them.
ATTACKS = [
    "/public/../admin",
    "/public/..",
    "/public/./../admin",
    "/public/%2e%2e/admin",
    "/public/%2E%2E/admin",
    "/public/.%2e/admin",
    "/public/%2e",
    "/public/a/../../admin",
    "/public/%2e%2e%2fadmin",
    "/public%2f..%2fadmin",
    "/public%2Fadmin",
    "/public/..%2fadmin",
    "/public/%252e%252e/admin",
    "/public/%252e%252e%252fadmin",
    "/public/%25%32%65%25%32%65/admin",
    "/public/..%5cadmin",
    "/public\\..\\admin",
    "/public/%5c..%5c..%5cadmin",
    "/public/..;/admin",
    "/public/..;a=b/admin",
    "/public/%2e%2e;/admin",
    "/public/.;/admin",
    "/public/;/../admin",
    "/public/;/admin",
    "//public/admin",
    "/public//admin",
    "/public//../admin",
    "/public/%2f/admin",
    "/%2e/public/admin",
    "/admin/../public/x",
    "/admin/%2e%2e/public/x",
    "/admin%2f..%2fpublic/x",
    "/public/%c0%ae%c0%ae/admin",
    "/public/%c0%af..%c0%afadmin",
    "/public/%e0%80%ae%e0%80%ae/admin",
    "/public/%ff",
    "/public/\xff",
    "/public/a%00/../../admin",
    "/public/%00",
    "/public/a%0d%0aX:1",
    "/public/a%7f",
    "/public/a%3f/../../admin",
    "/public/a%3fb",
    "/public/a%23b",
    "/public/%",
    "/public/%2",
    "/public/%zz",
    "/public/%u002e%u002e/admin",
    "/PUBLIC/admin",
    "/Public/x",
    "/public",
    "/publicity",
    "/public.html",
    "/public;/admin",
    "public/admin",
    "*",
    "http://host/public/admin",
]


@pytest.mark.parametrize(("pattern", "path"), COVERED)
def test_patterns_cover(pattern: str, path: str) -> None:
    """`*` is one segment or a part of one, `**` is any number of them."""
    assert PublicRoutes([("ALL", pattern)]).cover("GET", path)


@pytest.mark.parametrize(("pattern", "path"), NOT_COVERED)
def test_patterns_do_not_cover(pattern: str, path: str) -> None:
    """What a pattern does not say in full is not public."""
    assert not PublicRoutes([("ALL", pattern)]).cover("GET", path)


@pytest.mark.parametrize("path", ATTACKS)
def test_no_spelling_makes_a_path_public(path: str) -> None:
    """A path with a second reading is not public, however its first one looks."""
    assert not PublicRoutes([("ALL", "/public/**")]).cover("GET", path)


def test_methods() -> None:
    """A route holds for its method, HEAD follows GET, ALL holds for any."""
    routes = PublicRoutes([("GET", "/read"), ("POST", "/write"), ("ALL", "/any")])
    allowed = {
        (method, path)
        for method in ("GET", "HEAD", "POST", "OPTIONS", "get")
        for path in ("/read", "/write", "/any")
        if routes.cover(method, path)
    }
    assert allowed == {("GET", "/read"), ("HEAD", "/read"), ("POST", "/write")} | {
        (method, "/any") for method in ("GET", "HEAD", "POST", "OPTIONS", "get")
    }


def test_a_method_called_all_is_no_wildcard() -> None:
    """A client may send the method "ALL"; it gets what any other unknown method gets."""
    assert not PublicRoutes([("GET", "/read")]).cover("ALL", "/read")


def test_no_routes_cover_nothing() -> None:
    """An app without publicRoutes has no public route."""
    assert not PublicRoutes([]).cover("GET", "/")


def covers(pattern: list[str], path: list[str]) -> bool:
    """The meaning of a pattern, spelled out: the slow way to know."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        least = 1 if len(pattern) == 1 else 0
        return any(covers(pattern[1:], path[i:]) for i in range(least, len(path) + 1))
    return bool(path) and glob(pattern[0], path[0]) and covers(pattern[1:], path[1:])


def glob(pattern: str, text: str) -> bool:
    if pattern == "*":
        return text != ""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text) is not None


segments = st.sampled_from(["a", "b", "ab", "aab", "ba"])
globs = segments | st.sampled_from(["*", "**", "**", "a*", "*b", "a*b", "*a*", "*a*b*"])


@given(st.lists(globs, min_size=1, max_size=6), st.lists(segments, min_size=1, max_size=7))
def test_patterns_mean_what_they_say(pattern: list[str], path: list[str]) -> None:
    """The compiled pattern and its definition agree."""
    routes = PublicRoutes([("ALL", "/" + "/".join(pattern))])
    assert routes.cover("GET", "/" + "/".join(path)) == covers(pattern, path)


@pytest.mark.parametrize("pattern", ["/**/a" * 12 + "/b", "/" + "*a" * 20 + "b", "/**" * 20 + "/b"])
def test_no_path_makes_a_pattern_slow(pattern: str) -> None:
    """The worst path for the worst pattern takes milliseconds, not minutes."""
    path = "/a" * 4000 if "**" in pattern else "/" + "a" * 8000
    started = time.process_time()
    assert not PublicRoutes([("ALL", pattern)]).cover("GET", path)
    assert time.process_time() - started < 1


@given(st.lists(st.text(min_size=1).filter(str.isprintable), min_size=1, max_size=4))
def test_a_plain_path_is_what_the_app_sees(parts: list[str]) -> None:
    """A path that is let through decodes to just what was encoded."""
    path = "/" + "/".join(parts)
    assert plain_path(quote(path)) in (path, None)


@given(st.text(max_size=40) | st.text("/.%25ef\\;?cC0", max_size=20).map(lambda text: "/" + text))
def test_no_path_raises(raw_path: str) -> None:
    """Whatever a client sends as a path, the answer is a path without dot segments, or none."""
    path = plain_path(raw_path)
    assert path is None or not {"..", "."}.intersection(path.split("/"))


KEY = "s3cret-\u00fc"
WIRE = KEY.encode().decode("latin-1")  # as the bytes of the header come from the reader


@pytest.mark.parametrize(
    "headers",
    [
        [("x-api-key", WIRE)],
        [("X-API-Key", WIRE)],
        [("authorization", f"Bearer {WIRE}")],
        [("Authorization", f"bearer   {WIRE} ")],
        [("authorization", "Basic YTpi"), ("x-api-key", WIRE)],
        [("x-api-key", "wrong"), ("x-api-key", WIRE)],
    ],
)
def test_ways_to_bear_the_key(headers: list[tuple[str, str]]) -> None:
    """The key is taken from X-API-Key and from Authorization: Bearer."""
    assert bears_key(headers, KEY)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("x-api-key", "")],
        [("x-api-key", WIRE[:-1])],
        [("x-api-key", WIRE + "x")],
        [("x-api-key", WIRE.upper())],
        [("x-api-key", f"Bearer {WIRE}")],
        [("authorization", WIRE)],
        [("authorization", f"Basic {WIRE}")],
        [("authorization", f"Bearer{WIRE}")],
        [("cookie", f"x-api-key={WIRE}")],
        [("x-api-key-2", WIRE)],
    ],
)
def test_what_bears_no_key(headers: list[tuple[str, str]]) -> None:
    """Anything but the whole key in its place is no key."""
    assert not bears_key(headers, KEY)


@pytest.mark.parametrize("key", [None, ""])
@pytest.mark.parametrize("value", ["", "None", "x"])
def test_without_a_key_nothing_bears_it(key: str | None, value: str) -> None:
    """While no key is set, no request bears it, not even an empty one."""
    assert not bears_key([("x-api-key", value), ("authorization", f"Bearer {value}")], key)


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.9.8.7", "::1", "::ffff:127.0.0.1", UNIX_PEER])
def test_loopback(peer: str) -> None:
    """All of 127/8, ::1, their mapped forms and the unix socket are this machine."""
    assert is_loopback(peer)


@pytest.mark.parametrize(
    "peer",
    """0.0.0.0 10.0.0.1 128.0.0.1 :: ::2 ::ffff:10.0.0.1 fe80::1 localhost 127.0.0.1.evil.org
    127.1 0127.0.0.1 2130706433 UNIX /tmp/unix -""".split(),
)
def test_no_loopback(peer: str) -> None:
    """Any other address, and what is no address, is not this machine."""
    assert not is_loopback(peer)


def test_operator_on_this_machine() -> None:
    """Without a key, the operator's pages are open to this machine."""
    assert operator_may([], key=None, peer="127.0.0.1", host="localhost")


def test_operator_from_elsewhere() -> None:
    """Without a key, they are closed to all others, also with a key that is not set."""
    assert not operator_may([("x-api-key", "")], key=None, peer="10.0.0.1", host="localhost")


@pytest.mark.parametrize(
    "name",
    """forwarded x-forwarded-for x-forwarded-host x-forwarded-proto x-real-ip via
    X-Forwarded-For x-forwarded-port x-forwarded x_forwarded-for true-client-ip""".split(),
)
def test_operator_behind_a_proxy(name: str) -> None:
    """A request that a proxy on this machine passes on is not from this machine."""
    for peer in ("127.0.0.1", "::1", UNIX_PEER):
        assert not operator_may([(name, "127.0.0.1")], key=None, peer=peer, host="localhost")


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.0.0.1", UNIX_PEER])
def test_operator_with_a_key(peer: str) -> None:
    """Where a key is set it is wanted from everywhere, and enough from everywhere."""
    assert not operator_may([], key=KEY, peer=peer, host="localhost")
    assert not operator_may([("x-api-key", "wrong")], key=KEY, peer=peer, host="localhost")
    fields = [("x-api-key", WIRE), ("via", "1.1 proxy")]
    assert operator_may(fields, key=KEY, peer=peer, host="apps.example.org")


@pytest.mark.parametrize(
    "host",
    """localhost localhost:8000 LOCALHOST:80 localhost. shop.localhost:8000 127.0.0.1
    127.0.0.1:8000 127.9.8.7 [::1] [::1]:8000 [::ffff:127.0.0.1]:80 [0:0:0:0:0:0:0:1]
    0.0.0.0:8000 box.lan BOX.lan:8000""".split(),
)
def test_host_of_this_machine(host: str) -> None:
    """localhost, the loopback's addresses, and where the runtime listens are this machine."""
    assert names_this_machine(host, ["0.0.0.0", "box.lan"])
    assert operator_may([], key=None, peer="127.0.0.1", host=host, listening=["0.0.0.0", "Box.lan"])


@pytest.mark.parametrize(
    "host",
    """evil.example evil.example:8000 localhost.evil.example 127.0.0.1.evil.example xlocalhost
    10.0.0.1 192.168.1.5:8000 [::2] 0.0.0.0 127.1 2130706433 unix localhost..""".split(),
)
@pytest.mark.parametrize("peer", ["127.0.0.1", UNIX_PEER])
def test_host_of_a_rebound_name(host: str, peer: str) -> None:
    """Any other name may be a page's own that resolves to this machine: no pages for operators."""
    assert not names_this_machine(host)
    assert not names_this_machine("")
    assert not operator_may([], key=None, peer=peer, host=host)


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
    """A page of the very host and port may change what is there."""
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
    """A page of another host or port, or of none that can be named, may not."""
    assert is_foreign([("origin", origin)], host=host)
    same = f"http://{host}"
    assert is_foreign([("origin", same), ("origin", origin)], host=host)


@pytest.mark.parametrize("said", ["cross-site", "same-site", "", "SAME-ORIGIN", "else"])
def test_browser_says_that_the_page_is_foreign(said: str) -> None:
    """What a browser does not call its user's doing, or the same origin's, is foreign."""
    fields = [("sec-fetch-site", said), ("origin", "http://localhost")]
    assert is_foreign(fields, host="localhost")


@pytest.mark.parametrize("headers", [[], [("sec-fetch-site", "none")], [("x-origin", "null")]])
def test_no_page_at_all(headers: list[tuple[str, str]]) -> None:
    """A program that is no browser, and a user who typed the address, are nobody's page."""
    assert not is_foreign(headers, host="localhost")
