"""The cookie that names the worker which has a client's session (`affinity: cookie`).

    Set-Cookie: bt-affinity=mS0...; Path=/shop; HttpOnly; SameSite=Lax

Its value is opaque: a tag over the app, its base and the worker's number, which only the runtime
that set it can make, and the number, hidden by what follows from the tag. So nobody can name a
worker that has not answered them, and the cookie of another app or base, or of the runtime before
its restart, names none. Nothing is kept of cookies: reading one costs the same whoever sent it.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from itertools import islice

from buntime.core.http1.setcookie import below
from buntime.core.values.regex import regex

NAME = "bt-affinity"
KEY_BYTES = 32
_TAG_BYTES = 18
_NUMBER_BYTES = 6
_VALUE_CHARS = (_TAG_BYTES + _NUMBER_BYTES) * 4 // 3
_IN_FIELD = regex(rf"(?:^|;)[ \t]*{NAME}=([A-Za-z0-9_-]{{{_VALUE_CHARS}}})[ \t]*(?=;|$)")
_BLANKS = " \t"
_BEFORE_NAME = "= \t"
# A client may have several: of an app at `/` and of one below it. More are not looked at.
_READ_MAX = 4


def make(key: bytes, app: str, base: str, number: int) -> str:
    """The value that names this worker, to a client of `app` ("shop") at `base` ("/shop@1")."""
    tag = _tag(key, app, base, number)
    return urlsafe_b64encode(tag + (number ^ _pad(key, tag)).to_bytes(_NUMBER_BYTES)).decode()


def find(key: bytes, app: str, base: str, fields: Iterable[tuple[str, str]]) -> int | None:
    """The number of the worker that the fields of a request name, in lower case; None: of none."""
    for value in islice(_values(fields), _READ_MAX):
        raw = urlsafe_b64decode(value)
        tag = raw[:_TAG_BYTES]
        number = int.from_bytes(raw[_TAG_BYTES:]) ^ _pad(key, tag)
        if hmac.compare_digest(tag, _tag(key, app, base, number)):
            return number
    return None


def is_set_by(value: str) -> bool:
    """Whether a Set-Cookie field of an app sets this cookie, which is the runtime's alone.

    Browsers send a cookie without a name as its value: `=bt-affinity=x` comes as `bt-affinity=x`.
    """
    pair = value.partition(";")[0].lstrip(_BEFORE_NAME)
    return pair.startswith(NAME) and pair[len(NAME) :].lstrip(_BLANKS)[:1] == "="


def field_value(value: str, base: str, *, is_secure: bool) -> str:
    """What stands in Set-Cookie; "" is the base of an app at `/`."""
    pair = f"{NAME}={value}"
    pair = below(pair, base) if base else f"{pair}; Path=/"
    return f"{pair}; HttpOnly; SameSite=Lax{'; Secure' if is_secure else ''}"


def _values(fields: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, value in fields:
        if name == "cookie":
            yield from (found[1] for found in _IN_FIELD.finditer(value))


def _tag(key: bytes, app: str, base: str, number: int) -> bytes:
    text = f"tag\0{app}\0{base}\0{number}".encode("utf-8", "surrogatepass")
    return hmac.digest(key, text, "sha256")[:_TAG_BYTES]


def _pad(key: bytes, tag: bytes) -> int:
    return int.from_bytes(hmac.digest(key, b"pad\0" + tag, "sha256")[:_NUMBER_BYTES])
