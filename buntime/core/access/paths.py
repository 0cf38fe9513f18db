"""Decides whether a path is safe to act on. No other module decides that.

A path from a client is decoded once. It is refused where it could mean one thing to this code and
another to a file system, a framework, a proxy or a browser. How strict this is depends on what the
path is for:

    decode_path("/caf%C3%A9/a%3Fb")  "/café/a?b"  to look up a file
    plain_path("/caf%C3%A9/a%3Fb")   None         to decide on access, before an app reads the path
                                                  in its own way

A path written by an operator or an app's author must stay below a folder: `inner_path`.

Two other places need no such check: `core/apps/router` takes a name and a version off a target with
a grammar that cannot express a dot segment, a slash or NUL, and `server/sites/confined` opens files
one segment at a time, so that links do not matter.
"""

import posixpath
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from buntime.core.values.regex import regex

_DOTS = frozenset((".", ".."))
# A percent sign must begin an escape, and no escape may hide a slash: proxies differ on both.
_BAD_ESCAPE = regex(r"%(?![0-9A-Fa-f]{2})|%2[Ff]")
# What a decoded path must not contain: control characters of ASCII and Latin-1 (including NUL), and
# the backslash, which browsers treat as a slash.
_FORBIDDEN = regex(r"[\x00-\x1f\x7f-\x9f\\]")
# What is still encoded after one decoding, or would end the path in a URL.
_AMBIGUOUS = frozenset("%?#")
# Most paths look like this: no segment begins with a dot, and nothing is ambiguous.
_PLAIN = regex(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)*/?")


def decode_path(raw: str) -> str | None:
    """Decode a raw path that starts with "/"; None where it is malformed.

    Refused are bytes that are not UTF-8, invalid escapes, encoded slashes, backslashes and control
    characters. The caller judges what the segments mean.
    """
    if raw[:1] != "/" or not raw.isascii() or _BAD_ESCAPE.search(raw) is not None:
        return None
    try:
        path = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if _FORBIDDEN.search(path) is not None else path


def plain_path(raw: str) -> str | None:
    """The decoded path, or None where an app might read it differently.

    Beyond what `decode_path` refuses, this refuses what a framework, a file system or a second
    decoding may read differently: dot segments (also before a ";"), empty segments, anything still
    encoded after one decoding, unprintable characters, "?" and "#". "" is "/".
    """
    if raw and _PLAIN.fullmatch(raw) is not None:
        return raw
    path = decode_path(raw or "/")
    if path is None or not path.isprintable() or not _AMBIGUOUS.isdisjoint(path):
        return None
    *inner, last = [segment.partition(";")[0] for segment in path[1:].split("/")]
    return None if has_dots((*inner, last)) or "" in inner else path


def inner_path(text: str) -> str | None:
    """A relative path, normalized; None where it leaves the folder it starts from.

    `"./a//b"` -> "a/b", `"a/../.."` -> None. This checks only the text: a link may still lead
    outside.
    """
    path = posixpath.normpath(text)
    return None if path.startswith(("/", "../")) or path in _DOTS else path


def has_dots(segments: Iterable[str]) -> bool:
    """Whether one of the segments is "." or ".."."""
    return not _DOTS.isdisjoint(segments)


def is_within(path: str, folder: str) -> bool:
    """Whether a path without links or dots is `folder` or is in it: `"/a/b"` in "/a", or in "/"."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
