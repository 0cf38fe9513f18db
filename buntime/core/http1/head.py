"""Parses the heads of requests: strict about the bytes first, then parsed by h11.

Why a gate before h11: h11 is lenient where a server that stands beside proxies must not be. It
unfolds obs-fold, takes bare LF for a line's end, merges repeated Content-Length fields and lets
control characters through in values. One regular expression over the raw head settles the
lexical questions in a microsecond; `_check_semantics` settles the rest on h11's fields.

h11 parses one head on a connection object of its own (3 us to make) and is then let go. What it
says of a head depends on nothing but its bytes, so those that were seen lately are remembered:
clients that poll, load balancers, and all who send the same request again on a connection.
"""

import re
from typing import NamedTuple

import h11

from buntime.core.access.access import tells_of_proxy
from buntime.core.errors import ClientFault
from buntime.core.http1.grammar import TOKEN_BYTES, VALUE_BYTES

# RFC 9112 3 and 5: request-line, then field lines. Names are tokens with no space before the
# colon; a value has no control characters but HTAB; every line ends in CRLF, none is folded.
_HEAD = re.compile(
    TOKEN_BYTES
    + rb" [!-~]+ HTTP/[0-9]\.[0-9]\r\n(?:"
    + TOKEN_BYTES
    + rb":"
    + VALUE_BYTES
    + rb"\r\n)*\r\n"
)
# What can stand in no head at all: lets an incomplete head be refused before it is complete.
_ILLEGAL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?=[^\n])|(?<!\r)\n")
_FOLD = re.compile(rb"\r\n[ \t]")
_REQUEST_LINE = re.compile(TOKEN_BYTES + rb" [!-~]+ HTTP/[0-9]\.[0-9]")
_CONTENT_LENGTHS = re.compile(rb"\r\ncontent-length:([^\r]*)", re.IGNORECASE)
# RFC 9110 7.2: uri-host [":" port], without the userinfo, path or list that others let through.
HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+;=-]+)(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(r"https?://([^/?#]*)([^#]*)", re.IGNORECASE)

# Heads that are remembered: at most 1 MiB of them, with what was made of them.
_REMEMBERED_MAX = 256
_REMEMBERED_BYTES_MAX = 1024  # of one head

_METHOD_MAX = 32  # characters; the longest registered method has 17
_LENGTH_DIGITS_MAX = 18  # keeps a Content-Length within 64 bits

# RFC 9110 7.6.1, and what older specifications count among them. They end at this hop.
HOP_BY_HOP = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer "
    "transfer-encoding upgrade".split()
)
# Fields that nobody can take away from the other side by naming them in Connection; nor can a
# client take away what shows that it came through a proxy.
_NOT_NOMINATED = frozenset(
    "host content-length content-type authorization cookie set-cookie x-api-key".split()
)
# The fields with a meaning for the connection itself; all others are passed on unread.
_SPECIAL = HOP_BY_HOP | {"host", "content-length", "expect"}


Fields = tuple[tuple[str, str], ...]  # (lower-case name, value), in the order they came


class Limits(NamedTuple):
    """The bounds of a head: bytes of its first line, bytes and number of its fields."""

    request_line_max_bytes: int = 8 * 1024
    headers_max_bytes: int = 64 * 1024
    header_fields_max: int = 100


class Head(NamedTuple):
    """One request's head, checked. It never changes: requests with the same bytes share it.

    A tuple, so that nobody can write to it: reading its fields costs 0.2 us more a request than
    reading those of a class with __slots__.
    """

    method: str
    target: str  # origin-form, "/shop/?q=1", or "*"
    version: str  # "1.0" or "1.1"
    headers: Fields = ()  # without hop-by-hop fields
    host: str = ""
    content_length: int = 0
    chunked: bool = False
    expects_continue: bool = False
    keep_alive: bool = True
    upgrade: str = ""  # the value of Upgrade, where Connection names it: "websocket"

    @property
    def has_body(self) -> bool:
        return self.chunked or self.content_length > 0

    @property
    def path(self) -> str:
        """The target without its query: what the log may tell, for queries hold secrets."""
        return self.target.partition("?")[0]

    def __repr__(self) -> str:
        return f"Head({self.method} {self.target} HTTP/{self.version})"


