"""The runtime's end of the channel to a worker: bytes to messages, messages to bytes.

What is posted in one turn of the loop is sent in one go. What the kernel does not take waits,
limited by the credit of all requests; it is never copied.
"""

import math
import socket
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Generic, TypeVar

from buntime.core.http1.answer import repeat_fields
from buntime.core.values.protocols import Protocol
from buntime.server.loop.loop import READ, WRITE, Loop, unread_bytes
from buntime.wire import Decoder, Message, WireError, encode

_RECEIVE_BYTES = 256 * 1024
_MESSAGES_PER_TURN = 128  # the others want their turn; a message costs 5 to 50 us
# With so many messages a turn looks at the clock. An answer may cost 150 us, with the request that
# gets its place.
_PORTION = 8
_TURN_S = 0.001
_LAST_MESSAGES_MAX = 1000  # that are taken of a worker that has died
_BUFFERS_MAX = 256  # of one sendmsg
_WHY_MAX_CHARS = 300  # of what the other side sent, in error messages
_JOIN_BYTES = 16 * 1024  # copying less than this costs less than a vectored write


class Listener(Protocol):
    """Gets the messages: one handler for each type, see `Channel`."""

    def on_channel_closed(self, why: str) -> None:
        """The other side has closed the channel. Only one of this and the next is called, once."""

    def on_channel_broken(self, why: str) -> None:
        """The other side has broken the protocol; the channel is closed."""


L = TypeVar("L", bound=Listener)
# Raises WireError, KeyError, TypeError, ValueError or RecursionError if the other side must not
# send that.
Handler = Callable[[L, Message, bytes], None]


