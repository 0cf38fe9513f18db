"""Durations and sizes as people write them: `"30s"` -> 30.0, `"10mb"` -> 10485760, and back.

Settings and manifests share these. A number without a unit means seconds, or bytes.
"""

import re
from typing import TypeGuard

from buntime.core.values.regex import regex
from buntime.core.values.wording import shown

DURATION_FORMS = 'seconds, or "500ms", "30s", "5m", "1h", "2d", "1w"'
SIZE_FORMS = 'bytes, or "64kb", "10mb", "1gb"'

# In milliseconds, so that every unit is a whole number; largest first, for `format_duration`.
_DURATION_UNITS_MS = {
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
    "ms": 1,
}
_SIZE_UNITS_BYTES = {"gb": 1 << 30, "mb": 1 << 20, "kb": 1 << 10, "b": 1}

# At most 15 digits: a float holds these exactly, and they convert quickly.
_NUMBER = r"([0-9]{1,15})(?:\.([0-9]{1,9}))?\s*"
_LARGEST = 10**15
_DURATION = regex(_NUMBER + "(ms|[smhdw]|)", re.IGNORECASE | re.ASCII)
_SIZE = regex(_NUMBER + "([kmg]?b|)", re.IGNORECASE | re.ASCII)


class BadValue(ValueError):
    """A value is not of its kind; the message shows the value and says what is allowed."""


def parse_duration(value: int | float | str) -> float:
    """Seconds: `"500ms"` -> 0.5, `"2d"` -> 172800.0, `30` -> 30.0, `"1.5"` -> 1.5.

    Raises BadValue.
    """
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        whole, fraction, unit = match.groups("0")
        amount = float(f"{whole}.{fraction}")
        unit_ms = _DURATION_UNITS_MS[unit.lower() or "s"]
        return amount * (unit_ms // 1000) if unit_ms >= 1000 else amount / 1000
    if _is_number(value) and 0 <= value < _LARGEST:
        return float(value)
    raise BadValue(f"{shown(value)} is not a duration; write {DURATION_FORMS}")


def format_duration(seconds: float) -> str:
    """The shortest exact form, for messages: 0.5 -> `"500ms"`, 90 -> `"90s"`, 172800 -> `"2d"`."""
    milliseconds = round(seconds * 1000)
    if milliseconds == 0 or milliseconds / 1000 != seconds:
        return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"
    unit = next(name for name, ms in _DURATION_UNITS_MS.items() if milliseconds % ms == 0)
    return f"{milliseconds // _DURATION_UNITS_MS[unit]}{unit}"


def parse_size(value: int | str) -> int:
    """Bytes, in steps of 1024: `"10mb"` -> 10485760, `"1.5kb"` -> 1536, `512` -> 512.

    Fractions of a byte are dropped. Raises BadValue.
    """
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        whole, fraction, unit = match.groups("")
        scale = _SIZE_UNITS_BYTES[unit.lower() or "b"]
        return int(whole + fraction) * scale // int(10 ** len(fraction))
    if _is_number(value) and isinstance(value, int) and 0 <= value < _LARGEST:
        return value
    raise BadValue(f"{shown(value)} is not a size; write {SIZE_FORMS}")


def format_size(size_bytes: int) -> str:
    """The shortest exact form, for messages: 10485760 -> `"10mb"`, 1000 -> `"1000b"`."""
    if size_bytes == 0:
        return "0b"
    unit = next(name for name, scale in _SIZE_UNITS_BYTES.items() if size_bytes % scale == 0)
    return f"{size_bytes // _SIZE_UNITS_BYTES[unit]}{unit}"


def _is_number(value: object) -> TypeGuard[int | float]:
    """Excludes True and False: they are numbers to Python, but mistakes in a file."""
    return isinstance(value, int | float) and not isinstance(value, bool)
