"""Who sent a request, and to where: what proxies say, as far as they are trusted.

    203.0.113.7 ------> 10.0.0.2 ------> 10.0.0.1 ------> the runtime        trusted: 10.0.0.0/8
    X-Forwarded-For:    198.51.100.9, 203.0.113.7, 10.0.0.2
                        made up       client       (from the peer, 10.0.0.1)

Each proxy appends the address that it got the request from. So the list is read from the right, and
believed as long as the proxy that added an entry is trusted: the peer first, then each proxy that
is named. The first one that is not trusted is the client; anything to the left of it may be made
up. An unreadable entry also ends the list: then the proxy that reported it counts as the client.

Each other field is one value. If there are several, the last one counts: proxies replace the field,
and a proxy that appends has its own value at the right. `Forwarded` (RFC 7239) says all of this hop
by hop. It is read only where X-Forwarded-For, -Proto, -Host and -Port are all missing, since a
proxy that sets those seldom removes a client's `Forwarded`. A malformed value counts as missing.

Nothing is believed from senders that are not trusted. Their values are replaced: an app always gets
X-Forwarded-For, -Proto and -Host with true values.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import product

from buntime.core.access.identityfields import IDENTITY_STARTS
from buntime.core.access.paths import plain_path
from buntime.core.access.peers import UNIX_PEER
from buntime.core.access.proxyfields import CRON_FIELD, FORWARDING, LABEL_FIELD
from buntime.core.http1.grammar import HOST, TCHAR, TOKEN
from buntime.core.http1.head import Head
from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple

Headers = Sequence[tuple[str, str]]
Address = tuple[str, int]

_HOPS_MAX = 32  # proxies in a row; more are an attempt to keep us busy
_ELEMENT_MAX = 512  # characters of one element of Forwarded
_PREFIX_MAX = 200  # characters
_NODE_MAX = 64  # characters of an address with its port; a quoted one has 49

_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_IN_PARTS = frozenset(f"x-forwarded-{part}" for part in ("for", "proto", "host", "port"))
_SENDER_FIELDS = _IN_PARTS | {"forwarded", "x-forwarded-prefix"}

# "192.0.2.1", "192.0.2.1:80", "[2001:db8::1]", "[2001:db8::1]:80", "2001:db8::1"
_NODE = regex(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?|([0-9A-Fa-f:.]+)")
_HAS_PORT = regex(r":[0-9]*\Z")
_PORT = regex(r"[1-9][0-9]{0,4}")
_PREFIX = regex(r"(?:/(?:[A-Za-z0-9._~!$&'()*+;=:@-]|%[0-9A-Fa-f]{2})+)+")
_HOST = regex(HOST)
# RFC 7239 4; unquoted addresses are accepted too.
_PAIR = rf"""[ \t]*({TOKEN})=([{TCHAR}:\[\]]+|"(?:[^"\\]|\\.)*+")[ \t]*"""
_PAIRS = regex(_PAIR)
_ELEMENT = regex(rf"{_PAIR}(?:;{_PAIR})*+")


def _spellings(names: Iterable[str]) -> frozenset[str]:
    """All spellings with "_" for any "-": as environment variables both are the same."""
    return frozenset(
        "".join(way)
        for name in names
        for way in product(*(("-", "_") if char == "-" else (char,) for char in name))
    )


_NEVER_PASSED_STARTS = ("x-forwarded", "x_forwarded", *IDENTITY_STARTS)
# Only the runtime sends these to an app.
_OURS = ("x-base", "x-request-id", LABEL_FIELD, CRON_FIELD)
_NEVER_PASSED = _spellings([*FORWARDING, *_OURS])
_REAL_IP = "x-real-ip"
# Read from a trusted proxy; its other fields, such as X-Forwarded-User, are passed on.
_RETOLD = _spellings(
    [
        *_OURS,
        *_SENDER_FIELDS,
        _REAL_IP,
        "x-forwarded-protocol",
        "x-forwarded-scheme",
        "x-forwarded-ssl",
        "x-scheme",
        "x-url-scheme",
        "front-end-https",
    ]
) - {_REAL_IP}