class Channel(Generic[L]):
    """One connected socket, whose descriptor it owns."""

    def __init__(
        self, loop: Loop, sock: socket.socket, listener: L, handlers: Mapping[str, Handler[L]]
    ) -> None:
        """`handlers` by type of message. They are functions of the listener's class rather than
        bound methods: those would hold the listener, and it could not be freed at once."""
        self._loop = loop
        self._sock: socket.socket | None = sock
        self._listener: L | None = listener  # None once it is closed: it refers to this
        self._handlers = handlers
        self._events = READ
        self._decoder = Decoder(repeat_fields)
        self._is_going_on = False  # messages wait for the next turn, and nothing is read before
        self._late: list[tuple[Message, bytes]] = []  # those of them that are decoded
        self._rest_s = 0.0  # how long to take nothing, from the end of this turn's messages on
        self._is_resting = False
        # output of this turn, and what the kernel did not take of earlier ones
        self._turn: list[bytes] = []
        self._backlog: deque[memoryview] = deque()
        self.backlog_bytes = 0  # that the kernel did not take
        self._when_sent: dict[Callable[[], None], None] = {}  # each once, in their order
        loop.register(sock, READ, self)

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"Channel({state}, {self.backlog_bytes} bytes wait)"

    @property
    def is_open(self) -> bool:
        return self._sock is not None

    @property
    def is_backed_up(self) -> bool:
        """Whether the kernel does not take all at once: the other side does not read as fast."""
        return bool(self._backlog)

    # Out

    def call_when_sent(self, callback: Callable[[], None]) -> None:
        """Call once, when everything that waits now has been sent; never if it is closed before."""
        self._when_sent[callback] = None

    def post(self, message: Message, payload: bytes = b"") -> None:
        """Send it together with everything else that this turn of the loop posts."""
        self.post_line(encode(message), payload)

    def post_line(self, line: bytes, payload: bytes = b"") -> None:
        """The same for a message that is already encoded."""
        turn = self._turn
        if not turn:
            self._loop.flush_later(self)
        turn.append(line)
        if payload:
            turn.append(payload)

    def send_line(self, line: bytes) -> None:
        """Post it, and send it at once in a turn that has nothing else to send it with.

        The other side then begins while this turn still does what comes after a request. Of many
        lines in a turn the first leaves at once; the others leave together.
        """
        if self._turn or self._backlog or self._when_sent or not self._loop.is_quiet:
            self.post_line(line)
        else:
            self._loop.is_quiet = False
            self._turn.append(line)
            self.flush()

    def flush(self) -> None:
        """Send what was posted in this turn."""
        turn, self._turn = self._turn, []
        sock = self._sock
        if sock is None:
            return
        try:
            if not self._backlog and turn:
                self._send_at_once(sock, turn)
                turn = []
            if turn:
                self._put_off(map(memoryview, turn))
            while self._backlog:
                buffers = [self._backlog[i] for i in range(min(len(self._backlog), _BUFFERS_MAX))]
                self._drop_sent(sock.sendmsg(buffers))
        except BlockingIOError:
            if not self._backlog:
                self._put_off(map(memoryview, turn))
        except OSError:
            return  # the worker is ending, which the channel or the process reports
        if self._backlog or self._events != READ:
            self._watch(sock)
        if self._when_sent and not self._backlog:
            callbacks, self._when_sent = self._when_sent, {}
            for callback in callbacks:
                callback()

    def _watch(self, sock: socket.socket) -> None:
        """Have the loop watch for what can be done now."""
        events = (0 if self._is_resting else READ) | (WRITE if self._backlog else 0)
        if events != self._events:
            before, self._events = self._events, events
            self._loop.watch(sock, before, events, self, gives_way=False)

    def _send_at_once(self, sock: socket.socket, turn: list[bytes]) -> None:
        """Send what was posted, and put off what the kernel does not take of it."""
        total = sum(map(len, turn))
        if total <= _JOIN_BYTES:
            if len(turn) > 1:
                turn = [b"".join(turn)]
            sent = sock.send(turn[0])
        else:
            sent = sock.sendmsg(turn[:_BUFFERS_MAX])
        if sent < total:
            self._put_off(map(memoryview, turn))
            self._drop_sent(sent)

    def _put_off(self, buffers: Iterable[memoryview]) -> None:
        for buffer in buffers:
            self._backlog.append(buffer)
            self.backlog_bytes += len(buffer)

    def _drop_sent(self, sent: int) -> None:
        self.backlog_bytes -= sent
        while sent:
            first = self._backlog[0]
            if sent < len(first):
                self._backlog[0] = first[sent:]
                return
            sent -= len(first)
            self._backlog.popleft()

    # In

    def rest(self, seconds: float) -> None:
        """Take nothing for this long, but for a few messages that have come: the other side says
        more than it may. It has to wait when the kernel keeps no more of it."""
        self._rest_s = seconds

    def on_ready(self, events: int) -> None:
        if events & READ and not self._is_going_on:
            self._receive(_MESSAGES_PER_TURN, _TURN_S)
        if events & WRITE and self._sock is not None:
            self.flush()

    def drain(self) -> None:
        """The other side has gone: take what it sent last, and close.

        Take only what is in the socket now, and a limited number of messages: another process that
        holds the other end, such as a child of the worker, may write on for ever.
        """
        most = _LAST_MESSAGES_MAX
        while self._is_going_on and most > 0:
            most -= self._take(b"", most)
        left = 0 if self._sock is None else unread_bytes(self._sock.fileno())
        while left > 0 and most > 0:
            size_bytes, messages = self._receive(most)
            left -= size_bytes or left
            most -= messages
        self.abort()

    def abort(self) -> None:
        """Close it; the other side notices that."""
        sock, self._sock = self._sock, None
        if sock is not None:
            self._listener = None
            self._is_going_on = False
            self._late = []
            self._when_sent.clear()
            if self._events:
                self._loop.unregister(sock)
            sock.close()

    def _receive(self, most: int, limit_s: float = math.inf) -> tuple[int, int]:
        """Read once; returns the numbers of bytes and messages taken, 0 bytes at the end."""
        sock, listener = self._sock, self._listener
        if sock is None or listener is None:
            return 0, 0
        try:
            data = sock.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return 0, 0
        except OSError:
            data = b""
        if not data:
            self.abort()
            listener.on_channel_closed("it closed its channel")
            return 0, 0
        return len(data), self._take(data, most, limit_s)

    def _take(self, data: bytes, most: int, limit_s: float = math.inf) -> int:
        """Deliver what `data` completes, up to `most` messages, more than a few of them for
        `limit_s` at most; returns how many there were.
        """
        listener = self._listener
        if listener is None:
            return 0
        self._is_going_on = False
        self._rest_s = 0.0
        done = 0
        try:
            messages = self._late or self._decoder.feed(data, most)
            self._late = []
            until_s = monotonic() + limit_s if len(messages) > _PORTION else math.inf
            for message, payload in messages:
                handler = self._handlers.get(message["type"])
                if handler is None:
                    raise WireError(f"no message of a worker: {message['type']!r}")
                handler(listener, message, payload)
                done += 1
                is_enough = not done % _PORTION and (self._rest_s or monotonic() >= until_s)
                if is_enough and self._sock is not None:
                    self._late = messages[done:]
                    break
        except (WireError, KeyError, TypeError, ValueError, RecursionError) as exc:
            self.abort()
            listener.on_channel_broken(f"it sent garbage: {exc!r:.{_WHY_MAX_CHARS}}")
            return 0
        if self._rest_s and self._sock is not None:
            self._is_going_on = self._is_resting = True
            self._watch(self._sock)
            self._loop.call_later(self._rest_s, self._end_rest)
        elif (self._late or self._decoder.has_more) and self._sock is not None:
            self._is_going_on = True
            self._loop.go_on_later(self._go_on)
        return done

    def _end_rest(self) -> None:
        if self._sock is not None:
            self._is_resting = False
            self._watch(self._sock)
            self._go_on()

    def _go_on(self) -> None:
        if self._is_going_on:
            self._take(b"", _MESSAGES_PER_TURN, _TURN_S)
