"""Finds links in a page that leave its app's base: `src="/assets/index.js"`."""

import re

from buntime.core.values.regex import regex

_READ_BYTES = 256 * 1024
_MOST = 5
# What a page loads or links to; "//host" is another site.
_LINK = regex(
    rb"""<(?:script|link|img|a|source|iframe)\b[^<>]{0,2000}?\s(?:src|href)\s*=\s*["']?"""
    rb"""(/(?!/)[^"'\s>]{0,500})""",
    re.IGNORECASE,
)


def absolute_links(page: bytes, base: str) -> tuple[str, ...]:
    """The first paths in a page that begin with "/" and do not lead below `base`, "/shop"."""
    found: dict[str, None] = {}
    for match in _LINK.finditer(page[:_READ_BYTES]):
        path = match[1].decode("utf-8", "replace")
        if path != base and not path.startswith(f"{base}/"):
            found[path] = None
        if len(found) == _MOST:
            break
    return tuple(found)
