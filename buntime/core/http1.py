"""Reads the heads of HTTP/1.1 requests: strict about the bytes first, then parsed by h11.

Why a gate before h11: h11 is lenient where a server that stands beside proxies must not be. It
unfolds obs-fold, takes bare LF for a line's end, merges repeated Content-Length fields and lets
control characters through in values. One regular expression over the raw head settles the
lexical questions in a microsecond; `_check_semantics` settles the rest on h11's fields.

h11 parses one head on a connection object of its own (3 us to make) and is then let go: bodies
are decoded by `core/framing.py`, since h11 accepts any bytes in a chunk extension and copies
each body byte twice.

    data -> RequestReader.receive -> next_head() -> Head
                                  -> read_body(limit) -> bytes, until .body_ended
                                  -> next_head() -> ...
"""

import re
from dataclasses import dataclass
from enum import Enum, auto

import h11

from buntime.core.access import tells_of_proxy
from buntime.core.errors import ClientFault
from buntime.core.framing import Body, ChunkedBody, LengthBody

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# RFC 9112 3 and 5: request-line, then field lines. Names are tokens with no space before the
# colon; a value has no control characters but HTAB; every line ends in CRLF, none is folded.
_HEAD = re.compile(
    TOKEN + rb" [!-~]+ HTTP/[0-9]\.[0-9]\r\n(?:" + TOKEN + rb":[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n"
)
# What can stand in no head at all: lets an incomplete head be refused before it is complete.
_ILLEGAL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?=[^\n])|(?<!\r)\n")
_FOLD = re.compile(rb"\r\n[ \t]")
_EMPTY_LINES = re.compile(rb"(?:\r\n)*")
_REQUEST_LINE = re.compile(TOKEN + rb" [!-~]+ HTTP/[0-9]\.[0-9]")
_CONTENT_LENGTHS = re.compile(rb"\r\ncontent-length:([^\r]*)", re.IGNORECASE)
# RFC 9110 7.2: uri-host [":" port], without the userinfo, path or list that others let through.
HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+;=-]+)(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(r"https?://([^/?#]*)([^#]*)", re.IGNORECASE)

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


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of a head: bytes of its first line, bytes and number of its fields."""

    request_line_max_bytes: int = 8 * 1024
    headers_max_bytes: int = 64 * 1024
    header_fields_max: int = 100


class Head:
    """One request's head, checked. `headers` are (lower-case name, value) without hop-by-hop."""

    __slots__ = (
        "chunked",
        "content_length",
        "expects_continue",
        "headers",
        "host",
        "keep_alive",
        "method",
        "target",
        "upgrade",
        "version",
    )

    def __init__(self, method: str, target: str, version: str) -> None:
        self.method = method
        self.target = target  # origin-form, "/shop/?q=1", or "*"
        self.version = version  # "1.0" or "1.1"
        self.headers: list[tuple[str, str]] = []
        self.host = ""
        self.content_length = 0
        self.chunked = False
        self.expects_continue = False
        self.keep_alive = version == "1.1"
        self.upgrade = ""  # the value of Upgrade, where Connection names it: "websocket"

    @property
    def has_body(self) -> bool:
        return self.chunked or self.content_length > 0

    @property
    def path(self) -> str:
        """The target without its query: what the log may tell, for queries hold secrets."""
        return self.target.partition("?")[0]

    def __repr__(self) -> str:
        return f"Head({self.method} {self.target} HTTP/{self.version})"


class Reading(Enum):
    """Where in a request the reader is."""

    HEAD = auto()
    BODY = auto()
    BROKEN = auto()  # an error was raised: nothing behind it can be trusted


class RequestReader:
    """The requests of one connection, one after the other; bytes behind one wait for their turn."""

    __slots__ = ("_body", "_buffer", "_limits", "_scanned", "_state")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        # per connection
        self._buffer = b""
        self._scanned = 0  # bytes of the buffer that hold no end of a head
        self._state = Reading.HEAD
        # per request
        self._body: Body | None = None

    def __repr__(self) -> str:
        return f"RequestReader({self._state.name}, {len(self._buffer)} bytes buffered)"

    def receive(self, data: bytes) -> None:
        """Take what the client sent."""
        self._buffer = self._buffer + data if self._buffer else data

    @property
    def buffered_bytes(self) -> int:
        return len(self._buffer)

    @property
    def is_broken(self) -> bool:
        """Was something refused, so that the client may still be sending what nobody reads?"""
        return self._state is Reading.BROKEN

    @property
    def body_ended(self) -> bool:
        """Is the body of the current request read to its end?"""
        return self._body is None

    def next_head(self) -> Head | None:
        """The next request's head, or None while it is incomplete.

        Raises ClientFault (400, 414, 431, 505), after which the connection is to be closed.
        """
        if not self._buffer:
            return None
        try:
            raw = self._cut_head()
            if raw is None:
                return None
            head = _parse_head(raw, self._limits)
        except ClientFault:
            self._state = Reading.BROKEN
            raise
        if head.chunked:
            self._body = ChunkedBody()
        elif head.content_length:
            self._body = LengthBody(head.content_length)
        self._state = Reading.HEAD if self._body is None else Reading.BODY
        return head

    def read_body(self, limit: int) -> bytes:
        """Up to `limit` bytes of the body that have arrived; b"" where none have.

        Raises ClientFault(400) for malformed chunks, after which the connection is to be closed.
        """
        body = self._body
        if body is None or not self._buffer:
            return b""
        try:
            data, self._buffer = body.take(self._buffer, limit)
        except ClientFault:
            self._state = Reading.BROKEN
            raise
        if body.ended:
            self._body = None
            self._state = Reading.HEAD
        return data

    def take_rest(self) -> bytes:
        """All that has come and is no request: another protocol goes on from here."""
        rest, self._buffer = self._buffer, b""
        return rest

    def _cut_head(self) -> bytes | None:
        if self._state is not Reading.HEAD:
            raise RuntimeError(f"a head was asked for by {self!r}")
        buffer = self._buffer
        if buffer[:1] == b"\r":  # RFC 9112 2.2: empty lines before a request line are skipped
            match = _EMPTY_LINES.match(buffer)
            if match is not None and match.end():
                buffer = self._buffer = buffer[match.end() :]
                self._scanned = 0
        end = buffer.find(b"\r\n\r\n", max(0, self._scanned - 3))
        if end < 0:
            _check_incomplete(buffer, self._scanned, self._limits)
            self._scanned = len(buffer)
            return None
        self._scanned = 0
        end += 4
        if end == len(buffer):
            self._buffer = b""
            return buffer
        self._buffer = buffer[end:]
        return buffer[:end]


def bad_request(message: str) -> ClientFault:
    """A 400 that ends its connection: what follows malformed bytes cannot be trusted."""
    return ClientFault(400, "bad_request", message, closes=True)


def _check_incomplete(buffer: bytes, scanned: int, limits: Limits) -> None:
    """Refuse early what cannot become a valid head any more."""
    line_end = buffer.find(b"\r\n", 0, limits.request_line_max_bytes + 2)
    if line_end < 0 and len(buffer) > limits.request_line_max_bytes + 1:  # its CR may be there
        raise _line_too_long(limits)
    if line_end >= 0 and len(buffer) - line_end > limits.headers_max_bytes + 2:
        raise _headers_too_large(limits)
    illegal = _ILLEGAL.search(buffer, max(0, scanned - 1))
    if illegal is not None:
        raise _malformed(buffer)


def _parse_head(raw: bytes, limits: Limits) -> Head:
    """A complete head, "GET / HTTP/1.1\\r\\n...\\r\\n\\r\\n", as a Head."""
    if len(raw) > limits.request_line_max_bytes:
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
    head = Head(request.method.decode("ascii"), request.target.decode("ascii"), version)
    if len(head.method) > _METHOD_MAX:
        raise bad_request(f"the method has more than {_METHOD_MAX} characters")
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers]
    if len(pairs) > limits.header_fields_max:
        raise ClientFault(
            431,
            "too_many_headers",
            f"more than {limits.header_fields_max} header fields",
            closes=True,
        )
    special: dict[str, str] = {}
    for name, value in pairs:
        if name in _SPECIAL:
            if name in special:
                if name == "host":
                    raise bad_request("the Host field is repeated")
                value = f"{special[name]}, {value}"
            special[name] = value
    head.headers = pairs
    _settle_framing(head, special, raw)
    _settle_connection(head, special)
    _settle_target(head, special)
    return head


