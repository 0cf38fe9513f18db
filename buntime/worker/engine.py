"""What both engines do with a message: a table, and the exchanges that messages belong to."""

from __future__ import annotations

from buntime.wire import (
    BODY,
    CANCEL,
    CLOSE,
    ERROR,
    IDLE,
    MESSAGE,
    REQUEST,
    TERMINATE,
    WINDOW,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Generic, TypeVar

    from buntime.wire import Message, Received
    from buntime.worker.channel import Channel
    from buntime.worker.exchange import Exchange, Send

    E = TypeVar("E", bound=Exchange)
else:
    E = None

    class Generic:
        """Stands in for `typing.Generic`; typing costs 11 ms."""

        def __class_getitem__(cls, _item):
            return cls


class Sockets(Generic[E]):
    """How an app handles WebSockets: the class of their exchanges, and their handler."""

    def __init__(self, exchange_class: type[E], handle: Callable[[E], Any]) -> None:
        self.exchange_class = exchange_class
        self.handle = handle


class Engine(Generic[E]):
    """Passes what the runtime sends to the exchanges it is for.

    An app without `sockets` answers a WebSocket's handshake as an ordinary GET (RFC 9110 7.8: a
    server may ignore an Upgrade).
    """

    def __init__(self, channel: Channel, send: Send, sockets: Sockets[Any] | None) -> None:
        self.channel = channel
        self.send = send
        self.sockets = sockets
        self.exchanges: dict[int, E] = {}
        self.is_closing = False  # TERMINATE has come
        self.dispatch: dict[str, Callable[[Message, bytes], None]] = {
            REQUEST: self._on_request,
            BODY: self._on_body,
            WINDOW: self._on_window,
            MESSAGE: self._on_message,
            CLOSE: self._on_close,
            CANCEL: self._on_cancel,
            IDLE: self._on_idle,
            TERMINATE: self._on_terminate,
        }

    def take_in(self, received: list[Received]) -> None:
        """Carry out messages, in order."""
        for head, payload in received:
            carry_out = self.dispatch.get(head["type"])
            if carry_out is None:
                self.channel.quit(f"the runtime sent a message of unknown type {head['type']!r}")
            carry_out(head, payload)

    def fail(self, exchange: E, exc: BaseException) -> None:
        """End an exchange whose handler has raised; `buntime.testing` keeps the exception."""
        exchange.fail(exc)

    # Implemented by each engine.

    def begin(self, head: Message, payload: bytes) -> None:
        """Handle a request."""
        raise NotImplementedError

    def tell(self, exchange: E) -> None:
        """Wake those that wait for news of an exchange."""
        raise NotImplementedError

    def cancel(self, exchange: E) -> None:
        """Let an exchange know that it is `gone`."""
        raise NotImplementedError

    def idle(self) -> None:
        """Run the app's on_idle."""
        raise NotImplementedError

    def close(self) -> None:
        """End when everything in hand is done."""
        raise NotImplementedError

    # One for each type of message. An unknown id belongs to a finished request.

    def _on_request(self, head: Message, payload: bytes) -> None:
        if self.is_closing:
            message = "this worker is leaving; the request came after its TERMINATE"
            error = {"type": ERROR, "id": head["id"], "message": message, "stack": ""}
            self.send(error, b"")
            return
        self.begin(head, payload)

    def _on_body(self, head: Message, payload: bytes) -> None:
        exchange = self.exchanges.get(head["id"])
        if exchange is not None:
            exchange.on_body(payload, head["end"])
            self.tell(exchange)

    def _on_window(self, head: Message, _payload: bytes) -> None:
        exchange = self.exchanges.get(head["id"])
        if exchange is not None:
            exchange.on_window(head["credit"])
            self.tell(exchange)

    def _on_message(self, head: Message, payload: bytes) -> None:
        exchange = self.exchanges.get(head["id"])
        if exchange is not None:
            exchange.on_message(head["kind"], payload, head["end"])
            self.tell(exchange)

    def _on_close(self, head: Message, _payload: bytes) -> None:
        exchange = self.exchanges.get(head["id"])
        if exchange is not None:
            exchange.on_close(head["code"], head["reason"], head["end"])
            if head["end"]:
                self.cancel(exchange)
            else:
                self.tell(exchange)

    def _on_cancel(self, head: Message, _payload: bytes) -> None:
        exchange = self.exchanges.get(head["id"])
        if exchange is not None:
            exchange.gone = head["reason"]
            self.cancel(exchange)

    def _on_idle(self, _head: Message, _payload: bytes) -> None:
        self.idle()

    def _on_terminate(self, _head: Message, _payload: bytes) -> None:
        self.is_closing = True
        self.close()
