"""Finds the routes at a path, and reads the values in the path.

    "/api/apps/@acme/shop/recycle"   {"POST": apps.recycle}, {"target": "@acme/shop"}

Where several templates fit a path, the one with more fixed segments comes first, then the one whose
values are valid. Where templates fit but no values are valid, the path names something that cannot
exist: "/api/apps/../recycle".
"""

import re
from collections.abc import Callable, Iterable, Mapping

from buntime.core.access.paths import decode_path, has_dots
from buntime.core.admin.route import Route
from buntime.core.apps.router import is_app_name, split_target
from buntime.core.errors import ClientFault
from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple

_PLACE = regex(r"\{(\w+)\}")
_VALUE_MAX_CHARS = 600


class Match(NamedTuple):
    """What is at a path. `missing` is the error to answer with where its values name nothing."""

    routes: Mapping[str, Route]  # by method
    values: dict[str, str]
    missing: ClientFault | None = None


class RouteTable:
    """All routes, by path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        by_path: dict[str, dict[str, Route]] = {}
        for route in self.routes:
            methods = by_path.setdefault(route.path, {})
            if route.method in methods:
                raise ValueError(f"{route.method} {route.path} is there twice")
            methods[route.method] = route
        self._fixed = {path: some for path, some in by_path.items() if "{" not in path}
        self._templates = sorted(
            (_Template(path, some) for path, some in by_path.items() if "{" in path),
            key=lambda template: -template.fixed_count,
        )

    def __repr__(self) -> str:
        return f"RouteTable({len(self.routes)} routes)"

    def find(self, path: str) -> Match | None:
        """What is at a raw path, "/api/workers"; None where there is no route."""
        routes = self._fixed.get(path)
        if routes is not None:
            return Match(routes, {})
        fallback: Match | None = None
        for template in self._templates:
            match = template.read(path)
            if match is not None and match.missing is None:
                return match
            fallback = fallback or match
        return fallback


class _Template:
    def __init__(self, path: str, routes: Mapping[str, Route]) -> None:
        pieces = _PLACE.split(path)
        self._names = pieces[1::2]
        values = [f"({_pattern(name)})" for name in self._names]
        fixed = [re.escape(piece) for piece in pieces[::2]]
        whole = "".join(a + b for a, b in zip(fixed, [*values, ""], strict=True))
        self._regex = re.compile(whole)
        self._routes = routes
        self.fixed_count = sum("{" not in segment for segment in path.split("/"))

    def read(self, path: str) -> Match | None:
        found = self._regex.fullmatch(path)
        if found is None:
            return None
        values = {}
        for name, raw in zip(self._names, found.groups(), strict=True):
            value = _READERS.get(name, _segment)(raw)
            if value is None:
                return Match(self._routes, {}, _missing(name, raw))
            values[name] = value
        return Match(self._routes, values)


def app_of(target: str) -> str:
    """The app that a `{target}` names: `"@acme/shop@^1"` -> "@acme/shop"."""
    at = target.find("@", 1)
    return target if at < 0 else target[:at]


def _pattern(name: str) -> str:
    return "[^/]+(?:/[^/]+)?" if name in _READERS else "[^/]+"


def _segment(raw: str) -> str | None:
    """A segment that can name something: no dots, nothing unprintable."""
    value = decode_path("/" + raw) if len(raw) <= _VALUE_MAX_CHARS else None
    if value is None or not value.isprintable() or has_dots((value[1:],)):
        return None
    return value[1:]


def _name(raw: str) -> str | None:
    """ "shop", "@acme/shop"."""
    value = decode_path("/" + raw) if len(raw) <= _VALUE_MAX_CHARS else None
    return value[1:] if value is not None and is_app_name(value[1:]) else None


def _target(raw: str) -> str | None:
    """ "shop", "@acme/shop@^1"."""
    target = split_target("/" + raw)
    if target is None or target.rest:
        return None
    return target.name if target.spec is None else f"{target.name}@{target.spec}"


_READERS: Mapping[str, Callable[[str], str | None]] = {
    "app": _name,
    "plugin": _name,
    "target": _target,
}
_CODES = {"app": "app", "target": "app", "plugin": "plugin"}


def _missing(name: str, raw: str) -> ClientFault:
    kind = _CODES.get(name)
    if kind is None:
        return ClientFault(404, "not_found", f"there is no {raw[:200]}")
    return ClientFault(404, f"{kind}_not_found", f"there is no {kind} {raw[:200]}")
