"""The runtime's side of service calls: what an app calls, and what a plugin is called for."""

from __future__ import annotations

import json
from typing import Any, Protocol

from buntime.wire import Message
from tests.support.workshop import Worker


class Sender(Protocol):
    """Anything that sends messages."""

    def send(self, message: Message, payload: bytes = b"", /) -> None: ...


WINDOW_BYTES = 128 * 1024
PIECE_BYTES = 65536


def the_call(worker: Worker, method: str | None = None) -> Message:
    """Wait for a CALL of the worker; its arguments are put together, and `payload` added."""
    message, payload = worker.take(
        lambda m: m["type"] == "CALL" and (method is None or m["method"] == method)
    )
    if "total" in message:
        text, payload = take_content(worker, message)
        message |= json.loads(text)
    return {**message, "payload": payload}


def give(worker: Sender, call: Message | int, value: Any = None, payload: bytes = b"") -> None:
    """Answer a CALL with a value."""
    number = call if isinstance(call, int) else call["id"]
    size = {"size": len(payload)} if payload else {}
    worker.send({"type": "RESULT", "id": number, "ok": True, "value": value, **size}, payload)


def refuse(worker: Worker, call: Message, code: str, text: str = "no") -> None:
    """Answer a CALL with an error."""
    error = {"code": code, "message": text}
    worker.send({"type": "RESULT", "id": call["id"], "ok": False, "error": error})


def give_item(worker: Sender, number: int, value: Any, blobs: bytes = b"") -> None:
    """Send a value of a stream."""
    text = json.dumps(value).encode()
    sizes = {"text": len(text), "total": len(text) + len(blobs)}
    content = text + blobs
    for at in range(0, len(content), PIECE_BYTES):
        piece = content[at : at + PIECE_BYTES]
        head = {"type": "ITEM", "id": number, "size": len(piece)}
        worker.send(head | (sizes if at == 0 else {}), piece)


def call(
    worker: Worker,
    method: str,
    *args: Any,
    service: str = "kv",
    payload: bytes = b"",
    **fields: Any,
) -> int:
    """Call a method of the plugin; returns the id."""
    worker._next_id += 1
    message = {
        "type": "CALL",
        "id": worker._next_id,
        "service": service,
        "method": method,
        "args": list(args),
        "kwargs": {},
        "caller": "app:shop",
        **fields,
    }
    if payload:
        message["size"] = len(payload)
    worker.send(message, payload)
    return worker._next_id


class Outcome:
    """The outcome of a CALL."""

    def __init__(self, message: Message, value: Any, payload: bytes) -> None:
        self.message = message
        self.value = value
        self.payload = payload
        self.code: str | None = None if message["ok"] else message["error"]["code"]
        self.text: str = "" if message["ok"] else message["error"]["message"]


def outcome(worker: Worker, number: int) -> Outcome:
    """Wait for the whole RESULT of a call."""
    message, payload = worker.take(lambda m: m["type"] == "RESULT" and m["id"] == number)
    if "total" in message:
        text, payload = take_content(worker, message)
        return Outcome(message, json.loads(text), payload)
    return Outcome(message, message.get("value"), payload)


def called(worker: Worker, method: str, *args: Any, **fields: Any) -> Outcome:
    """Call a method of the plugin and wait for the outcome."""
    return outcome(worker, call(worker, method, *args, **fields))


def take_content(worker: Worker, head: Message, first: bytes = b"") -> tuple[bytes, bytes]:
    """Take what follows in ITEMs, and give credit for it; returns text and bytes."""
    content = first
    while len(content) < head["total"]:
        _, piece = worker.take(lambda m: m["type"] == "ITEM" and m["id"] == head["id"])
        content += piece
        grant(worker, head["id"], len(piece) + 64)
    return content[: head["text"]], content[head["text"] :]


def take_item(worker: Worker, number: int, *, grants: bool = True) -> Any:
    """Take the next value of a stream; at its end, the message itself."""
    head, piece = worker.take(lambda m: m["type"] == "ITEM" and m["id"] == number)
    if head.get("end"):
        return head
    if grants:
        grant(worker, number, len(piece) + 64)
    text, _ = take_content(worker, head, piece)
    return json.loads(text)


def grant(worker: Worker, number: int, credit: int) -> None:
    """Give credit."""
    worker.send({"type": "WINDOW", "id": number, "credit": credit})


def send_by_credit(worker: Worker, number: int, content: bytes) -> int:
    """Send content in parts as the worker gives credit; returns the most that was outstanding."""
    credit = WINDOW_BYTES
    while content:
        piece = content[:PIECE_BYTES]
        while credit < len(piece) + 64:
            credit += worker.take_type("WINDOW", number)["credit"]
        credit -= len(piece) + 64
        worker.send({"type": "ITEM", "id": number, "size": len(piece)}, piece)
        content = content[len(piece) :]
    return credit
