"""Parses the heads of requests: a strict check of the bytes, then one by h11.

    GET /shop/?q=1 HTTP/1.1     the line      read by `requestline`
    Host: a                     the section   read by `section`
    Accept: */*

Why there is a grammar before h11: h11 is too lenient for a server that works beside proxies. It
unfolds obs-fold, accepts a bare LF as the end of a line, merges repeated Content-Length fields and
lets control characters through in values. Two regular expressions over the raw head settle the
lexical questions in some microseconds and leave only one way to split it, so h11 gets the pieces,
not the bytes.

The result depends only on the bytes, so recent ones are cached: whole heads, as from clients that
poll and load balancers; and sections, since most clients repeat everything but the first line. The
line and the section are read independently. `_join` does whatever depends on both, for each head
that is not in the cache as a whole.
"""

from typing import TypeVar

from buntime.core.http1.faults import bad_request, malformed
from buntime.core.http1.limits import Limits
from buntime.core.http1.requestline import REQUEST_LINE_START, RequestLine, read_line
from buntime.core.http1.section import FIELD_SECTION, Fields, Section, read_section
from buntime.core.values.tuples import QuickTuple

# The number of heads, and of sections, in the caches. A parsed one takes twice its bytes, and 160
# more a field: 4 MiB altogether in the worst case.
_REMEMBERED_MAX = 256
HEAD_MAX_BYTES = 1024
_SECTION_MAX_BYTES = 2048
_FIELDS_MAX = 24  # per entry; browsers send about 15

_T = TypeVar("_T")


class Head(QuickTuple):
    """One request's head, checked. Immutable: requests with the same bytes share it.

    It is a tuple so that nobody can write to it: reading its fields costs 0.2 us more a request
    than reading those of a class with __slots__.
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
    upgrade: str = ""  # the value of Upgrade, if Connection names it: "websocket"
    fields_bytes: int = 0  # of all fields as received, plus the target's host if it has one
    request_id: str = ""  # the client's own, if it is a plain word
    is_absolute: bool = False  # the target was a URL, and `host` comes from it
    is_secure: bool = False  # the URL's scheme was https
    operators: Fields = ()  # cookies of an operator's session: (name, value)

    @property
    def has_body(self) -> bool:
        return self.chunked or self.content_length > 0

    @property
    def path(self) -> str:
        """The target without its query. The log may show it; queries can contain secrets."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    def __repr__(self) -> str:
        return f"Head({self.method} {self.target} HTTP/{self.version})"


class HeadParser:
    """Parses heads, and caches the recent ones.

    `recall(raw)` is the head parsed from these bytes, or None. Most of what a connection sends is
    exactly one head, so this works without looking for the head's end.
    """

    __slots__ = ("_heads", "_sections", "limits", "recall")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._heads: dict[bytes, Head] = {}
        self.recall = self._heads.get
        self._sections: dict[bytes, Section] = {}

    def parse(self, raw: bytes) -> Head:
        """A complete head, "GET / HTTP/1.1\\r\\n...\\r\\n\\r\\n", as a Head.

        Raises ClientFault (400, 414, 417, 431, 501, 505).
        """
        head = self.recall(raw)
        if head is None:
            head = self._read(raw)
            if len(raw) <= HEAD_MAX_BYTES and len(head.headers) <= _FIELDS_MAX:
                _remember(self._heads, raw, head)
        return head

    def _read(self, raw: bytes) -> Head:
        self.limits.check(raw)
        found = REQUEST_LINE_START.match(raw)
        if found is None:
            raise malformed(raw)
        rest = raw[found.end() :]
        section = self._sections.get(rest)
        if section is not None:
            return _join(read_line(found), section)
        if FIELD_SECTION.fullmatch(rest) is None:
            raise malformed(raw)
        line = read_line(found)
        section = read_section(rest, self.limits)
        if len(rest) <= _SECTION_MAX_BYTES and len(section.fields) <= _FIELDS_MAX:
            _remember(self._sections, rest, section)
        return _join(line, section)


def _remember(known: dict[bytes, _T], raw: bytes, made: _T) -> None:
    if len(known) == _REMEMBERED_MAX:
        del known[next(iter(known))]
    known[raw] = made


def _join(line: RequestLine, section: Section) -> Head:
    """Check and combine what the line and the section mean together."""
    method, target, version, authority, is_secure = line
    headers, host, length, chunked, expects, closes, stays, upgrade, size, own_id, ours = section
    is_current = version == "1.1"
    if not is_current and chunked:
        raise bad_request("HTTP/1.0 has no Transfer-Encoding")
    if is_current and host is None:
        raise bad_request("the Host field is missing")
    if authority:  # RFC 9112 3.2.2: the target's authority replaces the Host field
        host = authority
        headers = tuple(("host", host) if pair[0] == "host" else pair for pair in headers)
    return Head(
        method,
        target,
        version,
        headers,
        host or "",
        length,
        chunked,
        expects and is_current and (chunked or length > 0),
        not closes and (is_current or stays),
        upgrade,
        size + len(authority),
        own_id,
        bool(authority),
        is_secure,
        ours,
    )