def _settle_framing(head: Head, special: dict[str, str], raw: bytes) -> None:
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
        head.content_length = int(lengths[0])
    elif "transfer-encoding" in special:
        if head.version == "1.0":
            raise bad_request("HTTP/1.0 has no Transfer-Encoding")
        if special["transfer-encoding"].strip().lower() != "chunked":
            raise bad_request("the only transfer coding taken is a single chunked")
        head.chunked = True


def _settle_connection(head: Head, special: dict[str, str]) -> None:
    """Keep-alive, Expect, and what must not go beyond this hop (RFC 9110 7.6.1, 10.1.1)."""
    dropped = HOP_BY_HOP
    if "connection" in special:
        options = nominations(special["connection"])
        if "close" in options:
            head.keep_alive = False
        elif "keep-alive" in options:
            head.keep_alive = True
        if "upgrade" in options:
            head.upgrade = special.get("upgrade", "")
        dropped = HOP_BY_HOP | options
    if "expect" in special:
        if special["expect"].strip().lower() != "100-continue":
            raise ClientFault(
                417, "expectation_failed", "Expect can only be 100-continue", closes=True
            )
        head.expects_continue = head.version == "1.1" and head.has_body
        dropped = dropped | {"expect"}
    if not dropped.isdisjoint(special) or dropped is not HOP_BY_HOP:
        head.headers = [pair for pair in head.headers if pair[0] not in dropped]


