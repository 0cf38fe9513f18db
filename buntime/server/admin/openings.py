"""What stays open, such as a followed log or a WebSocket, ends with the sign-in that opened it.

So does a request whose body is still coming: else a client could keep one back, and complete it
after its key was revoked.

When somebody signs out or a key is revoked, everything open is checked in the loop's next turn.
What simply expires, without an event, is noticed at a check every LOOK_S.
"""

from collections.abc import Callable

from buntime.core.errors import ClientFault, HttpError
from buntime.sdk import closecodes
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.parties import Footing
from buntime.server.loop.loop import Loop

LOOK_S = 10.0

IsGood = Callable[[], bool]


class Openings:
    """All that is kept open by a session, a key, or a token of a page in a frame."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._open: set[_SignIn] = set()
        self._looks = False  # every LOOK_S
        self._will_look = False  # in the next turn

    def __repr__(self) -> str:
        return f"Openings({len(self._open)})"

    def __len__(self) -> int:
        return len(self._open)

    def ground(self, exchange: Exchange, is_good: IsGood) -> None:
        """Tie it, while its body comes and if it stays open, to `is_good`, which may raise
        HttpError."""
        sign_in = _SignIn(self, exchange, is_good, exchange.footing)
        exchange.stand_on(sign_in)
        if exchange.lacks_body:
            self.stand(sign_in)

    def look_soon(self) -> None:
        """A session or key may have ended."""
        if self._open and not self._will_look:
            self._will_look = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        self._will_look = False
        for each in tuple(self._open):
            if each in self._open and not each.holds():
                each.end()

    # For what is kept open

    def stand(self, sign_in: "_SignIn") -> None:
        """It has opened, or its body is to come."""
        self._open.add(sign_in)
        if not self._looks:
            self._looks = True
            self._loop.call_later(LOOK_S, self._look_again)

    def leave(self, sign_in: "_SignIn") -> None:
        """It has ended, whether it was open or not."""
        self._open.discard(sign_in)

    def _look_again(self) -> None:
        self._looks = bool(self._open)
        if self._looks:
            self._loop.call_later(LOOK_S, self._look_again)
        self._look()


class _SignIn:
    """What one request depends on, in addition to what it depended on before."""

    __slots__ = ("_all", "_before", "_exchange", "_is_good", "_is_open")

    def __init__(
        self, all_: Openings, exchange: Exchange, is_good: IsGood, before: Footing | None
    ) -> None:
        self._exchange = exchange
        self._all = all_
        self._is_good = is_good
        self._before = before
        self._is_open = False

    def holds(self) -> bool:
        try:
            return self._is_good()
        except HttpError:
            return False

    def end(self) -> None:
        """End what is open of it. What was asked for in full is done; nobody reads a body that has
        no responder."""
        exchange = self._exchange
        if exchange.link is not None or exchange.is_event_stream:
            self._all.leave(self)
            exchange.end_open(closecodes.POLICY)
        elif exchange.responder is not None and (self._is_open or exchange.lacks_body):
            self._all.leave(self)
            exchange.fail(sign_in_ended())

    def on_open(self) -> bool:
        if (self._before is not None and not self._before.on_open()) or not self.holds():
            return False  # it may have waited for its turn
        self._is_open = True
        self._all.stand(self)
        return True

    def on_end(self) -> None:
        self._all.leave(self)
        if self._before is not None:
            self._before.on_end()


def sign_in_ended() -> ClientFault:
    """The error for a request whose key or session has ended before all of it had come."""
    message = "the key or session has ended while this request was under way"
    return ClientFault(401, "unauthorized", message, closes=True)
