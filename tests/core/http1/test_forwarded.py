"""Who sent a request: trusted proxies are believed, other senders are not."""

import re
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.access.proxyfields import FORWARDING, is_forwarding
from buntime.core.http1.forwarded import Proxies, Sender, _read_node, _read_short_node
from buntime.core.http1.grammar import HOST
from buntime.core.http1.head import Head, HeadParser
from buntime.core.http1.limits import Limits
from buntime.core.http1.reader import RequestReader

PEER = ("10.0.0.1", 4000)
CLIENT = "203.0.113.7"
PROXIES = Proxies(["10.0.0.0/8", "fd00::/8"])

Pairs = list[tuple[str, str]]


def head_of(headers: Pairs, host: str = "in.example") -> Head:
    """A head as the reader gives it, with the Host field among its headers."""
    fields = [("host", host), *headers] if host else headers
    return Head("GET", "/shop/", "1.1", headers=tuple(fields), host=host)


def trace(
    *headers: tuple[str, str], proxies: Proxies = PROXIES, host: str = "in.example"
) -> Sender:
    return proxies.trace(PEER, head_of(list(headers), host))


def client_by(value: str, name: str = "x-forwarded-for", proxies: Proxies = PROXIES) -> str:
    """The client's address according to one field."""
    return trace((name, value), proxies=proxies).text


def seen_by_app(
    proxies: Proxies, peer: tuple[str, int] | None, headers: Pairs
) -> tuple[Sender, Pairs]:
    """Everything that an app sees, computed as the connection does it."""
    head = head_of(headers)
    sender = proxies.trace(peer, head) if proxies.trust(peer) else Sender(peer)
    return sender, fields_for_app(sender, list(head.headers))


def fields_for_app(sender: Sender, headers: Pairs) -> Pairs:
    passed = sender.passed_fields(headers)
    return passed + sender.forwarded_fields(passed)


# Whom to trust


@pytest.mark.parametrize(
    ("address", "is_trusted"),
    [
        ("10.0.0.1", True),
        ("10.255.255.255", True),
        ("11.0.0.1", False),
        ("192.0.2.1", True),
        ("192.0.2.2", False),
        ("fd00::1", True),
        ("fe00::1", False),
        ("::ffff:10.0.0.1", True),
        ("::ffff:11.0.0.1", False),
        ("::a00:1", False),
    ],
)
def test_trust(address: str, is_trusted: bool) -> None:
    """A peer is trusted if its address, or a network that contains it, is named."""
    proxies = Proxies(["10.0.0.0/8", "192.0.2.1/32", "fd00::/8"])
    assert proxies.trust((address, 1)) is is_trusted


def test_trust_unix() -> None:
    """A peer on a unix socket has no address; it is trusted if `unix` is named."""
    assert Proxies(["unix"]).trust(None)
    assert not Proxies(["0.0.0.0/0", "::/0"]).trust(None)
    assert not Proxies(["unix"]).trust(PEER)


@pytest.mark.parametrize("peer", [PEER, None, ("::1", 1), ("fe80::1%eth0", 1)])
def test_trust_nobody(peer: tuple[str, int] | None) -> None:
    """Unless something is named, no peer is trusted."""
    assert not Proxies([]).trust(peer)


# The client


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("198.51.100.9, 203.0.113.7", "203.0.113.7"),
        ("198.51.100.9, 203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ("198.51.100.9,203.0.113.7,10.0.0.2,\t10.0.0.3 ", "203.0.113.7"),
        ("2001:db8::7, 10.0.0.2", "2001:db8::7"),
        ("2001:DB8:0::7, fd00::2", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("::ffff:203.0.113.7, ::ffff:10.0.0.2", "203.0.113.7"),
        # all are trusted: the farthest one sent the request itself
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        # a malformed element ends the list: the proxy that reported it counts as the client
        ("203.0.113.7, unknown, 10.0.0.2", "10.0.0.2"),
        ("203.0.113.7, , 10.0.0.2", "10.0.0.2"),
        ("203.0.113.7, ", "10.0.0.1"),
        ("unknown", "10.0.0.1"),
        ("", "10.0.0.1"),
        ("203.0.113.7, 10.0.0.256", "10.0.0.1"),
        ("203.0.113.7, 10.0.0.02", "10.0.0.1"),
        ("203.0.113.7, 10.2", "10.0.0.1"),
        ("203.0.113.7, 167772162", "10.0.0.1"),
        ("203.0.113.7, 10.0.0.2:65536", "10.0.0.1"),
        ("203.0.113.7, fd00::2%eth0", "10.0.0.1"),
        ("203.0.113.7, [10.0.0.2", "10.0.0.1"),
        ("203.0.113.7, \u0661\u0660.0.0.2", "10.0.0.1"),
        ("203.0.113.7, localhost", "10.0.0.1"),
        ("203.0.113.7, unix:", "10.0.0.1"),
    ],
)
def test_x_forwarded_for(value: str, client: str) -> None:
    """The client is the first address from the right that is not trusted."""
    assert client_by(value) == client


