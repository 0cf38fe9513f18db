"""What a plugin's worker is asked besides its requests: what its hooks decide on requests for
others.

Each HOOK is answered by exactly one VERDICT, even after a CANCEL, or by the worker's end. If the
verdict is an answer, its body may follow in pieces, each a BODY, under credit.
"""

from collections.abc import Mapping
from typing import Any

from buntime import wire
from buntime.core.plugins.hookbody import HookBody
from buntime.core.pool import claims
from buntime.core.values.protocols import Protocol
from buntime.server.pool.channel import Channel, Handler

# Questions that a worker may have at once: far more than one that reads and answers ever has.
_UNREAD_MAX = 200  # of one whose channel is full: each may be as large as a request's head
_UNANSWERED_MAX = 10_000
# This many questions in a row were late, and no verdict came in this many times their limit: all of
# its slots are stuck. A database that is slow for a moment is no reason to end a plugin.
_LATE_MAX = 20
_LATE_TIMES = 10


class Asker(Protocol):
    """The one that has asked, and waits."""

    def on_verdict(self, message: wire.Message, payload: bytes) -> None:
        """What the hook says; unchecked."""

    def on_lost(self) -> None:
        """There will be nothing more: the worker has ended."""


class PieceTaker(Asker, Protocol):
    """Takes the pieces of an answer."""

    def on_piece(self, payload: bytes, *, end: bool) -> None:
        """Raises ValueError if it exceeds the worker's credit."""


class Asking:
    """The questions that one worker has."""

    __slots__ = ("_askers", "_bodies", "_channel", "_late", "_late_since_s", "_takers")

    def __init__(self, channel: Channel[Any]) -> None:
        self._channel = channel
        self._askers: dict[int, Asker | None] = {}  # None: nobody waits for it any more
        self._bodies: dict[int, HookBody] = {}  # that are not sent to their end
        self._takers: dict[int, PieceTaker | None] = {}  # of answers that have begun
        self._late = 0  # questions, since the last verdict
        self._late_since_s = 0.0

    def __len__(self) -> int:
        """How many questions it has, including those that nobody waits for."""
        return len(self._askers) + len(self._takers)

    @property
    def is_open(self) -> bool:
        """Can the worker be asked?"""
        return self._channel.is_open

    @property
    def why_not(self) -> str:
        """Why it cannot be asked now, in words that follow its name's; "" where it can.

        What it does not read takes up memory here, and so does what it never answers.
        """
        if not self._channel.is_open:
            return "its process has ended"
        count = len(self._askers) + len(self._takers)
        if count >= _UNREAD_MAX and (self._channel.is_backed_up or count >= _UNANSWERED_MAX):
            return f"it has {count} unanswered questions and makes no progress"
        return ""

    def ask(self, number: int, text: str, asker: Asker, body: HookBody | None = None) -> None:
        """Send a HOOK; `number` is new to the channel, `text` is the rest of its line.

        Built by hand, as a REQUEST is: each request may need one.
        """
        self._askers[number] = asker
        if body is None:
            self._channel.send_line(f'{{"type":"HOOK","id":{number},{text}\n'.encode("ascii"))
            return
        payload = body.next_piece()
        end = "true" if body.has_ended else "false"
        line = f'{{"type":"HOOK","id":{number},"size":{len(payload)},"end":{end},{text}\n'
        self._channel.post_line(line.encode("ascii"), payload)
        if not body.has_ended:
            self._bodies[number] = body
            self._send_body(number, body)

    def take_credit(self, number: int, credit_bytes: int) -> bool:
        """This much more of a question's body may be sent. Returns whether that changes
        anything."""
        body = self._bodies.get(number)
        if body is None or not body.grant(credit_bytes):
            return False
        self._send_body(number, body)
        return True

    def take_waits(self, number: int, read_bytes: int, credit_bytes: int) -> bool:
        """This much of a question's body is read, and more is waited for, of which this much may be
        sent. Returns whether that is news."""
        body = self._bodies.get(number)
        if body is None or not body.on_waits(read_bytes):
            return False
        self.take_credit(number, credit_bytes)
        return True

    def _send_body(self, number: int, body: HookBody) -> None:
        for piece in body.pieces():
            fields = {"id": number, "size": len(piece), "end": body.has_ended}
            self._channel.post({"type": wire.BODY, **fields}, piece)
        if body.has_ended:
            del self._bodies[number]

    def go_on(self, number: int, taker: PieceTaker) -> None:
        """The verdict of this number is an answer whose pieces are for `taker`."""
        self._takers[number] = taker

    def grant(self, number: int, credit: int) -> None:
        """This many more bytes of its answer may come."""
        self._channel.post({"type": wire.WINDOW, "id": number, "credit": credit})

    def give_up(self, number: int, reason: str) -> None:
        """Nobody waits for it any more."""
        self._bodies.pop(number, None)
        for waiting in (self._askers, self._takers):
            if waiting.get(number) is not None:
                waiting[number] = None
                self._channel.post({"type": wire.CANCEL, "id": number, "reason": reason})

    def on_late(self, number: int, timeout_s: float, now: float) -> bool:
        """The same, because it got no answer in time. Returns whether the worker no longer answers
        at all."""
        self.give_up(number, "deadline")
        if not self._late:
            self._late_since_s = now
        self._late += 1
        silent_s = now - self._late_since_s
        return self._late >= _LATE_MAX and silent_s >= timeout_s * _LATE_TIMES

    def take_verdict(self, message: wire.Message, payload: bytes) -> None:
        """Raises KeyError or ValueError if there was no such question."""
        number = message["id"]
        if type(number) is not int:  # True is 1, and 7.0 is 7
            raise ValueError("the id of a verdict is not a number")
        self._late = 0
        if number in self._takers:
            self._break_off(number)
            return
        asker = self._askers.pop(number)
        if self._bodies:
            self._bodies.pop(number, None)
        if "end" in message and not claims.flag(message["end"]):
            self._takers[number] = None
        if asker is not None:
            asker.on_verdict(message, payload)

    def _break_off(self, number: int) -> None:
        """A second verdict: the answer that had begun has no end."""
        taker = self._takers.pop(number)
        if taker is not None:
            taker.on_lost()

    def take_piece(self, number: int, payload: bytes, *, end: bool) -> bool:
        """Whether anybody waits for it. Raises KeyError if there is no such answer."""
        taker = self._takers.pop(number) if end else self._takers[number]
        if taker is None:
            return False
        taker.on_piece(payload, end=end)
        return True

    def lose(self) -> None:
        """The worker has ended."""
        lost = [*self._askers.values(), *self._takers.values()]
        self._askers, self._takers, self._bodies = {}, {}, {}
        for asker in lost:
            if asker is not None:
                asker.on_lost()


class HasAsking(Protocol):
    """A worker."""

    @property
    def asking(self) -> Asking: ...


def _on_verdict(worker: HasAsking, message: wire.Message, payload: bytes) -> None:
    worker.asking.take_verdict(message, payload)


HANDLERS: Mapping[str, Handler[Any]] = {wire.VERDICT: _on_verdict}
