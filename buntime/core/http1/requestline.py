"""A head's first line: its method, target and version, checked on their own.

    GET /shop/?q=1 HTTP/1.1         RequestLine("GET", "/shop/?q=1", "1.1", "")
    GET http://a:80/shop HTTP/1.1   RequestLine("GET", "/shop", "1.1", "a:80")

A later minor version, HTTP/1.2, is read as 1.1, the latest one we speak (RFC 9110 2.5).

`head` checks whatever also depends on the fields. In a method or a target the grammar accepts no
character that h11 would refuse, so h11 need not see the line.
"""

import re

from buntime.core.errors import ClientFault
from buntime.core.http1.faults import METHOD_MAX, bad_request, method_too_long
from buntime.core.http1.grammar import HOST, REQUEST_LINE
from buntime.core.values.regex import regex
from buntime.core.values.tuples import QuickTuple

REQUEST_LINE_START = re.compile(REQUEST_LINE + rb"\r\n")
_HOST = re.compile(HOST)
_ABSOLUTE = regex(r"http(s?)://([^/?#]*)([^#]*)", re.IGNORECASE)
_VERSIONS = {b"1.0": "1.0"} | {b"1.%d" % minor: "1.1" for minor in range(1, 10)}


class RequestLine(QuickTuple):
    """The parts of a request line; `authority` is the target's own, "" where it has none."""

    method: str
    target: str  # origin-form, "/shop/?q=1", or "*"
    version: str  # "1.0" or "1.1"
    authority: str
    is_secure: bool = False  # the target was an https URL


def read_line(found: re.Match[bytes]) -> RequestLine:
    """The line that `REQUEST_LINE_START` matched. Raises ClientFault (400, 501, 505)."""
    method_bytes, target_bytes, version_bytes = found.groups()
    version = _VERSIONS.get(version_bytes)
    if version is None:
        raise _wrong_version(version_bytes.decode("ascii"))
    method, target = method_bytes.decode("ascii"), target_bytes.decode("ascii")
    if len(method) > METHOD_MAX:
        raise method_too_long()
    if method == "CONNECT":
        raise bad_request("CONNECT is not supported: this is not a proxy")
    if target[0] != "/":
        return _read_other_form(method, target, version)
    if "#" in target:
        raise bad_request("the target must not have a fragment")
    return RequestLine(method, target, version, "")


def _wrong_version(version: str) -> ClientFault:
    return ClientFault(
        505,
        "version_not_supported",
        f"HTTP/{version} is not supported; use HTTP/1.1",
        closes=True,
    )


def _read_other_form(method: str, target: str, version: str) -> RequestLine:
    """RFC 9112 3.2: absolute-form or, for OPTIONS, the asterisk."""
    if target == "*":
        if method != "OPTIONS":
            raise bad_request("the target * is for OPTIONS only")
        return RequestLine(method, target, version, "")
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or _HOST.fullmatch(absolute[2]) is None:
        raise bad_request("the target must start with / or be an http URL")
    secure, authority, path = absolute.groups()
    target = path if path[:1] == "/" else "/" + path
    return RequestLine(method, target, version, authority, bool(secure))
