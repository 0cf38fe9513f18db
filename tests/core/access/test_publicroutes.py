"""Public routes cover exactly what their patterns say, and never an ambiguous path."""

import functools
import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.access.publicroutes import GLOBS_MAX_CHARS, PublicRoutes, costly

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
# Everything below /public is public, everything else needs a key. The pattern must let none of
# these in, however the app behind the runtime interprets them.
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
    """`*` matches a segment or a part of one, `**` any number of segments."""
    assert PublicRoutes([("ALL", pattern)]).cover("GET", path)


@pytest.mark.parametrize(("pattern", "path"), NOT_COVERED)
def test_patterns_do_not_cover(pattern: str, path: str) -> None:
    """A path that a pattern does not match completely is not public."""
    assert not PublicRoutes([("ALL", pattern)]).cover("GET", path)


@pytest.mark.parametrize("path", ATTACKS)
def test_no_spelling_makes_a_path_public(path: str) -> None:
    """An ambiguous path is not public, whatever its first reading is."""
    assert not PublicRoutes([("ALL", "/public/**")]).cover("GET", path)


def test_methods() -> None:
    """A route applies to its method; HEAD follows GET, and ALL applies to any method."""
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
    """A client may send the method "ALL"; it is treated like any other unknown method."""
    assert not PublicRoutes([("GET", "/read")]).cover("ALL", "/read")


def test_no_routes_cover_nothing() -> None:
    """An app without `publicRoutes` has no public route."""
    assert not PublicRoutes([]).cover("GET", "/")


def covers(pattern: list[str], path: list[str]) -> bool:
    """What a pattern means, as a slow reference implementation."""
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
    """The compiled pattern agrees with its definition."""
    routes = PublicRoutes([("ALL", "/" + "/".join(pattern))])
    assert routes.cover("GET", "/" + "/".join(path)) == covers(pattern, path)


@pytest.mark.parametrize("pattern", ["/**/a" * 12 + "/b", "/" + "*a" * 20 + "b", "/**" * 20 + "/b"])
def test_no_path_makes_a_pattern_slow(pattern: str) -> None:
    """The worst path for the worst pattern takes milliseconds, not minutes."""
    path = "/a" * 1000 if "**" in pattern else "/" + "a" * 2000
    assert takes(1, lambda: PublicRoutes([("ALL", pattern)]).cover("GET", path), False)


def takes(limit_s: float, act: Callable[[], object], result: object) -> bool:
    """Whether `act` takes less CPU time; tried three times because other processes slow it down."""
    for _ in range(3):
        re.purge()
        started = time.process_time()
        got = act()
        taken_s = time.process_time() - started
        assert got == result
        if taken_s < limit_s:
            return True
    return False


def as_many(make: Callable[[int], str]) -> list[tuple[str, str]]:
    """As many patterns as a manifest may have."""
    routes: list[tuple[str, str]] = []
    while sum(len(pattern) for _, pattern in routes) < GLOBS_MAX_CHARS - 80:
        routes.append(("ALL", make(len(routes))))
    return routes


@pytest.mark.parametrize(
    "make",
    [
        lambda i: f"/**/{i}*",
        lambda i: f"/**/{'a/' * 20}{i}",
        lambda i: f"/{'*a' * 30}{i}",
        lambda i: f"/**/a/**/a/**/a/**/{i}",
        lambda i: f"/*/**/*{i}",
    ],
)
def test_no_path_is_slow(make: Callable[[int], str]) -> None:
    """The largest allowed set of patterns takes milliseconds to compile and to match."""
    patterns = as_many(make)
    assert takes(0.5, lambda: PublicRoutes(patterns) is None, False)
    routes = PublicRoutes(patterns)
    for path in ("/a" * 16_000, "/a" * 1000, "/" + "a" * 2000, "/aaaaaaaa" * 200):
        assert takes(0.1, functools.partial(routes.cover, "GET", path), False), path[:20]


def test_many_patterns_without_stars() -> None:
    """Patterns that are plain paths, or end in "/**", cost next to nothing and cover long paths."""
    routes = [("ALL", f"/{'a' * 60}{i}{end}") for i in range(900) for end in ("", "/**")]
    public = PublicRoutes(routes)
    paths = [f"/{'a' * 60}899/{'b' * 30_000}", f"/{'a' * 60}899", "/" + "a" * 30_000]
    covered = [True, True, False]
    assert takes(0.1, lambda: [public.cover("GET", path) for path in paths], covered)


def test_which_patterns_count() -> None:
    """Only a star other than a final `/**` needs a regular expression."""
    patterns = ["/", "/a", "/**", "**", "/a/**", "/a/*", "/*", "/**/a", "/**/**", "/a**", "/*/**"]
    assert costly(patterns) == ["/a/*", "/*", "/**/a", "/**/**", "/a**", "/*/**"]
