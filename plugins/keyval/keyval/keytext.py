"""Keys as text, for people: JSON, in which bytes are {"$bytes": "00ff"}, in hexadecimal.

    b"\\x02user\\x00\\x15\\x07" <-> '["user", 7]'

Nothing is lost: 1 and 1.0 are two keys, and stay different. `Infinity`, a float, is not JSON for
browsers, so keys are passed as text that only this module parses.
"""

from __future__ import annotations

import json
from typing import Any

from buntime.tuples import decode, encode
from keyval.errors import invalid


def text_of(encoded: bytes) -> str:
    """A key as text."""
    elements = [
        {"$bytes": each.hex()} if isinstance(each, bytes) else each for each in decode(encoded)
    ]
    return json.dumps(elements, ensure_ascii=False)


def key_of(text: str, *, may_be_empty: bool = False) -> bytes:
    """The key that a text means, encoded. Raises ServiceError."""
    try:
        elements = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise invalid(f'a key is a JSON list such as ["user", 7]: {exc}') from None
    if not isinstance(elements, list):
        raise invalid('a key is a JSON list such as ["user", 7]')
    if not elements and not may_be_empty:
        raise invalid("a key has at least one element")
    try:
        return encode(tuple(map(_element, elements)))
    except (TypeError, ValueError) as exc:
        raise invalid(str(exc)) from None


def _element(element: Any) -> Any:
    if isinstance(element, dict) and len(element) == 1 and isinstance(element.get("$bytes"), str):
        return bytes.fromhex(element["$bytes"])
    return element
