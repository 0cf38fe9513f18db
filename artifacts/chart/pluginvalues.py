"""Values of the plugins that come with Buntime: `plugins.keyval.options.spaces`.

They go into the config file, in a ConfigMap. Passwords go into no file: the value names a Secret,
and the pod gets the variable that the option names.
"""

from pathlib import Path

import yaml

from artifacts.chart.rows import FLAG, KEY_IN_SECRET, NAME, Row, Schema, Section, or_empty
from buntime.core.plugins.schema import OptionKind, parse_schema

_TYPES = {"string": "string", "boolean": "boolean", "array": "array", "object": "object"}


def plugin_sections(folder: Path) -> tuple[Section, ...]:
    """A section for each plugin below `folder`."""
    return tuple(_section(manifest) for manifest in sorted(folder.glob("*/buntime.yaml")))


def passwords(folder: Path) -> list[tuple[str, str, str]]:
    """Plugin, option and variable of each password: `("authn", "clientSecrets", "AUTHN_…")`."""
    found = []
    for manifest in sorted(folder.glob("*/buntime.yaml")):
        name, kinds = _read(manifest)
        found += [(name, kind.name, kind.env or "") for kind in kinds if kind.is_secret]
    return found


def _read(manifest: Path) -> tuple[str, list[OptionKind]]:
    said = yaml.safe_load(manifest.read_text("utf-8"))
    return said["name"], [*parse_schema(said.get("config", {})).values()]


def _section(manifest: Path) -> Section:
    name, kinds = _read(manifest)
    path = f"plugins.{name}"
    switch = Row(
        f"{path}.enabled", "", or_empty(FLAG), f"whether {name} runs; default: as its manifest says"
    )
    rows = [switch]
    for kind in kinds:
        rows += _rows(f"{path}.options.{kind.name}", kind)
    return Section(f"Plugin {name}", tuple(rows))


def _rows(path: str, kind: OptionKind) -> list[Row]:
    meaning = kind.label + (f": {kind.description}" if kind.description else "")
    if kind.is_secret:
        if kind.env is None:
            raise ValueError(f"{path} is a password that no variable says; give it an env")
        return [
            Row(f"{path}.secret", "", or_empty(NAME), f"Secret with it. {meaning}"),
            Row(f"{path}.key", "value", KEY_IN_SECRET, "its key there"),
        ]
    default = "" if kind.default is None else f"; default: {kind.default}"
    return [
        Row(path, "", _schema(kind), meaning + ("" if kind.default in ([], {}, "") else default))
    ]


def _schema(kind: OptionKind) -> Schema:
    if kind.type == "enum":
        return {"enum": ["", *kind.options]}
    if kind.type == "number":
        bounds = {"minimum": kind.min, "maximum": kind.max}
        given = {key: value for key, value in bounds.items() if value is not None}
        return or_empty({"type": "number", **given})
    made = {"type": _TYPES[kind.type]}
    return made if kind.type == "string" else or_empty(made)


def keepers(folder: Path) -> list[str]:
    """Plugins that keep data, for which they need state."""
    said = (
        yaml.safe_load(each.read_text("utf-8")) for each in sorted(folder.glob("*/buntime.yaml"))
    )
    return [str(manifest["name"]) for manifest in said if manifest.get("data")]
