"""The values of a plugin's options, and where each comes from.

    1. what an operator has set while the runtime was running
    2. the variable that the schema names with `env`, if it is set
    3. what the config file says under `plugins.NAME.options`
    4. the schema's default

A wrong value is an error; the next source in the list never replaces it, because doing half of what
was asked is worse than doing nothing. Passwords are never shown, not even in messages.
"""

import json
from collections.abc import Mapping
from dataclasses import field

from buntime.core.plugins.keptoptions import NONE, Kept, OfPlugin
from buntime.core.plugins.schema import OptionKind, Schema
from buntime.core.values.frozen import frozen
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.units import BadValue
from buntime.core.values.wording import unknown_key

_SIZE_MAX_BYTES = 256 * 1024  # of all values as JSON: they are sent in one line of the channel
_HIDDEN = "********"
_NOT_SET = "not set"


class Given(NamedTuple):
    """What the config file says about an option, and where: "/etc/buntime.config.yaml:7"."""

    value: object
    place: str

    def __repr__(self) -> str:
        return f"Given({self.place})"  # the value may be a password


@frozen()
class Option:
    """The value of one option that is in effect. `origin` is "an operator (key laptop) at
    2026-11-26T17:32:04Z", "env KEYVAL_PATH", a place in the config file, "default" or "not set".
    """

    kind: OptionKind
    value: object = field(repr=False)
    origin: str

    @property
    def shown(self) -> object:
        """The value for the panel, the API and `config show`."""
        return _HIDDEN if self.kind.is_secret and self.value is not None else self.value

    def dump(self) -> dict[str, object]:
        """As JSON, without secrets."""
        return {"name": self.kind.name, "value": self.shown, "origin": self.origin}


@frozen()
class Options:
    """All options of a plugin. They must not be used if there are faults or lacks."""

    options: tuple[Option, ...]
    faults: tuple[str, ...] = ()  # in the config file
    lacks: tuple[str, ...] = ()  # wrong variables, and required options that are set nowhere
    secrets: tuple[str, ...] = ()  # places of passwords in the config file

    @property
    def problems(self) -> tuple[str, ...]:
        return self.faults + self.lacks

    def values(self) -> dict[str, object]:
        """The plugin's `plugin.config`: None for options that are not set. Includes secrets."""
        return {option.kind.name: option.value for option in self.options}


def resolve(
    schema: Schema,
    given: Mapping[str, Given],
    environ: Mapping[str, str],
    *,
    where: str,
    kept: OfPlugin = NONE,
) -> Options:
    """The options of a plugin. `given` is what the config file says at `where`, which is for
    messages: "plugins.keyval.options". `kept`, which operators have set, may contain options that
    the schema no longer has; they apply again if it gets them back.
    """
    faults = [
        f"{each.place}: {where}: {unknown_key(name, schema, 'option')}"
        for name, each in given.items()
        if name not in schema
    ]
    lacks: list[str] = []
    options = []
    for name, kind in schema.items():
        of_file = _of_file(kind, given.get(name), where, faults)
        option = (
            _of_operator(kind, kept.get(name), where, lacks)
            or _of_variable(kind, environ, lacks)
            or of_file
            or _default(kind)
        )
        if kind.required and (option.origin == _NOT_SET or option.value == ""):
            variable = f" or in the variable {kind.env}" if kind.env else ""
            lacks.append(f"{where}.{name} is required; set it in the config file{variable}")
        options.append(option)
    if len(json.dumps([option.value for option in options])) > _SIZE_MAX_BYTES:
        too_long = f"{where}: they have more than {_SIZE_MAX_BYTES >> 10} KiB together"
        (faults if given else lacks).append(too_long)
    secrets = [
        each.place
        for name, each in given.items()
        if name in schema and schema[name].is_secret and each.value
    ]
    return Options(tuple(options), tuple(faults), tuple(lacks), tuple(secrets))


def _of_operator(
    kind: OptionKind, kept: Kept | None, where: str, lacks: list[str]
) -> Option | None:
    if kept is None:
        return None
    try:
        if kept.is_secret and not kind.is_secret:
            raise BadValue(
                "it was set as a password, but the option is not one any more; set it again"
            )
        return Option(kind, kind.parse(kept.value), kept.origin)
    except BadValue as exc:
        lacks.append(f"{where}.{kind.name}, set by {kept.origin}: {exc}")
        return Option(kind, None, kept.origin)


def _of_variable(kind: OptionKind, environ: Mapping[str, str], lacks: list[str]) -> Option | None:
    if kind.env is None or kind.env not in environ:
        return None
    origin = f"env {kind.env}"
    try:
        return Option(kind, kind.read(environ[kind.env]), origin)
    except BadValue as exc:
        lacks.append(f"{origin}: {exc}")
        return Option(kind, None, origin)


def _of_file(kind: OptionKind, given: Given | None, where: str, faults: list[str]) -> Option | None:
    """Checked even where a variable is used instead."""
    if given is None or given.value is None:
        return None
    try:
        return Option(kind, kind.parse(given.value), given.place)
    except BadValue as exc:
        faults.append(f"{given.place}: {where}.{kind.name}: {exc}")
        return Option(kind, None, given.place)


def _default(kind: OptionKind) -> Option:
    return Option(kind, kind.default, _NOT_SET if kind.default is None else "default")
