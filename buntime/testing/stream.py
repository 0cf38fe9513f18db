"""An answer that is taken piece by piece, such as one with server-sent events."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

from buntime.testing.answer import charset_of
from buntime.wire import BODY, ERROR, RESPONSE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from buntime.sdk.fields import Headers
    from buntime.testing.answer import Answer, Framed
    from buntime.testing.asking import Asking
    from buntime.testing.link import Box


class SentEvent(NamedTuple):
    """A server-sent event, as an EventSource gets it."""

    data: str
    event: str = "message"
    id: str = ""


class Stream:
    """`status` and `headers` are there at once; the body comes by iterating, in one way, once."""

    def __init__(self, client: Asking, box: Box) -> None:
        self._client = client
        self._box = box
        self._is_over = False
        self._framed: Framed | None = None  # None: it is an error, and `_first` is its body
        message, self._first = box.receive(client.deadline)
        if message["type"] == ERROR:
            self._is_over = True
            self._answer = client.fail(box, message)
            self._first = self._answer.body
            return
        assert message["type"] == RESPONSE, message
        self._is_over = message["end"]
        self._framed, self._first = client.framed(message, self._first, box)
        self._answer = self._framed.answer

    @property
    def status(self) -> int:
        """The status code."""
        return self._answer.status

    @property
    def headers(self) -> Headers:
        """The header fields."""
        return self._answer.headers

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        """The pieces of the body, as the app sends them. Raises what the app raises meanwhile."""
        framed = self._framed
        if framed is None:
            yield self._first
            return
        if piece := framed.piece(self._first):
            yield piece
        while not self._is_over:
            message, payload = self._box.receive(self._client.deadline)
            if message["type"] == ERROR:
                self._is_over = True
                self._client.fail(self._box, message)
                raise ConnectionError(f"the app failed within its answer: {message['message']}")
            assert message["type"] == BODY, message
            self._is_over = message["end"]
            if piece := framed.piece(payload):
                yield piece
        framed.finish()

    def lines(self) -> Iterator[str]:
        """The body's lines as text, without line ends, each as soon as it is complete."""
        charset, rest = charset_of(self.headers), b""
        for piece in self:
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield line.removesuffix(b"\r").decode(charset, "replace")
        if rest:
            yield rest.decode(charset, "replace")

    def events(self) -> Iterator[SentEvent]:
        """Server-sent events, each as soon as it is complete; comments are skipped."""
        data: list[str] = []
        kind = last_id = ""
        for line in self.lines():
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not line:
                if data:
                    yield SentEvent("\n".join(data), kind or "message", last_id)
                data, kind = [], ""
            elif name == "data":
                data.append(value)
            elif name == "event":
                kind = value
            elif name == "id":
                last_id = value

    def whole(self) -> Answer:
        """The whole answer, once all of it has come."""
        self._answer.body = b"".join(self)
        return self._answer

    def close(self) -> None:
        """Disconnect. Raises what the app then raises, unless it only says that the client left."""
        if not self._is_over:
            self._box.cancel("client")
            while not self._is_over:
                message, _ = self._box.receive(self._client.deadline)
                self._is_over = message["type"] == ERROR or message.get("end", False)
            self._client.leave(self._box)
            return
        self._client.finish(self._box)
