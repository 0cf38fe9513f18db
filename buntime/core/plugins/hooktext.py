"""Writes the JSON of a HOOK by hand: there is one for each request that concerns a plugin.

    {"type":"HOOK","id":7,"hook":"on_request","timeout_ms":1000,"request":{...}}{"headers":...}

Clients repeat most of a request. These parts of it are the second object of the line, which the
plugin's process keeps decoded; their text is cached here.
"""

from functools import lru_cache

from buntime.core.access.paths import plain_path
from buntime.core.http1.head import Head
from buntime.core.http1.section import Fields
from buntime.core.plugins.identity import take_out, without_cookies
from buntime.core.values.tuples import QuickTuple
from buntime.wire import quote

_SMALL_BYTES = 2048  # of a field section or a path; longer ones are not cached


class Facts(QuickTuple):
    """What is known about a request's target. Nothing about the app until stage route is over."""

    app: str | None
    version: str | None
    path: str  # as received: below the base, or in stage route all of it
    is_public: bool  # the app's public routes cover it
    is_all_apps: bool = False  # it is an app's own host: none of its paths belongs to the runtime


class Seen(QuickTuple):
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


def write_path(path: str) -> str:
    """The path as JSON, decoded: `"/a b"`."""
    return _write_known_path(path) if len(path) <= _SMALL_BYTES else _write_path(path)


def _write_path(path: str) -> str:
    plain = plain_path(path)
    return quote(path if plain is None else plain)


_write_known_path = lru_cache(maxsize=256)(_write_path)


def write_shared(fields: str, facts: Facts, method: str, scheme: str, host: str, base: str) -> str:
    """What the client's other requests to the app share with this one, as an object.

    `fields` is JSON, as `write_fields` makes it. Methods are tokens, which need no escaping.
    """
    write = _write_known_shared if len(fields) <= _SMALL_BYTES else _write_shared
    return write(fields, facts.app, facts.version, facts.is_public, method, scheme, host, base)


def _write_shared(
    fields: str,
    app: str | None,
    version: str | None,
    is_public: bool,
    method: str,
    scheme: str,
    host: str,
    base: str,
) -> str:
    more = "" if app is None else f',"app":{quote(app)}'
    if version is not None:
        more += f',"version":{quote(version)}'
    if is_public:
        more += ',"isPublic":true'
    return (
        f'{{"headers":{fields},"method":"{method}","scheme":"{scheme}","host":{quote(host)},'
        f'"base":{quote(base)}{more}}}'
    )


_write_known_shared = lru_cache(maxsize=256)(_write_shared)