def test_ports() -> None:
    """The client's port is known if a proxy reports it; otherwise it is 0."""
    assert trace(("x-forwarded-for", "203.0.113.7:5000")).client == (CLIENT, 5000)
    assert trace(("x-forwarded-for", "[2001:db8::7]:5000")).client == ("2001:db8::7", 5000)
    assert trace(("x-forwarded-for", CLIENT)).client == (CLIENT, 0)
    assert trace(("x-real-ip", CLIENT)).client == PEER


def test_repeated_fields_are_one_list() -> None:
    """Fields with the same name form one list, in their order."""
    fields = [("x-forwarded-for", "203.0.113.7"), ("x-forwarded-for", "10.0.0.3, 10.0.0.2")]
    assert trace(*fields).text == CLIENT
    assert trace(*reversed(fields)).text == CLIENT


def test_behind_a_unix_socket() -> None:
    """A proxy on a unix socket is believed like any other, and can be a hop on the way."""
    proxies = Proxies(["unix"])
    head = head_of([("x-forwarded-for", "198.51.100.9, 203.0.113.7, unix:")])
    assert proxies.trace(None, head).client == (CLIENT, 0)
    assert proxies.trace(None, head_of([])).client is None
    assert proxies.trace(None, head_of([("x-forwarded-for", "unknown")])).text == "unix"


def test_many_hops() -> None:
    """A chain may be long, but not endless: after 32 hops the search stops."""
    hops = [f"10.0.1.{number}" for number in range(200)]
    assert client_by(", ".join([CLIENT, *hops[:31]])) == CLIENT
    assert client_by(", ".join([CLIENT, *hops])) == hops[-32]
    elements = ", ".join(f"for={hop}" for hop in hops)
    assert client_by(elements, "forwarded") == hops[-32]


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("for=203.0.113.7", "203.0.113.7"),
        ("For=203.0.113.7;Proto=https;by=10.0.0.2, for=10.0.0.2", "203.0.113.7"),
        ('for="203.0.113.7:80"', "203.0.113.7"),
        ('for="[2001:db8::7]:80"', "2001:db8::7"),
        ('for="[2001:db8::7]" , for="10.0.0.2"', "2001:db8::7"),
        ("for=[2001:db8::7]:80", "2001:db8::7"),
        (r'for="203\.0.113.7"', "203.0.113.7"),
        ("for=198.51.100.9, for=203.0.113.7, proto=https", "10.0.0.1"),
        ("for=203.0.113.7, for=unknown, for=10.0.0.2", "10.0.0.2"),
        ('for=203.0.113.7, for="_hidden", for=10.0.0.2', "10.0.0.2"),
        ("for=203.0.113.7, for=10.0.0.3;for=10.0.0.2", "10.0.0.1"),
        ("for=203.0.113.7, for=10.0.0.2;", "10.0.0.1"),
        ("for=203.0.113.7,", "10.0.0.1"),
        ("203.0.113.7", "10.0.0.1"),
        ('for="203.0.113.7', "10.0.0.1"),
        # what the client left unclosed at the left does not swallow what a proxy has added
        ('for="198.51.100.9, for=203.0.113.7', "203.0.113.7"),
        ('for="198.51.100.9, for="203.0.113.7", for="10.0.0.2"', "203.0.113.7"),
        (r'for="198.51.100.9\", for=203.0.113.7', "203.0.113.7"),
        # a comma inside quotes is part of the value
        ('for=198.51.100.9, for=203.0.113.7;by="a, for=198.51.100.9"', "203.0.113.7"),
    ],
)
def test_forwarded(value: str, client: str) -> None:
    """Forwarded lists the hops as X-Forwarded-For does (RFC 7239)."""
    assert client_by(value, "forwarded") == client


