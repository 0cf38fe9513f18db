"""Hosts of apps: what a manifest may name, and which app a request's host belongs to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.apps.hosts import Claim, Dispute, HostTable, parse_hosts, plain_host
from buntime.core.values.units import BadValue

TABLE = HostTable(
    [
        ("shop", ("shop.example.com", "*.shops.example.com")),
        ("vip", ("vip.shops.example.com", "xn--bcher-kva.example")),
    ]
)


@pytest.mark.parametrize(
    ("asked", "claim"),
    {
        "shop.example.com": Claim("shop"),
        "SHOP.Example.COM": Claim("shop"),
        "shop.example.com.": Claim("shop"),
        "shop.example.com:8443": Claim("shop"),
        "shop.example.com.:8443": Claim("shop"),
        "shop.example.com:": Claim("shop"),
        "ann.shops.example.com:80": Claim("shop", "ann"),
        "ANN.shops.example.com": Claim("shop", "ann"),
        "xn--hxa.shops.example.com": Claim("shop", "xn--hxa"),
        "vip.shops.example.com": Claim("vip"),  # an exact name wins over a wildcard
        "XN--BCHER-KVA.example": Claim("vip"),
    }.items(),
)
def test_whose_a_host_is(asked: str, claim: Claim) -> None:
    """Case, a port and a trailing dot do not matter; a wildcard's label is reported."""
    assert TABLE.find(asked) == claim


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "example.com",
        "shops.example.com",
        "a.b.shops.example.com",  # a wildcard matches one label only
        ".shops.example.com",
        "*.shops.example.com",
        "-.shops.example.com",
        "a%62.shops.example.com",
        "sh%6fp.example.com",
        "shop.example.com..",
        "shop.example.com:80:80",
        "shop.example.com:123456",
        "shop.example.com:http",
        "user@shop.example.com",
        "shop.example.com,other.example.com",
        "shop.example.com/x",
        "shop.example.com ",
        " shop.example.com",
        "shop.example.com\n",
        "b\u00fccher.example",
        "shop\u3002example\u3002com",  # full stops of other scripts
        "\u017fhop.example.com",  # lower() of these is not ASCII, and must not be turned into it
        "[::1]",
        "[::1]:80",
        "127.0.0.1",
        "a" * 64 + ".shops.example.com",
        "a" * 100_000,
        ".".join(["a"] * 130) + ".shops.example.com",
    ],
)
def test_nobodys(asked: str) -> None:
    """A host that is not a plain name, or that no app has, belongs to none."""
    assert TABLE.find(asked) is None


@given(st.text(max_size=40) | st.from_regex(r"[a-zA-Z0-9.:%@_-]{1,30}", fullmatch=True))
def test_a_host_has_one_name(asked: str) -> None:
    """A plain host name is its own plain form, also in capitals and with a dot or a port after
    it."""
    name = plain_host(asked)
    assert name == "" or plain_host(name) == plain_host(name.upper() + ".:1") == name
    assert asked.lower().startswith(name)


def test_the_first_of_two() -> None:
    """If two apps name a host, the first one has it, even by a wildcard; both are reported."""
    table = HostTable([("a", ("x.y", "*.y")), ("b", ("x.y", "z.y")), ("c", ("*.y",))])
    assert table.find("x.y") == Claim("a")
    assert table.find("z.y") == Claim("b")
    assert table.find("w.y") == Claim("a", "w")
    assert table.disputes == (Dispute("x.y", "a", "b"), Dispute("*.y", "a", "c"))


def test_no_hosts() -> None:
    """A table without hosts is false, so that routing can skip it."""
    assert not HostTable([("shop", ())])
    assert TABLE
    assert repr(TABLE) == "HostTable(3 hosts, 1 wildcards)"


# The manifest's key