def nominations(connection: str) -> set[str]:
    """What a Connection field says ends at this hop: `"close, X-A"` -> `{"close", "x-a"}`."""
    options = {option.strip() for option in connection.lower().split(",")}
    return {
        option for option in options if option not in _NOT_NOMINATED and not tells_of_proxy(option)
    }


def _settle_target(head: Head, special: dict[str, str]) -> None:
    """RFC 9112 3.2: origin-form, absolute-form or, for OPTIONS, the asterisk."""
    host = special.get("host")
    if host is None and head.version == "1.1":
        raise bad_request("the Host field is missing")
    if host is not None and HOST.fullmatch(host) is None:
        raise bad_request("the Host field must be a name or address, with a port at most")
    head.host = host or ""
    target = head.target
    if head.method == "CONNECT":
        raise bad_request("CONNECT is not served: this is no proxy")
    if target[0] != "/":
        if target == "*":
            if head.method != "OPTIONS":
                raise bad_request("the target * goes with OPTIONS only")
            return
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None or HOST.fullmatch(absolute[1]) is None:
            raise bad_request("the target must start with / or be an http URL")
        # RFC 9112 3.2.2: the target's authority replaces the Host field.
        head.host = absolute[1]
        head.headers = [
            ("host", head.host) if name == "host" else (name, value) for name, value in head.headers
        ]
        path = absolute[2]
        head.target = path if path[:1] == "/" else "/" + path
    elif "#" in target:
        raise bad_request("a target has no fragment")


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
        if field and re.match(TOKEN + rb":", field) is None:
            return bad_request(f"header line {number} is not NAME: VALUE")
    return bad_request("the request head is malformed")


def _refused_by_h11(raw: bytes, exc: h11.RemoteProtocolError) -> ClientFault:
    match = re.search(rb" HTTP/([0-9]\.[0-9])\r\n", raw)
    if match is not None and match[1] not in (b"1.0", b"1.1"):
        return _wrong_version(match[1].decode("ascii"))
    return bad_request(str(exc))
