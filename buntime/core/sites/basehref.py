"""Where to put `<base href>` in an HTML page, so that its relative links work wherever it is
mounted.

A small tokenizer that follows the HTML standard (13.2.5), over bytes: comments, doctype, tags with
quoted attributes, and elements whose content is text. It reads only the head of a page and stops at
the first tag that belongs to the body. Each byte is looked at once, so a page of half-open quotes
costs no more than any other.
"""

import re
from collections.abc import Sequence

from buntime.core.values.regex import regex

_BOM = b"\xef\xbb\xbf"
# In UTF-16 and UTF-32, "<" is not one byte: such pages are left unchanged.
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")

_SPACE = rb"[\t\n\f\r ]"
_COMMENT = regex(rb"<!--(?:-?>|.*?--!?>)", re.DOTALL)
_TAG_NAME = regex(rb"<(/?[a-z][^\t\n\f\r />]*)", re.IGNORECASE)
# An attribute with its value; a quote that is never closed swallows the rest of the page.
_ATTRIBUTE = regex(
    rb"[\t\n\f\r /]*+(?P<name>[^\t\n\f\r />][^\t\n\f\r />=]*+)"
    rb"(?:" + _SPACE + rb"*+=" + _SPACE + rb"*+"
    rb"""(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^\t\n\f\r >"'][^\t\n\f\r >]*+|))?+"""
)
_TAG_END = regex(rb"[\t\n\f\r /]*+>")
# What is inside these is text, or has no effect where scripts run.
_RAW_TEXT = frozenset((b"script", b"style", b"title", b"noscript", b"noframes", b"template"))
_IN_HEAD = _RAW_TEXT | {b"html", b"head", b"base", b"basefont", b"bgsound", b"link", b"meta"}
# A <base> goes after one of these: the one with the highest rank in the page.
_RANKS = {b"!doctype": 1, b"html": 2, b"head": 3}
# How much of a page is read: a <base> must come early, before the links it is for. This limits the
# time for a malicious page to 0.2 s; a usual head takes 0.1 ms.
_READ_MAX_BYTES = 128 * 1024


def base_tag(base: str) -> bytes:
    """ "/shop@1" -> b'<base href="/shop@1/">', escaped."""
    import html  # loads the table of all entities, a quarter of a bare interpreter's start

    href = html.escape(f"{base}/", quote=True)
    return f'<base href="{href}">'.encode("ascii", "xmlcharrefreplace")


def with_base(
    fields: Sequence[Sequence[str]], body: bytes, base: str
) -> tuple[list[Sequence[str]], bytes]:
    """An app's whole answer with a `<base>` tag in its page, if the page can take one.

    `fields` are (name, value). A Content-Length is removed, since it is no longer right. Fields
    that are not text are left for the answer to refuse.
    """
    if not all(type(name) is type(value) is str for name, value in fields):
        return list(fields), body
    lowered = {name.lower(): value.lower() for name, value in fields}
    is_page = lowered.get("content-type", "").startswith("text/html")
    at = insertion_point(body) if is_page and body and "content-encoding" not in lowered else None
    if at is None:
        return list(fields), body
    kept = [field for field in fields if field[0].lower() != "content-length"]
    return kept, body[:at] + base_tag(base) + body[at:]


def insertion_point(page: bytes) -> int | None:
    """Where a `<base>` tag goes: after <head>, else <html>, else the doctype, else at the start.

    None where there must be none: the page has its own <base href>, or is not text in an
    ASCII-compatible encoding.
    """
    if page.startswith(_WIDE_BOMS):
        return None
    position = len(_BOM) if page.startswith(_BOM) else 0
    place, rank = position, 0
    head = page[:_READ_MAX_BYTES]
    while (start := head.find(b"<", position)) >= 0:
        token = _read_token(head, start)
        if token is None:
            break
        name, position, has_href = token
        if name == b"base" and has_href:
            return None
        if _RANKS.get(name, 0) > rank:
            place, rank = position, _RANKS[name]
        if (name[:1].isalpha() and name not in _IN_HEAD) or name in (b"/head", b"/html"):
            break
    return place


def _read_token(page: bytes, start: int) -> tuple[bytes, int, bool] | None:
    """The token at the "<" at `start`: (its lower-case name, where it ends, whether it has an
    href).

    The name is b"" for a comment. None where the head ends here: at a "<" that is just text, or at
    a token that the page does not finish.
    """
    if page.startswith(b"<!--", start):
        comment = _COMMENT.match(page, start)
        return None if comment is None else (b"", comment.end(), False)
    if page.startswith((b"<!", b"<?", b"</"), start) and _TAG_NAME.match(page, start) is None:
        end = page.find(b">", start)
        name = b"!doctype" if page[start + 1 : start + 9].lower() == b"!doctype" else b""
        return None if end < 0 else (name, end + 1, False)
    tag = _TAG_NAME.match(page, start)
    if tag is None:
        return None
    name = tag[1].lower()
    position, has_href = _read_attributes(page, tag.end())
    if position is not None and name in _RAW_TEXT:
        closing = re.compile(rb"</" + name + rb"(?=[\t\n\f\r />])", re.IGNORECASE)
        match = closing.search(page, position)
        position = None if match is None else match.start()
    return None if position is None else (name, position, has_href)


def _read_attributes(page: bytes, position: int) -> tuple[int | None, bool]:
    """Where the tag ends (None: nowhere), and whether it has an href."""
    has_href = False
    while (end := _TAG_END.match(page, position)) is None:
        attribute = _ATTRIBUTE.match(page, position)
        if attribute is None:
            return None, has_href
        has_href = has_href or attribute["name"].lower() == b"href"
        position = attribute.end()
    return end.end(), has_href