class Sender(NamedTuple):
    """Who sent a request, and how it was addressed, before any trusted proxy.

    `client` is (address, port), with port 0 where it is unknown; None behind a unix socket. `host`
    is the Host field's value as the client sent it. `prefix` is what a proxy has removed from the
    path: "/tools". The last two are "" where no proxy was involved; then the request itself has
    them.
    """

    client: Address | None
    scheme: str = "http"
    host: str = ""
    prefix: str = ""
    is_forwarded: bool = False

    @property
    def text(self) -> str:
        """The client for the log: "192.0.2.1", "unix"."""
        return self.client[0] if self.client else UNIX_PEER

    def passed_fields(self, headers: Headers) -> list[tuple[str, str]]:
        """The header fields that an app gets unchanged: none that only we or a trusted proxy may
        set.

        Without a proxy this takes 0.7 us more than copying a browser's 14 fields.
        """
        if not self.is_forwarded:
            return [
                pair
                for pair in headers
                if pair[0] not in _NEVER_PASSED
                and (pair[0] < "x" or not pair[0].startswith(_NEVER_PASSED_STARTS))
            ]
        true = {"host": self.host, _REAL_IP: self.client[0] if self.client else ""}
        fields = [
            (name, true.get(name, value))
            for name, value in headers
            if name not in _RETOLD and not name.startswith(IDENTITY_STARTS)
        ]
        if self.host and not any(name == "host" for name, _ in fields):
            fields.append(("host", self.host))
        return fields

    def forwarded_fields(self, passed: Headers) -> list[tuple[str, str]]:
        """The fields that frameworks look for behind a proxy, each once and with the true value.

        Every app gets them, whoever sent the request: whether a framework trusts the last proxy,
        the first entry or all of them, the result is the same, and nothing in it is made up by a
        client. `passed` are the fields that the app gets besides these.
        """
        fields = [("x-forwarded-proto", self.scheme)]
        if self.client:
            fields.append(("x-forwarded-for", self.client[0]))
        for name, value in passed:
            if name == "host":
                fields.append(("x-forwarded-host", value))
                break
        return fields


class Node(NamedTuple):
    """One end of a connection: an address, None for a unix socket, and a port, 0 if unknown."""

    ip: IPv4Address | IPv6Address | None
    port: int


class Proxies:
    """The trusted proxies."""

    def __init__(self, trusted: Iterable[str]) -> None:
        """`trusted` are networks, "10.0.0.0/8", and `UNIX_PEER` for proxies on a unix socket."""
        names = tuple(trusted)
        self._networks = tuple(ip_network(name) for name in names if name != UNIX_PEER)
        self._trusts_unix = UNIX_PEER in names

    def __repr__(self) -> str:
        unix = ("unix",) if self._trusts_unix else ()
        return f"Proxies({', '.join((*map(str, self._networks), *unix))})"

    def trust(self, client: Address | None) -> bool:
        """Whether the other end of a connection is a trusted proxy."""
        if client is None or not self._networks:
            return client is None and self._trusts_unix
        node = _read_node(client[0])
        return node is not None and self._trust_node(node)

    def trace(self, peer: Address | None, head: Head) -> Sender:
        """Who sent a request that came from `peer`, a trusted proxy."""
        fields = _collect(head.headers)
        if "forwarded" in fields and _IN_PARTS.isdisjoint(fields):
            elements = _read_forwarded(fields["forwarded"])
        else:
            elements = _read_list(fields.get("x-forwarded-for", ""))
        client, hop = self._follow(peer, elements)
        scheme = hop.get("proto") or _last(fields, "x-forwarded-proto")
        scheme = _SCHEMES.get(scheme.lower(), "http")
        host = hop.get("host") or _last(fields, "x-forwarded-host")
        if _HOST.fullmatch(host) is None:
            host = head.host
        host = _with_port(host, _last(fields, "x-forwarded-port"), scheme)
        prefix = _read_prefix(_last(fields, "x-forwarded-prefix"))
        return Sender(client, scheme, host, prefix, is_forwarded=True)

    def _follow(
        self, peer: Address | None, elements: Iterator[dict[str, str]]
    ) -> tuple[Address | None, dict[str, str]]:
        """The client, and what the farthest trusted proxies say about it.

        `elements` are ordered from the nearest proxy to the farthest.
        """
        client: Node | None = None
        hop: dict[str, str] = {}
        for element in elements:
            hop |= element
            node = _read_node(element.get("for", ""))
            if node is None or (node.ip is None and not self._trusts_unix):
                break
            client = node
            if not self._trust_node(node):
                break
        if client is None:
            return peer, hop
        return (str(client.ip), client.port) if client.ip is not None else None, hop

    def _trust_node(self, node: Node) -> bool:
        ip = node.ip
        if ip is None:
            return self._trusts_unix
        return any(ip in network for network in self._networks)