class HeadParser:
    """Makes heads of bytes, and remembers what it made of those it has seen lately."""

    __slots__ = ("_seen", "limits")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._seen: dict[bytes, Head] = {}

    def parse(self, raw: bytes) -> Head:
        """A complete head, "GET / HTTP/1.1\\r\\n...\\r\\n\\r\\n", as a Head.

        Raises ClientFault (400, 414, 417, 431, 505).
        """
        seen = self._seen.get(raw)  # 1 us instead of 60
        if seen is not None:
            return seen
        head = _parse_head(raw, self.limits)
        if len(raw) <= _REMEMBERED_BYTES_MAX:
            if len(self._seen) == _REMEMBERED_MAX:
                del self._seen[next(iter(self._seen))]
            self._seen[raw] = head
        return head

    def check_incomplete(self, buffer: bytes, scanned: int) -> None:
        """Refuse early what cannot become a valid head any more.

        The first `scanned` bytes were looked at before.
        """
        limits = self.limits
        line_end = buffer.find(b"\r\n", 0, limits.request_line_max_bytes + 2)
        if line_end < 0 and len(buffer) > limits.request_line_max_bytes + 1:  # its CR may be there
            raise _line_too_long(limits)
        if line_end >= 0 and len(buffer) - line_end > limits.headers_max_bytes + 2:
            raise _headers_too_large(limits)
        illegal = _ILLEGAL.search(buffer, max(0, scanned - 1))
        if illegal is not None:
            raise _malformed(buffer)


def bad_request(message: str) -> ClientFault:
    """A 400 that ends its connection: what follows malformed bytes cannot be trusted."""
    return ClientFault(400, "bad_request", message, closes=True)


def _parse_head(raw: bytes, limits: Limits) -> Head:
    if len(raw) > min(limits.request_line_max_bytes, limits.headers_max_bytes):
        line_end = raw.find(b"\r\n")
        if line_end > limits.request_line_max_bytes:
            raise _line_too_long(limits)
        if len(raw) - line_end - 4 > limits.headers_max_bytes:
            raise _headers_too_large(limits)
    if _HEAD.fullmatch(raw) is None:
        raise _malformed(raw)
    connection = h11.Connection(h11.SERVER, len(raw))
    connection.receive_data(raw)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError as exc:
        raise _refused_by_h11(raw, exc) from exc
    if type(event) is not h11.Request:
        raise bad_request(f"not a request: h11 found {event!r}")
    return _check_semantics(raw, event, limits)


def _check_semantics(raw: bytes, request: h11.Request, limits: Limits) -> Head:
    version = request.http_version.decode("ascii")
    if version not in ("1.0", "1.1"):
        raise _wrong_version(version)
    method, target = request.method.decode("ascii"), request.target.decode("ascii")
    if len(method) > _METHOD_MAX:
        raise bad_request(f"the method has more than {_METHOD_MAX} characters")
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers]
    if len(pairs) > limits.header_fields_max:
        raise ClientFault(
            431,
            "too_many_headers",
            f"more than {limits.header_fields_max} header fields",
            closes=True,
        )
    special = _collect_special(pairs)
    content_length, chunked = _settle_framing(version, special, raw)
    options = nominations(special["connection"]) if "connection" in special else set()
    waits = "expect" in special and _check_expect(special["expect"])
    dropped = HOP_BY_HOP | options
    if waits:
        dropped = dropped | {"expect"}
    host, target, is_absolute = _settle_target(method, target, version, special)
    headers = tuple(pair for pair in pairs if pair[0] not in dropped)
    if is_absolute:
        headers = tuple(("host", host) if pair[0] == "host" else pair for pair in headers)
    return Head(
        method,
        target,
        version,
        headers,
        host,
        content_length,
        chunked,
        expects_continue=waits and version == "1.1" and (chunked or content_length > 0),
        keep_alive="close" not in options and (version == "1.1" or "keep-alive" in options),
        upgrade=special.get("upgrade", "") if "upgrade" in options else "",
    )


def _collect_special(pairs: list[tuple[str, str]]) -> dict[str, str]:
    special: dict[str, str] = {}
    for name, value in pairs:
        if name in _SPECIAL:
            if name in special:
                if name == "host":
                    raise bad_request("the Host field is repeated")
                value = f"{special[name]}, {value}"
            special[name] = value
    return special


