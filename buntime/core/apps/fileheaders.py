"""Header fields that a manifest adds to files: `headers: {"/assets/**": {Cache-Control: ...}}`.

A pattern is compared with the path of the file that is sent, "/index.html" for "/". Where several
patterns that fit set the same field, the last one wins. These fields replace those that the runtime
would send itself, except fields about framing or about checks of the answer: only the runtime sets
these.
"""

from collections.abc import Iterable, Mapping

from buntime.core.access.publicroutes import GLOBS_MAX_CHARS, Patterns, costly
from buntime.core.apps.manifestvalues import route_pattern
from buntime.core.values.regex import regex
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown

FileHeaders = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]  # pattern, (name, value)
"""As in a manifest; names are in lower case."""

_NAME = regex(r"[A-Za-z0-9_-]{1,100}")  # covers every real field name
_VALUE = regex(r"[!-~](?:[\t -~]*[!-~])?")
_MOST_CHARS = 8 * 1024  # for all fields together; a client accepts a head of 16 KiB
# Fields about the length and coding of the answer, about conditions and about whom it is for;
# fields about the connection; cookies, which stay below an app's base.
_OURS = frozenset(
    """
    accept-ranges age alt-svc connection content-encoding content-length content-range date etag
    keep-alive last-modified location proxy-authenticate proxy-connection retry-after server
    set-cookie set-cookie2 te trailer transfer-encoding upgrade vary via www-authenticate
    x-request-id
    """.split()
)


class HeaderRules:
    """The rules of one app, compiled."""

    __slots__ = ("_below", "_rules")

    def __init__(self, rules: FileHeaders = (), *, below: str = "") -> None:
        """`below` is the path that the paths given to `of` are below: "/static"."""
        self._below = below
        self._rules = [(Patterns([pattern]), fields) for pattern, fields in rules]

    def __repr__(self) -> str:
        return f"HeaderRules({len(self._rules)})"

    def of(self, path: str) -> tuple[tuple[str, str], ...]:
        """`"/assets/a.js"` -> the fields for that file."""
        fields: dict[str, str] = {}
        for patterns, values in self._rules:
            if patterns.cover(self._below + path):
                fields.update(values)
        return tuple(fields.items())


NO_RULES = HeaderRules()


def parse_file_headers(value: object) -> FileHeaders:
    """Raises BadValue."""
    if not isinstance(value, dict):
        raise BadValue(
            f"{shown(value)} is not a mapping; write lines like "
            '"/assets/**": {Cache-Control: max-age=60}'
        )
    found = tuple((route_pattern(pattern), _fields(fields)) for pattern, fields in value.items())
    if sum(map(len, costly(pattern for pattern, _ in found))) > GLOBS_MAX_CHARS:
        raise BadValue(f"its patterns have more than {GLOBS_MAX_CHARS} characters together")
    if sum(len(name) + len(text) for _, fields in found for name, text in fields) > _MOST_CHARS:
        raise BadValue(f"its fields have more than {_MOST_CHARS} characters together")
    return found


def dump_file_headers(rules: FileHeaders) -> dict[str, dict[str, str]]:
    """The rules as a manifest writes them, in JSON's types."""
    return {pattern: dict(fields) for pattern, fields in rules}


def _fields(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise BadValue(f"{shown(value)} is not a mapping; write one like {{X-Frame-Options: DENY}}")
    return tuple(_checked(value))


def _checked(fields: Mapping[str, object]) -> Iterable[tuple[str, str]]:
    seen = set()
    for name, value in fields.items():
        lower = name.lower()
        if not _NAME.fullmatch(name):
            raise BadValue(f"{shown(name)} is not the name of a header field")
        if lower in _OURS:
            raise BadValue(f"only the runtime sets {name}; leave it out")
        if lower in seen:
            raise BadValue(f"{name} is given twice")
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise BadValue(f"{name}: {shown(value)} is not a line of printable ASCII; write one")
        seen.add(lower)
        yield lower, value
