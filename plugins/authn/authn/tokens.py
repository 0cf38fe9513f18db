"""Random texts that open something, and what is stored of them."""

from __future__ import annotations

import hashlib
import re
import secrets

_BYTES = 32
_FORM = re.compile(r"[A-Za-z0-9_-]{43}")


def new_token() -> str:
    """43 characters that nobody guesses."""
    return secrets.token_urlsafe(_BYTES)


def hash_of(token: str) -> str:
    """What is stored: a reader of the file cannot derive the token from it."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def has_form(text: str | None) -> bool:
    """Whether this could be a token, before anything is looked up."""
    return text is not None and _FORM.fullmatch(text) is not None
