"""How the end of a request's body is known (RFC 9112 6): in exactly one way, or it is refused.

A body of which two parsers could see different ends is how requests are smuggled. So a length is
told once, as one whole number, and never beside a Transfer-Encoding, which can only be `chunked`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from buntime.core.errors import ClientFault
from buntime.core.http1.faults import bad_request
from buntime.core.http1.grammar import TOKEN_BYTES
from buntime.core.values.regex import regex

_LENGTH_DIGITS_MAX = 18  # keeps a Content-Length within 64 bits
# Codings, each a name without parameters, behind which the body comes in chunks all the same.
_CODED_CHUNKS = regex(rb"(?:(?!chunked[ \t,])" + TOKEN_BYTES + rb"[ \t]*,[ \t]*)+chunked")


class Body(Protocol):
    """What is left of one request's body."""

    ended: bool

    def take(self, buffer: bytes, limit: int) -> tuple[bytes, bytes]:
        """Up to `limit` body bytes from the front of `buffer`, and what remains of it."""


class LengthBody:
    """A body of a known length: the next so many bytes."""

    __slots__ = ("_left", "ended")

    def __init__(self, length: int) -> None:
        self._left = length
        self.ended = False

    @property
    def left_bytes(self) -> int:
        """What was not taken yet."""
        return self._left

    def take(self, buffer: bytes, limit: int) -> tuple[bytes, bytes]:
        count = min(self._left, limit)
        data = buffer[:count]  # the same object where it takes all: no copy
        self._left -= len(data)
        self.ended = self._left == 0
        return data, buffer[count:]


def read_framing(
    pairs: Sequence[tuple[bytes, bytes]], special: Mapping[str, str]
) -> tuple[int, bool]:
    """The length that a field section tells, and whether the body comes in chunks.

    `pairs` are its fields as they came, `special` those with a meaning here, with repeats joined.
    Raises ClientFault(400).
    """
    length = 0
    if "content-length" in special:
        length = _read_length(pairs)
        if "transfer-encoding" in special:
            raise bad_request("Content-Length and Transfer-Encoding exclude each other")
    return length, _read_coding(special)


def unknown_coding(pairs: Iterable[tuple[bytes, bytes]]) -> ClientFault | None:
    """The answer to fields that h11 has refused where they tell of codings in front of chunked.

    A 501 (RFC 9112 6.1), as such a body has one end alone; None where it may have several.
    """
    told = [(name.lower(), value) for name, value in pairs]
    codings = b",".join(value for name, value in told if name == b"transfer-encoding").lower()
    if not _CODED_CHUNKS.fullmatch(codings) or any(name == b"content-length" for name, _ in told):
        return None
    message = "of the transfer codings chunked alone is supported"
    return ClientFault(501, "coding_not_supported", message, closes=True)


def _read_length(pairs: Sequence[tuple[bytes, bytes]]) -> int:
    """RFC 9112 6.3: one whole number, once. h11 has merged repeats and lists of one value."""
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
