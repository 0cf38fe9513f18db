"""Reads JSON that a client sent: no repeated keys, no NaN, no lone surrogates."""

import json
from typing import Any, NoReturn

from buntime.core.admin.route import Schema
from buntime.core.admin.shape import read_shape
from buntime.core.errors import ClientFault
from buntime.core.values.units import BadValue


def read_json(body: bytes, schema: Schema) -> Any:
    """What the body says, checked by the schema. Raises ClientFault (400)."""
    try:
        value = json.loads(
            body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # fails for a lone surrogate
    except BadValue as exc:
        raise _bad(str(exc)) from None
    except (ValueError, RecursionError):
        raise _bad("it is not JSON in UTF-8") from None
    try:
        return read_shape(value, schema)
    except BadValue as exc:
        raise _bad(str(exc)) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise BadValue("an object has the same key twice")
    return fields


def _no_constant(word: str) -> NoReturn:
    raise BadValue(f"{word} is not a number that JSON can hold")


def _bad(message: str) -> ClientFault:
    return ClientFault(400, "bad_body", f"the body of the request: {message}")
