"""Opening a preview: by a link with a token, which is then exchanged for a cookie.

/shop@0.0.0-preview.pr-12/?preview=TOKEN    303 to the same URL without it, and the cookie
"""

from collections.abc import Iterable

from buntime.core.values.digests import sha256
from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple

PARAM = "preview"
COOKIE = "bt-preview"
_TOKEN = regex(r"[A-Za-z0-9_-]{20,100}")


class Offered(NamedTuple):
    """What a request carries: a token, and the target without it if it was there."""

    token: str
    target: str | None = None


def hash_of(token: str) -> str:
    """SHA-256 in hex, which is stored instead of a token."""
    return sha256(token.encode("ascii", "replace")).hex()


def offered(target: str, headers: Iterable[tuple[str, str]]) -> Offered | None:
    """The token of a request, from its target, "/shop@…/a?preview=x&b=1", or its cookies."""
    path, _, query = target.partition("?")
    pieces = query.split("&")
    for piece in pieces:
        name, _, value = piece.partition("=")
        if name == PARAM and _TOKEN.fullmatch(value):
            rest = "&".join(each for each in pieces if each != piece)
            return Offered(value, f"{path}?{rest}" if rest else path)
    for name, text in headers:
        for pair in text.split(";") if name == "cookie" else ():
            key, _, value = pair.strip().partition("=")
            if key == COOKIE and _TOKEN.fullmatch(value):
                return Offered(value)
    return None


def cookie_for(token: str, base: str, *, is_secure: bool) -> str:
    """The field's value, which is valid only for the paths of this preview."""
    secure = "; Secure" if is_secure else ""
    return f"{COOKIE}={token}; Path={base}/; HttpOnly; SameSite=Lax{secure}"
