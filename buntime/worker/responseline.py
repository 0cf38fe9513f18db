"""Writes the line of a RESPONSE: most answers of an app have the same head as one before.

    {"type":"RESPONSE","id":7,"end":true,"size":2}{"status":200,"headers":[["content-type","a/b"]]}

A head that comes again is the second object of the line, which the runtime keeps decoded (see
wire.py). One that is new is not: those that never come again, with a cookie or an ETag, would drive
out the others.
"""

from __future__ import annotations

from buntime.wire import encode, to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable

    from buntime.wire import Message

_KNOWN_MAX = 64
_KNOWN_MAX_BYTES = 1024  # of each, as JSON

_known: dict[Hashable, bytes] = {}  # heads that were sent, as the second object of a line


def response_line(message: Message) -> bytes:
    """The line of a RESPONSE with its newline."""
    status, headers = message["status"], message["headers"]
    try:
        key = (status, *headers)
        second = _known.get(key)
    except TypeError:  # headers that are not pairs of text, for the runtime to refuse
        return encode(message)
    if second is None:
        line = encode(message)
        _remember(key, to_json({"status": status, "headers": headers}) + b"\n")
        return line
    number, size = message["id"], message.get("size")
    end = b"true" if message["end"] else b"false"
    more = b',"size":%d' % size if size else b""
    return b'{"type":"RESPONSE","id":%d,"end":%b%b}%b' % (number, end, more, second)


def _remember(key: Hashable, second: bytes) -> None:
    if len(second) <= _KNOWN_MAX_BYTES:
        if len(_known) >= _KNOWN_MAX:
            _known.clear()
        _known[key] = second
