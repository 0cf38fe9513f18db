"""Finds where a request's body ends (RFC 9112 6): in exactly one way, or the request is refused.

Requests are smuggled with a body whose end two parsers see in different places. So the length must
be given once, as one whole number, and never beside a Transfer-Encoding, which can only be
`chunked`.
"""

from collections.abc import Iterable, Mapping, Sequence

from buntime.core.errors import ClientFault
from buntime.core.http1.faults import bad_request
from buntime.core.http1.grammar import TOKEN_BYTES
from buntime.core.values.protocols import Protocol
from buntime.core.values.regex import regex

_LENGTH_DIGITS_MAX = 18  # keeps a Content-Length within 64 bits
# Codings, as names without parameters, before a final `chunked`.
_CODED_CHUNKS = regex(rb"(?:(?!chunked[ \t,])" + TOKEN_BYTES + rb"[ \t]*,[ \t]*)+chunked")


class Body(Protocol):
    """The rest of one request's body."""

    ended: bool

    def take(self, buffer: bytes, limit: int) -> tuple[bytes, bytes]:
        """Up to `limit` body bytes from the front of `buffer`, and the rest of `buffer`."""


class LengthBody:
    """A body of known length: that many bytes."""

    __slots__ = ("_left", "ended")

    def __init__(self, length: int) -> None:
        self._left = length
        self.ended = False

    @property
    def left_bytes(self) -> int:
        """The number of bytes not yet taken."""
        return self._left

    def take(self, buffer: bytes, limit: int) -> tuple[bytes, bytes]:
        count = min(self._left, limit)
        data = buffer[:count]  # the same object where it takes everything: no copy
        self._left -= len(data)
        self.ended = self._left == 0
        return data, buffer[count:]


def read_framing(
    pairs: Sequence[tuple[bytes, bytes]], special: Mapping[str, str]
) -> tuple[int, bool]:
    """The length in a field section, and whether the body comes in chunks.

    `pairs` are the fields as received, `special` those that matter here, with repeats joined.
    Raises ClientFault(400).
    """
    length = 0
    if "content-length" in special:
        length = _read_length(pairs)
        if "transfer-encoding" in special:
            raise bad_request("Content-Length and Transfer-Encoding exclude each other")
    return length, _read_coding(special)


def unknown_coding(pairs: Iterable[tuple[bytes, bytes]]) -> ClientFault | None:
    """The answer to fields that h11 refused because of codings before `chunked`.

    A 501 (RFC 9112 6.1), since such a body has only one end; None where it might have several.
    """
    fields = [(name.lower(), value) for name, value in pairs]
    codings = b",".join(value for name, value in fields if name == b"transfer-encoding").lower()
    if not _CODED_CHUNKS.fullmatch(codings) or any(name == b"content-length" for name, _ in fields):
        return None
    message = "chunked is the only supported transfer coding"
    return ClientFault(501, "coding_not_supported", message, closes=True)


def _read_length(pairs: Sequence[tuple[bytes, bytes]]) -> int:
    """RFC 9112 6.3: one whole number, once. h11 has already merged repeats and lists of one
    value."""
    lengths = [value for name, value in pairs if name.lower() == b"content-length"]
    if len(lengths) != 1:
        raise bad_request("the Content-Length field is repeated")
    if not lengths[0].isdigit() or len(lengths[0]) > _LENGTH_DIGITS_MAX:
        raise bad_request("Content-Length must be one whole number")
    return int(lengths[0])


def _read_coding(special: Mapping[str, str]) -> bool:
    coding = special.get("transfer-encoding")
    if coding is not None and coding.strip().lower() != "chunked":
        raise bad_request("Transfer-Encoding must be chunked, once")
    return coding is not None
