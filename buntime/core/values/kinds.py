"""Kinds of values in settings and manifests: each one checks a value and converts it.

A parser raises BadValue; the caller knows which key or variable it was, and where.
"""

import re
from collections.abc import Callable
from typing import Any

from buntime.core.values.units import (
    BadValue,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)
from buntime.core.values.wording import shown, suggestion

Parser = Callable[[Any], Any]  # from a YAML or environment value to a field's value


def whole_number(minimum: int, maximum: int | None = None) -> Parser:
    """An int within the limits, and nothing that merely looks like one."""
    bounds = f"{minimum} or more" if maximum is None else f"from {minimum} to {maximum}"

    def parse(value: Any) -> int:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if not is_whole or value < minimum or (maximum is not None and value > maximum):
            raise BadValue(f"{shown(value)} is not allowed; write a whole number, {bounds}")
        return int(value)

    return parse


def duration(*, may_be_zero: bool = False) -> Parser:
    """Seconds as a float, see `parse_duration`."""

    def parse(value: int | float | str) -> float:
        seconds = parse_duration(value)
        if seconds == 0 and not may_be_zero:
            raise BadValue(f"{shown(value)} is too short; write more than {format_duration(0)}")
        return seconds

    return parse


def size(minimum_bytes: int, maximum_bytes: int | None = None) -> Parser:
    """Bytes, see `parse_size`."""

    def parse(value: int | str) -> int:
        size_bytes = parse_size(value)
        if size_bytes < minimum_bytes:
            least = format_size(minimum_bytes)
            raise BadValue(f"{shown(value)} is too small; write {least} or more")
        if maximum_bytes is not None and size_bytes > maximum_bytes:
            most = format_size(maximum_bytes)
            raise BadValue(f"{shown(value)} is too large; write {most} or less")
        return size_bytes

    return parse


def yes_or_no(value: object) -> bool:
    """A YAML boolean; the text "true" does not count."""
    if not isinstance(value, bool):
        raise BadValue(f"{shown(value)} is neither true nor false; write one of them")
    return value


def user_name(value: object) -> str:
    """A user of the operating system: `"nobody"`, `"1000:1000"`."""
    form = r"[0-9]{1,9}:[0-9]{1,9}|[A-Za-z_][A-Za-z0-9_.-]*\$?"
    if not isinstance(value, str) or not re.fullmatch(form, value):
        raise BadValue(f"{shown(value)} is not a user; write a name, or numbers like 1000:1000")
    return value


def one_of(*words: str) -> Parser:
    """One of a few words, in upper or lower case: `"INFO"` -> "info"."""
    allowed = f"{', '.join(words[:-1])} or {words[-1]}"

    def parse(value: object) -> str:
        word = value.strip().lower() if isinstance(value, str) else ""
        if word not in words:
            meant = suggestion(word, words)
            raise BadValue(f"{shown(value)} is not one of {allowed}{meant}")
        return word

    return parse
