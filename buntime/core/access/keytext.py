"""The text of an operator's key, and what is kept of it.

    bt_  43 characters of base62: 32 random bytes      6 of base62: CRC-32 of all before
    bt_  0Ao2...                                       1x9QkZ

Base62 has letters and digits alone, so that a double click takes the whole, and none of it needs
quotes. The checksum tells a key that was cut or mistyped, and most guesses, without a look at what
is kept; programs that look for secrets in files know a key by it. Of a key SHA-256 is kept: it has
256 bits of chance, so that nothing slower is needed.
"""

import re
from hashlib import sha256
from zlib import crc32

from buntime.core.values.regex import regex

START = "bt_"
RANDOM_BYTES = 32
_BODY_CHARS = 43  # 62 ** 43 > 256 ** 32
_SUM_CHARS = 6  # 62 ** 6 > 2 ** 32
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FORM = regex(rf"{START}[0-9A-Za-z]{{{_BODY_CHARS + _SUM_CHARS}}}", re.ASCII)
HINT_CHARS = len(START) + 4  # of a key are shown, to tell it from others


def make_key(chance: bytes) -> str:
    """A key of RANDOM_BYTES bytes from the system's source of chance."""
    if len(chance) != RANDOM_BYTES:
        raise ValueError(f"a key is made of {RANDOM_BYTES} bytes, not {len(chance)}")
    start = START + _base62(int.from_bytes(chance, "big"), _BODY_CHARS)
    return start + _checksum(start)


def is_key(text: str) -> bool:
    """Whether a text has the form of a key, with a checksum that is right."""
    if not text.startswith(START) or _FORM.fullmatch(text) is None:
        return False
    return text[-_SUM_CHARS:] == _checksum(text[:-_SUM_CHARS])


def digest_of(key: str) -> bytes:
    """What is kept of a key."""
    return sha256(key.encode("ascii")).digest()


def _checksum(text: str) -> str:
    return _base62(crc32(text.encode("ascii")), _SUM_CHARS)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
