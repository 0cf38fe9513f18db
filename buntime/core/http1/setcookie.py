"""Keeps an app's cookies below the app: what Path the Set-Cookie fields of its answers get.

All apps of a host are one origin to a browser, and frameworks set their session's cookie with
Path=/: logging in to one app would log out of another. With the base /shop

    Path=/               -> /shop       no Path, or an empty one  -> /shop
    Path=/x              -> /shop/x     /shop, /shop/x            as they are

and the same for a cookie that is deleted, since it has the Path that it was set with. The base is
the one that the client used: with a pin, /shop@1, the cookie belongs to the pin.

Browsers read the field as RFC 6265 5.2 says, so that is how it is read here: it is cut at each
semicolon, quotes mean nothing, of several Paths the last one counts, and one that does not begin
with a slash is none. Of a longer one than 1024 bytes they take no notice, see 6265bis 5.6, nor,
some of them, of what stands behind the first 16 attributes: so the Path is put first.
"""

from collections.abc import Sequence

_NAME = "set-cookie"
NAME_LENGTH = len(_NAME)
_BLANKS = " \t"
_PATH_MAX_BYTES = 1024
_ATTRIBUTES_MAX = 32  # there are ten; what stands behind is left out
# Browsers take such a cookie with Path=/ alone; they compare the prefix without its case.
_FOR_THE_HOST = "__host-"


def sets_cookie(field: Sequence[str]) -> bool:
    """Whether a field, of an app and so maybe malformed, is a Set-Cookie."""
    return field[0].lower() == _NAME


def is_for_host(value: str) -> bool:
    """Whether a cookie can have no Path but "/": `"__Host-sid=1; Secure; Path=/"`."""
    return value.lstrip(_BLANKS)[: len(_FOR_THE_HOST)].lower() == _FOR_THE_HOST


def below(value: str, base: str, aliases: Sequence[str] = ()) -> str:
    """The value of a Set-Cookie field with a Path at or below `base`, "/shop" or "/shop@1".

    `aliases` are other names of the base, which an app may have written itself: a Path that lies
    below one of them lies at the same place below `base`.
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
