"""The value in effect for each key of an app's manifest, and where it comes from."""

from collections.abc import Mapping
from typing import Any

from buntime.core.apps.manifest import KEYS, Manifest, to_config

DEFAULT, MANIFEST, OPERATOR = "default", "manifest", "operator"


def settings_of(manifest: Manifest, source: str, lines: Mapping[str, int]) -> list[dict[str, Any]]:
    """`[{"key": "ttl", "value": 3600, "origin": "manifest", "place": "buntime.yaml:3"}, ...]`

    `lines` are those of the keys in the file `source`. Variables are shown by name only. A key that
    an operator has changed also has `was`, the manifest's value.
    """
    by_operator = {floor.key: floor for floor in manifest.floors}
    entries = []
    for name, value in to_config(manifest).items():
        entry: dict[str, Any] = {"key": name, "value": _shown(name, value)}
        floor = by_operator.get(name)
        if floor is not None:
            entry |= {"origin": OPERATOR, "place": floor.place, "was": _shown(name, floor.was)}
        elif name in lines:
            entry |= {"origin": MANIFEST, "place": f"{source}:{lines[name]}", "was": None}
        else:
            entry |= {"origin": DEFAULT, "place": None, "was": None}
        entries.append(entry | {"meaning": _MEANINGS[name]})
    return entries


_MEANINGS = {key.name: key.meaning for key in KEYS}


def _shown(name: str, value: object) -> object:
    if name == "env":
        return sorted(value) if isinstance(value, Mapping | list | tuple) else []
    return value
