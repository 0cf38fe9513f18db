"""Reads the values of a manifest's keys, beyond the kinds of values that settings share.

Each function takes what YAML made of the file and raises BadValue. Plugins' manifests use them too.
"""

import math
import posixpath
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from buntime.core.access.paths import has_dots, inner_path
from buntime.core.access.publicroutes import GLOBS_MAX_CHARS, costly
from buntime.core.apps.credentials import is_withheld
from buntime.core.apps.environment import RUNTIME_NAMES
from buntime.core.sandbox.plan import LEVELS
from buntime.core.values.kinds import Parser, one_of, whole_number
from buntime.core.values.regex import regex
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown, suggestion

ENDLESS_REQUESTS = 2**53  # JSON holds it exactly; at one request a microsecond it lasts 285 years

Workers = int | Literal["auto"]  # auto: one per core
Routes = tuple[tuple[str, str], ...]  # (method or "ALL", pattern)


def plain_text(value: object) -> str:
    """A printable text that is not empty. Raises BadValue."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise BadValue(f"{shown(value)} is not text; write a name or a path")
    return value


def file_below(value: object) -> str:
    """A path below the app's folder, judging by the text only; the server checks links."""
    path = inner_path(plain_text(value))
    if path is None:
        raise BadValue(f"{shown(value)} is not a file in the app's folder; write a path below it")
    return path


def entrypoint(value: object) -> str:
    """A file below the app's folder, or a file or module with the name of what it serves.

    `"src/app.py"`, `"app.py:create_app()"`, `"shop.wsgi:application"`.
    """
    target, colon, served = plain_text(value).partition(":")
    if colon and not _SERVED.fullmatch(served):
        raise BadValue(
            f"{shown(value)}: {shown(served)} is neither a name nor a call without arguments; "
            "write one like app.py:application or shop.wsgi:create_app()"
        )
    return file_below(target) + colon + served