def test_x_forwarded_wins() -> None:
    """If a proxy sets X-Forwarded-*, a Forwarded field may come from the client and is ignored."""
    forged = ("forwarded", "for=198.51.100.9;proto=https;host=evil.example")
    for field in (("x-forwarded-for", CLIENT), ("x-forwarded-proto", "http")):
        sender = trace(forged, field)
        assert sender.text in (CLIENT, PEER[0])
        assert (sender.scheme, sender.host) == ("http", "in.example")


# Scheme, host, prefix


@pytest.mark.parametrize(
    ("value", "scheme"),
    [
        ("https", "https"),
        ("HTTPS", "https"),
        ("wss", "https"),
        ("http", "http"),
        ("ws", "http"),
        ("http, https", "https"),
        ("https, http", "http"),
        ("https,", "http"),
        ("ftp", "http"),
        ("https://", "http"),
        ("", "http"),
    ],
)
def test_scheme(value: str, scheme: str) -> None:
    """The last value counts; if it is not an HTTP scheme, the connection's scheme is used."""
    assert trace(("x-forwarded-proto", value)).scheme == scheme


@pytest.mark.parametrize(
    ("fields", "host"),
    [
        ({}, "in.example"),
        ({"host": "shop.example"}, "shop.example"),
        ({"host": "evil.example, shop.example:8443"}, "shop.example:8443"),
        ({"host": "[2001:db8::1]:80"}, "[2001:db8::1]:80"),
        ({"host": "a/b"}, "in.example"),
        ({"host": "me@shop.example"}, "in.example"),
        ({"host": "shop.example, "}, "in.example"),
        ({"port": "8443"}, "in.example:8443"),
        ({"host": "shop.example", "port": "8443", "proto": "https"}, "shop.example:8443"),
        ({"host": "shop.example", "port": "443", "proto": "https"}, "shop.example"),
        ({"host": "shop.example", "port": "80"}, "shop.example"),
        ({"host": "shop.example", "port": "443"}, "shop.example:443"),
        ({"host": "shop.example:1", "port": "8443"}, "shop.example:1"),
        ({"host": "[2001:db8::1]", "port": "1, 8443"}, "[2001:db8::1]:8443"),
        ({"port": "0"}, "in.example"),
        ({"port": "65536"}, "in.example"),
        ({"port": "http"}, "in.example"),
        ({"port": "٣"}, "in.example"),
    ],
)
def test_host(fields: dict[str, str], host: str) -> None:
    """The host comes from the proxy, with a port unless it is the default one; else from Host."""
    assert trace(*[(f"x-forwarded-{name}", value) for name, value in fields.items()]).host == host


def test_host_and_scheme_by_hop() -> None:
    """In Forwarded, host and scheme come from the client's hop if it has them."""
    value = (
        "for=198.51.100.9;host=evil.example;proto=http, "
        "for=203.0.113.7;host=shop.example, for=10.0.0.2;host=in.example;proto=https"
    )
    sender = trace(("forwarded", value))
    assert (sender.text, sender.scheme, sender.host) == (CLIENT, "https", "shop.example")


@pytest.mark.parametrize(
    ("value", "prefix"),
    [
        ("/tools", "/tools"),
        ("/tools/", "/tools"),
        ("/a/b%20c", "/a/b%20c"),
        ("/evil, /tools", "/tools"),
        ("/", ""),
        ("tools", ""),
        ("//evil.example", ""),
        ("/a//b", ""),
        ("/..", ""),
        ("/a/%2e%2E/b", ""),
        ("/a%2fb", ""),
        ("/a%5cb", ""),
        ("/a\\b", ""),
        ("/a?b", ""),
        ("/a#b", ""),
        ('/"><script>', ""),
        ("/a%", ""),
        ("/a%00", ""),
        ("/a%ff", ""),
        ("/ü", ""),
        ("/a b", ""),
        ("/" + "a" * 200, ""),
    ],
)
def test_prefix(value: str, prefix: str) -> None:
    """The prefix is a plain path without its trailing slash; anything else is ignored."""
    assert trace(("x-forwarded-prefix", value)).prefix == prefix


