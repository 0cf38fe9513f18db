"""Keeps an app's cookies below the app, by the Path in the Set-Cookie fields of its answers.

All apps of a host are one origin to a browser, and frameworks set their session cookie with Path=/:
logging in to one app would log out of another. With the base /shop

    Path=/               -> /shop       no Path, or an empty one  -> /shop
    Path=/x              -> /shop/x     /shop, /shop/x            unchanged

The same applies to deleting a cookie, which needs the Path that it was set with. The base is the
one that the client used: with a pin, /shop@1, the cookie belongs to the pin.

Browsers parse the field by RFC 6265 5.2, and so does this module: it splits at each semicolon,
quotes mean nothing, the last of several Paths counts, and one that does not begin with a slash is
ignored. Browsers ignore a Path longer than 1024 bytes (6265bis 5.6), and some ignore everything
after the first 16 attributes, so the Path is put first.
"""

from collections.abc import Sequence

_NAME = "set-cookie"
_BLANKS = " \t"
_PATH_MAX_BYTES = 1024
_ATTRIBUTES_MAX = 32  # only ten exist; whatever follows is dropped
# Browsers accept such a cookie only with Path=/; they compare the prefix without its case.
_FOR_THE_HOST = "__host-"


def sets_cookie(field: Sequence[str]) -> bool:
    """Whether a field from an app, which may be malformed, is a Set-Cookie."""
    return field[0].lower() == _NAME


def is_for_host(value: str) -> bool:
    """Whether a cookie can only have the Path "/": `"__Host-sid=1; Secure; Path=/"`."""
    return value.lstrip(_BLANKS)[: len(_FOR_THE_HOST)].lower() == _FOR_THE_HOST


def below(value: str, base: str, aliases: Sequence[str] = ()) -> str:
    """The value of a Set-Cookie field with a Path at or below `base`, "/shop" or "/shop@1".

    `aliases` are other names of the base, which the app itself may have written: a Path below one
    of them is moved to the same place below `base`.
    """
    pair, *attributes = value.split(";", _ATTRIBUTES_MAX + 1)
    path, kept = "", []
    for attribute in attributes[:_ATTRIBUTES_MAX]:
        name, _, text = attribute.partition("=")
        if name.strip(_BLANKS).lower() == "path":
            path = text.strip(_BLANKS)
        else:
            kept.append(attribute)
    return ";".join((pair, f" Path={_moved(path, base, aliases)}", *kept[: _ATTRIBUTES_MAX - 1]))


def _moved(path: str, base: str, aliases: Sequence[str]) -> str:
    base = base.replace(";", "%3B")
    for known in (base, *aliases):
        if path == known or path.startswith(f"{known}/"):
            moved = base + path[len(known) :]
            break
    else:
        moved = base + path if path.startswith("/") and path != "/" else base
    return moved if len(moved.encode("utf-8", "replace")) <= _PATH_MAX_BYTES else base
