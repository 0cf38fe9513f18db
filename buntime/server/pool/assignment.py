"""One request in the hands of one worker: calls by its exchange go to the worker as messages.

core/pool/assignment.py has its states.
"""

from buntime import wire
from buntime.core.pool.assignment import TRANSITIONS, Event, State, after
from buntime.core.values.protocols import Protocol
from buntime.sdk import closecodes
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.parties import Kind

_LIVE = State.LIVE  # a global costs less than an attribute of a class


class Holder(Protocol):
    """The worker that has it in hand."""

    def on_stalled(self, assignment: "Assignment", *, is_stalled: bool) -> None:
        """Only its client is waited for, or no longer."""

    def on_let_go(self, assignment: "Assignment") -> None:
        """Nobody waits for it any more, and the worker was told."""

    def on_deadline(self, assignment: "Assignment") -> None:
        """The app has made no progress for its timeout."""


class Postable(Protocol):
    """The channel to that worker."""

    def post(self, message: wire.Message, payload: bytes = b"") -> None: ...


class Assignment:
    """The `Responder` of an exchange that a worker was given."""

    __slots__ = (
        "_channel",
        "_holder",
        "_is_stalled",
        "_late_bytes",
        "exchange",
        "number",
        "state",
    )

    def __init__(self, holder: Holder, channel: Postable, number: int, exchange: Exchange) -> None:
        self._holder = holder
        self._channel = channel
        self.number = number  # in the worker's channel
        self.exchange = exchange
        self.state = _LIVE
        self._late_bytes = 0
        self._is_stalled = False  # its slot is lent

    def __repr__(self) -> str:
        return f"Assignment({self.number}, {self.state.name}, {self.exchange!r})"

    def step(self, event: Event) -> None:
        self.state = TRANSITIONS[self.state].get(event) or after(self.state, event)

    def let_go(self, reason: str) -> None:
        """Tell the worker that nobody waits for this request any more."""
        self._go_on()
        self.step(Event.DETACH)
        if self.exchange.link is None and not self.exchange.is_opening:
            self._channel.post({"type": wire.CANCEL, "id": self.number, "reason": reason})
        else:
            self._post_close(end=True)

    def on_late(self, size_bytes: int) -> None:
        """The worker goes on with what nobody waits for, as it does until it has been told.

        It has credit for a certain amount, and gets no more. Raises ValueError beyond that.
        """
        self._late_bytes += size_bytes
        if self._late_bytes > wire.DOWNLOAD_WINDOW_MAX:
            raise ValueError("a body beyond its credit, for nobody")

    def late(self, now: float) -> dict[str, object]:
        """What the log says about it if it took too long."""
        exchange = self.exchange
        return {
            "request_id": exchange.id,
            "method": exchange.head.method,
            "path": exchange.head.path,
            "seconds": round(now - exchange.started_s, 1),
        }

    # Responder: calls from the exchange

    def on_body(self, data: bytes, ended: bool) -> None:
        self._go_on()
        message = {"type": wire.BODY, "id": self.number, "size": len(data), "end": ended}
        self._channel.post(message, data)

    def on_message(self, kind: Kind, data: bytes, end: bool) -> None:
        fields = {"id": self.number, "kind": kind, "size": len(data), "end": end}
        self._channel.post({"type": wire.MESSAGE, **fields}, data)

    def on_last_message(self) -> None:
        self._post_close(end=False)

    def on_doubted(self) -> None:
        """A worker that has begun goes on."""

    def on_stalled(self) -> None:
        if not self._is_stalled:
            self._is_stalled = True
            self._holder.on_stalled(self, is_stalled=True)

    def on_taken(self, size_bytes: int) -> None:
        self._go_on()
        self._channel.post({"type": wire.WINDOW, "id": self.number, "credit": size_bytes})

    def on_detached(self, reason: str) -> None:
        self.let_go(reason)
        self._holder.on_let_go(self)

    def on_deadline(self) -> None:
        self._holder.on_deadline(self)

    def _go_on(self) -> None:
        if self._is_stalled:
            self._is_stalled = False
            self._holder.on_stalled(self, is_stalled=False)

    def _post_close(self, *, end: bool) -> None:
        link = self.exchange.link
        code, reason = (closecodes.LOST, "") if link is None else (link.code, link.reason)
        fields = {"id": self.number, "code": code, "reason": reason, "end": end}
        self._channel.post({"type": wire.CLOSE, **fields})