# What an app gets


def test_fields_behind_a_proxy() -> None:
    """Behind a trusted proxy an app finds the true values under the usual names, each once."""
    sender = trace(
        ("forwarded", "for=198.51.100.9"),
        ("x-forwarded-for", "198.51.100.9, 203.0.113.7"),
        ("x-forwarded-for", "10.0.0.2"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "shop.example"),
        ("x-forwarded-port", "8443"),
        ("x-forwarded-prefix", "/tools"),
    )
    headers = [
        ("host", "in.example"),
        ("x-forwarded-for", "198.51.100.9, 203.0.113.7"),
        ("x_forwarded_for", "198.51.100.9"),
        ("x-forwarded-ssl", "off"),
        ("x-forwarded-user", "ada"),
        ("x-real-ip", "198.51.100.9"),
        ("x_real-ip", "198.51.100.9"),
        ("x-base", "/evil"),
        ("x-vhost_tenant", "evil"),
        ("x-request-id", "evil"),
        ("accept", "*/*"),
        ("via", "1.1 proxy"),
    ]
    assert fields_for_app(sender, headers) == [
        ("host", "shop.example:8443"),
        ("x-forwarded-user", "ada"),
        ("x-real-ip", CLIENT),
        ("accept", "*/*"),
        ("via", "1.1 proxy"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-for", CLIENT),
        ("x-forwarded-host", "shop.example:8443"),
    ]


@pytest.mark.parametrize("sender", [Sender(("192.0.2.1", 1)), Sender(None, is_forwarded=True)])
def test_nobody_tells_identities(sender: Sender) -> None:
    """Only the runtime sets X-Identity, in any spelling, even behind a trusted proxy."""
    names = ("x-identity", "x_identity", "x-identity-signature", "x-identity_user", "x-id")
    passed = sender.passed_fields([(name, "a") for name in names])
    assert passed == [("x-id", "a")]


def test_fields_without_a_host() -> None:
    """HTTP/1.0 may have no Host; an app gets the one that the proxy reports, or none."""
    told = trace(("x-forwarded-host", "shop.example"), host="")
    assert ("host", "shop.example") in fields_for_app(told, [])
    untold = trace(("x-forwarded-port", "8443"), host="")
    fields = fields_for_app(untold, [])
    assert not {"host", "x-forwarded-host"} & {name for name, _ in fields}


def test_fields_without_a_client() -> None:
    """If the client is unknown there is no X-Forwarded-For, rather than an empty one."""
    _, fields = seen_by_app(Proxies(["unix"]), None, [("x-forwarded-proto", "https")])
    assert ("x-forwarded-proto", "https") in fields
    assert "x-forwarded-for" not in dict(fields)


NAMES = st.sampled_from(
    """accept cookie x-csrf-token user-agent xfoo x x- x-forward y-forwarded-for via te_st from
    content-type x-api-key""".split()
)
FORGED_NAMES = st.builds(
    lambda name, seed: "".join(
        "_" if char == "-" and seed >> at & 1 else char for at, char in enumerate(name)
    ),
    st.sampled_from([*FORWARDING, "x-base", "x-request-id", "x-vhost-tenant", "x-buntime-cron"])
    | st.text("abcdefghijklmnopqrstuvwxyz-_", max_size=10).map(lambda rest: "x-forwarded" + rest),
    st.integers(0, 2**24),
)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30) | st.sampled_from(
    ["127.0.0.1", "10.0.0.2", "for=10.0.0.2", "https", "evil.example", "/evil", "on", "unix:"]
)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=6)
FORGED = st.lists(st.tuples(st.integers(0, 6), st.tuples(FORGED_NAMES, VALUES)), max_size=6)


@given(FIELDS, FORGED, st.sampled_from([("203.0.113.7", 1), ("2001:db8::7", 2), None]))
def test_untrusted_clients_change_nothing(
    fields: Pairs, forged: list[tuple[int, tuple[str, str]]], peer: tuple[str, int] | None
) -> None:
    """Whatever an untrusted client claims about the sender, an app sees the same true values."""
    with_forged = list(fields)
    for at, field in forged:
        with_forged.insert(at, field)
    for proxies in (PROXIES, Proxies([])):
        sender, seen = seen_by_app(proxies, peer, with_forged)
        assert (sender, seen) == seen_by_app(proxies, peer, fields)
        assert sender == Sender(peer)
        assert seen == [
            ("host", "in.example"),
            *fields,
            ("x-forwarded-proto", "http"),
            *([("x-forwarded-for", peer[0])] if peer else []),
            ("x-forwarded-host", "in.example"),
        ]


