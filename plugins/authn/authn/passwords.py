"""Passwords: scrypt, with its costs stored with each hash, so that they can be raised."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode

LENGTH_MIN, LENGTH_MAX = 10, 1000  # characters
_LOG2_N, _R, _P = 15, 8, 1  # 32 MiB, some 80 ms: RFC 7914, and what OWASP asks for at least
_MAX_MEMORY = 128 << 20
_SALT_BYTES, _HASH_BYTES = 16, 32


class WeakPassword(Exception):
    """A password that is not allowed; says why."""


def check_strength(password: str, *names: str) -> None:
    """It must not be one of `names`, which are the user's. Raises WeakPassword."""
    if len(password) < LENGTH_MIN:
        raise WeakPassword(f"Use at least {LENGTH_MIN} characters.")
    if len(password) > LENGTH_MAX:
        raise WeakPassword(f"Use at most {LENGTH_MAX} characters.")
    if password.casefold() in {name.casefold() for name in names if name}:
        raise WeakPassword("Use something other than your name.")
    if len(set(password)) < 4:
        raise WeakPassword("Use more than three different characters.")


def hash_password(password: str) -> str:
    """`"scrypt$15$8$1$SALT$HASH"`."""
    salt = secrets.token_bytes(_SALT_BYTES)
    made = _scrypt(password, salt, _LOG2_N, _R, _P)
    return f"scrypt${_LOG2_N}${_R}${_P}${_text(salt)}${_text(made)}"


def is_password(password: str, kept: str | None) -> bool:
    """Whether it is the right one. Takes as long if there is none, so that nobody learns which
    users exist."""
    if len(password) > LENGTH_MAX:
        return False
    try:
        name, log2_n, r, p, salt, made = (kept or _NOBODYS).split("$")
        found = _scrypt(password, b64decode(salt), int(log2_n), int(r), int(p))
    except ValueError:  # a damaged file
        return False
    return hmac.compare_digest(found, b64decode(made)) and kept is not None and name == "scrypt"


def is_outdated(kept: str) -> bool:
    """Whether it was made at lower costs than today's: then it is made again at the next
    sign-in."""
    return kept.split("$")[1:4] != [str(_LOG2_N), str(_R), str(_P)]


def _scrypt(password: str, salt: bytes, log2_n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"),
        salt=salt,
        n=1 << log2_n,
        r=r,
        p=p,
        maxmem=_MAX_MEMORY,
        dklen=_HASH_BYTES,
    )


def _text(data: bytes) -> str:
    return b64encode(data).decode("ascii")


_NOBODYS = hash_password(secrets.token_urlsafe())
