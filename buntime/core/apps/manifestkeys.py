"""The table of a manifest's keys, and how their values are read and given to workers.

The parser, what workers see of the manifest, the docs and their test are made from it.
"""

import posixpath
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from buntime.core.access.paths import has_dots, inner_path
from buntime.core.access.publicroutes import GLOBS_MAX_CHARS, costly
from buntime.core.apps.environment import RUNTIME_NAMES, is_blocked
from buntime.core.sandbox.plan import LEVELS
from buntime.core.values.kinds import (
    Parser,
    duration,
    one_of,
    size,
    user_name,
    whole_number,
    yes_or_no,
)
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown, suggestion

Workers = int | Literal["auto"]  # auto: one for each core
Routes = tuple[tuple[str, str], ...]  # (method or "ALL", pattern)


class Key(NamedTuple):
    """One row of the table. `default` is what one would write in the file, None for nothing."""

    name: str
    field: str
    kind: str  # in words
    parse: Parser
    default: object
    meaning: str
    default_words: str = ""  # where the value says little
    dump: Callable[[Any], object] = lambda value: value  # to JSON, for the worker
    is_verbatim: bool = False  # scalars stay as they are written: 3.10 is no 3.1

    @property
    def default_text(self) -> str:
        return self.default_words or str(self.default)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise BadValue(f"{shown(value)} is not text; write a name or a path")
    return value


def _inner_path(value: object) -> str:
    """A path below the app's folder as far as the text shows; links are the server's to check."""
    path = inner_path(_text(value))
    if path is None:
        raise BadValue(f"{shown(value)} is not a file in the app's folder; write a path below it")
    return path


