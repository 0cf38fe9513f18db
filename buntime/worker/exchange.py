"""One request in hand: its body on the way in, its response on the way out, credit for both.

The part that both engines share. Nothing here waits: if credit or data is missing, `take` returns
None and `flow` yields, and the engine waits in its own way for news of the exchange.

    stage   start()   write()/end    fail()
    NEW     HELD      -              ENDED
    HELD    -         SENT or ENDED  ENDED     the head is held until the first piece is known,
    SENT    -         SENT or ENDED  ENDED     so that a short answer is one message
    ENDED   -         -              (told on stderr)

Each exchange is ended by exactly one message: a RESPONSE or BODY with `end`, or an ERROR.
In sync apps `on_…` methods run on the thread that reads the channel, all others on the handler's;
so no attribute is written by both. Bodies wait in a deque; credit is the difference of two
counters.
"""

from __future__ import annotations

from buntime.sdk.request import ClientGone
from buntime.sdk.response import WITHOUT_BODY
from buntime.wire import (
    BODY,
    DOWNLOAD_WINDOW,
    ERROR,
    FAULT,
    MAX_PAYLOAD,
    RESPONSE,
    UPLOAD_WINDOW,
    WAITS,
    WINDOW,
)
from buntime.worker.report import advise, complain, describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterator
    from typing import Any

    from buntime.wire import Message

    Pairs = list[tuple[str, str]]
    Send = Callable[[Message, "bytes | memoryview"], None]
else:
    from _collections import deque  # `collections` adds nothing to it, and 3 ms


