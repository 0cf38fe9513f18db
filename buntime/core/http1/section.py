"""A head's field section: all that follows the first line, as far as it does not depend on the
line.

h11 checks and normalizes it together with a line that allows everything: HTTP/1.0 needs no Host.
`head` checks whatever also depends on the line.
"""

import re
from collections.abc import Iterable

import h11

from buntime.core.access.proxyfields import tells_of_proxy
from buntime.core.errors import ClientFault
from buntime.core.http1.faults import bad_request
from buntime.core.http1.framing import read_framing, unknown_coding
from buntime.core.http1.grammar import FIELD_LINE, HOST
from buntime.core.http1.limits import Limits
from buntime.core.http1.operatorscookie import take_out
from buntime.core.values.tuples import QuickTuple

FIELD_SECTION = re.compile(rb"(?:" + FIELD_LINE + rb")*\r\n")
_HOST = re.compile(HOST)
# A client's own id is logged if it is a plain word of reasonable length.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._~-]{8,128}")

# RFC 9110 7.6.1, and what older specifications add. They end at this hop.
HOP_BY_HOP = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer "
    "transfer-encoding upgrade".split()
)
# Fields that a client cannot remove by naming them in Connection: what the other side relies on,
# and what shows that the request came through a proxy.
_NOT_NOMINATED = frozenset(
    "host content-length content-type authorization cookie set-cookie x-api-key".split()
)
# The fields that matter to the connection itself; all others are passed on unread.
_SPECIAL = HOP_BY_HOP | {"host", "content-length", "expect"}

Fields = tuple[tuple[str, str], ...]  # (lower-case name, value), in the order received


class Section(QuickTuple):
    """What a field section says. Immutable: requests with the same bytes share it."""

    fields: Fields  # without those that end at this hop
    host: str | None
    content_length: int
    chunked: bool
    expects_continue: bool
    closes: bool  # Connection says "close"
    stays: bool  # Connection says "keep-alive"
    upgrade: str  # the value of Upgrade, if Connection names it
    size_bytes: int  # as received
    request_id: str = ""  # the client's own id for its request, if it is usable
    operators: Fields = ()  # cookies of an operator's session, which are removed from the fields


def read_section(raw: bytes, limits: Limits) -> Section:
    """Read a section that `FIELD_SECTION` has matched as a whole.

    Raises ClientFault (400, 417, 431, 501).
    """
    pairs = _split(raw)
    limits.check_count(len(pairs))
    try:
        request = h11.Request(method=b"GET", target=b"/", headers=pairs, http_version=b"1.0")
    except h11.ProtocolError as exc:
        raise unknown_coding(pairs) or bad_request(str(exc)) from exc
    fields = [
        (name.decode("latin-1").lower(), value.decode("latin-1"))
        for name, value in request.headers.raw_items()
    ]
    special = _collect_special(fields)
    if not special:
        request_id, (passed, operators) = _read_request_id(fields), take_out(tuple(fields))
        size = len(raw)
        return Section(passed, None, 0, False, False, False, False, "", size, request_id, operators)
    content_length, chunked = read_framing(pairs, special)
    options = nominations(special["connection"]) if "connection" in special else frozenset()
    dropped = HOP_BY_HOP if options <= HOP_BY_HOP else HOP_BY_HOP | options
    if "expect" in special:
        _check_expect(special["expect"])
        dropped |= {"expect"}
    passed, operators = take_out(tuple(pair for pair in fields if pair[0] not in dropped))
    return Section(
        passed,
        _read_host(special),
        content_length,
        chunked=chunked,
        expects_continue="expect" in special,
        closes="close" in options,
        stays="keep-alive" in options,
        upgrade=special.get("upgrade", "") if "upgrade" in options else "",
        size_bytes=len(raw),
        request_id=_read_request_id(passed),
        operators=operators,
    )


def nominations(connection: str) -> frozenset[str]:
    """The fields that Connection ends at this hop: `"close, X-A"` -> `{"close", "x-a"}`."""
    options = {option.strip() for option in connection.lower().split(",")}
    return frozenset(
        option for option in options if option not in _NOT_NOMINATED and not tells_of_proxy(option)
    )


def _split(raw: bytes) -> list[tuple[bytes, bytes]]:
    """`b"Host: a\\r\\n\\r\\n"` -> `[(b"Host", b"a")]`: the grammar leaves only one way to do it."""
    pairs = []
    for line in raw.split(b"\r\n")[:-2]:
        name, _, value = line.partition(b":")
        pairs.append((name, value.strip(b" \t")))
    return pairs


def _collect_special(fields: list[tuple[str, str]]) -> dict[str, str]:
    """The fields that are read here; the values of a repeated one are joined to a list."""
    special: dict[str, str] = {}
    for name, value in fields:
        if name in _SPECIAL:
            if name in special:
                if name == "host":
                    raise bad_request("the Host field is repeated")
                value = f"{special[name]}, {value}"
            special[name] = value
    return special


def _read_request_id(fields: Iterable[tuple[str, str]]) -> str:
    """The first X-Request-ID that is safe to put into a log and an answer."""
    for name, value in fields:
        if name == "x-request-id" and _REQUEST_ID.fullmatch(value):
            return value
    return ""


def _check_expect(value: str) -> None:
    if value.strip().lower() != "100-continue":
        raise ClientFault(417, "expectation_failed", "Expect can only be 100-continue", closes=True)


def _read_host(special: dict[str, str]) -> str | None:
    host = special.get("host")
    if host is not None and _HOST.fullmatch(host) is None:
        raise bad_request("the Host field must be a name or address, with a port at most")
    return host
