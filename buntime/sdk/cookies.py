"""Cookies: the Cookie header of a request, and lines of Set-Cookie (RFC 6265).

`http.cookies` is not used: its import costs 16 ms, and it quotes what should be refused.
"""

from __future__ import annotations

from buntime.sdk.fields import is_token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# RFC 6265 4.1.1: cookie-octet, printable ASCII without space, quote, comma, semicolon, backslash
_OCTETS = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '",;\\')
_SAME_SITE = {"strict": "Strict", "lax": "Lax", "none": "None"}
# For clients that know Expires and not Max-Age.
_LONG_AGO = "Thu, 01 Jan 1970 00:00:00 GMT"


def parse_cookies(lines: list[str]) -> dict[str, str]:
    """Read the values of Cookie headers: `["a=1; b=2"]` -> `{"a": "1", "b": "2"}`.

    If a name is repeated the first one wins: clients send the cookie with the longest path first
    (RFC 6265 5.4). Anything but a pair is skipped, because it may come from another site of the
    same domain.
    """
    cookies: dict[str, str] = {}
    for line in lines:
        for piece in line.split(";"):
            name, equals, value = piece.partition("=")
            name = name.strip(" \t")
            if equals and name and name not in cookies:
                cookies[name] = _unquoted(value.strip(" \t"))
    return cookies


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value


def cookie_line(
    name: str,
    value: Any,
    *,
    max_age: int | None,
    path: str | None,
    domain: str | None,
    secure: bool,
    http_only: bool,
    same_site: str | None,
) -> str:
    """Return the value of a Set-Cookie header; `max_age` is in seconds.

    Raises ValueError (TypeError for a wrong type) if a browser would drop or misread it.
    """
    if not is_token(name):
        raise ValueError(f"cookie {name!r}: the name is not a token (RFC 6265 4.1.1)")
    if not isinstance(value, str):
        raise TypeError(f"cookie {name!r}: the value must be str, not {type(value).__name__}")
    if value.strip(_OCTETS):
        raise ValueError(
            f"cookie {name!r}: the value {value!r} holds characters that no cookie can carry "
            "(RFC 6265 4.1.1); encode it, for example with urllib.parse.quote"
        )
    parts = [f"{name}={value}"]
    if max_age is not None:
        parts += _age(name, max_age)
    if domain is not None:
        parts.append("Domain=" + _attribute(name, "domain", domain))
    if path is not None:
        if not path.startswith("/"):
            raise ValueError(f'cookie {name!r}: the path {path!r} must start with "/"')
        parts.append("Path=" + _attribute(name, "path", path))
    if secure:
        parts.append("Secure")
    if http_only:
        parts.append("HttpOnly")
    if same_site is not None:
        parts.append("SameSite=" + _same_site(name, same_site, secure))
    return "; ".join(parts)


def _age(name: str, max_age: Any) -> list[str]:
    if not isinstance(max_age, int) or isinstance(max_age, bool):
        raise TypeError(f"cookie {name!r}: max_age must be whole seconds, not {max_age!r}")
    return [f"Max-Age={max_age}"] if max_age > 0 else ["Max-Age=0", f"Expires={_LONG_AGO}"]


def _attribute(name: str, attribute: str, value: str) -> str:
    if not value or ";" in value or not (value.isascii() and value.isprintable()):
        raise ValueError(f"cookie {name!r}: {attribute} {value!r} must be ASCII without ';'")
    return value


def _same_site(name: str, same_site: str, secure: bool) -> str:
    known = _SAME_SITE.get(same_site.lower())
    if known is None:
        raise ValueError(
            f"cookie {name!r}: same_site {same_site!r} must be 'Strict', 'Lax' or 'None', "
            "or None to leave it out"
        )
    if known == "None" and not secure:
        raise ValueError(f"cookie {name!r}: browsers drop SameSite=None without secure=True")
    return known