class Stage:
    """The stage of the response. Not an Enum: importing that would add 5 ms to each worker's
    start."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return f"Stage({self._text!r})"


NEW = Stage("nothing is known of it")
HELD = Stage("its head is known, and waits for the first piece")
SENT = Stage("its head is sent")
ENDED = Stage("its end or an error is sent")

# bytes that the app reads before they are granted again, if it does not wait for more before: no
# WINDOW for every small read. As much may be on its way meanwhile.
_RETURN_BYTES = UPLOAD_WINDOW


class Exchange:
    """A request and its response."""

    init: Message | None = None  # of the app, for advice; None in `buntime.testing`
    # Defaults are class attributes, because most requests change few of them.
    stage = NEW
    gone = ""  # the reason of its CANCEL
    is_socket = False  # a WebSocket: see `worker/websocket.py`
    # on the way in
    _offset = 0  # into the first piece
    _read = 0
    _reported_read = -1  # with the last WAITS
    # bytes of credit that the app's next read grants: at first more than the initial window
    _unreturned = UPLOAD_WINDOW
    # on the way out
    _status = 0
    _headers: Pairs = []  # noqa: RUF012  # never changed, only replaced
    _left: int | None = None  # bytes, if there is a Content-Length
    _sent = 0
    _granted = DOWNLOAD_WINDOW

    def __init__(
        self, head: Message, payload: bytes, send: Send, forget: Callable[[int], Any]
    ) -> None:
        self.head = head
        self.id: int = head["id"]
        self.is_complete: bool = head["end"]
        self._pieces = deque((payload,)) if payload else deque()
        self._send_message = send
        self._forget = forget

    # The channel's side.

    def on_body(self, data: bytes, end: bool) -> None:
        """Take a piece of the request's body."""
        if data:
            self._pieces.append(data)
        if end:
            self.is_complete = True

    def on_window(self, credit: int) -> None:
        """Add `credit` bytes that may be sent."""
        self._granted += credit

    def on_message(self, kind: str, data: bytes, end: bool) -> None:
        """Take a piece of a message; only a WebSocket gets any."""
        raise AssertionError(f"a MESSAGE for {self.head['target']}, which is not a WebSocket")

    def on_close(self, code: int, reason: str, end: bool) -> None:
        """Take the news that a WebSocket is closed."""
        raise AssertionError(f"a CLOSE for {self.head['target']}, which is not a WebSocket")

    # The handler's side, on the way in.

    def is_cancelled(self) -> bool:
        """Return whether nobody waits for the response any more."""
        return bool(self.gone)

    @property
    def has_body(self) -> bool:
        """Whether the request has, or may yet get, a body."""
        return bool(self._pieces) or not self.is_complete

    @property
    def is_drained(self) -> bool:
        """Whether all of the request's body was taken."""
        return self.is_complete and not self._pieces

    def take(self, limit: int) -> bytes | None:
        """Return up to `limit` bytes of the body, b"" at its end, None if none are here yet.

        What was taken before is granted again, together with the report that the app waits where
        that is due. The first call grants more than the initial window; this makes the runtime send
        "100 Continue" to a client that waits for it.
        """
        if self.gone:
            raise self.departure()
        if self.stage is ENDED:
            raise ClientGone("the response has ended, and the request's body is gone with it")
        is_complete = self.is_complete  # read before the pieces, as the reader writes it after
        if self._pieces:
            if self._unreturned >= _RETURN_BYTES and not is_complete:
                self._grant(self._unreturned)
                self._unreturned = 0
            data = self._next_bytes(limit)
            self._unreturned += len(data)
            self._read += len(data)
            return data
        if is_complete:
            return b""
        if self._reported_read != self._read:
            self._reported_read = self._read
            credit, self._unreturned = self._unreturned, 0
            message = {"type": WAITS, "id": self.id, "read": self._read, "credit": credit}
            self._send_message(message, b"")
        return None

    def _next_bytes(self, limit: int) -> bytes:
        piece = self._pieces[0]
        start = self._offset
        if len(piece) - start <= limit:
            self._pieces.popleft()
            self._offset = 0
            return piece[start:]
        self._offset += limit
        return piece[start : self._offset]

    def _grant(self, credit: int) -> None:
        self._send_message({"type": WINDOW, "id": self.id, "credit": credit}, b"")

    # The handler's side, on the way out.

    def start(self, status: int, headers: Pairs) -> None:
        """Set the head of the response; it is sent with the first piece."""
        if not 200 <= status <= 999:
            raise ValueError(f"the status of a response is 200 to 999, not {status!r}")
        self.stage = HELD
        self._status = status
        self._headers = headers
        # Where a body is dropped, a Content-Length describes another response.
        if not self.is_head_only:
            self._left = _declared(headers)

    @property
    def is_head_only(self) -> bool:
        """Whether the body is never sent: RFC 9110 9.3.2, 15.3.5, 15.3.6 and 15.4.5."""
        return self._status in WITHOUT_BODY or bool(self.head["method"] == "HEAD")

    def sends_head_first(self) -> bool:
        """Return whether the head of a stream should be sent without waiting for the first piece.

        With a declared length it waits: a small file is then one message.
        """
        return self._left is None

    def ends_with(self, piece: bytes) -> bool:
        """Return whether this piece is the last according to Content-Length."""
        return self._left == len(piece)

    def fits(self, piece: bytes) -> bool:
        """Return whether a piece can be sent at once, in one message."""
        return len(piece) <= MAX_PAYLOAD and self._sent + len(piece) <= self._granted

    def flow(self, body: bytes, *, end: bool) -> Iterator[None]:
        """Send a piece of any size as credit allows; yields where news must be waited for."""
        if end and self.stage is HELD:
            if self.head["method"] == "HEAD" or not self.is_head_only:
                self._declare(len(body))
            if self.is_head_only:
                self.send(b"", end=True)
                return
        view = memoryview(body)
        while view:
            if self.gone:
                raise self.departure()
            size = min(len(view), MAX_PAYLOAD, self._granted - self._sent)
            if size:
                self.send(view[:size], end=end and size == len(view))
                view = view[size:]
            else:
                yield

    def send(self, piece: bytes | memoryview, *, end: bool) -> None:
        """Send a piece that fits, after the head if that is still held.

        An empty one only checks whether anybody is there, as some generators do while they wait.
        """
        if self._status in WITHOUT_BODY:
            piece = b""
        size = len(piece)
        if not size and self.stage is ENDED:
            return
        if self.gone and not end:
            raise self.departure()
        if not size and self.stage is SENT and not end:
            return
        if self.stage is ENDED:
            raise ValueError("the response has ended, but more of its body was sent")
        if self._left is not None:
            self._left -= size
            if self._left < 0 or (end and self._left):
                raise self._wrong_length()
        message: Message
        if self.stage is HELD:
            message = {
                "type": RESPONSE,
                "id": self.id,
                "status": self._status,
                "headers": self._headers,
                "end": end,
            }
        else:
            message = {"type": BODY, "id": self.id, "end": end}
        if size:
            message["size"] = size
        self._sent += size
        self._send_message(message, piece)
        self.stage = SENT
        if end:
            self._end()

    def fail(self, exc: BaseException) -> None:
        """End the exchange with an error; if it has ended already, only report the error."""
        if self.stage is ENDED:
            if not isinstance(exc, ClientGone):
                self._report(exc)
            return
        message, stack = describe(exc)
        error: Message = {"type": ERROR, "id": self.id, "message": message, "stack": stack}
        if self.init is not None and not isinstance(exc, ClientGone):
            error["advice"] = advise(exc, self.init)
        self._send_message(error, b"")
        self._end()

    def _report(self, exc: BaseException) -> None:
        """Tell what was raised after the end: Starlette and FastAPI answer each error, and then
        raise it."""
        method, target = self.head["method"], self.head["target"]
        if self.init is None:
            complain(f"{method} {target}, after its response:", exc)
            return
        message, stack = describe(exc)
        fault: Message = {"type": FAULT, "id": self.id, "method": method, "target": target}
        more = {"message": message, "stack": stack, "advice": advise(exc, self.init)}
        self._send_message({**fault, **more}, b"")

    def _end(self) -> None:
        self.stage = ENDED
        self._forget(self.id)

    def _declare(self, size: int) -> None:
        """Add the length of a response that takes several messages."""
        if _declared(self._headers) is None:
            self._headers = [*self._headers, ("content-length", str(size))]

    def departure(self) -> Exception:
        """Return the error that tells a handler that it is `gone`."""
        return ClientGone(
            "the deadline of this request has passed"
            if self.gone == "deadline"
            else "the client has closed the connection"
        )

    def _wrong_length(self) -> ValueError:
        assert self._left is not None
        declared = _declared(self._headers)
        what = f"at least {-self._left} more" if self._left < 0 else f"{self._left} fewer"
        return ValueError(
            f"the response's Content-Length is {declared}, but its body has {what} bytes"
        )


def _declared(headers: Pairs) -> int | None:
    for name, value in headers:
        if name == "content-length":
            if not (value.isascii() and value.isdigit()):
                raise ValueError(
                    f"the response's Content-Length is {value!r}, which is not a number"
                )
            return int(value)
    return None
