"""Checks what callers send, because they may be hostile. Each function raises ServiceError."""

from __future__ import annotations

from typing import Any

from buntime.tuples import KEY_MAX_BYTES, decode
from keyval.errors import invalid
from keyval.limits import QUEUE_NAME_MAX, TIME_MAX_S

VERSION_MAX = 2**63 - 1


def shown(value: Any) -> str:
    """A value for an error message, or its type if it is long."""
    if value is None or isinstance(value, (bool, float)):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if value.bit_length() < 200 else "a number of many digits"
    is_short = isinstance(value, (str, bytes)) and len(value) < 50
    return repr(value) if is_short else f"a {type(value).__name__}"


def a_key(value: Any) -> bytes:
    """A key, encoded."""
    if not isinstance(value, bytes):
        raise invalid(f"a key must be encoded by buntime.tuples, not {type(value).__name__}")
    try:
        key = decode(value)
    except ValueError as exc:
        raise invalid(str(exc)) from None
    if not key:
        raise invalid("a key has at least one element")
    return value


def a_bound(value: Any) -> bytes:
    """A bound of a range of keys."""
    if not isinstance(value, bytes) or len(value) > KEY_MAX_BYTES + 1:
        raise invalid("the bounds of a range are bytes, like encoded keys")
    return value


def a_list(value: Any, what: str, most: int) -> list[Any]:
    """A list with a maximum number of items. Raises ServiceError."""
    if not isinstance(value, list) or len(value) > most:
        raise invalid(f"{what} are a list of at most {most}")
    return value


def an_int(value: Any, what: str, least: int, most: int) -> int:
    """A whole number within these bounds. Raises ServiceError."""
    if type(value) is not int or not least <= value <= most:
        raise invalid(f"{what} is a whole number from {least} to {most}, not {shown(value)}")
    return value


def seconds(value: Any, what: str, least: float = 0.0) -> float:
    """A time in seconds, at least `least`. Raises ServiceError."""
    if type(value) not in (int, float) or not least <= value <= TIME_MAX_S:
        raise invalid(f"{what} is a number of seconds from {least:g} to {TIME_MAX_S:g}")
    return float(value)


def optional_seconds(value: Any, what: str) -> float | None:
    """The same, or None."""
    return None if value is None else seconds(value, what)


def a_version(value: Any) -> int | None:
    """The value of only_if: None for anything, 0 for a missing key."""
    return None if value is None else an_int(value, "a version", 0, VERSION_MAX)


def a_name(value: Any, what: str = "a queue") -> str:
    """The name of a queue or the like. Raises ServiceError."""
    if not isinstance(value, str) or not 0 < len(value) <= QUEUE_NAME_MAX:
        raise invalid(f"the name of {what} is a text of 1 to {QUEUE_NAME_MAX} characters")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise invalid(f"the name of {what} has a lone surrogate")
    return value


def a_text(value: Any, what: str, most: int) -> str:
    """A text of limited length; the rest is cut off, lone surrogates are replaced."""
    if not isinstance(value, str):
        raise invalid(f"{what} is text, not {type(value).__name__}")
    return value[:most].encode("utf-8", "replace").decode("utf-8")
