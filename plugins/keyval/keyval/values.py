"""Values as they are stored: JSON as text in ASCII, or bytes."""

from __future__ import annotations

import json
from typing import Any

from keyval.errors import invalid
from keyval.limits import VALUE_MAX_BYTES

JSON, BYTES = 0, 1  # kinds

_text = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def stored(value: Any) -> tuple[int, bytes]:
    """The kind of a value and its bytes. Raises ServiceError."""
    if isinstance(value, (bytes, bytearray)):
        return BYTES, _bounded(bytes(value))
    try:
        text = _text(value)
    except (TypeError, ValueError, RecursionError) as exc:
        raise invalid(f"a value is JSON, or bytes alone: {exc}") from None
    return JSON, _bounded(text.encode("ascii"))


def loaded(kind: int, data: bytes) -> Any:
    """The value of these bytes."""
    return json.loads(data) if kind == JSON else data


def _bounded(data: bytes) -> bytes:
    if len(data) > VALUE_MAX_BYTES:
        raise invalid(f"a value of {len(data)} bytes is too large; {VALUE_MAX_BYTES} is the most")
    return data
