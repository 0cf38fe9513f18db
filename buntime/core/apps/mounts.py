"""Folders of a Python app that the runtime serves itself: `static: {/static: staticfiles}`."""

from collections.abc import Iterable
from urllib.parse import quote

from buntime.core.access.paths import decode_path, inner_path
from buntime.core.apps.manifestvalues import plain_text, route_pattern
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown

Mounts = tuple[tuple[str, str], ...]  # ("/static", "staticfiles"), the longest path first

_MOST = 20


class Mounted(NamedTuple):
    """A request for a file in a mount: ("/static", "/css/a.css"), the path as it was sent."""

    prefix: str
    rest: str


def parse_mounts(value: object) -> Mounts:
    """Raises BadValue."""
    if not isinstance(value, dict):
        raise BadValue(f"{shown(value)} is not a mapping; write a line like /static: staticfiles")
    if len(value) > _MOST:
        raise BadValue(f"{len(value)} folders are too many; write {_MOST} at most")
    found = {}
    for prefix, folder in value.items():
        path = route_pattern(prefix.removesuffix("/"))
        if "*" in path or path == "/" or _is_hidden(path):
            raise BadValue(f"{shown(prefix)} is not a path of files; write one like /static")
        inner = inner_path(plain_text(folder))
        if inner is None or _is_hidden(f"/{inner}"):
            raise BadValue(
                f"{shown(folder)} is not a folder of the app's that can be shown to everybody"
            )
        found[path] = inner
    return tuple(sorted(found.items(), key=lambda each: -len(each[0])))


def mounted_at(raw: str, prefixes: Iterable[str]) -> Mounted | None:
    """Which of the prefixes, longest first, a raw path below the app's base leads to.

    "/static/a%20b.css" -> ("/static", "/a%20b.css"), "/st%61tic/a.css" -> ("/static", "/a.css"). A
    path that is refused for files goes to the app.
    """
    path = raw
    if "%" in raw:
        decoded = decode_path(raw)
        if decoded is None:
            return None
        path = decoded
    for prefix in prefixes:
        if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/"):
            rest = path[len(prefix) :]
            return Mounted(prefix, quote(rest) if path is not raw else rest)
    return None


def _is_hidden(path: str) -> bool:
    return "/." in path