_SERVED = regex(r"[^\W\d]\w*(\.[^\W\d]\w*)*(\(\))?")
_METHODS = ("ALL", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def routes(value: object) -> Routes:
    """`["/a"]` -> `(("ALL", "/a"),)`, `{"GET": ["/a"]}` -> `(("GET", "/a"),)`."""
    by_method = value if isinstance(value, dict) else {"ALL": value}
    found = []
    for word, patterns in by_method.items():
        method = word.upper()
        if method not in _METHODS:
            meant = suggestion(word, _METHODS)
            raise BadValue(f"{shown(word)} is not one of {', '.join(_METHODS)}{meant}")
        if not isinstance(patterns, list):
            raise BadValue(f'{shown(patterns)} is not a list; write one like ["/login", "/a/**"]')
        found += [(method, route_pattern(pattern)) for pattern in patterns]
    special = sum(map(len, costly(pattern for _, pattern in found)))
    if special > GLOBS_MAX_CHARS:
        raise BadValue(
            f"its patterns with stars have {special} characters; {GLOBS_MAX_CHARS} are allowed; "
            'those that end in "/**" and have no other star do not count'
        )
    return tuple(dict.fromkeys(found))


def route_pattern(value: object) -> str:
    """A route as `core/access` compares it with decoded paths; refuses what can never match."""
    if not isinstance(value, str) or not value.startswith("/"):
        raise BadValue(f'{shown(value)} is not a path; write one that begins with "/"')
    if not value.isprintable() or re.search(r"[\\%?#]", value):
        raise BadValue(f"{shown(value)} has a character that no plain path has, like % or ?")
    inner = value[1:].split("/")
    if has_dots(inner) or "" in inner[:-1]:
        raise BadValue(f"{shown(value)} has an empty or a dot segment, which no plain path has")
    if any("**" in segment and segment != "**" for segment in inner):
        raise BadValue(f'{shown(value)}: write "**" alone between two slashes')
    return value


_LEVEL = one_of(*LEVELS)


def sandbox_level(value: object) -> object:
    """YAML reads an unquoted `off` as false."""
    return "off" if value is False else _LEVEL(value)


def folders_below(value: object) -> tuple[str, ...]:
    """`[src, lib]`: folders below the app's own. Raises BadValue."""
    if not isinstance(value, list):
        raise BadValue(f"{shown(value)} is not a list; write one like [src]")
    return tuple(dict.fromkeys(map(file_below, value)))


def paths(value: object) -> tuple[str, ...]:
    """`[uploads, /srv/shared]`: paths, each once. Raises BadValue."""
    if not isinstance(value, list):
        raise BadValue(f"{shown(value)} is not a list; write one like [uploads, /srv/shared]")
    return tuple(dict.fromkeys(posixpath.normpath(plain_text(path)) for path in value))


def routes_dump(routes: Routes) -> dict[str, list[str]]:
    """Routes as a manifest writes them: patterns by method."""
    by_method: dict[str, list[str]] = {}
    for method, pattern in routes:
        by_method.setdefault(method, []).append(pattern)
    return by_method


def variables(value: object) -> Mapping[str, str]:
    """`{NAME: value}`: environment variables. Raises BadValue."""
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


def variables_dump(env: Mapping[str, str]) -> dict[str, str]:
    """Leaves out variables that are kept from workers, because this is sent to them."""
    return {name: value for name, value in env.items() if not is_withheld(name, value)}


def seconds_dump(seconds: float) -> float | int | None:
    """A duration for JSON, which has no infinity: 30.0 -> 30, inf -> None."""
    if seconds == math.inf:
        return None
    return int(seconds) if seconds.is_integer() else seconds


NONE = "none"  # how "no limit" is written and shown


def or_none(parse: Parser, endless: float) -> Parser:
    """`endless` for the word none, else what `parse` returns."""

    def parse_it(value: Any) -> Any:
        if isinstance(value, str) and value.strip().lower() == NONE:
            return endless
        try:
            return parse(value)
        except BadValue as exc:
            raise BadValue(f"{exc}, or none") from None

    return parse_it


def lifetime_dump(value: float) -> float | int | str:
    """A duration or a number for JSON: 30.0 -> 30, no limit -> "none"."""
    if value in (math.inf, ENDLESS_REQUESTS):
        return NONE
    return int(value) if float(value).is_integer() else value


_COUNT = whole_number(1)


def workers(value: object) -> Workers:
    """How many workers there may be: a number, or "auto". Raises BadValue."""
    if value == "auto":
        return "auto"
    try:
        count: int = _COUNT(value)
    except BadValue as exc:
        raise BadValue(f"{exc}, or auto") from None
    return count


SERVICE_NAME = regex(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


def service_name(value: object) -> str:
    """The name that a plugin gives a service of its own: `"kv"`."""
    if not isinstance(value, str) or not SERVICE_NAME.fullmatch(value):
        raise BadValue(
            f"{shown(value)} is not a service; begin with a letter, then letters, digits, _ . -"
        )
    return value


def service_names(value: object) -> tuple[str, ...]:
    """`[kv, mail]`: names of services, each once. Raises BadValue."""
    if not isinstance(value, list):
        raise BadValue(f"{shown(value)} is not a list; write one like [kv, mail]")
    return tuple(dict.fromkeys(map(service_name, value)))


_PROCESSORS_LEAST, _PROCESSORS_MOST = 0.01, 4096.0


def processors(value: object) -> float:
    """`0.5`, `"0.5"`, `"50%"` -> 0.5."""
    text = str(value) if isinstance(value, int | float | str) else ""
    found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)(%?)", text)
    count = float(found[1]) / (100 if found[2] else 1) if found else 0.0
    if not _PROCESSORS_LEAST <= count <= _PROCESSORS_MOST:
        raise BadValue(
            f"{shown(value)} is not a share of processors; write a number like 0.5, or 50%"
        )
    return count


def watched(value: object) -> tuple[str, ...]:
    """`["data/*.json", "!uploads/**"]`, as `core/apps/watching` takes them."""
    if not isinstance(value, list):
        raise BadValue(f'{shown(value)} is not a list; write one like [rates.json, "!uploads/**"]')
    patterns = tuple(dict.fromkeys(map(plain_text, value)))
    for pattern in patterns:
        inner = pattern.removeprefix("!").removeprefix("./").lstrip("/")
        if not inner:
            raise BadValue(f"{shown(pattern)} names no file")
        route_pattern(f"/{inner}")
    if sum(map(len, patterns)) > GLOBS_MAX_CHARS:
        raise BadValue(f"its patterns have more than {GLOBS_MAX_CHARS} characters together")
    return patterns
