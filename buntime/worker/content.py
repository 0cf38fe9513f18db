"""Arguments, results and items of streams: JSON with bytes in it, in one message or in pieces.

See wire.py for the form. `Parcel` is on the way out, `Assembly` on the way in.
"""

from __future__ import annotations

from buntime.wire import CONTENT_MAX, ITEM, MAX_PAYLOAD, MESSAGE_OVERHEAD, from_json, to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from buntime.wire import Message

BYTES = "$bytes"
# Nesting of lists and objects: what one side reads must be readable by all others, whatever
# surrounds it there and however much of their stack is in use.
DEPTH_MAX = 200


class Parcel:
    """A value to send. Raises TypeError or ValueError if JSON cannot express it."""

    def __init__(self, value: Any) -> None:
        blobs: list[bytes] = []
        try:
            self.packed = _packed(value, blobs, DEPTH_MAX)
            self._text = to_json(self.packed)
        except RecursionError:
            raise ValueError(
                "a value that is nested too deeply, or contains itself, cannot be sent"
            ) from None
        self._blobs = b"".join(blobs)
        self._total = len(self._text) + len(self._blobs)
        if self._total > CONTENT_MAX:
            raise ValueError(
                f"a call carries at most {CONTENT_MAX} bytes, but this is {self._total}"
            )

    def fits(self) -> bool:
        """Return whether it fits into a message."""
        return len(self._text) <= MAX_PAYLOAD and len(self._blobs) <= MAX_PAYLOAD

    def put_into(self, message: Message, fields: Message) -> bytes:
        """Add it to `fields` or, if it is large, its sizes.

        Returns the payload of the message.
        """
        if not self.fits():
            message.update(text=len(self._text), total=self._total)
            return b""
        message.update(fields)
        if self._blobs:
            message["size"] = len(self._blobs)
        return self._blobs

    def pieces(self, number: int, *, is_item: bool) -> Iterator[tuple[Message, memoryview]]:
        """Make ITEM messages of it; if it is itself an item, the first one has the sizes.

        `send` is given how many bytes may go, at least one, at each step.
        """
        view = memoryview(self._text + self._blobs)
        message: Message = {"type": ITEM, "id": number}
        if is_item:
            message.update(text=len(self._text), total=self._total)
        while view:
            piece, view = view[:MAX_PAYLOAD], view[MAX_PAYLOAD:]
            yield {**message, "size": len(piece)}, piece
            message = {"type": ITEM, "id": number}


class Assembly:
    """A value that comes in pieces. Raises ValueError if they do not form one."""

    def __init__(self, head: Message) -> None:
        self._text: int = head["text"]
        self._total: int = head["total"]
        if type(self._text) is not int or type(self._total) is not int:
            raise ValueError("the sizes of a content are not numbers")
        if not 0 <= self._text <= self._total <= CONTENT_MAX:
            raise ValueError(f"a content of {self._text} and {self._total} bytes")
        self._pieces: list[bytes] = []
        self._held = 0

    def add(self, piece: bytes) -> bool:
        """Take a piece; returns whether it was the last."""
        self._pieces.append(piece)
        self._held += len(piece)
        if self._held > self._total:
            raise ValueError(f"a content of {self._total} bytes has more than that")
        return self._held == self._total

    def value(self) -> Any:
        """Return the value, which must be complete."""
        data = b"".join(self._pieces)
        return unpacked(from_json(data[: self._text]), data[self._text :])


def cost_of(payload: bytes | memoryview) -> int:
    """Return what an ITEM costs of credit."""
    return len(payload) + MESSAGE_OVERHEAD if payload else 0


def unpacked(value: Any, payload: bytes) -> Any:
    """Put the bytes back in their places. Raises ValueError if they do not fit."""
    taken = [0]
    try:
        value = _unpacked(value, payload, taken)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if taken[0] != len(payload):
        raise ValueError(f"{len(payload)} bytes came, but there is room for {taken[0]}")
    return value


def _packed(value: Any, blobs: list[bytes], depth: int) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return value
    if not depth:
        raise RecursionError
    if isinstance(value, dict):
        packed = {key: _packed(inner, blobs, depth - 1) for key, inner in value.items()}
        if len(packed) == 1:
            (key,) = packed
            if _is_mark(key):
                return {"$" + key: packed[key]}
        return packed
    if isinstance(value, (list, tuple)):
        return [_packed(inner, blobs, depth - 1) for inner in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        blobs.append(bytes(value))
        return {BYTES: len(blobs[-1])}
    raise TypeError(f"a call carries JSON or bytes; {type(value).__name__} is neither")


def _unpacked(value: Any, payload: bytes, taken: list[int]) -> Any:
    if isinstance(value, list):
        return [_unpacked(inner, payload, taken) for inner in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (key,) = value
        if key == BYTES:
            return _blob(value[key], payload, taken)
        if _is_mark(key):
            return {key[1:]: _unpacked(value[key], payload, taken)}
    return {key: _unpacked(inner, payload, taken) for key, inner in value.items()}


def _blob(size: Any, payload: bytes, taken: list[int]) -> bytes:
    start = taken[0]
    if type(size) is not int or not 0 <= size <= len(payload) - start:
        raise ValueError(f"{size!r} bytes are announced, but {len(payload) - start} are there")
    taken[0] += size
    return payload[start : start + size]


def _is_mark(key: Any) -> bool:
    """`"$bytes"`, `"$$bytes"` and so on."""
    return isinstance(key, str) and key.endswith(BYTES) and not key[: -len(BYTES)].strip("$")
