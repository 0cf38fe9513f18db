"""Reads a value by a JSON Schema, of which these words are known: type (or a list of types),
properties, required, additionalProperties, items, enum, minimum, maximum, minLength, maxLength,
minItems, maxItems, pattern. `{}` is anything. Errors about a `writeOnly` value, a secret, do not
show what was sent.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from buntime.core.admin.route import Schema
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown, suggestion, unknown_key

_TYPES: Mapping[str, Callable[[object], bool]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
}


def read_shape(value: Any, schema: Schema, where: str = "") -> Any:
    """The value in the schema's types: 2.0 becomes the integer 2. Raises BadValue that says where.

    `where` goes in front of the message: "roles[0]".
    """
    if not schema:
        return value
    value = _typed(value, schema, where)
    if "enum" in schema and value not in schema["enum"]:
        known = [str(each) for each in schema["enum"]]
        may_show = isinstance(value, str) and not schema.get("writeOnly")
        meant = suggestion(value, known) if may_show else ""
        raise _bad(where, f"{_described(value, schema)} is not one of {', '.join(known)}{meant}")
    if isinstance(value, str):
        _check_size(len(value), schema, "Length", "characters", where)
        if "pattern" in schema and not re.search(schema["pattern"], value, re.ASCII):
            raise _bad(where, f"{_described(value, schema)} does not match {schema['pattern']}")
    elif isinstance(value, list):
        _check_size(len(value), schema, "Items", "entries", where)
        each = schema.get("items", {})
        return [read_shape(item, each, f"{where}[{n}]") for n, item in enumerate(value)]
    elif isinstance(value, dict):
        return _read_object(value, schema, where)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if value < schema.get("minimum", value):
            raise _bad(where, f"{_described(value, schema)} is less than {schema['minimum']}")
        if value > schema.get("maximum", value):
            raise _bad(where, f"{_described(value, schema)} is more than {schema['maximum']}")
    return value


def _typed(value: Any, schema: Schema, where: str) -> Any:
    types = schema.get("type")
    if types is None:
        return value
    types = [types] if isinstance(types, str) else types
    if "integer" in types and isinstance(value, float) and value.is_integer():
        value = int(value)
    if not any(_TYPES[each](value) for each in types):
        raise _bad(where, f"{_described(value, schema)} is not {_article(' or '.join(types))}")
    return value


def _read_object(value: dict[str, Any], schema: Schema, where: str) -> dict[str, Any]:
    known = schema.get("properties", {})
    for key in schema.get("required", ()):
        if key not in value:
            raise _bad(where, f"{key} is missing")
    others = schema.get("additionalProperties", True)
    checked = {}
    for key, each in value.items():
        if key not in known and others is False:
            if schema.get("writeOnly"):  # the key itself may be part of a secret
                raise _bad(where, f"unknown key (allowed are {', '.join(known)})")
            raise _bad(where, unknown_key(key, known))
        part = known.get(key, others if isinstance(others, Mapping) else {})
        checked[key] = read_shape(each, part, f"{where}.{key}" if where else key)
    return checked


def _check_size(size: int, schema: Schema, what: str, unit: str, where: str) -> None:
    least, most = schema.get(f"min{what}", 0), schema.get(f"max{what}")
    if size < least:
        raise _bad(where, f"{size} {unit} are too few; at least {least}")
    if most is not None and size > most:
        raise _bad(where, f"{size} {unit} are too many; at most {most}")


def _article(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def _described(value: object, schema: Schema) -> str:
    return "what was sent" if schema.get("writeOnly") else shown(value)


def _bad(where: str, what: str) -> BadValue:
    return BadValue(f"{where}: {what}" if where else what)