def _collect(headers: Headers) -> dict[str, str]:
    """The fields about the sender, with repeated ones joined in order."""
    fields: dict[str, str] = {}
    for name, value in headers:
        if name in _SENDER_FIELDS and value.strip(" \t"):
            fields[name] = f"{fields[name]},{value}" if name in fields else value
    return fields


def _last(fields: dict[str, str], name: str) -> str:
    return fields.get(name, "").rpartition(",")[2].strip(" \t")


def _read_list(value: str) -> Iterator[dict[str, str]]:
    """`"192.0.2.1, 10.0.0.2"` -> {"for": "10.0.0.2"}, {"for": "192.0.2.1"}."""
    for item in reversed(value.rsplit(",", _HOPS_MAX)):  # the rest is a list, not an address
        yield {"for": item.strip(" \t")}


def _read_forwarded(value: str) -> Iterator[dict[str, str]]:
    """The elements of Forwarded from the right, up to one that is malformed.

    An element ends at the end of the text and begins after the last comma from which it is valid.
    So whatever a client leaves open at the left, such as a quote, cannot spoil what follows.
    """
    end = len(value)
    for _ in range(_HOPS_MAX):
        start = end
        element = None
        while element is None and start > 0:
            start = value.rfind(",", max(0, end - _ELEMENT_MAX), start)
            if start < 0 and end > _ELEMENT_MAX:
                return
            element = _read_element(value[start + 1 : end])
        if element is None:
            return
        yield element
        if start <= 0:
            return
        end = start


def _read_element(text: str) -> dict[str, str] | None:
    """`'for="[::1]:80";proto=https'` -> {"for": "[::1]:80", "proto": "https"}."""
    if _ELEMENT.fullmatch(text) is None:
        return None
    element: dict[str, str] = {}
    for name, value in _PAIRS.findall(text):
        name = name.lower()
        if name in element:
            return None
        element[name] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value[0] == '"' else value
    return element


def _read_node(text: str) -> Node | None:
    """An address with or without its port; None for "unknown", "_hidden" and anything malformed."""
    return _read_short_node(text) if len(text) <= _NODE_MAX else None


@lru_cache(maxsize=1024)
def _read_short_node(text: str) -> Node | None:
    if text in (UNIX_PEER, "unix:"):  # the latter is what nginx writes
        return Node(None, 0)
    match = _NODE.fullmatch(text)
    if match is None:
        return None
    try:
        ip = ip_address(match[1] or match[2] or match[4])
    except ValueError:
        return None
    port = int(match[3] or 0)
    if port > 65535:
        return None
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return Node(ip, port)


def _with_port(host: str, port: str, scheme: str) -> str:
    """X-Forwarded-Port counts where the host has no port and it is not the scheme's default."""
    is_valid = _PORT.fullmatch(port) is not None and int(port) <= 65535
    if not host or not is_valid or port == _DEFAULT_PORTS[scheme] or _HAS_PORT.search(host):
        return host
    return f"{host}:{port}"


def _read_prefix(text: str) -> str:
    """`"/tools/"` -> "/tools"; "" for anything that would change the meaning of a path after it."""
    prefix = text.rstrip("/")
    is_path = len(prefix) <= _PREFIX_MAX and _PREFIX.fullmatch(prefix) is not None
    return prefix if is_path and plain_path(prefix) is not None else ""
