"""Values of settings, options and manifest keys as text, for commands that list them."""

import json
from typing import Any

from buntime.core.apps.manifestkeys import KEYS
from buntime.core.values.units import format_duration, format_size

_KINDS = {key.name: key.kind for key in KEYS}


def in_words(value: object) -> str:
    """`["a", "b"]` -> `"a, b"`, `{}` -> `"none"`, `{"a": 1}` -> `'{"a": 1}'`."""
    if value in (None, "", [], {}):
        return "none"
    match value:
        case str():
            return value
        case list() if all(isinstance(each, str) for each in value):
            return ", ".join(value)
    return json.dumps(value, ensure_ascii=False)


def key_in_words(name: str, value: Any) -> str:
    """A manifest key in JSON's types: `("maxMemory", 268435456)` -> `"256mb"`, `("ttl", 600.0)` ->
    `"10m"`, `("secrets", {"A": {"env": false}})` -> `"A"`."""
    kind = _KINDS.get(name, "")
    if isinstance(value, int | float) and not isinstance(value, bool):
        if kind.startswith("duration"):
            return format_duration(value)
        if kind == "size":
            return format_size(int(value))
    if name == "secrets" and isinstance(value, dict):
        return in_words(list(value))
    return in_words(value)
