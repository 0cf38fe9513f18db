"""Who has to do with an exchange: its client, its responder, its open WebSocket.

    client ──> Exchange ──> responder       on_body, on_message, on_taken, on_detached ...
           <──          <──                 respond, stream, send, finish, fail, accept

The exchange is all that the two sides see of each other.
"""

from collections.abc import Hashable, Sequence
from typing import Literal

from buntime.core.http1.reader import RequestReader
from buntime.core.values.protocols import Protocol
from buntime.server.http1.service import Service

Kind = Literal["text", "bytes"]  # of a WebSocket's message


class Responder(Protocol):
    """Holds one request until it is answered: a queue's entry, then a worker's.

    It is told nothing more once the exchange is taken back, released or detached.
    """

    def on_body(self, data: bytes, ended: bool) -> None:
        """A piece of the request's body, within the credit that was given."""

    def on_message(self, kind: Kind, data: bytes, end: bool) -> None:
        """A piece of a WebSocket's message, within the credit that was given."""

    def on_last_message(self) -> None:
        """No more messages come; what the app sends still goes out."""

    def on_taken(self, size_bytes: int) -> None:
        """The client's side has taken this many bytes of the answer's body."""

    def on_stalled(self) -> None:
        """Only its client is waited for; called for requests that have a worker of their own.

        The next piece of the body, or of the answer that the client takes, ends that.
        """

    def on_doubted(self) -> None:
        """The client sends no more, and may have left; called more than once."""

    def on_detached(self, reason: str) -> None:
        """Nobody waits for the answer any more. `reason` is "client" if the client left, "error" if
        an error was answered instead, "closed" if its WebSocket is closed.
        """

    def on_deadline(self) -> None:
        """The app's timeout has passed without progress."""


class Footing(Protocol):
    """What a WebSocket or an event stream depends on: the verdicts that have let it in."""

    def on_open(self) -> bool:
        """It opens now; returns False if it no longer may."""

    def on_end(self) -> None:
        """The request has ended, whether it stayed open or not."""


class Keeper(Protocol):
    """Counts the memory of a body that is kept before anybody reads it."""

    def let_go(self, request: Hashable) -> None:
        """Nothing of it is kept any more."""


class Resource(Protocol):
    """What an answer holds until it is sent, such as open files."""

    def close(self) -> None: ...


class Link(Protocol):
    """An open WebSocket, as far as its exchange and connection need it."""

    code: int
    reason: str

    @property
    def wants_data(self) -> bool: ...
    @property
    def is_closing(self) -> bool: ...
    def on_data(self, data: bytes) -> None: ...
    def on_credit(self) -> None: ...
    def on_end(self) -> None: ...
    def send(self, kind: Kind, data: bytes, end: bool) -> None: ...
    def close(self, code: int, reason: str) -> None: ...
    def go_away(self, code: int, reason: str = "") -> None: ...


class Client(Protocol):
    """The connection, as far as one of its exchanges needs it."""

    @property
    def service(self) -> Service: ...
    @property
    def reader(self) -> RequestReader:
        """Holds what has come of the current request's body."""

    @property
    def peer_text(self) -> str:
        """Who is connected, possibly a proxy: "10.0.0.1", or "unix"."""

    @property
    def peer(self) -> tuple[str, int] | None:
        """The same with its port; None on a unix socket."""

    @property
    def address(self) -> tuple[str, int] | None:
        """Where the request came in; None on a unix socket."""

    @property
    def pending_bytes(self) -> int:
        """How many bytes were written and are not sent yet."""

    @property
    def untaken_bytes(self) -> int:
        """The same and those that the kernel holds, until the client's side has received them."""

    @property
    def spooled_bytes(self) -> int:
        """How many of the pending bytes wait on disk."""

    def catch_up(self) -> bool:
        """Handle what the client has done meanwhile; returns False if that is nothing."""

    def spool(self) -> None:
        """Move what waits in memory to disk, if there is room; `on_flushed` follows then."""

    def write(self, data: bytes) -> None: ...
    def write_all(self, buffers: Sequence[bytes]) -> None: ...
    def write_file(self, fd: int, offset: int, length: int) -> None: ...
    def release_later(self, resource: Resource) -> None: ...
    def open_link(self, link: Link, head: bytes) -> None: ...
    def settle(self) -> None:
        """What the exchange waits for may have changed."""

    def on_link_closed(self) -> None: ...
    def on_exchange_end(self, keep_alive: bool) -> None: ...
    def cut(self) -> None: ...
    def abort(self) -> None: ...
