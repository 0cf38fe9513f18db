"""Keys that are tuples, encoded as bytes that sort like the tuples: FoundationDB's layout.

    encode(("user", 7)) -> b"\\x02user\\x00\\x15\\x07"

An element is a tag and its value. Two tuples compare by their first different element: by type
(bytes, str, int, float, bool), then by value; a tuple comes before longer ones that begin with it.
Text and bytes end in 00, and a 00 in them becomes 00 FF, so that no key under `("a",)` is also
under `("ab",)`. Text sorts by code points.
"""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Union

    Element = Union[str, int, bytes, bool, float]
    Key = tuple[Element, ...]

__all__ = ["KEY_MAX_BYTES", "decode", "encode", "span"]

KEY_MAX_BYTES = 2048
INT_MIN, INT_MAX = -(2**63), 2**63 - 1

# Tags. An int has ZERO plus the number of bytes of its magnitude, or minus that if negative.
BYTES, TEXT, ZERO, FLOAT, FALSE, TRUE = b"\x01", b"\x02", 0x14, b"\x21", b"\x26", b"\x27"
_INT_TAGS = range(ZERO - 8, ZERO + 9)
_double = Struct(">d")
_SIGN = 1 << 63
_ALL = (1 << 64) - 1


def encode(key: Key) -> bytes:
    """The bytes of a key. Raises TypeError for types that keys cannot have, ValueError for bad
    values.

    Floats sort in order, -0.0 is 0.0, NaN is refused; so are lone surrogates, ints of more than 64
    bits, and keys of more than 2048 bytes.
    """
    if not isinstance(key, (tuple, list)):
        raise TypeError(f"a key is a tuple such as ('user', 7), not {type(key).__name__}")
    encoded = b"".join([_encoded(element) for element in key])
    if len(encoded) > KEY_MAX_BYTES:
        raise ValueError(f"a key of {len(encoded)} bytes is too long; {KEY_MAX_BYTES} is the most")
    return encoded


def decode(encoded: bytes) -> Key:
    """The key for these bytes. Raises ValueError if `encode` never makes such bytes."""
    key = tuple(_elements(encoded))
    if encode(key) != encoded:
        raise ValueError(f"{encoded[:50]!r} is not a key as `encode` makes them")
    return key


def span(prefix: Key) -> tuple[bytes, bytes]:
    """The range of keys that begin with these elements and have more: start <= key < end."""
    encoded = encode(prefix)
    return encoded + b"\x00", encoded + b"\xff"


def _encoded(element: Element) -> bytes:
    if isinstance(element, str):
        try:
            raw = element.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError(f"{element!r} has a lone surrogate, which no key can have") from None
        return TEXT + raw.replace(b"\x00", b"\x00\xff") + b"\x00"
    if isinstance(element, bool):
        return TRUE if element else FALSE
    if isinstance(element, int):
        return _encoded_int(element)
    if isinstance(element, (bytes, bytearray, memoryview)):
        return BYTES + bytes(element).replace(b"\x00", b"\x00\xff") + b"\x00"
    if isinstance(element, float):
        return _encoded_float(element)
    raise TypeError(f"a key holds str, int, bytes, bool and float, not {type(element).__name__}")


def _encoded_int(number: int) -> bytes:
    if not INT_MIN <= number <= INT_MAX:
        raise ValueError(f"{number} is not an int of 64 bits")
    size = (abs(number).bit_length() + 7) // 8
    if number >= 0:
        return bytes([ZERO + size]) + number.to_bytes(size, "big")
    complement = number + (1 << 8 * size) - 1
    return bytes([ZERO - size]) + complement.to_bytes(size, "big")


def _encoded_float(number: float) -> bytes:
    if number != number:  # noqa: PLR0124  # NaN, without importing math
        raise ValueError("NaN has no place in an order, so no key can have it")
    bits = int.from_bytes(_double.pack(number + 0.0), "big")  # which makes 0.0 of -0.0
    bits ^= _ALL if bits & _SIGN else _SIGN
    return FLOAT + bits.to_bytes(8, "big")


def _elements(encoded: bytes) -> Iterator[Element]:
    at = 0
    while at < len(encoded):
        tag = encoded[at : at + 1]
        at += 1
        if tag in (TEXT, BYTES):
            end = _end_of(encoded, at)
            raw = encoded[at:end].replace(b"\x00\xff", b"\x00")
            at = end + 1
            yield raw.decode("utf-8") if tag == TEXT else raw
        elif tag in (FALSE, TRUE):
            yield tag == TRUE
        elif tag == FLOAT:
            yield _float_of(_piece(encoded, at, 8))
            at += 8
        elif tag[0] in _INT_TAGS:
            size = abs(tag[0] - ZERO)
            number = int.from_bytes(_piece(encoded, at, size), "big")
            yield number if tag[0] >= ZERO else number - (1 << 8 * size) + 1
            at += size
        else:
            raise ValueError(f"a key has no element with the tag {tag!r}")


def _end_of(encoded: bytes, at: int) -> int:
    """The end of text or bytes: a 00 that is not followed by FF."""
    while True:
        at = encoded.find(b"\x00", at)
        if at < 0:
            raise ValueError("text or bytes in a key have no end")
        if encoded[at + 1 : at + 2] != b"\xff":
            return at
        at += 2


def _piece(encoded: bytes, at: int, size: int) -> bytes:
    if len(encoded) < at + size:
        raise ValueError("a key ends in the middle of a number")
    return encoded[at : at + size]


def _float_of(raw: bytes) -> float:
    bits = int.from_bytes(raw, "big")
    bits ^= _SIGN if bits & _SIGN else _ALL
    number: float = _double.unpack(bits.to_bytes(8, "big"))[0]
    return number
