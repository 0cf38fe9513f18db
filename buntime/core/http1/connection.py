"""An HTTP/1.1 connection without its socket: what it does, what it waits for, and for how long.

    HEAD <──next─── EXCHANGE ──link──> LINKED
     │  ──request──>   │last              │last
     │last             v                  │
     └──────────> CLOSING <───────────────┘
                     │shut
                     v
                 LINGERING               end: from each to CLOSED

HEAD is between two requests, or in the middle of a head. EXCHANGE has a request under way, begun or
refused; the reader knows whether its body has ended. LINKED is a WebSocket. CLOSING has written its
last answer and waits for the client to take it. LINGERING has shut its side and discards whatever
still arrives: closing with unread bytes would make the kernel reset the connection and lose an
answer on its way (RFC 9112 9.6).

While output waits for the client, no further request is begun, so a client that does not read
cannot fill the memory. If many requests arrive at once, some are begun in each turn of the loop, so
that other connections have their turn. The owner of the socket reports what has arrived, what has
passed and what was written, gets a `Step` that says what to do, and then asks `wanted`.

The time limit of a head starts with its first byte; for the first head of a connection, with the
connection. Nothing restarts it but the beginning of a shutdown, neither pieces of the head nor
empty lines before it, so a connection without a request lives at most a keep-alive timeout and a
head timeout.

A client that has shut its side after a whole request may be waiting for the answer or may have
left; there is no way to know. It is not read any more, since each look at a socket at its end is
another event, and gets the answers to what came before. How long to wait for it is decided
elsewhere.

Not modelled here: output that waits to be sent, and what the requests are about.
"""

from buntime.core.errors import ClientFault
from buntime.core.http1.head import Head, HeadParser
from buntime.core.http1.reader import RequestReader
from buntime.core.values.enums import Enum, auto
from buntime.core.values.ways import Ways

# Per turn, for a client that sends many at once; as many more follow in the next turn.
PER_TURN = 16
# How long a refused client may keep sending: many read only after they have sent everything.
LINGER_MAX_S = 30.0


class Phase(Enum):
    """What a connection is doing."""

    HEAD = auto()
    EXCHANGE = auto()
    LINKED = auto()
    CLOSING = auto()
    LINGERING = auto()
    CLOSED = auto()


class Event(Enum):
    """What happens to a connection."""

    __hash__ = object.__hash__

    REQUEST = auto()  # a head is complete, or refused
    NEXT = auto()  # the answer is written, and another request may follow
    LINK = auto()
    LAST = auto()  # nothing more will be written
    SHUT = auto()
    END = auto()


TRANSITIONS: dict[Phase, dict[Event, Phase]] = {
    Phase.HEAD: {
        Event.REQUEST: Phase.EXCHANGE,
        Event.LAST: Phase.CLOSING,
        Event.END: Phase.CLOSED,
    },
    Phase.EXCHANGE: {
        Event.NEXT: Phase.HEAD,
        Event.LINK: Phase.LINKED,
        Event.LAST: Phase.CLOSING,
        Event.END: Phase.CLOSED,
    },
    Phase.LINKED: {Event.LAST: Phase.CLOSING, Event.END: Phase.CLOSED},
    Phase.CLOSING: {Event.SHUT: Phase.LINGERING, Event.END: Phase.CLOSED},
    Phase.LINGERING: {Event.END: Phase.CLOSED},
    Phase.CLOSED: {},
}

_WHAT = "a connection"
REQUEST = Ways(TRANSITIONS, Event.REQUEST, _WHAT)
NEXT = Ways(TRANSITIONS, Event.NEXT, _WHAT)
LINK = Ways(TRANSITIONS, Event.LINK, _WHAT)
LAST = Ways(TRANSITIONS, Event.LAST, _WHAT)
SHUT = Ways(TRANSITIONS, Event.SHUT, _WHAT)
END = Ways(TRANSITIONS, Event.END, _WHAT)


