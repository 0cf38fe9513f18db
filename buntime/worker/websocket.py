"""An open WebSocket: the exchange of its handshake, and then its messages, under the same credit.

The part that both engines share. As in `exchange`, nothing here waits.

    stage       open()  start()  shut()   finish(), fail()
    NEW         OPEN    HELD     ENDED    ENDED              ended by a 403, or an ERROR
    HELD, SENT  -       -        -        ENDED              a response denies it, see `exchange`
    OPEN        -       -        CLOSED   ENDED
    CLOSED      -       -        -        ENDED              the app has closed; its handler goes on
    ENDED       -       -        -        -

`gone` means that the other side has closed, or left; what came before can still be received. If the
other side broke the protocol, answers can still be sent, until it is `gone` too.

Credit: a piece's credit is returned when the app takes it, or waits for the rest of its message. So
at most UPLOAD_WINDOW of unreceived data is here, and a message larger than that still arrives
whole.
"""

from __future__ import annotations

from buntime.sdk import closecodes
from buntime.sdk.response import Response
from buntime.sdk.websocket import WebSocketClosed
from buntime.wire import (
    ACCEPT,
    CLOSE,
    MAX_PAYLOAD,
    MESSAGE,
    MESSAGE_OVERHEAD,
    UPLOAD_WINDOW,
)
from buntime.worker.exchange import ENDED, NEW, Exchange, Stage
from buntime.worker.report import complain
from buntime.worker.unfinished import UNFINISHED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable
    from typing import Any, TypeVar

    from buntime.sdk.websocket import WebSocket
    from buntime.wire import Message
    from buntime.worker.exchange import Pairs, Send
    from buntime.worker.fetch import Handler

    W = TypeVar("W", bound=WebSocket)
    Closing = tuple[int, str]
else:
    from _collections import deque

OPEN = Stage("its handshake is answered")
CLOSED = Stage("the app has closed it")

# bytes. Smaller pieces of a larger message wait for credit, instead of costing one message each.
LEAST_PIECE_BYTES = 4096
_FORBIDDEN = 403
# bytes that the app takes before they are granted again: no WINDOW for every small message
_RETURN_BYTES = UPLOAD_WINDOW // 2
_OURS = "sec-websocket-"  # header fields of the handshake, which only the runtime writes


