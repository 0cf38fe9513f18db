"""Is a path safe to act on? The one home of that question.

A path that a client sends is decoded once, and refused where it could mean one thing to this code
and another to a file system, a framework, a proxy or a browser. How much is refused depends on what
the path is for:

    decode_path("/caf%C3%A9/a%3Fb")  "/café/a?b"  to look up a file
    plain_path("/caf%C3%A9/a%3Fb")   None         to decide on access, before an app reads the path
                                                  in its own way

A path that an operator or an app's author writes leads to something below a folder: `inner_path`.

Two others need no such question: `core/apps/router` takes a name and a version off a target by a
grammar in which no dot segment, slash or NUL can be written, and `server/sites/confined` opens
files one segment after the other, so that links do not matter.
"""

import posixpath
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from buntime.core.values.regex import regex

_DOTS = frozenset((".", ".."))
# Percent signs must begin an escape, and no escape may hide a slash: proxies differ on both.
_BAD_ESCAPE = regex(r"%(?![0-9A-Fa-f]{2})|%2[Ff]")
# What a path must not hold once decoded: control characters of ASCII and Latin-1 (NUL among
# them), and the backslash, which browsers take for a slash.
_FORBIDDEN = regex(r"[\x00-\x1f\x7f-\x9f\\]")
# What is still encoded after one decoding, or would end the path in a URL.
_AMBIGUOUS = frozenset("%?#")
# Most paths are like this. No segment begins with a dot, and nothing in it could be taken for
# something else.
_PLAIN = regex(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)*/?")


def decode_path(raw: str) -> str | None:
    """The path behind a raw one that starts with "/", or None where it is malformed.

    Refused are bytes that are no UTF-8, escapes that are none, encoded slashes, backslashes and
    control characters. What the segments say is the caller's to judge.
    """
    if raw[:1] != "/" or not raw.isascii() or _BAD_ESCAPE.search(raw) is not None:
        return None
    try:
        path = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if _FORBIDDEN.search(path) is not None else path


def plain_path(raw: str) -> str | None:
    """The decoded path, or None where an app might take it for another one than we do.

    Beyond `decode_path`, and since a framework, a file system or a second decoding may take them
    for something else, refused are dot segments (also before a ";"), empty segments, what is still
    encoded after one decoding, what cannot be printed, "?" and "#". "" is "/".
    """
    if raw and _PLAIN.fullmatch(raw) is not None:
        return raw
    path = decode_path(raw or "/")
    if path is None or not path.isprintable() or not _AMBIGUOUS.isdisjoint(path):
        return None
    *inner, last = [segment.partition(";")[0] for segment in path[1:].split("/")]
    return None if has_dots((*inner, last)) or "" in inner else path


def inner_path(text: str) -> str | None:
    """A relative path, normalized, or None where it leaves the folder that it starts from.

    `"./a//b"` -> "a/b", `"a/../.."` -> None. As far as the text shows: a link may still lead away.
    """
    path = posixpath.normpath(text)
    return None if path.startswith(("/", "../")) or path in _DOTS else path


def has_dots(segments: Iterable[str]) -> bool:
    """Whether one of them is "." or ".."."""
    return not _DOTS.isdisjoint(segments)