@pytest.mark.parametrize(
    ("given_hosts", "hosts"),
    [
        ([], ()),
        (["shop.example.com", "*.Example.COM"], ("shop.example.com", "*.example.com")),
        (["Shop.example.com.", "shop.example.com"], ("shop.example.com",)),
        (["bücher.example"], ("xn--bcher-kva.example",)),
        (["BÜCHER.example", "xn--bcher-kva.example"], ("xn--bcher-kva.example",)),
        (["*.bücher.example"], ("*.xn--bcher-kva.example",)),
        (
            ["intranet", "shop.localhost", "*.localhost"],
            ("intranet", "shop.localhost", "*.localhost"),
        ),
        (["1.example.com", "a_b.example.com"], ("1.example.com", "a_b.example.com")),
    ],
)
def test_hosts_of_a_manifest(given_hosts: list[str], hosts: tuple[str, ...]) -> None:
    """Names are in IDNA form, each listed once."""
    assert parse_hosts(given_hosts) == hosts


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("shop.example.com", "is not a list"),
        (["http://shop.example.com"], "without scheme"),
        (["shop.example.com:80"], "without scheme, port"),
        (["shop.example.com/x"], "and path"),
        (["a b.example"], "is not a host"),
        ([""], "is not a host"),
        (["."], "is not a host"),
        ([5], "is not a host"),
        (["*"], "is not a host"),
        (["*."], "is not a host"),
        (["*.*.example.com"], "is not a host"),
        (["a.*.example.com"], "is not a host"),
        (["a*.example.com"], "is not a host"),
        (["-a.example.com"], "is not a host"),
        (["a..b"], "is not a host"),
        (["a" * 64 + ".example"], "is not a host"),
        ([".".join(["a" * 60] * 5)], "is not a host"),
        (["user@shop.example.com"], "is not a host"),
        (["[::1]"], "is not a host"),
        (["127.0.0.1"], "RUNTIME_DEFAULT_APP"),
        (["*.0.0.1"], "RUNTIME_DEFAULT_APP"),
        (["localhost"], "RUNTIME_DEFAULT_APP"),
        (["LOCALHOST."], "RUNTIME_DEFAULT_APP"),
        (["straße.example"], "xn--"),
        (["a\u200db.example"], "xn--"),
        (["a" * 70 + "ü.example"], "xn--"),
        ([f"h{number}.example" for number in range(101)], "too many"),
    ],
)
def test_what_is_no_host(value: object, why: str) -> None:
    """An invalid host is reported, with what to write."""
    with pytest.raises(BadValue, match=why):
        parse_hosts(value)


@given(st.lists(st.text(max_size=20)))
def test_what_a_manifest_names_is_found(value: list[str]) -> None:
    """Any text gives BadValue, or names that the table finds."""
    try:
        hosts = parse_hosts(value)
    except BadValue:
        return
    table = HostTable([("shop", hosts)])
    for host in hosts:
        asked = host.replace("*", "w")
        assert table.find(asked.upper()) is not None


def test_a_host_belongs_to_who_had_it_first() -> None:
    """A host stays with the app that had it first, even if another app sorts before it."""
    apps = [("a", ("x.y", "*.y")), ("b", ("x.y", "*.y", "z.y"))]
    table = HostTable(apps, had={"x.y": "b", "*.y": "b"})
    assert table.holders == {"x.y": "b", "*.y": "b", "z.y": "b"}
    assert table.disputes == (Dispute("x.y", "b", "a"), Dispute("*.y", "b", "a"))


def test_the_host_of_an_app_that_is_away() -> None:
    """The host of an absent app belongs to none until it is back; naming it is a dispute with
    that app."""
    table = HostTable([("b", ("x.y",))], had={"x.y": "a"})
    assert table.find("x.y") is None
    assert table.disputes == (Dispute("x.y", "a", "b"),)


def test_a_host_that_was_given_up() -> None:
    """If its holder is there and no longer names a host, the next app gets it."""
    table = HostTable([("a", ()), ("b", ("x.y",))], had={"x.y": "a"})
    assert table.holders == {"x.y": "b"}
    assert table.disputes == ()


@pytest.mark.parametrize("had", [{}, {"x.y": "a"}, {"x.y": "away"}])
def test_an_operator_moves_a_host(had: dict[str, str]) -> None:
    """A host goes to the app that the config file names, whichever app had it."""
    table = HostTable([("a", ("x.y",)), ("b", ("x.y",))], given=["b"], had=had)
    assert table.holders == {"x.y": "b"}
    assert table.disputes == (Dispute("x.y", "b", "a"),)
