"""The runtime's end of one WebSocket, which keeps account of its credit."""

from __future__ import annotations

from typing import Any

from buntime.wire import (
    DOWNLOAD_WINDOW,
    MAX_PAYLOAD,
    MESSAGE_OVERHEAD,
    UPLOAD_WINDOW,
    Message,
)
from tests.support.workshop import Answer, Worker

Data = str | bytes


class Peer:
    """A client of the app, with the runtime between them."""

    def __init__(
        self,
        worker: Worker,
        target: str = "/shop/",
        subprotocols: tuple[str, ...] = (),
        **head: Any,
    ) -> None:
        self.worker = worker
        self.id = worker.request(
            target, upgrade="websocket", subprotocols=list(subprotocols), **head
        )
        self.upload_credit = UPLOAD_WINDOW
        self.download_credit = DOWNLOAD_WINDOW
        self.grants = True  # give credit back as messages come

    def accepted(self) -> Message:
        """Wait until the app has accepted."""
        message = self._take()[0]
        assert message["type"] == "ACCEPT", message
        return message

    def denied(self) -> Answer:
        """Wait for the response that refuses it."""
        return self.worker.answer(self.id)

    def send(self, data: Data, *, sizes: int = MAX_PAYLOAD) -> None:
        """Send a message in pieces of `sizes`, as the worker gives credit."""
        kind = "text" if isinstance(data, str) else "bytes"
        rest = data.encode() if isinstance(data, str) else data
        while True:
            while self.upload_credit < MESSAGE_OVERHEAD + bool(rest):
                self.wait_for_credit()
            piece = rest[: min(sizes, self.upload_credit - MESSAGE_OVERHEAD)]
            rest = rest[len(piece) :]
            self.send_piece(kind, piece, end=not rest)
            if not rest:
                return

    def send_piece(self, kind: str, piece: bytes, *, end: bool) -> None:
        """Send a part of a message, whatever the credit."""
        self.upload_credit -= len(piece) + MESSAGE_OVERHEAD
        message = {"type": "MESSAGE", "id": self.id, "kind": kind, "size": len(piece), "end": end}
        self.worker.send(message, piece)

    def wait_for_credit(self) -> None:
        message, _ = self.worker.take(lambda m: m["type"] == "WINDOW" and m["id"] == self.id)
        self.upload_credit += message["credit"]

    def receive(self) -> Data:
        """Wait for a message of the app."""
        pieces = []
        while True:
            message, payload = self._take()
            assert message["type"] == "MESSAGE", message
            pieces.append(payload)
            self.download_credit -= len(payload) + MESSAGE_OVERHEAD
            assert self.download_credit >= 0, "the worker has sent more than it may"
            if self.grants:
                self.grant(len(payload) + MESSAGE_OVERHEAD)
            if message["end"]:
                data = b"".join(pieces)
                return data.decode() if message["kind"] == "text" else data

    def grant(self, credit: int) -> None:
        """Let the worker send more."""
        self.download_credit += credit
        self.worker.send({"type": "WINDOW", "id": self.id, "credit": credit})

    def close(self, code: int = 1000, reason: str = "", *, end: bool = True) -> None:
        """Say that the client has closed, or without `end` that the runtime stops listening to
        it."""
        told = {"code": code, "reason": reason, "end": end}
        self.worker.send({"type": "CLOSE", "id": self.id, **told})

    def closed(self) -> tuple[int, str, bool]:
        """Wait until the app has closed: code, reason, and whether its handler is over."""
        message, _ = self._take()
        assert message["type"] == "CLOSE", message
        return message["code"], message["reason"], message["end"]

    def failed(self) -> Message:
        """Wait for the handler's ERROR."""
        message, _ = self._take()
        assert message["type"] == "ERROR", message
        return message

    def _take(self) -> tuple[Message, bytes]:
        return self.worker.take(
            lambda m: m.get("id") == self.id and m["type"] not in ("WINDOW", "WAITS")
        )


def opened(worker: Worker, target: str = "/shop/", *subprotocols: str, **head: Any) -> Peer:
    """A WebSocket that the app has accepted."""
    peer = Peer(worker, target, subprotocols, **head)
    peer.accepted()
    return peer
