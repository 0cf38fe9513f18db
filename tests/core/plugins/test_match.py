"""Which requests a plugin's hooks are asked about; no spelling evades a match."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.plugins.match import Match, Matcher, glob, parse_match
from buntime.core.values.units import BadValue

GUARD = Matcher(Match(paths=("/admin/**", "/secret")))
LONG = "x" * 3000


@pytest.mark.parametrize(
    "path",
    [
        "/admin/",
        "/admin/users",
        "/%61dmin/users",
        "/secret",
        # one slash more or less
        "/admin",
        "/secret/",
        # ambiguous paths
        "/x/../admin/users",
        "/x/%2e%2e/admin/users",
        "/x/..%2fadmin",
        "/a%2f..%2fadmin",
        "//admin/users",
        "/./secret",
        "/secret%3fx",
        "/secret%2500",
        "/sec\\ret",
        "/secret;x=1",
        "/secret;",
        "/;/secret",
        "/%ff",
    ],
)
def test_what_a_guard_covers(path: str) -> None:
    """Every spelling of a guarded path matches, and so does every path that may be one."""
    assert GUARD.fits("GET", path, "a")


@pytest.mark.parametrize("path", ["", "/", "/administration", "/x/admin", "/Secret", "/secrets"])
def test_what_it_does_not_cover(path: str) -> None:
    """A path that is certainly another one does not match."""
    assert not GUARD.fits("GET", path, "a")


@pytest.mark.parametrize("pattern", ["/*/admin", "/**/admin", "/a*/**/admin"])
def test_a_long_path(pattern: str) -> None:
    """A path that is too long for patterns with stars still matches."""
    matcher = Matcher(Match(paths=(pattern,)))
    assert matcher.fits("GET", f"/a{LONG}/admin", "a")
    assert matcher.fits("GET", f"/{LONG}", "a")
    assert not matcher.fits("GET", "/a/other", "a")


def test_a_long_path_without_stars() -> None:
    """Patterns without stars still tell long paths apart."""
    assert not GUARD.fits("GET", f"/{LONG}", "a")
    assert GUARD.fits("GET", f"/admin/{LONG}", "a")


def test_methods() -> None:
    """HEAD matches where GET does, and a lower-case method is the same method."""
    matcher = Matcher(Match(methods=("GET", "DELETE")))
    fitting = [
        m for m in ("GET", "HEAD", "get", "Delete", "POST", "OPTIONS") if matcher.fits(m, "/", "a")
    ]
    assert fitting == ["GET", "HEAD", "get", "Delete"]
    assert not Matcher(Match(methods=("POST",))).fits("HEAD", "/", "a")


@pytest.mark.parametrize(
    "host",
    [
        "admin.example.com",
        "ADMIN.example.com",
        "admin.example.com:8000",
        "admin.example.com.",
        "admin.example.com.:80",
        "a.b.example.org",
        "x.example.org:",
        # not plain hosts
        "",
        "admin%2eexample.com",
        "a b",
        "admin.example.com:80:80",
        "user@admin.example.com",
    ],
)
def test_hosts(host: str) -> None:
    """A host matches however it is written, and what is not a host matches too."""
    matcher = Matcher(Match(hosts=("admin.example.com", "*.example.org")))
    assert matcher.fits("GET", "/", host)


@pytest.mark.parametrize(
    "host", ["example.com", "example.org", "xexample.org", "a.example.net", "[::1]:80"]
)
def test_other_hosts(host: str) -> None:
    """A wildcard must match at least one label, and whole labels only."""
    matcher = Matcher(Match(hosts=("admin.example.com", "*.example.org")))
    assert not matcher.fits("GET", "/", host)


def test_an_address_as_host() -> None:
    """IPv6 addresses are hosts, without their port."""
    assert Matcher(Match(hosts=("[::1]",))).fits("GET", "/", "[::1]:8000")


def test_owners() -> None:
    """Apps match by name or pattern; a plugin's own pages match by its name after "plugin:"."""
    matcher = Matcher(Match(apps=("shop", "blog-*", "@acme/*", "plugin:keyval")))
    owners = [
        "shop",
        "blog-",
        "blog-a",
        "@acme/x",
        "plugin:keyval",
        "shop2",
        "blog",
        "keyval",
        "@b/x",
    ]
    assert [owner for owner in owners if matcher.fits_owner(owner)] == owners[:5]
    assert Matcher(Match()).fits_owner("plugin:any")


def test_a_preview_is_its_own() -> None:
    """A star does not reach into a preview's name: a preview must be granted by itself."""
    assert not glob(["app:*"]).fullmatch("app:shop~pr-12")
    assert glob(["app:*~*"]).fullmatch("app:shop~pr-12")


def test_stars_take_no_time() -> None:
    """No name makes a pattern slow."""
    pattern = glob(["a*" * 50 + "b"])
    started = time.process_time()
    assert not pattern.fullmatch("a" * 200)
    assert time.process_time() - started < 1


def test_workers() -> None:
    """Notices are about all workers, or only about those that stay."""
    assert parse_match({"workers": "all"}).workers == "all"
    assert parse_match({}).workers == ""
    with pytest.raises(BadValue, match="workers: 3 is not the word all"):
        parse_match({"workers": 3})


def test_what_is_not_said_is_left_out() -> None:
    """A match as JSON has only what the manifest says."""
    assert parse_match({"apps": ["a"], "methods": ["get"]}).dump() == {
        "apps": ["a"],
        "methods": ["GET"],
    }


@given(
    st.text("ab/.%;2fF\\", max_size=12),
    st.sampled_from(["/admin", "/admin/x"]),
)
def test_a_prefix_that_leads_nowhere(noise: str, guarded: str) -> None:
    """Whatever comes before "/..", the guarded path after it matches."""
    assert GUARD.fits("GET", f"/{noise}/..{guarded}", "a")