_METHODS = ("ALL", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def _routes(value: object) -> Routes:
    """`["/a"]` -> `(("ALL", "/a"),)`, `{"GET": ["/a"]}` -> `(("GET", "/a"),)`."""
    by_method = value if isinstance(value, dict) else {"ALL": value}
    routes = []
    for word, patterns in by_method.items():
        method = word.upper()
        if method not in _METHODS:
            meant = suggestion(word, _METHODS)
            raise BadValue(f"{shown(word)} is not one of {', '.join(_METHODS)}{meant}")
        if not isinstance(patterns, list):
            raise BadValue(f'{shown(patterns)} is not a list; write one like ["/login", "/a/**"]')
        routes += [(method, _pattern(pattern)) for pattern in patterns]
    special = sum(map(len, costly(pattern for _, pattern in routes)))
    if special > GLOBS_MAX_CHARS:
        raise BadValue(
            f"its patterns with stars have {special} characters, allowed are {GLOBS_MAX_CHARS}; "
            'those that end in "/**" and have no other star do not count'
        )
    return tuple(dict.fromkeys(routes))


def _pattern(value: object) -> str:
    """A route as `core/access` compares it with decoded paths; refuses what can never match."""
    if not isinstance(value, str) or not value.startswith("/"):
        raise BadValue(f'{shown(value)} is not a path; write one that begins with "/"')
    if not value.isprintable() or re.search(r"[\\%?#]", value):
        raise BadValue(f"{shown(value)} has a character that no plain path has, like % or ?")
    inner = value[1:].split("/")
    if has_dots(inner) or "" in inner[:-1]:
        raise BadValue(f"{shown(value)} has an empty or a dot segment, which is never public")
    if any("**" in segment and segment != "**" for segment in inner):
        raise BadValue(f'{shown(value)}: write "**" alone between two slashes')
    return value


_LEVEL = one_of(*LEVELS)


def _level(value: object) -> object:
    """YAML takes an `off` without quotes for false."""
    return "off" if value is False else _LEVEL(value)


def _paths(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise BadValue(f"{shown(value)} is not a list; write one like [uploads, /srv/shared]")
    return tuple(dict.fromkeys(posixpath.normpath(_text(path)) for path in value))


def _routes_dump(routes: Routes) -> dict[str, list[str]]:
    by_method: dict[str, list[str]] = {}
    for method, pattern in routes:
        by_method.setdefault(method, []).append(pattern)
    return by_method


def _env(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise BadValue(f"{shown(value)} is not a mapping; write lines like NAME: value below it")
    for name, text in value.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise BadValue(f"{shown(name)} is not a name; use letters, digits and underscores")
        if name in RUNTIME_NAMES:
            raise BadValue(f"{name} is set by the runtime; choose another name")
        if not isinstance(text, str):
            raise BadValue(f'{name}: {shown(text)} is not text; write "" for an empty one')
    return MappingProxyType(dict(value))


def _env_dump(env: Mapping[str, str]) -> dict[str, str]:
    """Without what is kept from workers: this goes to them."""
    return {name: value for name, value in env.items() if not is_blocked(name)}


def _seconds_dump(seconds: float) -> float | int:
    return int(seconds) if seconds.is_integer() else seconds


_COUNT = whole_number(1)


def _workers(value: object) -> Workers:
    if value == "auto":
        return "auto"
    try:
        count: int = _COUNT(value)
    except BadValue as exc:
        raise BadValue(f"{exc}, or auto") from None
    return count


KEYS = (
    Key(
        "entrypoint",
        "entrypoint",
        "path",
        _inner_path,
        None,
        "file that is run (.py) or served (.html), inside the app's folder, links resolved",
        "the first of `index.html`, `index.py`, `app.py`, `main.py`, `wsgi.py`, `asgi.py`",
    ),
    Key(
        "timeout",
        "timeout_s",
        "duration",
        duration(),
        "30s",
        "until the response starts, then between two pieces of it",
        dump=_seconds_dump,
    ),
    Key(
        "ttl",
        "ttl_s",
        "duration",
        duration(may_be_zero=True),
        0,
        "0: a new worker for each request; more: how long a worker is reused",
        dump=_seconds_dump,
    ),
    Key(
        "idleTimeout",
        "idle_timeout_s",
        "duration",
        duration(),
        "60s",
        "a worker idle for so long ends",
        dump=_seconds_dump,
    ),
    Key(
        "maxRequests",
        "max_requests",
        "number",
        _COUNT,
        1000,
        "after about so many requests a worker is replaced",
    ),
    Key(
        "maxBodySize",
        "max_body_size_bytes",
        "size",
        size(1),
        "10mb",
        "largest request body, more gets 413; at most `RUNTIME_BODY_SIZE_MAX`",
        "`RUNTIME_BODY_SIZE_DEFAULT`, 10mb",
    ),
    Key(
        "lowMemory",
        "low_memory",
        "boolean",
        yes_or_no,
        False,
        "smaller arenas, one thread, garbage collection tuned for size",
        "false",
    ),
    Key(
        "autoInstall",
        "auto_install",
        "boolean",
        yes_or_no,
        False,
        "install from a lock file before the first start",
        "false",
    ),
    Key(
        "publicRoutes",
        "public_routes",
        "list, or a list for each method",
        _routes,
        [],
        "routes that need no key where the app needs one; `*` one segment, `**` many",
        "none",
        dump=_routes_dump,
    ),
    Key(
        "visibility",
        "visibility",
        "word",
        one_of("public", "protected", "internal"),
        "public",
        "public; protected: needs a key; internal: only other workers reach it",
    ),
    Key(
        "env",
        "env",
        "mapping",
        _env,
        {},
        "more environment variables, filtered",
        "none",
        dump=_env_dump,
        is_verbatim=True,
    ),
    Key(
        "workers",
        "workers",
        "number, or auto",
        _workers,
        1,
        "most workers of an app with `ttl` above 0, used as it computes; auto: one for each core; "
        "state in memory wants 1",
    ),
    Key(
        "concurrency",
        "concurrency",
        "number",
        _COUNT,
        None,
        "requests at once in one worker",
        "by the kind of app",
    ),
    Key(
        "prewarm",
        "prewarm",
        "number",
        whole_number(0),
        0,
        "so many loaded workers are kept ready, for `ttl: 0` too",
    ),
    Key(
        "maxMemory",
        "max_memory_bytes",
        "size",
        size(
            16 << 20
        ),  # a worker that has loaded nothing takes 12 MB: less would replace it forever
        None,
        "a worker above it is replaced, and the log says so; 16mb or more",
        "none",
    ),
    Key(
        "maxAddressSpace",
        "max_address_space_bytes",
        "size",
        size(128 << 20),  # below that an interpreter may not even start
        None,
        "more memory than that, touched or not, is refused to a process; 128mb or more",
        "none",
    ),
    Key(
        "maxFileSize",
        "max_file_size_bytes",
        "size",
        size(4 << 10),
        None,
        "a file that a worker writes cannot grow beyond it; 4kb or more",
        "none",
    ),
    Key(
        "maxProcesses",
        "max_processes",
        "number",
        _COUNT,
        None,
        "most processes and threads of the app's `user`, in all of the system; root has no limit",
        "none",
    ),
    Key(
        "python",
        "python",
        "path, name or version",
        _text,
        None,
        "interpreter of the app's workers, 3.9 or newer",
        "the app's `.venv`, else `RUNTIME_PYTHON`, else the runtime's own",
        is_verbatim=True,
    ),
    Key(
        "nice",
        "nice",
        "number",
        whole_number(0, 19),
        0,
        "how much the app's workers stand back for others when the processor is busy, up to 19",
    ),
    Key(
        "user",
        "user",
        "name, or uid:gid",
        user_name,
        None,
        "whom the app's workers run as, where the runtime is root",
        "the runtime's own",
        is_verbatim=True,
    ),
    Key(
        "sandbox",
        "sandbox",
        "word",
        _level,
        "standard",
        "what workers are kept from; standard: other apps, the runtime's secrets, writing "
        "elsewhere; strict: all but the app, its Python and the system; off: nothing",
    ),
    Key(
        "write",
        "write",
        "list of paths",
        _paths,
        [],
        "where workers may write besides, in a sandbox; relative ones count from the app's folder",
        "none",
        dump=list,
    ),
    Key(
        "injectBase",
        "inject_base",
        "boolean",
        yes_or_no,
        None,
        "put `<base href>` into HTML",
        "true for an .html entrypoint",
    ),
    Key(
        "cookiePath",
        "cookie_path",
        "word",
        one_of("base", "as-is"),
        "base",
        "where the app's cookies go: below its base, or as-is, where its Set-Cookie says",
    ),
)
