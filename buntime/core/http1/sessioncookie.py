"""The cookie that names the worker with a client's session (`affinity: cookie`).

    Set-Cookie: bt-affinity=mS0...; Path=/shop; HttpOnly; SameSite=Lax

Its value is opaque: a tag over the app, its base and the worker's number, which only this run of
the runtime can make, and the number, hidden by a pad that is derived from the tag. So a client can
only name a worker that has answered it, and a cookie for another app or base, or from before a
restart, names none. No cookies are stored; reading one takes the same time whoever sent it.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from itertools import islice

from buntime.core.http1.setcookie import below
from buntime.core.values.digests import are_equal, mac
from buntime.core.values.regex import regex

NAME = "bt-affinity"
KEY_BYTES = 32
_TAG_BYTES = 18
_NUMBER_BYTES = 6
_VALUE_CHARS = (_TAG_BYTES + _NUMBER_BYTES) * 4 // 3
_IN_FIELD = regex(rf"(?:^|;)[ \t]*{NAME}=([A-Za-z0-9_-]{{{_VALUE_CHARS}}})[ \t]*(?=;|$)")
_BLANKS = " \t"
_BEFORE_NAME = "= \t"
# A client may have several: for an app at `/` and for one below it. More are ignored.
_READ_MAX = 4


def make(key: bytes, app: str, base: str, number: int) -> str:
    """The value that names this worker, for a client of `app` ("shop") at `base` ("/shop@1")."""
    tag = _tag(key, app, base, number)
    return urlsafe_b64encode(tag + (number ^ _pad(key, tag)).to_bytes(_NUMBER_BYTES)).decode()


def find(key: bytes, app: str, base: str, fields: Iterable[tuple[str, str]]) -> int | None:
    """The worker's number in a request's fields (lower-case names); None where there is none."""
    for value in islice(_values(fields), _READ_MAX):
        raw = urlsafe_b64decode(value)
        tag = raw[:_TAG_BYTES]
        number = int.from_bytes(raw[_TAG_BYTES:]) ^ _pad(key, tag)
        if are_equal(tag, _tag(key, app, base, number)):
            return number
    return None


def is_set_by(value: str) -> bool:
    """Whether a Set-Cookie field of an app sets this cookie, which only the runtime may set.

    Browsers send a cookie without a name as its value: `=bt-affinity=x` comes as `bt-affinity=x`.
    """
    pair = value.partition(";")[0].lstrip(_BEFORE_NAME)
    return pair.startswith(NAME) and pair[len(NAME) :].lstrip(_BLANKS)[:1] == "="


def field_value(value: str, base: str, *, is_secure: bool) -> str:
    """The value of Set-Cookie; the base "" is that of an app at `/`."""
    pair = f"{NAME}={value}"
    pair = below(pair, base) if base else f"{pair}; Path=/"
    return f"{pair}; HttpOnly; SameSite=Lax{'; Secure' if is_secure else ''}"


def _values(fields: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, value in fields:
        if name == "cookie":
            yield from (found[1] for found in _IN_FIELD.finditer(value))


def _tag(key: bytes, app: str, base: str, number: int) -> bytes:
    text = f"tag\0{app}\0{base}\0{number}".encode("utf-8", "surrogatepass")
    return mac(key, text)[:_TAG_BYTES]


def _pad(key: bytes, tag: bytes) -> int:
    return int.from_bytes(mac(key, b"pad\0" + tag)[:_NUMBER_BYTES])
