"""What a stream and a WebSocket need from the client that began them."""

from typing import Protocol

from buntime.sdk.fields import Headers
from buntime.testing.answer import Answer, Framed
from buntime.testing.link import Box
from buntime.wire import Message


class Asking(Protocol):
    """See `Client`, which is one."""

    @property
    def deadline(self) -> float:
        """The deadline for waiting that begins now, in monotonic seconds."""

    def finish(self, box: Box) -> None:
        """The request is finished. Raises what the app has raised meanwhile."""

    def leave(self, box: Box) -> None:
        """The client has left a request. Raises what the app raised, unless only because of
        that."""

    def fail(self, box: Box, message: Message) -> Answer:
        """The app has failed: its exception, or the answer that a client would get."""

    def framed(self, message: Message, payload: bytes, box: Box) -> tuple[Framed, bytes]:
        """The answer that RESPONSE begins, and its first piece; its cookies are kept."""

    def opened(self, message: Message, box: Box) -> Headers:
        """The fields with which ACCEPT opens a WebSocket; its cookies are kept."""
