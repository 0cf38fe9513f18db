"""One client's connection: its socket, its requests one after the other, its output.

States, told by `_phase`: OPEN serves requests; CLOSING has written its last answer and waits for
the client to take it; LINGERING has shut its side and throws away what still comes, since closing
with unread bytes would make the kernel reset the connection and lose the answer on its way
(RFC 9112 9.6); CLOSED is over.

Output that the kernel does not take at once waits in `_pending`. While it does, no further
request is begun, so a client that does not read cannot fill the memory.
"""

import select
import socket
from collections.abc import Callable, Sequence
from enum import Enum, auto

from buntime.core.errors import ClientFault
from buntime.core.http1.forwarded import Sender
from buntime.core.http1.head import Head
from buntime.core.http1.reader import RequestReader
from buntime.sdk import closecodes
from buntime.server.http1.backlog import Backlog
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.parties import Link, Resource
from buntime.server.http1.service import Service
from buntime.server.loop import READ, WRITE, TimeoutQueue
from buntime.wire import DOWNLOAD_WINDOW_MAX, MESSAGE_OVERHEAD

_RECEIVE_BYTES = 128 * 1024
# What may wait for a WebSocket's client before it is no longer read: beyond what there is credit
# for it is pongs alone, of a client that pings and does not read.
_CLOGGED_BYTES = DOWNLOAD_WINDOW_MAX + 64 * 1024
_CLOGGED_BUFFERS = 2 * DOWNLOAD_WINDOW_MAX // MESSAGE_OVERHEAD
_JOIN_BYTES = 8 * 1024  # copying less than this costs less than a vectored write
# How long a refused client may go on sending: many read only when they have sent everything.
_LINGER_MAX_S = 30.0
# How often a connection that is not read, since nobody wants what comes, is asked if it stands yet.
_HANGUP_S = 0.5
# Linux tells of a FIN behind what is unread; elsewhere only a connection's end is told of.
_HANGUP = getattr(select, "POLLRDHUP", 0)
_FRESH_S = 0.5  # at the shutdown, for the first request of a connection that was just made


class _Phase(Enum):
    OPEN = auto()
    CLOSING = auto()
    LINGERING = auto()
    CLOSED = auto()


