"""What operators set for apps in the config file, and how that changes an app's manifest.

    apps:
      "blog-*": {user: blog, sandbox: strict, hosts: ["*.blog.example.com"], workers: 4}

An app may not decide everything for itself. For `sandbox`, `write`, `visibility` and the limits,
the stricter of the two values applies; for all other keys that may appear here, the operator's,
which `env` and `secrets` merge name by name. Rows apply in the order of the file: of two rows for
one app, the later one has the last word, within what the earlier one left.

An app that came by the API has at least the sandbox `standard`, unless a row sets one for it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from buntime.core.access.rights import covers
from buntime.core.apps.accesskeys import AUTHS
from buntime.core.apps.floor import Floor
from buntime.core.apps.key import Key
from buntime.core.apps.manifest import KEYS, Manifest, manifest_from
from buntime.core.sandbox.plan import LEVELS
from buntime.core.values.frozen import frozen
from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.units import BadValue

_BY_API = "set by the API"
_OPENNESS = ("internal", "protected", "public")


def _least(ours: Any, theirs: Any) -> Any:
    """The lower limit; None means no limit."""
    return min((each for each in (ours, theirs) if each is not None), default=None)


def _stricter_sandbox(ours: Any, theirs: Any) -> Any:
    return max(ours, theirs, key=LEVELS.index)


def _less_visible(ours: Any, theirs: Any) -> Any:
    return min(ours, theirs, key=_OPENNESS.index)


def _stricter_auth(ours: Any, theirs: Any) -> Any:
    return min(ours, theirs, key=AUTHS.index)


def _in_both(ours: tuple[str, ...], theirs: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(path for path in theirs if path in ours)


def _operators(ours: Any, theirs: Any) -> Any:
    return ours


def _each_name(ours: Mapping[str, str], theirs: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType({**theirs, **ours})


def _secrets(ours: Mapping[str, bool], theirs: Mapping[str, bool]) -> Mapping[str, bool]:
    """The secrets that the operator names. One that either side keeps out of the environment stays
    out."""
    return MappingProxyType(
        {name: shown and theirs.get(name, True) for name, shown in ours.items()}
    )


# By key: how the operator's value and the manifest's combine.
TAKES: Mapping[str, Callable[[Any, Any], Any]] = {
    # the stricter one
    "sandbox": _stricter_sandbox,
    "write": _in_both,
    "visibility": _less_visible,
    "auth": _stricter_auth,
    "maxBodySize": _least,
    "maxMemory": _least,
    "maxAddressSpace": _least,
    "maxFileSize": _least,
    "maxProcesses": _least,
    "dataMax": _least,
    "memoryMax": _least,
    "cpuMax": _least,
    "pidsMax": _least,
    # the operator's
    "user": _operators,
    "python": _operators,
    "hosts": _operators,
    "secrets": _secrets,
    "env": _each_name,
    "workers": _operators,
    "concurrency": _operators,
    "prewarm": _operators,
    "keep": _operators,
    "nice": _operators,
    "timeout": _operators,
    "ttl": _operators,
    "idleTimeout": _operators,
    "maxRequests": _operators,
}
_OPERATORS_WORD = {
    "user": "the user that the app runs as; the manifest cannot change it",
    "secrets": "the secrets that it gets, instead of those that the manifest names",
    "env": "variables in addition to the manifest's, which they override",
    "write": "of the paths that the manifest names, only these",
    "hosts": "its hosts, instead of the manifest's; moves them here from another app",
}
ROW_KEYS: Mapping[str, Key] = {key.name: key for key in KEYS if key.name in TAKES}
_GLOB = regex(r"[@A-Za-z0-9_~*][@/\w.~*-]{0,199}", re.ASCII)


class Word(NamedTuple):
    """What a row sets for one key, and where: "/etc/buntime/buntime.config.yaml:4"."""

    value: Any
    place: str


@frozen()
class Row:
    """What the file sets for the apps that a glob covers."""

    glob: str
    words: Mapping[str, Word]  # by key


@frozen()
class Floors:
    """All rows, in order."""

    rows: tuple[Row, ...] = ()

    def words_for(self, app: str) -> list[tuple[str, Word]]:
        """The keys that are set for an app, with what is set, in order."""
        return [each for row in self.rows if covers(row.glob, app) for each in row.words.items()]

    def says(self, app: str, key: str) -> bool:
        """Whether a row sets this key for the app."""
        return any(name == key for name, _ in self.words_for(app)) if self.rows else False

    def applied(self, manifest: Manifest, app: str, *, by_api: bool = False) -> Manifest:
        """The manifest of an app, "@acme/shop", as changed by the rows; its `floors` list the
        changes.

        `by_api`: the app came by the API. Raises ManifestError where the resulting keys contradict
        each other.
        """
        words = self.words_for(app)
        if by_api and not any(name == "sandbox" for name, _ in words):
            words.append(("sandbox", Word("standard", _BY_API)))
        if not words:
            return manifest
        made, floors = manifest, {}
        for name, word in words:
            field = ROW_KEYS[name].field
            value = TAKES[name](word.value, getattr(made, field))
            made = replace(made, **{field: value})
            floors[name] = Floor(name, _dumped(name, manifest), _dumped(name, made), word.place)
        given = {ROW_KEYS[name].field: getattr(made, ROW_KEYS[name].field) for name, _ in words}
        places = ", ".join(dict.fromkeys(word.place for _, word in words))
        made, _ = manifest_from(given, path=places, default=made, body_max=_NO_BOUND)
        return replace(
            made,
            floors=tuple(each for each in floors.values() if each.was != each.now),
            is_user_fixed="user" in floors,
        )


NO_FLOORS = Floors()
_NO_BOUND = 1 << 62


def meaning_of(name: str) -> str:
    """What it means for a row to set a key, for the docs."""
    usual = "the stricter of this and the manifest's counts"
    if TAKES[name] is _operators:
        usual = "instead of the manifest's"
    return _OPERATORS_WORD.get(name, usual)


def parse_word(name: str, value: object, place: str) -> Word:
    """What a row sets for a key. Raises BadValue."""
    parsed = ROW_KEYS[name].parse(value)
    return Word(parsed, place)


def check_glob(glob: str) -> str:
    """Raises BadValue where the glob can cover no app."""
    if not _GLOB.fullmatch(glob):
        raise BadValue("write the name of an app, in which * stands for any characters")
    return glob


def _dumped(name: str, manifest: Manifest) -> object:
    key = ROW_KEYS[name]
    value = getattr(manifest, key.field)
    return None if value is None else key.dump(value)
