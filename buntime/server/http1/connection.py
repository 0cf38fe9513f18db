"""One client's connection: its socket, its requests one after the other, its output.

core/http1/connection.py decides what to do; this module does it to a socket.
"""

import socket
from collections.abc import Callable

from buntime.core.errors import ClientFault
from buntime.core.http1.connection import PER_TURN, Due, Phase, ServerConnection, Step, too_slow
from buntime.core.http1.forwarded import Sender
from buntime.core.http1.head import Head
from buntime.core.http1.limits import HeadTooLarge
from buntime.sdk import closecodes
from buntime.server.http1.doubt import patience_s
from buntime.server.http1.ending import reset_at_close, shut
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.parties import Link
from buntime.server.http1.sending import SendingHalf
from buntime.server.http1.service import Service
from buntime.server.loop.loop import READ, WRITE

_RECEIVE_BYTES = 128 * 1024
# Every request needs these, and a global costs less than an attribute of a class.
_SERVE = Step.SERVE
_NOTHING = Step.NOTHING
_NOTHING_DUE = Due.NOTHING
_HEAD = Phase.HEAD
_EXCHANGE = Phase.EXCHANGE
_CLOSED = Phase.CLOSED
_WHOLE = (Due.REQUEST, Due.HEAD)  # progress does not prolong these


