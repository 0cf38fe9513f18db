"""Who may reach what: an app's public routes, the runtime's key, the operator's pages.

All three fail closed: where a request can be read in two ways, it is taken for the one that is
not let in.
"""

import hmac
import re
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address
from urllib.parse import unquote_to_bytes

Headers = Iterable[tuple[str, str]]

UNIX_PEER = "unix"  # how a peer on the runtime's unix socket is called where an address is wanted

# Where proxies tell who sent a request, and to where; with all that begins with X-Forwarded.
FORWARDING = frozenset(
    "forwarded x-real-ip x-client-ip x-cluster-client-ip true-client-ip cf-connecting-ip "
    "fastly-client-ip x-scheme x-url-scheme front-end-https".split()
)
_FORWARDING_PREFIX = "x-forwarded"

_AMBIGUOUS = frozenset("\\%?#")
_DOTS = frozenset((".", ".."))
_PORT = re.compile(r":[0-9]*\Z")
_ORIGIN = re.compile(r"(https?)://([a-z0-9._-]+(?::[0-9]+)?|\[[0-9a-f:.]+\](?::[0-9]+)?)")


class PublicRoutes:
    """The routes of an app that need no key, compiled once from the manifest's `publicRoutes`.

    A pattern covers the path below the app's base: `*` is one segment or a part of one, `**` any
    number of segments. "/assets/**" covers "/assets/" and all below it, and not "/assets";
    "/a/**/b" covers "/a/b" too. Case counts, a slash at the end counts.
    """

    __slots__ = ("_by_method", "_routes")

    def __init__(self, routes: Iterable[tuple[str, str]]) -> None:
        """`routes` are (method or "ALL", pattern)."""
        self._routes = tuple(routes)
        patterns: dict[str, list[str]] = {}
        for method, pattern in self._routes:
            patterns.setdefault(method.upper(), []).append(_translate(pattern))
        self._by_method = {
            method: re.compile("|".join(some), re.DOTALL) for method, some in patterns.items()
        }

    def __repr__(self) -> str:
        return f"PublicRoutes({self._routes!r})"

    def cover(self, method: str, raw_path: str) -> bool:
        """Whether a request is public. `raw_path` is the target below the base, still encoded.

        HEAD is covered where GET is. A path with more than one reading is not, see `plain_path`.
        """
        if not self._by_method:
            return False
        path = plain_path(raw_path)
        if path is None:
            return False
        methods = ("ALL", method, "GET") if method == "HEAD" else ("ALL", method)
        patterns = (self._by_method.get(name) for name in methods)
        return any(pattern is not None and pattern.fullmatch(path) for pattern in patterns)


def plain_path(raw_path: str) -> str | None:
    """The decoded path, or None where an app might take it for another one than we do.

    Refused are, since a framework, a file system or a second decoding may take them for something
    else: encoded slashes, backslashes, dot segments (also before a ";"), empty segments, what is
    still encoded after one decoding, bytes that are no UTF-8, control characters, "?" and "#".
    """
    raw = raw_path or "/"
    if not raw.startswith("/") or not raw.isascii() or "%2f" in raw.lower():
        return None
    try:
        path = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        return None
    if not path.isprintable() or not _AMBIGUOUS.isdisjoint(path):
        return None
    *inner, last = [segment.partition(";")[0] for segment in path[1:].split("/")]
    if not _DOTS.isdisjoint(inner) or "" in inner or last in _DOTS:
        return None
    return path


def bears_key(headers: Headers, key: str | None) -> bool:
    """Whether a request bears `key`, as `X-API-Key` or `Authorization: Bearer`.

    `headers` are (name, value) as they came, in latin-1. Never true while no key is set. Takes
    the same time for any two values of one length.
    """
    if not key:
        return False
    secret = key.encode("utf-8", "surrogateescape")
    found = False
    for name, value in headers:
        offered = _offered_key(name.lower(), value)
        if offered is not None:
            found |= hmac.compare_digest(offered.encode("latin-1", "replace"), secret)
    return found


