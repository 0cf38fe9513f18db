"""The cookie of an operator's session, which no app and no plugin may see or set.

    Set-Cookie: __Host-bt=Zk3...; Path=/; HttpOnly; SameSite=Strict; Priority=High; Secure     TLS
    Set-Cookie: bt=Zk3...; Path=/; HttpOnly; SameSite=Strict; Priority=High                    else

Browsers send cookies to all ports of a host, so requests to apps on the operators' address carry
this cookie too. It is removed where fields are read, once for each new section, so that no code
after that can forget to.

What an app sets by these names is dropped: over plain HTTP it would replace the session. The prefix
`__Host-` keeps a cookie that was set over plain HTTP, or for a domain, from being sent over TLS.
Chromium keeps about 180 cookies for a domain. With `Priority=High`, if apps set hundreds, it drops
those first, unless they have the same priority.
"""

from collections.abc import Iterable

from buntime.core.values.tuples import NamedTuple

NAME = "bt"
SECURE_NAME = "__Host-bt"
NAMES = frozenset((NAME, SECURE_NAME))
_BLANKS = " \t"
_BEFORE_NAME = "= \t"
_READ_MAX = 4  # more are an attempt to get a certain one read

Pairs = tuple[tuple[str, str], ...]


class Taken(NamedTuple):
    """A request's fields without these cookies, and the cookies."""

    fields: Pairs
    cookies: Pairs  # (name, value)


def take_out(fields: Pairs) -> Taken:
    """Remove the cookies from a request's fields, whose names are in lower case.

    The field is split at each semicolon, even inside quotes, as browsers join it. A field with
    nothing left is removed.
    """
    if not any(name == "cookie" and NAME in value for name, value in fields):
        return Taken(fields, ())
    left: list[tuple[str, str]] = []
    taken: list[tuple[str, str]] = []
    for name, value in fields:
        if name == "cookie" and (found := _found_in(value)):
            taken += found
            value = ";".join(pair for pair in value.split(";") if not _is_ours(pair)).strip(_BLANKS)
            if not value:
                continue
        left.append((name, value))
    return Taken(tuple(left), tuple(taken))


def tokens_of(cookies: Iterable[tuple[str, str]], *, is_secure: bool) -> list[str]:
    """The values of the cookies that count over TLS (`is_secure`), or without it; each once."""
    wanted = SECURE_NAME if is_secure else NAME
    return [*dict.fromkeys(value for name, value in cookies if name == wanted)][:_READ_MAX]


def is_set_by(value: str) -> bool:
    """Whether a Set-Cookie field sets one of these cookies.

    Browsers send a cookie without a name as its value: `=bt=x` comes as `bt=x`.
    """
    name, mark, _ = value.partition(";")[0].lstrip(_BEFORE_NAME).partition("=")
    return bool(mark) and name.rstrip(_BLANKS) in NAMES


def cookie_for(token: str, *, is_secure: bool) -> str:
    """The value of the Set-Cookie field; "" as the token deletes the cookie."""
    name, secure = (SECURE_NAME, "; Secure") if is_secure else (NAME, "")
    end = "" if token else "; Max-Age=0"
    return f"{name}={token}; Path=/; HttpOnly; SameSite=Strict; Priority=High{secure}{end}"


def _found_in(value: str) -> list[tuple[str, str]]:
    pairs = (pair.partition("=") for pair in value.split(";") if _is_ours(pair))
    return [(name.strip(_BLANKS), token.strip(_BLANKS)) for name, _, token in pairs]


def _is_ours(pair: str) -> bool:
    return pair.partition("=")[0].strip(_BLANKS) in NAMES