class Connection:
    """Reads requests from a socket, hands them on, and writes what comes back."""

    __slots__ = (
        "_events",
        "_handle",
        "_is_fresh",
        "_is_proxy",
        "_is_serving",
        "_lingering_since_s",
        "_link",
        "_pending",
        "_phase",
        "_sender",
        "_sock",
        "_timer",
        "address",
        "exchange",
        "peer_text",
        "reader",
        "service",
    )

    def __init__(
        self,
        service: Service,
        handle: Callable[[Exchange], None],
        sock: socket.socket,
        peer: tuple[str, int] | None,
        address: tuple[str, int] | None,
    ) -> None:
        # per connection
        self.service = service
        self._handle = handle  # answers an exchange, now or later
        self._sender = Sender(peer)  # of each request, unless a proxy tells of another one
        self._is_proxy = service.proxies.trust(peer)
        self.peer_text = self._sender.text
        self.address = address  # where it came in; None on a unix socket
        self._sock = sock
        self._phase = _Phase.OPEN
        self._events = READ
        self.reader = RequestReader(service.head_parser)
        self._pending: Backlog | None = None  # made when first needed
        self._timer: TimeoutQueue | None = None
        self._lingering_since_s = 0.0
        self._is_serving = False
        self._is_fresh = True  # no request of it has ended yet
        # per request
        self.exchange: Exchange | None = None
        self._link: Link | None = None  # the exchange is an open WebSocket
        service.loop.register(sock, READ, self)
        self._set_timer(service.idle_timeouts)

    def __repr__(self) -> str:
        return f"Connection({self.peer_text}, {self._phase.name}, {self.exchange!r})"

    # Called by the loop

    def on_ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & READ and self._phase is not _Phase.CLOSED:
            self._receive()

    def abort(self) -> None:
        """Close at once; the client notices a cut."""
        if self._phase is _Phase.CLOSED:
            return
        self._phase = _Phase.CLOSED
        self._set_timer(None)
        if self._events:
            self.service.loop.unregister(self._sock)
            self._events = 0
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.release()
        self._sock.close()
        self.service.on_connection_closed(self)
        link, self._link = self._link, None
        if link is not None:
            link.on_end()
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.on_client_left()

    def on_timeout(self) -> None:
        """The time of `_timer` has passed; which one it was tells what to do."""
        timer, self._timer = self._timer, None
        service = self.service
        if timer is service.head_timeouts and self.exchange is None:
            self._refuse(_too_slow("the request's head did not come in time"))
        elif timer is service.body_timeouts and self.exchange is not None:
            self.exchange.fail(_too_slow("the request's body did not come in time"))
        elif timer is service.loop.timeouts(_HANGUP_S) and not self._has_hung_up():
            self.settle()
        else:  # idle for long enough, lingering is over, the client takes nothing or has left
            self.abort()

    # Called by the exchange

    @property
    def pending_bytes(self) -> int:
        """What the client has not taken yet."""
        return 0 if self._pending is None else self._pending.size_bytes

    def write(self, data: bytes) -> None:
        """Send, or keep for when the client can take it."""
        if self._pending:
            self._keep(memoryview(data))
            return
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.abort()
            return
        if sent < len(data):
            self._keep(memoryview(data)[sent:])
            self.settle()

    def write_all(self, buffers: Sequence[bytes]) -> None:
        """Send several buffers as one."""
        size = sum(map(len, buffers))
        if size <= _JOIN_BYTES:
            self.write(b"".join(buffers))
            return
        if self._pending:
            sent = 0
        else:
            try:
                sent = self._sock.sendmsg(buffers)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.abort()
                return
            if sent == size:
                return
        for buffer in buffers:
            if sent >= len(buffer):
                sent -= len(buffer)
            else:
                self._keep(memoryview(buffer)[sent:])
                sent = 0
        self.settle()

    def write_file(self, fd: int, offset: int, length: int) -> None:
        """Send a part of a file by sendfile; see `release_later` for its descriptor."""
        if length and self._phase is _Phase.OPEN:
            self._backlog().put_file(fd, offset, length)
            self._flush()

    def release_later(self, resource: Resource) -> None:
        """Close `resource` when all that was written up to now is sent, or never will be."""
        if self._pending:
            self._pending.put_release(resource)
        else:
            resource.close()

    def open_link(self, link: Link, head: bytes) -> None:
        """From now on the connection is a WebSocket; `head` answers its handshake."""
        self._link = link
        self.write(head)
        early = self.reader.take_rest()
        if early and self._link is not None:
            link.on_data(early)
        self.settle()

    def on_link_closed(self) -> None:
        """Both closing frames are written: the connection ends when ours is taken."""
        if self._phase is _Phase.OPEN:
            self._phase = _Phase.CLOSING
            if not self._pending:
                self._shut()

    def on_exchange_end(self, keep_alive: bool) -> None:
        """The answer is written; go on with the next request, or close."""
        if self._phase is not _Phase.OPEN:
            return
        self.exchange = None
        self._is_fresh = False
        self._set_timer(None)  # what follows has a time of its own
        if not keep_alive or self.service.is_draining:
            self._phase = _Phase.CLOSING
            if not self._pending:
                self._shut()
                return
        elif not self._is_serving and self.reader.buffer and not self._pending:
            self._serve()
        self.settle()

    def cut(self) -> None:
        """End in the middle of an answer: with a reset, so that no body looks complete."""
        exchange = self.exchange
        if exchange is not None and self._phase is _Phase.OPEN:
            linger = socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"  # on, 0 s: close sends RST
            self._sock.setsockopt(socket.SOL_SOCKET, *linger)
            self.abort()

    def drain(self) -> None:
        """The runtime shuts down: close if nothing is under way, or nothing that would end."""
        if self._link is not None:
            self._link.go_away(closecodes.GOING_AWAY)
            return
        if self.exchange is not None and self.exchange.is_event_stream:
            self.exchange.break_off()
            return
        if self._is_idle():
            self._receive()  # what has come by now is not to be lost: it is answered, as the last
        if self._is_fresh and self._is_idle():
            # Its client has connected to ask, and may just be about to. Who has an answer already
            # knows that the connection may end at any time (RFC 9112, 9.3.1).
            self.service.loop.call_later(_FRESH_S, self._end_if_idle)
        else:
            self._end_if_idle()

    def _end_if_idle(self) -> None:
        if self._is_idle():
            self.abort()  # with half a head at most

    def _is_idle(self) -> bool:
        return self.exchange is None and not self._pending and self._phase is _Phase.OPEN

    # Reading

    def _receive(self) -> None:
        try:
            data = self._sock.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.abort()
            return
        if not data:
            self._on_eof()
            return
        if self._phase is not _Phase.OPEN:
            self._discard()
            return
        if self._link is not None:
            self._link.on_data(data)
            self.settle()
            return
        self.reader.receive(data)
        if self.exchange is None:
            self._serve()
        elif not self.reader.body_ended:
            if self._timer is self.service.body_timeouts:
                self._timer.start(self)
            self.exchange.pump()
        self.settle()

    def _on_eof(self) -> None:
        """The client sends no more. With a request under way this counts as having left."""
        if self.exchange is None and self._pending and self._phase is _Phase.OPEN:
            self._phase = _Phase.CLOSING  # it may still read the answers that wait
            self.settle()
        elif self._phase is _Phase.CLOSING and self._pending:
            self.settle()
        else:
            self.abort()

    def _discard(self) -> None:
        """The client still sends what nobody wants: give it time to come to its answer."""
        if self.service.loop.now - self._lingering_since_s > _LINGER_MAX_S:
            self.abort()
        elif self._timer is not None:
            self._timer.start(self)

    def _serve(self) -> None:
        """Begin requests until one is not answered at once, or no complete one is there."""
        self._is_serving = True
        try:
            while self.exchange is None and not self._pending and self._phase is _Phase.OPEN:
                head = self.reader.next_head()
                if head is None:
                    return
                service = self.service
                sender = self._sender
                if self._is_proxy:
                    sender = service.proxies.trace(sender.client, head)
                self.exchange = Exchange(self, head, service.request_id(head), sender)
                self._handle(self.exchange)
        except ClientFault as fault:
            self._refuse(fault)
        finally:
            self._is_serving = False

    def _refuse(self, fault: ClientFault) -> None:
        """Answer to bytes that are no request."""
        head = Head("-", "-", "1.1", keep_alive=False)
        self.exchange = Exchange(self, head, self.service.request_id(head), self._sender)
        self.exchange.fail(fault)

    # Writing

    def _keep(self, data: memoryview) -> None:
        if self._phase is not _Phase.CLOSED:
            self._backlog().put(data)

    def _backlog(self) -> Backlog:
        if self._pending is None:
            self._pending = Backlog()
        return self._pending

    def _flush(self) -> None:
        """Send what waits, until the kernel takes no more; then see what that allows."""
        try:
            if self._pending is not None:
                self._pending.send(self._sock)
        except BlockingIOError:
            pass
        except OSError:
            self.abort()
            return
        if self.exchange is not None:
            self.exchange.on_flushed()
        if self._timer is self.service.send_timeouts:
            self._timer.start(self)
        if not self._pending:
            if self._phase is _Phase.CLOSING:
                self._shut()
                return
            if self.exchange is None and self.reader.buffer and not self._is_serving:
                self._serve()
        self.settle()

    # Closing

    def _shut(self) -> None:
        """The last answer is written. Linger where the client may still be sending."""
        reader = self.reader
        is_quiet = reader.body_ended and not reader.buffer and not reader.is_broken
        if is_quiet and self._link is None:
            self.abort()
            return
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.abort()
            return
        self._phase = _Phase.LINGERING
        self._lingering_since_s = self.service.loop.now
        self.settle()

    # Interest and time

    def settle(self) -> None:
        """Watch for what can be done now, and limit the time it may take."""
        if self._phase is _Phase.CLOSED:
            return
        events = (READ if self._wants_read() else 0) | (WRITE if self._pending else 0)
        if events != self._events:
            loop = self.service.loop
            if not self._events:
                loop.register(self._sock, events, self)
            elif events:
                loop.modify(self._sock, events, self)
            else:
                loop.unregister(self._sock)
            self._events = events
        self._set_timer(self._due_timer())

    def _wants_read(self) -> bool:
        if self._phase is _Phase.CLOSING:
            return False
        if self._link is not None and self._phase is _Phase.OPEN:
            return self._link.wants_data and not self._is_clogged()
        buffered = self.reader.buffer
        if not buffered or self._phase is _Phase.LINGERING:
            return True
        exchange = self.exchange
        if exchange is None:
            return not self._pending  # an incomplete head
        return exchange.wants_body

    def _is_clogged(self) -> bool:
        pending = self._pending
        return pending is not None and (
            pending.size_bytes > _CLOGGED_BYTES or len(pending) > _CLOGGED_BUFFERS
        )

    def _due_timer(self) -> TimeoutQueue | None:
        service = self.service
        if self._phase is _Phase.LINGERING:
            return service.linger_timeouts
        if self._pending:
            return service.send_timeouts
        if self._link is not None and self._link.is_closing:
            return service.linger_timeouts
        if not self._events & READ:
            return service.loop.timeouts(_HANGUP_S)
        if self._link is not None:
            return None
        exchange = self.exchange
        if exchange is None:
            if self.reader.buffer:
                return service.head_timeouts
            return service.idle_timeouts
        if exchange.wants_body:
            return service.body_timeouts
        return None

    def _has_hung_up(self) -> bool:
        """Has the client left, though it is not read?"""
        poll = select.poll()
        poll.register(self._sock, _HANGUP)
        return bool(poll.poll(0))

    def _set_timer(self, queue: TimeoutQueue | None) -> None:
        """Only a change of what is waited for restarts the time."""
        if queue is self._timer:
            return
        if self._timer is not None:
            self._timer.stop(self)
        self._timer = queue
        if queue is not None:
            queue.start(self)


def _too_slow(message: str) -> ClientFault:
    return ClientFault(408, "request_timeout", message, closes=True)
