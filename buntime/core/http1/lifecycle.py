"""The life of an exchange, one request and its answer: its states and the only transitions.

    WAITING ──hand_over──> HANDED_OVER ↺ hand_over     first a queue, then a worker
      │ ^                   │   │    │
      │ └─take_back/release─┘   │    └─accept───> OPEN ──release──> CLOSING
      │begin                    │begin              (WAITING too)   │end
      v                         v                                   v
    ANSWERING <──release── STREAMING                              ENDED
      │end
      v
    ENDED      (from WAITING too: the client left before its answer)

A responder has the exchange in HANDED_OVER, STREAMING and OPEN, and in no other state; after it is
released it is not told anything more. So an exchange that must end is released first, and once its
answer has begun it is never handed over again.

WAITING: the runtime itself has it, or nobody. ANSWERING: nothing more comes from a responder,
either because the runtime itself answers, or because the last piece is here. OPEN is a WebSocket.
CLOSING is a WebSocket whose worker is done with it, while the client still has to answer our close;
one that a hook looked at before it opened may begin like this.

`take_back` is for a responder that has done nothing: the request may go to another one. `release`
is for a responder that is done, or is told to stop.

Not modelled here: the credit of both directions, the deadline, and how much of the answer the
client has taken. An exchange ends when its last byte was written, not when it was sent.
"""

from buntime.core.values.enums import Enum, auto
from buntime.core.values.ways import Ways


class State(Enum):
    """Who acts on an exchange, and how much of its answer the client has got."""

    WAITING = auto()
    HANDED_OVER = auto()
    ANSWERING = auto()
    STREAMING = auto()
    OPEN = auto()
    CLOSING = auto()
    ENDED = auto()


class Event(Enum):
    """What happens to an exchange."""

    __hash__ = object.__hash__  # as above; each request looks up five of them

    HAND_OVER = auto()
    TAKE_BACK = auto()
    RELEASE = auto()
    BEGIN = auto()  # the head of its answer is made
    ACCEPT = auto()  # the handshake of its WebSocket is answered
    END = auto()


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.WAITING: {
        Event.HAND_OVER: State.HANDED_OVER,
        Event.BEGIN: State.ANSWERING,
        Event.ACCEPT: State.CLOSING,
        Event.END: State.ENDED,
    },
    State.HANDED_OVER: {
        Event.HAND_OVER: State.HANDED_OVER,
        Event.TAKE_BACK: State.WAITING,
        Event.RELEASE: State.WAITING,
        Event.BEGIN: State.STREAMING,
        Event.ACCEPT: State.OPEN,
    },
    State.ANSWERING: {Event.END: State.ENDED},
    State.STREAMING: {Event.RELEASE: State.ANSWERING},
    State.OPEN: {Event.RELEASE: State.CLOSING},
    State.CLOSING: {Event.END: State.ENDED},
    State.ENDED: {},
}

HELD = frozenset({State.HANDED_OVER, State.STREAMING, State.OPEN})  # a responder has it


_WHAT = "an exchange"
HAND_OVER = Ways(TRANSITIONS, Event.HAND_OVER, _WHAT)
TAKE_BACK = Ways(TRANSITIONS, Event.TAKE_BACK, _WHAT)
RELEASE = Ways(TRANSITIONS, Event.RELEASE, _WHAT)
BEGIN = Ways(TRANSITIONS, Event.BEGIN, _WHAT)
ACCEPT = Ways(TRANSITIONS, Event.ACCEPT, _WHAT)
END = Ways(TRANSITIONS, Event.END, _WHAT)
