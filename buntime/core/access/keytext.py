"""The text of an operator's key, and what is stored of it.

    bt_  43 characters of base62: 32 random bytes      6 of base62: CRC-32 of all before
    bt_  0Ao2...                                       1x9QkZ

Base62 has only letters and digits, so a double click selects the whole key and nothing needs
quotes. The checksum shows that a key was cut off or mistyped, and rules out most guesses, without
looking at the stored keys; secret scanners recognize a key by it. Only the SHA-256 of a key is
stored: a key has 256 random bits, so no slower hash is needed.
"""

import re
from zlib import crc32

from buntime.core.values.digests import sha256
from buntime.core.values.regex import regex

START = "bt_"
RANDOM_BYTES = 32
_BODY_CHARS = 43  # 62 ** 43 > 256 ** 32
_SUM_CHARS = 6  # 62 ** 6 > 2 ** 32
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FORM = regex(rf"{START}[0-9A-Za-z]{{{_BODY_CHARS + _SUM_CHARS}}}", re.ASCII)
HINT_CHARS = len(START) + 4  # the part of a key that is shown, to tell it from others


def make_key(chance: bytes) -> str:
    """A key from RANDOM_BYTES bytes of the system's random source."""
    if len(chance) != RANDOM_BYTES:
        raise ValueError(f"a key is made of {RANDOM_BYTES} bytes, not {len(chance)}")
    start = START + _base62(int.from_bytes(chance, "big"), _BODY_CHARS)
    return start + _checksum(start)


def is_key(text: str) -> bool:
    """Whether a text has the form of a key, with the right checksum."""
    if not text.startswith(START) or _FORM.fullmatch(text) is None:
        return False
    return text[-_SUM_CHARS:] == _checksum(text[:-_SUM_CHARS])


def digest_of(key: str) -> bytes:
    """The digest that is stored instead of the key."""
    return sha256(key.encode("ascii"))


def _checksum(text: str) -> str:
    return _base62(crc32(text.encode("ascii")), _SUM_CHARS)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