class Socket(Exchange):
    """A WebSocket, from its handshake to the end of its handler."""

    is_socket = True
    is_open_ended = False  # has no thread to itself, so others may be open beside it
    # Each is written by one side: the runtime's messages, and the app's actions.
    _received_close: Closing | None = None
    _sent_close: Closing | None = None
    _owed = 0  # bytes of credit to return

    def __init__(
        self, head: Message, payload: bytes, send: Send, forget: Callable[[int], Any]
    ) -> None:
        super().__init__(head, payload, send, forget)
        self._messages: deque[tuple[str, bytes, bool]] = deque()  # pieces not yet taken
        self._parts: list[bytes] = []  # those taken from an incomplete message

    # The channel's side.

    def on_message(self, kind: str, data: bytes, end: bool) -> None:
        """Take a piece of a message."""
        self._messages.append((kind, data, end))

    def on_close(self, code: int, reason: str, end: bool) -> None:
        """Note that nothing more comes, and with `end` that nothing more can be sent."""
        self._received_close = self._received_close or (code, reason)
        if end:
            self.gone = "closed"

    # The handler's side.

    @property
    def is_new(self) -> bool:
        """Whether its handshake still waits for an answer."""
        return self.stage is NEW

    @property
    def closing(self) -> Closing | None:
        """Code and reason, once it is closed by either side."""
        if self._sent_close or self._received_close:
            return self._sent_close or self._received_close
        return (closecodes.LOST, "") if self.gone else None

    def departure(self) -> Exception:
        """Return the error that tells a handler that it is closed."""
        code, reason = self.closing or (closecodes.LOST, "")
        return WebSocketClosed(code, reason)

    def start(self, status: int, headers: Pairs) -> None:
        """Set the head of a response that denies it."""
        self._check_new()
        super().start(status, headers)

    def open(self, subprotocol: str | None, headers: Pairs) -> None:
        """Answer the handshake. Raises ValueError for what the runtime would not send."""
        self._check_new()
        if self.gone:
            raise self.departure()
        offered = self.head["subprotocols"]
        if subprotocol is not None and subprotocol not in offered:
            names = ", ".join(offered) or "none"
            raise ValueError(f"the client did not offer {subprotocol!r}; it offers: {names}")
        for name, _ in headers:
            if name.startswith(_OURS):
                raise ValueError(f"header {name!r} belongs to the handshake; use `subprotocol`")
        message: Message = {"type": ACCEPT, "id": self.id, "open_ended": self.is_open_ended}
        self._send_message(message | {"subprotocol": subprotocol, "headers": headers}, b"")
        self.stage = OPEN

    def take_message(self) -> str | bytes | None:
        """Return the next message, None if none is complete. Raises WebSocketClosed."""
        messages = self._messages
        while messages and self.stage is OPEN:
            kind, data, end = messages.popleft()
            self._pay_back(len(data) + MESSAGE_OVERHEAD)
            if not end:
                self._keep(data)
                continue
            if self._parts:
                data = b"".join([*self._parts, data])
                self._drop()
            return data.decode() if kind == "text" else data
        if self._received_close:
            raise self.departure()
        self._check_open()
        return None

    def fits_message(self, data: bytes) -> bool:
        """Return whether a message can be sent at once as a whole."""
        size = len(data)
        return size <= MAX_PAYLOAD and self._sent + size + MESSAGE_OVERHEAD <= self._granted

    def send_some(self, kind: str, rest: bytes | memoryview) -> int | None:
        """Send a piece of what is left of a message, and return its size.

        None: the piece has to wait for credit. Raises WebSocketClosed.
        """
        self._check_open()
        left = len(rest)
        size = left if left <= MAX_PAYLOAD else MAX_PAYLOAD
        room = self._granted - self._sent - MESSAGE_OVERHEAD
        if size > room:
            if room < LEAST_PIECE_BYTES:
                return None
            size = room
        end = size == left
        message: Message = {"type": MESSAGE, "id": self.id, "kind": kind, "end": end}
        if size:
            message["size"] = size
        self._sent += size + MESSAGE_OVERHEAD
        self._send_message(message, rest if end else rest[:size])
        return size

    def shut(self, code: int, reason: str) -> None:
        """Close, or deny; does nothing if already done. Raises ValueError for an invalid code."""
        _check_closing(code, reason)
        if self.stage is NEW:
            self._refuse()
        elif self.stage is OPEN and not self.gone:
            self._sent_close = (int(code), reason)
            self._send_close(end=False)
            self.stage = CLOSED

    def finish(self) -> None:
        """End the exchange, because its handler is over."""
        if self.stage is NEW:
            self._refuse()
        elif self.stage is OPEN or self.stage is CLOSED:
            self._sent_close = self.closing or (closecodes.NORMAL, "")
            self._send_close(end=True)
            self._end()
        elif self.stage is not ENDED:  # in the middle of a response that denies it
            super().fail(self.departure())

    def fail(self, exc: BaseException) -> None:
        """End the exchange with an error, unless that only says that it was closed."""
        if self.stage is ENDED or not self.closing:
            super().fail(exc)
            return
        if not _tells_of_closing(exc):
            complain(f"{self.head['target']}, after its WebSocket was closed:", exc)
        self.finish()

    def _keep(self, data: bytes) -> None:
        """Keep a piece of an incomplete message, if there is room for it."""
        if UNFINISHED.may_add(self.id, len(data) + MESSAGE_OVERHEAD):
            self._parts.append(data)
            return
        self._drop()
        self._messages.clear()
        complain(
            f"{self.head['target']}: closed a WebSocket: unfinished messages take too much memory"
        )
        self.shut(closecodes.TRY_AGAIN_LATER, "too many large messages at once")

    def _drop(self) -> None:
        self._parts = []
        UNFINISHED.drop(self.id)

    def _end(self) -> None:
        self._drop()
        super()._end()

    def _check_new(self) -> None:
        if self.stage is not NEW:
            raise RuntimeError(
                "the handshake of this WebSocket has been answered; the first receive or send "
                "accepts it, too"
            )

    def _check_open(self) -> None:
        if self.gone or self.stage is not OPEN:
            raise self.departure()

    def _refuse(self) -> None:
        self.start(_FORBIDDEN, [])
        self.send(b"", end=True)

    def _send_close(self, *, end: bool) -> None:
        assert self._sent_close is not None
        code, reason = self._sent_close
        message = {"type": CLOSE, "id": self.id, "code": code, "reason": reason, "end": end}
        self._send_message(message, b"")

    def _pay_back(self, size: int) -> None:
        self._owed += size
        if self._owed >= _RETURN_BYTES and not self.gone:
            self._grant(self._owed)
            self._owed = 0


def websocket_of(socket: Socket, link: Any, cls: type[W]) -> W:
    """Make the WebSocket of a handler, of the class for its kind."""
    head = socket.head
    ws = cls(
        head["target"],
        head["base"],
        head["headers"],
        link=link,
        subprotocols=head["subprotocols"],
        scheme=scheme_of(head),
        client=head["client"],
        server=head["server"],
        id=head["request_id"],
    )
    ws._are_checked = True
    return ws


def scheme_of(head: Message) -> str:
    """Return "ws" or "wss"."""
    return "wss" if head["scheme"] == "https" else "ws"


def check_result(result: Any, handler: Handler) -> Response | None:
    """Return what a handler returned: nothing, or a Response that denies the handshake."""
    if result is None or isinstance(result, Response):
        return result
    if hasattr(result, "__await__"):
        close = getattr(result, "close", None)
        if close is not None:
            close()  # or Python warns that it was never awaited
        hint = "await it" if handler.is_async else "define it with `async def`"
        raise TypeError(f"{handler.label} returned a {type(result).__name__}; {hint}")
    raise TypeError(
        f"{handler.label} returned a value of type {type(result).__name__}; it returns nothing, "
        "or a Response that denies the handshake"
    )


def _check_closing(code: Any, reason: Any) -> None:
    if not isinstance(code, int) or not closecodes.may_send(code):
        raise ValueError(
            f"{code!r} cannot close a WebSocket; use 1000 to 1014 except 1004 to 1006, "
            "or 3000 to 4999"
        )
    if not isinstance(reason, str):
        raise TypeError(f"the reason for a close is text, not {type(reason).__name__}")
    reason.encode()


def _tells_of_closing(exc: BaseException) -> bool:
    """Return whether it is a WebSocketClosed, or an ExceptionGroup of nothing else."""
    parts = getattr(exc, "exceptions", None)
    if isinstance(parts, tuple) and parts:
        return all(map(_tells_of_closing, parts))
    return isinstance(exc, WebSocketClosed)
