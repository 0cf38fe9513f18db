"""A WebSocket between a test and its app."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self

from buntime.sdk.websocket import WebSocketClosed
from buntime.testing.errors import Denied
from buntime.wire import ACCEPT, CLOSE, ERROR, MAX_PAYLOAD, MESSAGE, MESSAGE_OVERHEAD, RESPONSE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from buntime.testing.answer import Answer
    from buntime.testing.asking import Asking
    from buntime.testing.link import Box
    from buntime.wire import Message

_NORMAL = 1000


class Session:
    """An open WebSocket; `subprotocol` is the one that the app chose, or None."""

    def __init__(self, client: Asking, box: Box) -> None:
        self._client = client
        self._box = box
        self._closing: tuple[int, str] | None = None  # from whichever side closed first
        self._is_over = False  # its handler has ended
        self._parts: list[bytes] = []
        message, payload = box.receive(client.deadline)
        if message["type"] == ERROR:
            raise Denied(client.fail(box, message))
        if message["type"] == RESPONSE:
            raise Denied(self._denial(message, payload))
        assert message["type"] == ACCEPT, message
        self.subprotocol: str | None = message["subprotocol"]
        self.headers = client.opened(message, box)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, message: str | bytes) -> None:
        """Send a message, as text or binary. Raises WebSocketClosed."""
        kind, data = ("text", message.encode()) if isinstance(message, str) else ("binary", message)
        view = memoryview(bytes(data))
        while True:
            if self._closing is not None:
                raise WebSocketClosed(*self._closing)
            piece = bytes(view[: MAX_PAYLOAD - MESSAGE_OVERHEAD])
            cost = len(piece) + MESSAGE_OVERHEAD
            if not self._box.spend(self._client.deadline, cost):
                self.receive()  # finds the end, which says why
                continue
            self._box.pay(cost)
            view = view[len(piece) :]
            head: Message = {"type": MESSAGE, "kind": kind, "end": not view}
            self._box.send(head | ({"size": len(piece)} if piece else {}), piece)
            if not view:
                return

    def send_json(self, value: Any) -> None:
        """Send a value as JSON, in a text message."""
        self.send(json.dumps(value))

    def receive(self) -> str | bytes:
        """The next message: text as str, binary as bytes. Raises WebSocketClosed."""
        while not self._is_over:
            message, payload = self._box.receive(self._client.deadline)
            if message["type"] == MESSAGE:
                self._parts.append(payload)
                if message["end"]:
                    data, self._parts = b"".join(self._parts), []
                    return data.decode() if message["kind"] == "text" else data
            else:
                self._take_end(message)
                break
        raise WebSocketClosed(*(self._closing or (1006, "")))

    def receive_json(self) -> Any:
        """The next message, as JSON."""
        return json.loads(self.receive())

    def __iter__(self) -> Iterator[str | bytes]:
        """Each message, until the WebSocket is closed."""
        while True:
            try:
                yield self.receive()
            except WebSocketClosed:
                return

    def close(self, code: int = _NORMAL, reason: str = "") -> None:
        """Close, and wait until the app's handler is over. Raises what it raised."""
        if self._closing is None:
            self._closing = (code, reason)
            self._say_closed(code, reason)
        while not self._is_over:
            message, _ = self._box.receive(self._client.deadline)
            if message["type"] != MESSAGE:
                self._take_end(message)
        self._client.leave(self._box)

    def _take_end(self, message: Message) -> None:
        if message["type"] == ERROR:
            self._is_over = True
            self._closing = self._closing or (1011, "")
            self._client.fail(self._box, message)
            return
        assert message["type"] == CLOSE, message
        self._is_over = message["end"]
        if self._closing is None:
            self._closing = (message["code"], message["reason"])
            if not self._is_over:  # the answer of a browser
                self._say_closed(*self._closing)

    def _say_closed(self, code: int, reason: str) -> None:
        self._box.send({"type": CLOSE, "code": code, "reason": reason, "end": True})

    def _denial(self, message: Message, payload: bytes) -> Answer:
        framed, payload = self._client.framed(message, payload, self._box)
        body = framed.piece(payload)
        while not message["end"]:
            message, payload = self._box.receive(self._client.deadline)
            if message["type"] == ERROR:
                return self._client.fail(self._box, message)
            body += framed.piece(payload)
        self._client.finish(self._box)
        framed.answer.body = body
        return framed.answer