def operator_may(
    headers: Headers, *, key: str | None, peer: str, host: str, listening: Iterable[str] = ()
) -> bool:
    """Whether a request may see `/api/workers` and what is below it.

    1. Where a key is set, it must bear the key, wherever it comes from.
    2. Else its peer must be this machine (127/8, ::1, or `UNIX_PEER`), and
    3. it must not have come through a proxy: no forwarding header, and
    4. it must be addressed to this machine, see `names_this_machine`.

    `peer` is the address the connection comes from, never one that a header tells. `host` is what
    the request is addressed to, `listening` are the hosts that the runtime was told to listen at.
    """
    if key:
        return bears_key(headers, key)
    return (
        is_loopback(peer)
        and not any(tells_of_proxy(name.lower()) for name, _ in headers)
        and names_this_machine(host, listening)
    )


def names_this_machine(host: str, listening: Iterable[str] = ()) -> bool:
    """Whether a Host field's value can mean no other machine: "localhost:8000", "[::1]".

    A page in this machine's browser can have its own name resolve to 127.0.0.1 and then read what
    answers there (DNS rebinding); the browser names that page's host. No page's owner can have
    "localhost", a name below it (RFC 6761 6.3), or an address of the loopback. `listening` are
    taken as they are: the operator has chosen them.
    """
    name = _PORT.sub("", host).lower().strip("[]").removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    if name != UNIX_PEER and is_loopback(name):
        return True
    return name in {each.lower() for each in listening}


def is_foreign(headers: Headers, *, host: str) -> bool:
    """Whether a browser sends the request on behalf of another site's page.

    Such a request must change nothing: the browser adds what it knows of the user, and on this
    machine its address alone opens the operator's pages. `host` is what the request is addressed
    to, before any trusted proxy. Programs that are no browser send none of these fields.

    1. Sec-Fetch-Site, where it is sent, must be "same-origin", or "none" for the user's own doing.
    2. Origin, where it is sent, must have this host and port. The scheme is not compared: a proxy
       that ends TLS need not tell of it.
    """
    for name, value in headers:
        name = name.lower()
        if name == "sec-fetch-site" and value.strip() not in ("same-origin", "none"):
            return True
        if name == "origin":
            match = _ORIGIN.fullmatch(value.strip().lower())
            if match is None:
                return True
            default = ":80" if match[1] == "http" else ":443"
            if _with_port(match[2], default) != _with_port(host.lower(), default):
                return True
    return False


def is_loopback(peer: str) -> bool:
    """Whether `peer`, an address or `UNIX_PEER`, is this machine: "127.0.0.1", "::1"."""
    if peer == UNIX_PEER:
        return True
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def tells_of_proxy(name: str) -> bool:
    """Whether a field, in lower case, shows that a request came through a proxy."""
    return name == "via" or is_forwarding(name)


def is_forwarding(name: str) -> bool:
    """Whether a field, in lower case, tells of the sender in a proxy's stead.

    `x_forwarded_for` too: what makes variables of fields takes it for the same.
    """
    name = name.replace("_", "-")
    return name in FORWARDING or name.startswith(_FORWARDING_PREFIX)


def _with_port(host: str, default: str) -> str:
    host = host.removesuffix(":")
    return host if _PORT.search(host) else host + default


def _offered_key(name: str, value: str) -> str | None:
    if name == "x-api-key":
        return value.strip()
    if name == "authorization":
        scheme, _, credentials = value.strip().partition(" ")
        return credentials.strip() if scheme.lower() == "bearer" else None
    return None


def _translate(pattern: str) -> str:
    """`"/a/*/**"` -> a regular expression that no path makes slow.

    What stands between two stars is taken at the first place where it fits and at no later one
    (atomic groups). For globs that is enough: what matches after a later place matches after the
    first one too, since the star that follows takes up what lies between.
    """
    runs: list[str] = [""]
    for segment in pattern.lstrip("/").split("/"):
        if segment == "**":
            runs.append("")
        else:
            runs[-1] += "/" + _translate_segment(segment)
    first, *others = runs
    if not others:
        return first
    *middle, last = others
    between = "".join(rf"(?>(?:/[^/]*+)*?{run}(?=/|\Z))" for run in middle if run)
    return first + between + (f"(?:/[^/]*+)*{last}" if last else "(?:/[^/]*+)+")


def _translate_segment(segment: str) -> str:
    first, *others = [re.escape(part) for part in re.split(r"\*+", segment)]
    if not others:
        return first
    *middle, last = others
    if not (first or middle or last):
        return "[^/]++"  # a star alone wants something to stand for
    return first + "".join(f"(?>[^/]*?{part})" for part in middle) + f"[^/]*{last}"
