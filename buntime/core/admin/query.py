"""Reads a request's query by its route: `"limit=5&dryRun=1"`."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from buntime.core.admin.route import Param, Route, Schema
from buntime.core.admin.shape import read_shape
from buntime.core.errors import ClientFault
from buntime.core.values.regex import regex
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown, suggestion

_FIELDS_MAX = 50
_NUMBER = regex(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?", re.ASCII)
_WORDS = {"1": True, "true": True, "0": False, "false": False}


def read_query(route: Route, raw: str) -> dict[str, Any]:
    """The value of each parameter of the route; its default or None where it is not given.

    Raises ClientFault (400) that names what is unknown, given twice, missing, or wrong.
    """
    params = {param.name: param for param in route.params}
    values = {name: param.schema.get("default") for name, param in params.items()}
    given = {} if route.takes_any_query else _given(raw)
    for name, text in given.items():
        param = params.get(name)
        if param is None:
            raise _unknown(name, params)
        values[name] = _read(param, text)
    for name, param in params.items():
        if param.required and name not in given:
            raise _bad(f"the query parameter {name} is missing: {param.meaning}")
    return values


def _given(raw: str) -> dict[str, str]:
    if not raw:
        return {}
    try:
        pairs = parse_qsl(
            raw,
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_FIELDS_MAX,
        )
    except ValueError:  # an escape that is not UTF-8, "&&", a word without "=", too many
        raise _bad("the query cannot be read: write name=value&name=value, in UTF-8") from None
    given = dict(pairs)
    if len(given) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _bad(f"the query parameter {shown(twice)} is given twice; give it once")
    return given


def _read(param: Param, text: str) -> Any:
    try:
        return read_shape(_typed(text, param.schema), param.schema)
    except BadValue as exc:
        raise _bad(f"the query parameter {param.name}: {exc}") from None


def _typed(text: str, schema: Schema) -> object:
    """The text as the schema's type; unchanged where it is not of that type, for the message."""
    kind = schema.get("type")
    if kind == "boolean":
        return _WORDS.get(text.lower(), text)
    if kind in ("integer", "number") and _NUMBER.fullmatch(text):
        return float(text) if "." in text else int(text)
    if kind == "string" and not text.isprintable():
        raise BadValue("it has characters that cannot be printed")
    return text


def _unknown(name: str, params: Mapping[str, Param]) -> ClientFault:
    known = ", ".join(params) or "none"
    meant = suggestion(name, list(params))
    return _bad(f"unknown query parameter {shown(name)}{meant} (this page takes {known})")


def _bad(message: str) -> ClientFault:
    return ClientFault(400, "bad_query", message)
