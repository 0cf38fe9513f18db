"""Writes the JSON of a HOOK by hand: there is one for each request that concerns a plugin.

    "hook":"on_request","request":{...},"timeout_ms":1000

The parts made from a request's header fields and from its target are cached, because clients repeat
them.
"""

from functools import lru_cache
from typing import NamedTuple

from buntime.core.access.paths import plain_path
from buntime.core.http1.head import Head
from buntime.core.http1.section import Fields
from buntime.core.plugins.identity import take_out, without_cookies
from buntime.wire import quote

_SMALL_BYTES = 2048  # of a field section or a path; longer ones are not cached


class Facts(NamedTuple):
    """What is known about a request's target. Nothing about the app until stage route is over."""

    app: str | None
    version: str | None
    path: str  # as received: below the base, or in stage route all of it
    is_public: bool  # the app's public routes cover it
    is_all_apps: bool = False  # it is an app's own host: none of its paths belongs to the runtime


class Seen(NamedTuple):
    """A request's header fields, as a hook sees them."""

    fields: Fields
    proxy: Fields  # the fields in which a trusted proxy says who sent the request
    text: str  # the fields as JSON


def seen_by(
    head: Head, headers: Fields, *, from_proxy: bool, sees_all: bool, hidden: frozenset[str]
) -> Seen:
    """What a hook sees of `headers`, which are those of `head`, or a subset.

    `sees_all` is for stage identity: it sees all cookies, and what a trusted proxy says about the
    sender. `hidden` are cookies that the other stages do not see.
    """
    see = _known if head.fields_bytes <= _SMALL_BYTES else _see
    return see(headers, from_proxy, sees_all, hidden)


def _see(headers: Fields, from_proxy: bool, sees_all: bool, hidden: frozenset[str]) -> Seen:
    cleaned = take_out(headers, from_proxy=from_proxy)
    if sees_all:
        fields, proxy = (*cleaned.fields, *cleaned.proxy), cleaned.proxy
    else:
        fields, proxy = without_cookies(cleaned.fields, hidden), ()
    return Seen(fields, proxy, write_fields(fields))


_known = lru_cache(maxsize=256)(_see)


def write_fields(fields: Fields) -> str:
    """`[["host","a"],["x-b","c"]]`."""
    return f"[{','.join([f'[{quote(name)},{quote(value)}]' for name, value in fields])}]"


def write_target(facts: Facts) -> str:
    """The request's target as JSON, followed by a comma: `"path":"/a b","app":"shop",`."""
    write = _write_known_target if len(facts.path) <= _SMALL_BYTES else _write_target
    return write(facts)


def _write_target(facts: Facts) -> str:
    path = plain_path(facts.path)
    app = "" if facts.app is None else f'"app":{quote(facts.app)},'
    version = "" if facts.version is None else f'"version":{quote(facts.version)},'
    public = '"isPublic":true,' if facts.is_public else ""
    return f'"path":{quote(facts.path if path is None else path)},{app}{version}{public}'


_write_known_target = lru_cache(maxsize=256)(_write_target)