class Step(Enum):
    """What the owner of the socket must do now."""

    NOTHING = auto()
    SERVE = auto()  # ask for the next head, until there is none
    PUMP = auto()  # pass on what has arrived of the body
    CARRY = auto()  # the bytes belong to the WebSocket
    REFUSE = auto()  # answer that the head did not arrive in time
    FAIL = auto()  # answer that the body did not arrive in time
    SHUT = auto()  # shut our side, and keep reading
    ABORT = auto()  # close


class Due(Enum):
    """What a connection waits for, for a limited time; always one thing."""

    __hash__ = object.__hash__

    NOTHING = auto()  # the time limit is elsewhere: the app's timeout, a WebSocket's pings
    REQUEST = auto()  # the first byte of the next request
    HEAD = auto()
    BODY = auto()
    SENT = auto()  # the client takes the output that waits
    SILENCE = auto()  # the client stops sending
    HANGUP = auto()  # nothing is read, so look now and then whether the client has left


# No head has begun: an empty line may precede one (RFC 9112 2.2), and "\r" may become one.
_NO_HEAD_YET = (b"", b"\r")
# Every request needs these, and a global costs less than an attribute of a class.
_HEAD = Phase.HEAD
_EXCHANGE = Phase.EXCHANGE
_NOTHING = Step.NOTHING
_SERVE = Step.SERVE
_DUE_NOTHING = Due.NOTHING
_DUE_REQUEST = Due.REQUEST


