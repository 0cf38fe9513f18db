"""Paths of a static site: which file a raw path may name, and when the entrypoint answers instead.

`core/access/paths` decodes a path. What is refused, there or here, is answered like a file that is
not there, so that nobody learns which of the two it is.
"""

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote

from buntime.core.access.paths import decode_path
from buntime.core.errors import ClientFault
from buntime.core.http1.negotiation import accepts_html
from buntime.core.sites.publishing import is_hidden, is_manifest
from buntime.core.values.regex import regex

# The header fields that have a say in an answer; all others are skipped unread.
_CONDITIONAL = frozenset(
    (
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "range",
    )
)
_NEGOTIATING = frozenset(("accept", "accept-encoding", "sec-fetch-mode"))

_QUERY = regex(r"[!-~]*")


class SitePath(NamedTuple):
    """A path that may be looked up: ("docs", "a.html"); `is_folder`: it ended in a slash."""

    segments: tuple[str, ...]
    is_folder: bool

    @property
    def key(self) -> str:
        """The decoded path, "/docs/a.html": the same for every way to encode it."""
        slash = "/" if self.is_folder and self.segments else ""
        return f"/{'/'.join(self.segments)}{slash}"


class Asked(NamedTuple):
    """What the header fields of a request say, repeats joined by ", "."""

    conditions: dict[str, str]
    accept: str
    accept_encoding: str
    fetch_mode: str


def read_fields(headers: Iterable[tuple[str, str]]) -> Asked:
    """Pick the fields that matter from (lower-case name, value) pairs."""
    conditions: dict[str, str] = {}
    others: dict[str, str] = {}
    for name, value in headers:
        if name in _NEGOTIATING:
            others[name] = f"{others[name]}, {value}" if name in others else value
        elif name in _CONDITIONAL:
            conditions[name] = f"{conditions[name]}, {value}" if name in conditions else value
    return Asked(
        conditions,
        others.get("accept", ""),
        others.get("accept-encoding", ""),
        others.get("sec-fetch-mode", ""),
    )


def split_path(raw: str) -> SitePath | None:
    """The segments of a raw, still encoded path that starts with "/"; None where it is refused.

    "/docs/caf%C3%A9.html" -> (("docs", "café.html"), False); "/" -> ((), True).
    """
    path = decode_path(raw)
    if path is None:
        return None
    segments = path[1:].split("/")
    is_folder = segments[-1] == ""
    if is_folder:
        segments.pop()
    return SitePath(tuple(segments), is_folder) if _may_be_served(segments) else None


def is_navigation(asked: Asked, path: SitePath) -> bool:
    """Is this a person going to a page, not a page loading its parts?

    Only then the entrypoint may answer for a path that has no file: a script or an image that
    is missing must be a 404, not a page.
    """
    if not accepts_html(asked.accept) or asked.fetch_mode not in ("", "navigate"):
        return False
    return not path.segments or "." not in path.segments[-1]


def folder_location(base: str, path: SitePath, query: str) -> str:
    """Where a folder is, with its slash: "/shop" and ("docs",) -> "/shop/docs/".

    Encoded anew from the decoded segments, and never beginning with two slashes, which a browser
    would take for another host. A query that cannot stand in a header is dropped.
    """
    location = "".join([base, *(f"/{quote(segment, safe='')}" for segment in path.segments), "/"])
    location = "/" + location.lstrip("/\\")
    return f"{location}?{query}" if query and _QUERY.fullmatch(query) else location


def not_found() -> ClientFault:
    """The same for a file that is missing and for a path that is refused."""
    return ClientFault(404, "not_found", "this site has no such page or file; check the path")


def check_method(method: str) -> None:
    """Raise ClientFault(405) for all but GET and HEAD."""
    if method not in ("GET", "HEAD"):
        raise ClientFault(
            405,
            "method_not_allowed",
            "a static site answers GET and HEAD only",
            headers=(("allow", "GET, HEAD"),),
        )


def _may_be_served(segments: list[str]) -> bool:
    # With a leading dot go ".", "..", .git, .env and .DS_Store.
    return "" not in segments and not is_hidden(segments) and not is_manifest(segments)
