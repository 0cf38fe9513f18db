"""Digests and their comparison, by modules that are loaded when the first is made.

`hashlib` and `hmac` load OpenSSL, which takes 4 ms of a start, and a start makes no digest.
"""

from typing import AnyStr


def sha256(data: bytes) -> bytes:
    """The SHA-256 digest of the data, 32 bytes."""
    import hashlib  # loads OpenSSL

    return hashlib.sha256(data).digest()


def mac(key: bytes, data: bytes) -> bytes:
    """The HMAC-SHA256 of the data, 32 bytes."""
    import hmac  # loads OpenSSL

    return hmac.digest(key, data, "sha256")


def are_equal(one: AnyStr, other: AnyStr) -> bool:
    """Whether both are the same; how long that takes depends on nothing but their length.

    Texts must be ASCII.
    """
    import hmac  # loads OpenSSL

    return hmac.compare_digest(one, other)