@given(FORGED_NAMES)
def test_what_is_a_forwarding_field(name: str) -> None:
    """A field that never reaches an app from a client also denies access to operators' pages."""
    told = ("x-base", "x-request-id", "x-vhost-tenant", "x-buntime-cron")
    assert is_forwarding(name) or name.replace("_", "-") in told


INSIDE = st.integers(1, 2**24 - 1).map(lambda number: str(ip_address((10 << 24) + number)))
OUTSIDE = st.sampled_from([CLIENT, "198.51.100.9", "2001:db8::7", "9.255.255.255", "11.0.0.0"])
SPOOFED = VALUES | st.lists(
    st.sampled_from(
        [
            "10.0.0.9",
            "198.51.100.1",
            ",",
            ", ",
            '"',
            "\\",
            "for=",
            ";",
            "proto=https",
            "unknown",
            "=",
        ]
    ),
    max_size=8,
).map("".join)


@given(OUTSIDE, st.lists(INSIDE, max_size=4), st.none() | SPOOFED)
def test_a_chain_of_x_forwarded_for(client: str, hops: list[str], spoofed: str | None) -> None:
    """Behind any chain of trusted proxies that append, the client is found, whatever it sent."""
    value = spoofed
    for seen in (client, *hops):
        value = seen if value is None else f"{value}, {seen}"
    assert value is not None
    assert trace(("x-forwarded-for", value)).client == (client, 0)


@given(
    OUTSIDE, st.lists(INSIDE, max_size=4), st.none() | SPOOFED, st.sampled_from(["http", "https"])
)
def test_a_chain_of_forwarded(
    client: str, hops: list[str], spoofed: str | None, scheme: str
) -> None:
    """With Forwarded too the client is found; scheme and host are those of its own hop."""
    first, *others = [f'"[{seen}]"' if ":" in seen else seen for seen in (client, *hops)]
    elements = [f"for={first};proto={scheme};host=shop.example"]
    elements += [f"host=in.example;for={seen};proto=http" for seen in others]
    value = ", ".join([*([] if spoofed is None else [spoofed]), *elements])
    sender = trace(("forwarded", value))
    assert sender == Sender((client, 0), scheme, "shop.example", is_forwarded=True)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["forwarded", *(f"x-forwarded-{x}" for x in "for proto host port prefix".split())]
            ),
            SPOOFED,
        ),
        max_size=6,
    )
)
def test_garbage_of_a_trusted_proxy(fields: Pairs) -> None:
    """Whatever a trusted proxy sends, the result is well-formed."""
    sender = trace(*fields)
    assert sender.client is not None
    assert str(ip_address(sender.client[0])) == sender.client[0]
    assert 0 <= sender.client[1] <= 65535
    assert sender.scheme in ("http", "https")
    assert re.fullmatch(HOST, sender.host)
    assert sender.prefix == "" or (sender.prefix[0] == "/" and sender.prefix[1:2] not in ("", "/"))
    seen = fields_for_app(sender, head_of(fields).headers)
    assert [name for name, _ in seen] == [
        "host",
        "x-forwarded-proto",
        "x-forwarded-for",
        "x-forwarded-host",
    ]


def test_a_client_cannot_hide_its_proxy() -> None:
    """Connection may name fields that end at this hop, but none that reveals a proxy."""
    reader = RequestReader(HeadParser(Limits()))
    reader.receive(
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\nVia: 1.1 p\r\nX-Other: 1\r\n"
        b"Connection: x-forwarded-for, Via, forwarded, x-other\r\n\r\n"
    )
    head = reader.next_head()
    assert head is not None
    assert [name for name, _ in head.headers] == ["host", "x-forwarded-for", "via"]


def test_what_is_no_address_is_not_remembered() -> None:
    """Text longer than any address is not one, and is not cached."""
    before = _read_short_node.cache_info().currsize
    assert _read_node("1" * 60_000) is None
    assert _read_short_node.cache_info().currsize == before
    longest = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"
    assert _read_node(longest) is not None