class Connection(SendingHalf):
    """Reads requests from a socket, hands them on, and writes what comes back."""

    __slots__ = (
        "_due",
        "_gives_way",
        "_handle",
        "_http",
        "_is_proxy",
        "_is_serving",
        "_link",
        "_sender",
        "_served",
        "address",
        "exchange",
        "peer_text",
        "reader",
    )

    def __init__(
        self,
        service: Service,
        handle: Callable[[Exchange], None],
        sock: socket.socket,
        peer: tuple[str, int] | None,
        address: tuple[str, int] | None,
        *,
        gives_way: bool = False,
    ) -> None:
        """With `gives_way` it comes after connections of other clients, see `give_way`."""
        # per connection
        self.service = service
        self._handle = handle  # answers an exchange, now or later
        self._sender = Sender(peer)  # of each request, unless a proxy names another one
        self._is_proxy = service.proxies.trust(peer)
        self.peer_text = self._sender.text
        self.address = address  # where the client connected to; None on a unix socket
        self._sock = sock
        self._http = ServerConnection(service.head_parser)
        self.reader = self._http.reader
        self._pending = None
        self._spool = None
        self._is_put_off = False
        self._is_serving = False
        self._served = 0  # how many of its requests have ended
        # per request
        self.exchange: Exchange | None = None
        self._link: Link | None = None  # the exchange is an open WebSocket
        # what it waits for
        self._events = READ
        self._due = Due.NOTHING
        self._gives_way = gives_way
        service.loop.watch(sock, 0, READ, self, gives_way=gives_way)
        self.settle()

    def __repr__(self) -> str:
        return f"Connection({self.peer_text}, {self._http.phase.name}, {self.exchange!r})"

    @property
    def peer(self) -> tuple[str, int] | None:
        """The client's address and port; None on a unix socket."""
        return self._sender.client

    # Called by the loop

    def on_ready(self, events: int) -> None:
        events &= self._events  # one that waited to be handled may not be watched for any more
        if events & WRITE:
            self._flush_in_turn()
        if events & READ and self._http.phase is not _CLOSED:
            self._receive()

    def abort(self) -> None:
        """Close at once; the client sees a broken connection."""
        if self._http.phase is _CLOSED:
            return
        self._http.end()
        self._wait_for(Due.NOTHING)
        self._watch(0)
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.release()
        if self._spool is not None:
            self._spool.close()
            self._spool = None
        self._sock.close()
        self.service.on_connection_closed(self)
        link, self._link = self._link, None
        if link is not None:
            link.on_end()
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.on_client_left()

    def on_timeout(self) -> None:
        """The time limit of the current wait has passed."""
        due, self._due = self._due, Due.NOTHING
        served = self._served
        if due is Due.HANGUP:
            self._look()
        elif not self.catch_up() or (self._due is due and due in _WHOLE and self._served == served):
            self._do(self._http.on_due(due))

    def _look(self) -> None:
        """While it is not read: has the client left, or if that is unclear, how long to wait for
        it?
        """
        wait_s = patience_s(self.service, self._sock, self._http, self.exchange)
        if wait_s is not None and wait_s > 0:
            self.service.loop.call_later(wait_s, self._give_up)
        self._judge(wait_s)

    def _give_up(self) -> None:
        """The wait for the client is over, unless a new request or progress has come meanwhile."""
        if self._http.phase is _EXCHANGE:
            self._judge(patience_s(self.service, self._sock, self._http, self.exchange))

    def _judge(self, wait_s: float | None) -> None:
        has_left = wait_s is not None and wait_s <= 0
        self._do(self._http.on_due(Due.HANGUP) if has_left else _NOTHING)

    # Called by the exchange

    def write_file(self, fd: int, offset: int, length: int) -> None:
        """Send a part of a file by sendfile; see `release_later` for its descriptor."""
        if length and self._http.phase is not _CLOSED:
            self._backlog().put_file(fd, offset, length)
            self._flush_in_turn()

    def open_link(self, link: Link, head: bytes) -> None:
        """The connection becomes a WebSocket; `head` answers its handshake."""
        self._link = link
        early = self._http.on_linked()
        self.write(head)
        if early and self._link is not None:
            link.on_data(early)
        self.settle()
        if self._http.is_half_closed:
            self.abort()  # nobody is left to answer our close

    def on_link_closed(self) -> None:
        """Both closing frames are written: the connection ends once the client has taken ours."""
        if self._http.phase is Phase.LINKED:
            self._do(self._http.on_last(bool(self._pending), self.service.loop.now))

    def on_exchange_end(self, keep_alive: bool) -> None:
        """The answer is written: go on with the next request, or close."""
        if self._http.phase is not _EXCHANGE:
            return
        self.exchange = None
        self._served += 1
        if self._due is not _NOTHING_DUE:
            self._wait_for(_NOTHING_DUE)  # what follows has a time limit of its own
        step = self._http.on_answered(keep_alive, bool(self._pending), self.service.loop.now)
        if self._is_serving and (step is _NOTHING or step is _SERVE):
            return  # the caller, which serves, goes on and settles
        if step is _NOTHING:
            self.settle()
        else:
            self._do(step)

    def cut(self) -> None:
        """End in the middle of an answer, with a reset, so that no body looks complete."""
        if self.exchange is not None and self._http.phase is _EXCHANGE:
            reset_at_close(self._sock)
            self.abort()

    # Others need room, or the runtime shuts down

    def read_ahead(self) -> None:
        """Read what has arrived by now, so that it is not lost."""
        if self._is_idle():
            self._receive()

    def drain(self) -> None:
        """End what would never end by itself.

        Without a request it ends soon: the time limits of idle connections are short now, see
        `Service.begin_drain`. A client that was told that the connection is kept, be it by an
        answer that is still on its way, may have sent its next request already.
        """
        if self._link is not None:
            self._link.go_away(closecodes.GOING_AWAY)
        elif self.exchange is not None and self.exchange.is_event_stream:
            self.exchange.break_off()
        elif self._due is Due.HEAD:
            self._restart()  # its client is sending one, or has just connected and is about to

    def end_if_idle(self) -> None:
        """Close unless there is a request; part of a head is not one."""
        if self._is_idle():
            self.abort()

    def _is_idle(self) -> bool:
        return self._http.phase is _HEAD and not self._pending and not self._http.has_more

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
            self._do(self._http.receive_end(bool(self._pending)))
            if self._http.is_half_closed and self._http.phase is _EXCHANGE:
                self.service.admission.doubtful[self] = None
                self._look()
            return
        step = self._http.receive(data, self.service.loop.now)
        if step is _SERVE:
            self._serve()
        elif step is _NOTHING:
            if self._due is Due.SILENCE:
                self._restart()
        elif step is Step.PUMP and self.exchange is not None:
            if self._due is Due.BODY:
                self._restart()
            self.exchange.pump()
        elif step is Step.CARRY and self._link is not None:
            self._link.on_data(data)
        else:
            self.abort()
        self.settle()

    def _serve(self) -> None:
        """Begin requests until one is not answered at once, or this turn's share is used up."""
        http, service = self._http, self.service
        self._is_serving = True
        try:
            for _ in range(PER_TURN):
                if http.phase is not _HEAD or self._pending:
                    return
                head = http.next_head()
                if head is None:
                    if http.is_half_closed:
                        self._do(http.on_last(False, service.loop.now))
                    return
                sender = self._sender
                if self._is_proxy:
                    sender = service.proxies.trace(sender.client, head)
                self.exchange = Exchange(self, head, service.request_id(head), sender)
                self._handle(self.exchange)
            if http.put_off():
                service.loop.go_on_later(self._serve_on)
        except ClientFault as fault:
            self._refuse(fault)
        finally:
            self._is_serving = False

    def _serve_on(self) -> None:
        """Others have had their turn: serve more requests."""
        self._do(self._http.go_on(bool(self._pending), self.service.loop.now))

    def _refuse(self, fault: ClientFault) -> None:
        """Answer bytes that are not a valid request."""
        head = Head("-", "-", "1.1", keep_alive=False)
        self.exchange = Exchange(self, head, self.service.request_id(head), self._sender)
        if isinstance(fault, HeadTooLarge) and self.service.relieve is not None:
            self.exchange.fail(self.service.relieve(fault, self.address))
        else:
            self.exchange.fail(fault)

    # Writing

    def _flush(self) -> None:
        """Send queued output until the kernel takes no more, then do what that allows."""
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
        if self._spool is not None:
            self._close_spool()
        if self._due is Due.SENT:
            self._restart()
        self._do(_NOTHING if self._pending else self._http.on_sent(self.service.loop.now))

    def on_moved(self) -> None:
        """What waited in memory waits on disk: the exchange's worker may go on."""
        if self.exchange is not None:
            self.exchange.on_flushed()

    # What to do next, and what to wait for

    def _do(self, step: Step) -> None:
        """Take a step that involves no bytes."""
        if step is _SERVE:
            if not self._is_serving:
                self._serve()
        elif step is not _NOTHING:
            self._do_rare(step)
        self.settle()

    def _do_rare(self, step: Step) -> None:
        if step is Step.ABORT:
            self.abort()
        elif step is Step.REFUSE:
            self._refuse(too_slow("head"))
            if self.service.is_draining:
                self.abort()  # lingering would let clients that send little by little delay the end
        elif step is Step.FAIL and self.exchange is not None:
            self.exchange.fail(too_slow("body"))
        elif step is Step.SHUT and not shut(self._sock):
            self.abort()

    def settle(self) -> None:
        """Watch for what can be done now, and limit how long that may take."""
        is_alone = not self._pending and self._link is None
        due = self._http.awaited_at_rest() if is_alone else None
        events = READ
        if due is None:
            if self._http.phase is _CLOSED:
                return
            events, due = self._wanted()
        if events != self._events:
            self._watch(events)
        if due is not self._due:
            self._wait_for(due)

    def give_way(self, gives_way: bool) -> None:
        """Come after the connections of other clients, or beside them: its client has many now, or
        few."""
        if gives_way is not self._gives_way:
            events = self._events
            self._watch(0)
            self._gives_way = gives_way
            self._watch(events)

    def _watch(self, events: int) -> None:
        """Watch for these events from now on; 0 for none."""
        loop = self.service.loop
        loop.watch(self._sock, self._events, events, self, gives_way=self._gives_way)
        self._events = events

    def _wanted(self) -> tuple[int, Due]:
        pending, link, exchange = self._pending, self._link, self.exchange
        takes_data = is_closing = False
        if link is not None:
            takes_data = link.wants_data and not (pending and pending.is_clogged)
            is_closing = link.is_closing
        elif exchange is not None and not self.reader.body_ended:
            takes_data = exchange.wants_body
        reads, due = self._http.wanted(bool(pending), takes_data, is_closing)
        events = READ if reads else 0
        return events | WRITE if pending else events, due

    def _wait_for(self, due: Due) -> None:
        """Restart the time limit only if it now waits for something else."""
        timeouts = self.service.timeouts
        if self._due is not _NOTHING_DUE:
            timeouts[self._due].stop(self)
        self._due = due
        if due is not _NOTHING_DUE:
            timeouts[due].start(self)

    def _restart(self) -> None:
        """There was progress: restart the time limit."""
        self.service.timeouts[self._due].start(self)