def _settle_framing(version: str, special: dict[str, str], raw: bytes) -> tuple[int, bool]:
    """RFC 9112 6: a body's length must be told in exactly one way."""
    if "content-length" in special:
        # h11 has merged repeated fields and lists; the raw head still shows them.
        lengths = [value.strip(b" \t") for value in _CONTENT_LENGTHS.findall(raw)]
        if len(lengths) != 1:
            raise bad_request("the Content-Length field is repeated")
        if not lengths[0].isdigit() or len(lengths[0]) > _LENGTH_DIGITS_MAX:
            raise bad_request("Content-Length must be one whole number")
        if "transfer-encoding" in special:
            raise bad_request("Content-Length and Transfer-Encoding exclude each other")
        return int(lengths[0]), False
    if "transfer-encoding" in special:
        if version == "1.0":
            raise bad_request("HTTP/1.0 has no Transfer-Encoding")
        if special["transfer-encoding"].strip().lower() != "chunked":
            raise bad_request("the only transfer coding taken is a single chunked")
        return 0, True
    return 0, False


def _check_expect(value: str) -> bool:
    if value.strip().lower() != "100-continue":
        raise ClientFault(417, "expectation_failed", "Expect can only be 100-continue", closes=True)
    return True


def nominations(connection: str) -> set[str]:
    """What a Connection field says ends at this hop: `"close, X-A"` -> `{"close", "x-a"}`."""
    options = {option.strip() for option in connection.lower().split(",")}
    return {
        option for option in options if option not in _NOT_NOMINATED and not tells_of_proxy(option)
    }


def _settle_target(
    method: str, target: str, version: str, special: dict[str, str]
) -> tuple[str, str, bool]:
    """RFC 9112 3.2: origin-form, absolute-form or, for OPTIONS, the asterisk.

    The host, the target, and whether the host is the target's own.
    """
    host = special.get("host")
    if host is None and version == "1.1":
        raise bad_request("the Host field is missing")
    if host is not None and HOST.fullmatch(host) is None:
        raise bad_request("the Host field must be a name or address, with a port at most")
    if method == "CONNECT":
        raise bad_request("CONNECT is not served: this is no proxy")
    if target[0] == "/":
        if "#" in target:
            raise bad_request("a target has no fragment")
        return host or "", target, False
    if target == "*":
        if method != "OPTIONS":
            raise bad_request("the target * goes with OPTIONS only")
        return host or "", target, False
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or HOST.fullmatch(absolute[1]) is None:
        raise bad_request("the target must start with / or be an http URL")
    # RFC 9112 3.2.2: the target's authority replaces the Host field.
    path = absolute[2]
    return absolute[1], path if path[:1] == "/" else "/" + path, True


def _line_too_long(limits: Limits) -> ClientFault:
    return ClientFault(
        414,
        "target_too_long",
        f"the request line is longer than {limits.request_line_max_bytes} bytes",
        closes=True,
    )


def _headers_too_large(limits: Limits) -> ClientFault:
    return ClientFault(
        431,
        "headers_too_large",
        f"the header fields take more than {limits.headers_max_bytes} bytes",
        closes=True,
    )


def _wrong_version(version: str) -> ClientFault:
    return ClientFault(
        505,
        "version_not_supported",
        f"HTTP/{version} is not spoken here; use HTTP/1.1",
        closes=True,
    )


def _malformed(raw: bytes) -> ClientFault:
    """Say which rule the head breaks; only reached once it is refused."""
    if _FOLD.search(raw):
        return bad_request("a field line is folded (RFC 9112 5.2)")
    line, _, fields = raw.partition(b"\r\n")
    illegal = _ILLEGAL.search(raw)
    if illegal is not None:
        return bad_request(f"a control character or bare line end, byte {illegal.start()}")
    if _REQUEST_LINE.fullmatch(line) is None:
        return bad_request("the request line is not METHOD TARGET HTTP/x.y")
    for number, field in enumerate(fields.split(b"\r\n"), 1):
        if field and re.match(TOKEN_BYTES + rb":", field) is None:
            return bad_request(f"header line {number} is not NAME: VALUE")
    return bad_request("the request head is malformed")


def _refused_by_h11(raw: bytes, exc: h11.RemoteProtocolError) -> ClientFault:
    match = re.search(rb" HTTP/([0-9]\.[0-9])\r\n", raw)
    if match is not None and match[1] not in (b"1.0", b"1.1"):
        return _wrong_version(match[1].decode("ascii"))
    return bad_request(str(exc))
