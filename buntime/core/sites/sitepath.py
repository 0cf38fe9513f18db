"""Paths of a static site: which file a raw path may name, and when the entrypoint answers instead.

`core/access/paths` decodes a path. Whatever is refused, there or here, gets the same answer as a
missing file, so that nobody can tell the two apart.
"""

from collections.abc import Iterable
from urllib.parse import quote

from buntime.core.access.paths import decode_path
from buntime.core.errors import ClientFault
from buntime.core.http1.negotiation import accepts_html
from buntime.core.sites.publishing import is_hidden, is_manifest
from buntime.core.values.regex import regex
from buntime.core.values.tuples import QuickTuple

# The header fields that affect an answer; all others are skipped unread.
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


class SitePath(QuickTuple):
    """A path to look up: ("docs", "a.html"); `is_folder`: it ended in a slash."""

    segments: tuple[str, ...]
    is_folder: bool

    @property
    def key(self) -> str:
        """The decoded path, "/docs/a.html": the same for every way to encode it."""
        slash = "/" if self.is_folder and self.segments else ""
        return f"/{'/'.join(self.segments)}{slash}"


class Asked(QuickTuple):
    """What a request's header fields say, repeats joined by ", "."""

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


def is_navigation(sent: Asked, path: SitePath) -> bool:
    """Is this a person going to a page, rather than a page loading its parts?

    Only then may the entrypoint answer for a path without a file: a missing script or image must be
    a 404, not a page.
    """
    if not accepts_html(sent.accept) or sent.fetch_mode not in ("", "navigate"):
        return False
    return not path.segments or "." not in path.segments[-1]


def folder_location(base: str, path: SitePath, query: str) -> str:
    """The location of a folder, with its slash: "/shop" and ("docs",) -> "/shop/docs/".

    Encoded anew from the decoded segments, and never beginning with two slashes, which a browser
    would take for another host. A query that cannot be written in a header is dropped.
    """
    location = "".join([base, *(f"/{quote(segment, safe='')}" for segment in path.segments), "/"])
    location = "/" + location.lstrip("/\\")
    return f"{location}?{query}" if query and _QUERY.fullmatch(query) else location


def not_found() -> ClientFault:
    """The same error for a missing file and for a refused path."""
    return ClientFault(404, "not_found", "this site has no such page or file; check the path")


def check_method(method: str) -> None:
    """Raise ClientFault(405) for anything but GET and HEAD."""
    if method not in ("GET", "HEAD"):
        raise ClientFault(
            405,
            "method_not_allowed",
            "a static site answers GET and HEAD only",
            headers=(("allow", "GET, HEAD"),),
        )


def _may_be_served(segments: list[str]) -> bool:
    # Refusing a leading dot covers ".", "..", .git, .env and .DS_Store.
    return "" not in segments and not is_hidden(segments) and not is_manifest(segments)