class ServerConnection:
    """One client's connection, as far as it is known without a socket."""

    __slots__ = (
        "_has_head_begun",
        "_lingering_since_s",
        "_was_linked",
        "has_more",
        "is_half_closed",
        "phase",
        "reader",
    )

    def __init__(self, parser: HeadParser) -> None:
        self.phase = _HEAD
        self.reader = RequestReader(parser)
        self.has_more = False  # requests that have arrived wait for the next turn
        self.is_half_closed = False  # nothing will follow the requests that are here
        self._has_head_begun = True  # does the time limit of a head run? at once for the first one
        self._was_linked = False
        self._lingering_since_s = 0.0

    def __repr__(self) -> str:
        return f"ServerConnection({self.phase.name}, {self.reader!r})"

    # What has arrived

    def receive(self, data: bytes, now: float) -> Step:
        """The client has sent `data`, which is not empty."""
        phase = self.phase
        if phase is _HEAD:
            self.reader.receive(data)
            return _SERVE
        if phase is _EXCHANGE:
            self.reader.receive(data)
            return _NOTHING if self.reader.body_ended else Step.PUMP
        if phase is Phase.LINKED:
            return Step.CARRY
        # Nobody wants it: the client gets time to reach its answer.
        if phase is Phase.LINGERING and now - self._lingering_since_s > LINGER_MAX_S:
            return Step.ABORT
        return _NOTHING

    def receive_end(self, has_output: bool) -> Step:
        """The client sends no more. In the middle of a request this means that it has left."""
        if self.phase is _EXCHANGE and self.reader.may_be_whole(0):
            self.is_half_closed = True
            return _NOTHING
        if has_output:
            if self.phase is _HEAD:
                self.phase = LAST[self.phase]  # it may still read the pending answers
                return _NOTHING
            if self.phase is Phase.CLOSING:
                return _NOTHING
        return Step.ABORT

    def next_head(self) -> Head | None:
        """The head of the next request, which is then under way; None while it is incomplete.

        Raises ClientFault, which must be answered; then the refused request is under way.
        """
        try:
            head = self.reader.next_head()
        except ClientFault:
            self.phase = REQUEST[self.phase]
            raise
        if head is not None:
            self.phase = REQUEST[self.phase]
        elif self.reader.buffer not in _NO_HEAD_YET:
            self._has_head_begun = True
        return head

    def put_off(self) -> bool:
        """This turn's share of requests is begun. Are there more, for the next turn?"""
        self.has_more = self.phase is _HEAD and bool(self.reader.buffer)
        return self.has_more

    def go_on(self, has_output: bool, now: float) -> Step:
        """The other connections have had their turn."""
        self.has_more = False
        return self._next(has_output, now)

    def on_due(self, due: Due) -> Step:
        """The time limit for `due` has passed. For HANGUP this means that the client has left."""
        has_begun = self.reader.buffer not in _NO_HEAD_YET
        if due is Due.HEAD and self.phase is _HEAD and has_begun:
            self.phase = REQUEST[self.phase]
            return Step.REFUSE
        if due is Due.BODY and self.phase is _EXCHANGE:
            return Step.FAIL
        return Step.ABORT

    # What was written

    def on_answered(self, keep_alive: bool, has_output: bool, now: float) -> Step:
        """The answer is written, though maybe not sent. May another request follow?"""
        if not keep_alive:
            return self.on_last(has_output, now)
        self.phase = NEXT[self.phase]
        self._has_head_begun = False
        return self._next(has_output, now)

    def on_linked(self) -> bytes:
        """The handshake is answered: returns the bytes after it, the first ones of the
        WebSocket."""
        self.phase = LINK[self.phase]
        self._was_linked = True
        return self.reader.take_rest()

    def on_last(self, has_output: bool, now: float) -> Step:
        """Nothing more will be written."""
        self.phase = LAST[self.phase]
        return _NOTHING if has_output else self._shut(now)

    def on_sent(self, now: float) -> Step:
        """All output is sent."""
        if self.phase is Phase.CLOSING:
            return self._shut(now)
        return self._next(False, now)

    def end(self) -> None:
        """The socket is closed."""
        self.phase = END[self.phase]

    def _next(self, has_output: bool, now: float) -> Step:
        """Begin another request, if bytes of one are here and its turn has come."""
        if self.phase is not _HEAD or has_output or self.has_more:
            return _NOTHING
        if self.reader.buffer:
            return _SERVE
        return self.on_last(has_output, now) if self.is_half_closed else _NOTHING

    def _shut(self, now: float) -> Step:
        """Linger if the client may still be sending."""
        reader = self.reader
        is_quiet = reader.body_ended and not reader.buffer and not reader.is_broken
        if is_quiet and not self._was_linked:
            return Step.ABORT
        self.phase = SHUT[self.phase]
        self._lingering_since_s = now
        return Step.SHUT

    # What it waits for

    def awaited_at_rest(self) -> Due | None:
        """What to wait for in the usual case: nothing to send, and all that arrived was taken.

        None where `wanted` must be asked instead; otherwise the client is read.
        """
        reader = self.reader
        if reader.buffer or self.has_more or not reader.body_ended or self.is_half_closed:
            return None
        if self.phase is _EXCHANGE:
            return _DUE_NOTHING
        if self.phase is _HEAD:
            return Due.HEAD if self._has_head_begun else _DUE_REQUEST
        return None

    def wanted(self, has_output: bool, takes_data: bool, is_closing: bool) -> tuple[bool, Due]:
        """Whether to read, and what to wait for, given this:

        `has_output`: output waits to be sent. `takes_data`: there is credit for the body of the
        request under way, or for a WebSocket's messages. `is_closing`: our closing frame is
        written, and the client has some time to answer it.
        """
        phase, due = self.phase, _DUE_NOTHING
        if phase is _EXCHANGE:
            reads = not self.reader.buffer
            if takes_data and not self.reader.body_ended:
                reads, due = True, Due.BODY
        elif phase is _HEAD:
            reads = not (self.reader.buffer and (has_output or self.has_more))
            due = Due.HEAD if self._has_head_begun or self.has_more else _DUE_REQUEST
        elif phase is Phase.LINGERING:
            return True, Due.SILENCE
        else:
            reads = phase is Phase.LINKED and takes_data
        if self.is_half_closed:
            reads = False
        if has_output:
            due = Due.SENT
        elif is_closing:
            due = Due.SILENCE
        elif not reads and not self.has_more:
            due = Due.HANGUP
        return reads, due


def too_slow(what: str) -> ClientFault:
    """The answer to a client whose "head" or "body" did not arrive in time."""
    message = f"the request's {what} did not come in time"
    return ClientFault(408, "request_timeout", message, closes=True)
