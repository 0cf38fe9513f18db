"""Which requests a plugin's request hooks are asked about: `match` in its manifest.

    match: {apps: [shop, "blog-*"], paths: ["/admin/**"], methods: [GET], hosts: ["*.example.com"]}

`workers: all` is only about notices: they then report workers of `ttl: 0` too.

A hook may guard what it matches, so whatever an app could read as a match fits:

1. a path with more than one reading, see `core/access/paths`, or with parameters ("/admin;x")
2. a path that is too long for a pattern with stars
3. a path with or without its trailing slash: "/admin/**" and "/admin/" fit "/admin" too
4. HEAD where GET is named; a method in lower case
5. a host in any case, with a port or a trailing dot; a value that is no host
"""

import re
from collections.abc import Callable, Iterable

from buntime.core.access.publicroutes import GLOBS_MAX_CHARS, Patterns, costly
from buntime.core.access.rules import PLUGIN_PREFIX
from buntime.core.apps.manifestvalues import route_pattern
from buntime.core.apps.router import is_app_name
from buntime.core.http1.grammar import TOKEN
from buntime.core.values.kinds import yes_or_no
from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown, unknown_key

_PATTERNS_MAX = 100  # of each kind
_METHOD = regex(TOKEN)
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_HOST_PATTERN = regex(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\]")
_PLAIN_HOST = regex(r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{0,5})?")


class Match(NamedTuple):
    """What a manifest says; an empty tuple means "all"."""

    apps: tuple[str, ...] = ()  # names, "*" for any characters; "plugin:NAME" for a plugin's base
    paths: tuple[str, ...] = ()  # as in publicRoutes: below the base; in stage route the whole path
    methods: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()  # "*.example.com": all names below it, at any depth
    public: bool = False  # stage access: asked about public routes too
    auth: bool = False  # only apps that care who has signed in
    workers: str = ""  # "all": notices report workers of ttl 0 too

    def dump(self) -> dict[str, object]:
        """As JSON, by the manifest's keys, without what was not written."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in self._asdict().items()
            if value
        }


class Matcher:
    """A `Match`, compiled."""

    __slots__ = ("_apps", "_hosts", "_methods", "_paths", "_suffixes", "match")

    def __init__(self, match: Match) -> None:
        self.match = match
        self._apps = glob(match.apps) if match.apps else None
        self._paths = Patterns(match.paths) if match.paths else None
        self._methods = frozenset(match.methods) | ({"HEAD"} if "GET" in match.methods else set())
        self._hosts = frozenset(host for host in match.hosts if not host.startswith("*."))
        self._suffixes = tuple(host[1:] for host in match.hosts if host.startswith("*."))

    def __repr__(self) -> str:
        return f"Matcher({self.match.dump()!r})"

    def fits_owner(self, owner: str) -> bool:
        """Whether requests for this app or plugin can fit: "shop", "plugin:keyval"."""
        return self._apps is None or self._apps.fullmatch(owner) is not None

    def fits(self, method: str, raw_path: str, host: str) -> bool:
        """Whether a request fits, apart from whom it is for. `raw_path` is as received, still
        encoded."""
        if self._methods and method.upper() not in self._methods:
            return False
        if self.match.hosts and not self._fits_host(host):
            return False
        return self._paths is None or self._paths.could_cover(raw_path)

    def _fits_host(self, host: str) -> bool:
        plain = _PLAIN_HOST.fullmatch(host.lower())
        if plain is None:
            return True
        name = plain[1].rstrip(".")
        return name in self._hosts or name.endswith(self._suffixes)


def glob(patterns: Iterable[str]) -> re.Pattern[str]:
    """A pattern for names in which "*" stands for any characters: `["blog-*"]`.

    A "~" separates the name of a preview, which belongs to nobody else: "*" stops there.
    """
    return re.compile("|".join(map(_translate, patterns)) or "(?!)", re.DOTALL)


def _translate(pattern: str) -> str:
    first, *others = [re.escape(part) for part in re.split(r"\*+", pattern)]
    if not others:
        return first
    *middle, last = others
    # Atomic groups: no name makes it slow, as in core/access/publicroutes.
    return first + "".join(f"(?>[^~]*?{part})" for part in middle) + f"[^~]*{last}"


def parse_match(value: object) -> Match:
    """`match` as a manifest writes it. Raises BadValue."""
    if not isinstance(value, dict):
        raise BadValue(f"{shown(value)} is not a mapping; write one like {{apps: [shop]}}")
    for key in value:
        if key not in Match._fields:
            raise BadValue(unknown_key(key, Match._fields))
    paths = _items(value, "paths", route_pattern)
    if sum(map(len, costly(paths))) > GLOBS_MAX_CHARS:
        raise BadValue(f"paths: patterns with stars have more than {GLOBS_MAX_CHARS} characters")
    return Match(
        apps=_items(value, "apps", _owner),
        paths=paths,
        methods=_items(value, "methods", _method),
        hosts=_items(value, "hosts", _host),
        public=_flag(value, "public"),
        auth=_flag(value, "auth"),
        workers=_workers(value.get("workers", "")),
    )


def _items(value: dict[str, object], key: str, parse: Callable[[object], str]) -> tuple[str, ...]:
    if key not in value:
        return ()
    given = value[key]
    if not isinstance(given, list) or not given:
        raise BadValue(f"{key}: {shown(given)} is not a list with at least one entry")
    if len(given) > _PATTERNS_MAX:
        raise BadValue(f"{key}: {len(given)} entries are too many; write {_PATTERNS_MAX} at most")
    try:
        return tuple(dict.fromkeys(parse(each) for each in given))
    except BadValue as exc:
        raise BadValue(f"{key}: {exc}") from None


def _owner(value: object) -> str:
    name = value.removeprefix(PLUGIN_PREFIX) if isinstance(value, str) else ""
    if not isinstance(value, str) or not is_app_name(re.sub(r"\*+", "x", name)):
        raise BadValue(f'{shown(value)} is not the name of an app; write one like shop or "blog-*"')
    return value


def _method(value: object) -> str:
    if not isinstance(value, str) or not _METHOD.fullmatch(value):
        raise BadValue(f"{shown(value)} is not a method; write one like GET")
    return value.upper()


def _host(value: object) -> str:
    host = value.lower() if isinstance(value, str) else ""
    if not _HOST_PATTERN.fullmatch(host):
        raise BadValue(
            f'{shown(value)} is not a host; write one like shop.example.com or "*.example.com", '
            "without a port"
        )
    return host


def _flag(value: dict[str, object], key: str) -> bool:
    try:
        return yes_or_no(value.get(key, False))
    except BadValue as exc:
        raise BadValue(f"{key}: {exc}") from None


def _workers(value: object) -> str:
    if value not in ("", "all"):
        raise BadValue(f"workers: {shown(value)} is not the word all; write it, or remove workers")
    return str(value)
