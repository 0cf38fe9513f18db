"""The options that operators have set while the runtime was running, as they are stored.

    {"keyval": {"mode":  {"value": "fast", "by": "key laptop", "at": "2026-11-26T17:32:04Z"},
                "token": {"value": "...", "by": ..., "at": ..., "isSecret": true}}}

Each time options are resolved, stored values are checked against the plugin's schema again.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType

from buntime.core.apps.router import is_app_name
from buntime.core.values.tuples import NamedTuple

SIZE_MAX_BYTES = 8 * 1024 * 1024  # of the file
_WHO_MAX_CHARS = 200


class Kept(NamedTuple):
    """The value that an operator has set for an option."""

    value: object
    by: str  # "key laptop"
    at: str  # "2026-11-26T17:32:04Z"
    is_secret: bool = False

    def __repr__(self) -> str:
        return f"Kept(by {self.by} at {self.at})"  # the value may be a password

    @property
    def origin(self) -> str:
        return f"an operator ({self.by}) at {self.at}"


OfPlugin = Mapping[str, Kept]  # by option
KeptOptions = Mapping[str, OfPlugin]  # by plugin
NONE: OfPlugin = MappingProxyType({})
NOTHING: KeptOptions = MappingProxyType({})


def changed(
    kept: OfPlugin, changes: Mapping[str, object], secrets: frozenset[str], by: str, at: str
) -> OfPlugin:
    """The options of a plugin after an operator's changes; None removes what was set.

    `secrets` are the names of options that are passwords.
    """
    others = {name: each for name, each in kept.items() if name not in changes}
    by = by[:_WHO_MAX_CHARS]
    set_now = {
        name: Kept(value, by, at, name in secrets)
        for name, value in changes.items()
        if value is not None
    }
    return {**others, **set_now}


def parse_kept(data: bytes) -> KeptOptions:
    """Read a file's content. Raises ValueError, whose message never shows an option's value."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(content, dict):
        raise ValueError("it is not a mapping of plugins")
    return {name: _of_plugin(name, each) for name, each in content.items()}


def dump_kept(kept: KeptOptions, *, has_secrets: bool = True) -> bytes:
    """A file's content; without `has_secrets` it has no passwords."""
    data = {
        plugin: {
            name: _dump(each) for name, each in options.items() if has_secrets or not each.is_secret
        }
        for plugin, options in kept.items()
    }
    return json.dumps({name: each for name, each in data.items() if each}, indent=1).encode("ascii")


def without_secrets(data: bytes) -> bytes:
    """The same file without passwords. Raises ValueError."""
    return dump_kept(parse_kept(data), has_secrets=False)


def _of_plugin(plugin: str, content: object) -> OfPlugin:
    if not is_app_name(plugin) or not isinstance(content, dict):
        raise ValueError(f"{plugin[:200]!r} is not a plugin with options")
    return {name: _kept(plugin, name, each) for name, each in content.items()}


def _kept(plugin: str, name: str, fields: object) -> Kept:
    if not isinstance(fields, dict) or fields.get("value") is None:
        raise ValueError(f"{name[:200]!r} of {plugin} has no value")
    by, at = str(fields.get("by", "")), str(fields.get("at", ""))
    return Kept(fields["value"], by, at, fields.get("isSecret") is True)


def _dump(kept: Kept) -> dict[str, object]:
    fields: dict[str, object] = {"value": kept.value, "by": kept.by, "at": kept.at}
    return fields | ({"isSecret": True} if kept.is_secret else {})
