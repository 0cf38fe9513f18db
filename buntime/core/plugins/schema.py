"""The options of a plugin: the schema under `config` in its manifest.

    config:
      path:  {type: string, default: kv.db, env: KEYVAL_PATH, description: where the data is}
      mode:  {type: enum, options: [fast, safe], default: safe}
      token: {type: password, required: true}

`options` reads values by it. The schema itself, with its defaults, is checked with the manifest.
"""

import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from buntime.core.apps.manifestvalues import plain_text
from buntime.core.values.kinds import one_of, yes_or_no
from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown, suggestion, unknown_key

TYPES = ("string", "number", "boolean", "enum", "array", "password", "object")
PASSWORD = "password"
_BOUNDED = {"number": "", "string": " characters", "password": " characters", "array": " entries"}

_OPTIONS_MAX = 200
_NAME = regex(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_VARIABLE = regex(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_TYPE = one_of(*TYPES)
_NUMBER_MAX = 2**53
_HIDDEN = "the value"  # stands for a password in messages


class OptionKind(NamedTuple):
    """One option, as the schema describes it. `default` is None where there is none."""

    name: str
    type: str
    label: str = ""
    description: str = ""
    default: object = None
    required: bool = False
    min: float | None = None  # of a number; for a text or list, of its length
    max: float | None = None
    options: tuple[str | int | float, ...] = ()  # for an enum
    env: str | None = None  # the variable that sets it

    @property
    def is_secret(self) -> bool:
        return self.type == PASSWORD

    def dump(self) -> dict[str, object]:
        """As JSON, by the schema's keys, without what was not written."""
        fields = {
            **self._asdict(),
            "options": list(self.options),
            "required": self.required or None,
        }
        del fields["name"]
        return {key: value for key, value in fields.items() if value not in (None, "", [])}

    def parse(self, value: object) -> object:
        """A value of this kind from YAML or JSON. Raises BadValue."""
        return self._bounded(_PARSERS[self.type](self, value))

    def read(self, text: str) -> object:
        """A value of this kind from a variable's text: "1,2" is a list. Raises BadValue."""
        if self.type == "enum":
            return self.parse(next((each for each in self.options if str(each) == text), text))
        reader = _READERS.get(self.type)
        return self.parse(text if reader is None else reader(text))

    def shown(self, value: object) -> str:
        return _HIDDEN if self.is_secret else shown(value)

    def _bounded(self, value: object) -> object:
        size = value if isinstance(value, int | float) else None
        if isinstance(value, str | list) and self.type in _BOUNDED:
            size = len(value)
        if size is None or isinstance(value, bool):
            return value
        unit = _BOUNDED.get(self.type, "")
        if self.min is not None and size < self.min:
            raise BadValue(f"{self.shown(value)} is too small; write {self.min:g}{unit} or more")
        if self.max is not None and size > self.max:
            raise BadValue(f"{self.shown(value)} is too large; write {self.max:g}{unit} or less")
        return value


Schema = Mapping[str, OptionKind]


def parse_schema(value: object) -> Schema:
    """`config` as a manifest writes it. Raises BadValue."""
    if not isinstance(value, dict):
        raise BadValue(
            f"{shown(value)} is not a mapping; write one like {{path: {{type: string}}}}"
        )
    if len(value) > _OPTIONS_MAX:
        raise BadValue(f"{len(value)} options are too many; write {_OPTIONS_MAX} at most")
    return MappingProxyType({name: _named(name, given) for name, given in value.items()})


def dump_schema(schema: Schema) -> dict[str, object]:
    """The options as a manifest writes them, in JSON's types."""
    return {name: kind.dump() for name, kind in schema.items()}


def _named(name: str, given: object) -> OptionKind:
    if not _NAME.fullmatch(name):
        raise BadValue(f"{shown(name)} is not a name; use letters, digits, _ and -")
    try:
        return _kind(name, given)
    except BadValue as exc:
        raise BadValue(f"{name}: {exc}") from None


def _kind(name: str, given: object) -> OptionKind:
    if not isinstance(given, dict):
        raise BadValue(f"{shown(given)} is not a mapping; write one like {{type: string}}")
    known = [key for key in OptionKind._fields if key != "name"]
    for key in given:
        if key not in known:
            raise BadValue(unknown_key(key, known))
    if "type" not in given:
        raise BadValue(f"type is missing; write one of {', '.join(TYPES)}")
    written = {key: value for key, value in given.items() if value is not None}
    values = {key: _part(key, value) for key, value in written.items() if key != "default"}
    kind = OptionKind(name=name, **values)  # type: ignore[arg-type]  # each by its parser
    _check(kind, has_default="default" in written)
    if "default" not in written:
        return kind
    try:
        return kind._replace(default=kind.parse(written["default"]))
    except BadValue as exc:
        raise BadValue(f"default: {exc}") from None


def _check(kind: OptionKind, *, has_default: bool) -> None:
    """Check the parts of an option against each other."""
    if (kind.type == "enum") != bool(kind.options):
        raise BadValue("options go with type: enum, and an enum needs them; write [a, b]")
    if kind.type not in _BOUNDED and (kind.min is not None or kind.max is not None):
        raise BadValue(f"min and max are for {', '.join(_BOUNDED)}; remove them")
    if kind.min is not None and kind.max is not None and kind.min > kind.max:
        raise BadValue(f"min {kind.min:g} is above max {kind.max:g}")
    if kind.is_secret and has_default:
        raise BadValue("default: a manifest is not a place for a secret; remove it")


def _part(key: str, value: object) -> object:
    try:
        return _PARTS[key](value)
    except BadValue as exc:
        raise BadValue(f"{key}: {exc}") from None


def _choices(value: object) -> tuple[str | int | float, ...]:
    if not isinstance(value, list) or not value:
        raise BadValue(
            f"{shown(value)} is not a list with at least one entry; write one like [a, b]"
        )
    for each in value:
        if isinstance(each, bool) or not isinstance(each, str | int | float):
            raise BadValue(f"{shown(each)} is neither text nor a number")
    return tuple(dict.fromkeys(value))


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise BadValue(f"{shown(value)} is not a number")
    if not abs(value) <= _NUMBER_MAX:  # refuses NaN as well as infinity
        raise BadValue(f"{shown(value)} is not a number that JSON can hold")
    return value


def _variable(value: object) -> str:
    if not isinstance(value, str) or not _VARIABLE.fullmatch(value):
        raise BadValue(f"{shown(value)} is not a variable; use letters, digits and underscores")
    return value


def _words(value: object) -> str:
    return plain_text(value)


_PARTS: Mapping[str, Callable[[object], object]] = {
    "type": _TYPE,
    "label": _words,
    "description": _words,
    "required": yes_or_no,
    "min": _number,
    "max": _number,
    "options": _choices,
    "env": _variable,
}


# A value, by the type of its option


def _text(kind: OptionKind, value: object) -> object:
    if not isinstance(value, str) or "\0" in value:
        raise BadValue(f"{kind.shown(value)} is not text; put it in quotes")
    return value


def _choice(kind: OptionKind, value: object) -> object:
    if not isinstance(value, bool) and value in kind.options:
        return value
    known = [str(each) for each in kind.options]
    meant = suggestion(value, known) if isinstance(value, str) else ""
    raise BadValue(f"{shown(value)} is not one of {', '.join(known)}{meant}")


def _array(_: OptionKind, value: object) -> object:
    if not isinstance(value, list):
        raise BadValue(f"{shown(value)} is not a list; write one like [a, b]")
    return _jsonable(value)


def _mapping(_: OptionKind, value: object) -> object:
    if not isinstance(value, dict):
        raise BadValue(f"{shown(value)} is not a mapping; write one like {{a: b}}")
    return _jsonable(value)


def _jsonable(value: object) -> object:
    """YAML has dates, and Python has NaN, but a worker gets JSON."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        raise BadValue("something in it is not JSON, such as a date; put it in quotes") from None


_PARSERS: Mapping[str, Callable[[OptionKind, object], object]] = {
    "string": _text,
    "password": _text,
    "number": lambda _, value: _number(value),
    "boolean": lambda _, value: yes_or_no(value),
    "enum": _choice,
    "array": _array,
    "object": _mapping,
}


# A variable's text, by the type of its option


def _read_number(text: str) -> object:
    if not re.fullmatch(r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,15})?", text.strip(), re.ASCII):
        raise BadValue(f"{shown(text)} is not a number")
    return float(text) if "." in text else int(text)


def _read_boolean(text: str) -> object:
    word = text.strip().lower()
    if word not in ("true", "false", "1", "0", "yes", "no"):
        raise BadValue(f"{shown(text)} is neither true nor false; write one of them")
    return word in ("true", "1", "yes")


def _read_array(text: str) -> object:
    if text.lstrip().startswith("["):
        return _read_json(text)
    return [item.strip() for item in text.split(",") if item.strip()]


def _read_json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise BadValue(f"{shown(text)} is not JSON") from None


_READERS: Mapping[str, Callable[[str], object]] = {
    "number": _read_number,
    "boolean": _read_boolean,
    "array": _read_array,
    "object": _read_json,
}
