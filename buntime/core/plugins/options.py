"""The values of a plugin's options, and where each comes from.

    1. the variable that the schema names with `env`, where it is set
    2. what the config file says under `plugins.NAME`
    3. the schema's default

A wrong value is a problem and never replaced by the next one in that list: half of what was asked
for is worse than none. Values of passwords are shown nowhere, also not in messages.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from buntime.core.plugins.schema import OptionKind, Schema
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown, suggestion

_SIZE_MAX_BYTES = 256 * 1024  # of all values as JSON: they travel in one line of the channel
_HIDDEN = "********"


@dataclass(frozen=True)
class Option:
    """One option as it holds. `origin` is "env KEYVAL_PATH", the file, "default" or "not set"."""

    kind: OptionKind
    value: object = field(repr=False)
    origin: str

    @property
    def shown(self) -> object:
        """For the panel, the API and `config show`."""
        return _HIDDEN if self.kind.is_secret and self.value is not None else self.value

    def dump(self) -> dict[str, object]:
        """As JSON, without what is secret."""
        return {"name": self.kind.name, "value": self.shown, "origin": self.origin}


@dataclass(frozen=True)
class Options:
    """All options of a plugin. With `problems` they are not to be used."""

    options: tuple[Option, ...]
    problems: tuple[str, ...]

    def values(self) -> dict[str, object]:
        """What the plugin gets as `plugin.config`: None where nothing is set. Secrets included."""
        return {option.kind.name: option.value for option in self.options}


def resolve(
    schema: Schema, given: Mapping[str, object], environ: Mapping[str, str], *, place: str
) -> Options:
    """The options of a plugin. `given` stands in the config file at `place`, which is for messages:
    "buntime.config.yaml: plugins.keyval".
    """
    problems = [
        f"{place}: unknown option {shown(name)}{suggestion(name, schema)} "
        f"({'allowed are ' + ', '.join(schema) if schema else 'this plugin has none'})"
        for name in given
        if name not in schema
    ]
    options = [_option(kind, given, environ, place, problems) for kind in schema.values()]
    if len(json.dumps([option.value for option in options])) > _SIZE_MAX_BYTES:
        problems.append(f"{place}: the options have more than {_SIZE_MAX_BYTES >> 10} KiB together")
    return Options(tuple(options), tuple(problems))


def _option(
    kind: OptionKind,
    given: Mapping[str, object],
    environ: Mapping[str, str],
    place: str,
    problems: list[str],
) -> Option:
    origin, value = "not set", None
    try:
        if kind.env is not None and kind.env in environ:
            origin = f"env {kind.env}"
            value = kind.read(environ[kind.env])
        elif given.get(kind.name) is not None:
            origin = place
            value = kind.parse(given[kind.name])
        elif kind.default is not None:
            origin, value = "default", kind.default
    except BadValue as exc:
        problems.append(f"{origin}.{kind.name}: {exc}" if origin == place else f"{origin}: {exc}")
        return Option(kind, None, origin)
    if kind.required and value is None:
        where = f" or the variable {kind.env}" if kind.env else ""
        problems.append(f"{place}: {kind.name} is needed; set it there{where}")
    return Option(kind, value, origin)
