"""Accepts clients, and lets in as many as the limit of connections allows.

The others wait: those of clients with few connections in front of all others, so that nobody waits
behind hundreds of another client. If too many wait, more do so in the kernel's backlog.
"""

import contextlib
import math
import socket
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic

from buntime.core.http1.forwarded import Address
from buntime.core.values.tally import Tally
from buntime.server.http1.binding import Binding
from buntime.server.http1.clientlimit import NO_REQUEST
from buntime.server.http1.connection import Connection
from buntime.server.http1.ending import has_left
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.newcomer import Newcomer, newcomers_max
from buntime.server.http1.service import Service
from buntime.server.loop.loop import READ

_ACCEPTS = 64  # in one go; those already connected want their turn
# At the end, as the kernel's backlog has space for a thousand: more than that have come meanwhile.
_ACCEPT_ROUNDS = 20
# From this many in one go, check whether clients are still there. Clients that connect and leave
# over and over fill the kernel's backlog, a thousand ahead of all others, and each would otherwise
# cost 80 us of work.
_SURE = 8
_LOOKS = 256  # in one go, including clients that have left
_NO_DESCRIPTORS_S = 0.25  # how long to wait for a descriptor when none is left
_TELL_S = 60.0  # between two log records of that
_NOBODY_GOES_S = 0.005  # how long to wait for a connection to become idle or to close
# How often to look for those who have left while they waited: a look at all of them takes 0.3 ms.
_LEFT_S = 0.1
# How much of an answer the kernel takes before it can send it. Otherwise it took 1.3 MB of a file
# for a client that reads nothing: 440 of them a second took 0.33 of a core in the kernel, now 0.10.
# Ten clients that read as fast as they can get a large file 1.7 to 1.9 times as fast with this, and
# one gets it as fast as before.
_UNSENT_BYTES = 256 * 1024
# The part of a turn for letting in newcomers of clients with many connections: some twenty of
# them.
_CROWD_S = 0.002


Handle = Callable[[Exchange], None]
Door = Callable[[socket.socket], Handle | None]


class Listener:
    """Watches a listening socket and makes connections for those who come."""

    def __init__(
        self,
        service: Service,
        handle: Handle,
        binding: Binding,
        *,
        door: Door | None = None,
        sharing: int = 1,
    ) -> None:
        """`door` names who answers instead of `handle`, if not None. Such clients are few, and are
        let in even where there is no room for others. So many listeners are `sharing` the places to
        wait at.
        """
        self._service = service
        self._admission = service.admission
        self._handle = handle
        self._binding = binding
        self._door = door
        self._sharing = sharing
        self._sock: socket.socket | None = binding.sock
        self._is_watching = False
        self._has_failed = False  # no client can be accepted for now
        self._first: deque[Newcomer] = deque()  # those who wait to be let in
        self._crowd: deque[Newcomer] = deque()  # the same of clients with many connections
        self._left_s = -math.inf  # when we looked for those who have left
        self._is_letting_in = False
        self._is_looking_again = False
        self._is_going_on = False
        self._is_called = False
        self._failed = Tally(every_s=_TELL_S)
        binding.sock.setblocking(False)
        _limit_unsent(binding.sock)
        self._watch()

    def __repr__(self) -> str:
        return f"Listener({self._binding.url}, {'watching' if self._is_watching else 'paused'})"

    @property
    def waiting(self) -> int:
        """How many were accepted and wait to be let in."""
        return len(self._first) + len(self._crowd)

    def on_ready(self, events: int) -> None:
        self._accept()
        self._let_in()

    def end(self) -> None:
        """Accept those who have connected, who may have sent a request, and then nobody more."""
        for _ in range(_ACCEPT_ROUNDS):
            before = self._service.accepted
            self._accept()
            self._connect_all()
            if self._service.accepted == before:
                break
        self.abort()

    def abort(self) -> None:
        """Stop accepting; the kernel refuses those in the backlog. Those who wait are let in."""
        self._pause()
        self._sock = None
        self._binding.close()
        self._connect_all()
        self._admission.go_on(self)

    def _connect_all(self) -> None:
        for who in (*self._first, *self._crowd):
            self._connect(who)
        self._first.clear()
        self._crowd.clear()

    def resume(self) -> None:
        """There may be room: let in those who wait, in the next turn."""
        self._has_failed = False
        if not self.waiting:
            self._admission.go_on(self)
            self._watch()
        elif not (self._is_called or self._is_letting_in):
            self._is_called = True
            self._service.loop.call_soon(self._on_called)

    def _on_called(self) -> None:
        self._is_called = False
        self._let_in()

    def _accept(self) -> None:
        stayed = 0
        for number in range(_LOOKS):
            if stayed == _ACCEPTS or self._sock is None:
                return
            if self._is_full():
                self._pause()
                return
            try:
                sock, from_address = self._sock.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as exc:
                self._on_accept_error(exc)
                return
            self._service.accepted += 1
            if number >= _SURE and has_left(sock):
                sock.close()
                continue
            stayed += 1
            peer: Address | None = None
            try:
                sock.setblocking(False)
                if sock.family != socket.AF_UNIX:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    peer = (_plain(from_address[0]), from_address[1])
            except OSError:  # it has ended already: macOS says so where an option is set
                sock.close()
                continue
            # What fails with one client is logged, and keeps nobody else out.
            if not self._service.loop.guard(partial(self._receive, sock, peer)):
                sock.close()

    def _receive(self, sock: socket.socket, peer: Address | None) -> None:
        """Let a client wait, pass the door, or be turned away."""
        if self._door is not None:
            self._pass_door(sock, self._door)
        elif peer is None or self._takes(peer):
            self._put(Newcomer(sock, peer, self._service.loop.now))
        else:
            self._turn_away(sock, peer)

    def _is_full(self) -> bool:
        """Do as many wait as may?"""
        most = newcomers_max(self._admission.connections_max)
        return self.waiting >= max(1, most // self._sharing)

    def _takes(self, peer: Address) -> bool:
        """May another connection come from this address? Those who have left do not count."""
        takes = self._service.client_limit.takes
        return takes(peer) or (self._drop_left() and takes(peer))

    def _drop_left(self) -> bool:
        """Forget those who have left while they waited; returns False if we just looked for
        them."""
        now = self._service.loop.now
        if now - self._left_s < _LEFT_S:
            return False
        self._left_s = now
        for queue in (self._first, self._crowd):
            for _ in range(len(queue)):
                who = queue.popleft()
                if has_left(who.sock):
                    self._forget(who)
                else:
                    queue.append(who)
        return True

    def _forget(self, who: Newcomer) -> None:
        """This newcomer has left."""
        self._service.client_limit.discard(who)
        who.sock.close()

    def _put(self, who: Newcomer) -> None:
        """Let a newcomer wait, behind those who came before."""
        self._service.client_limit.add(who, who.peer)
        (self._crowd if who.gives_way else self._first).append(who)

    def _let_in(self) -> None:
        """Connect those who wait, as far as there is room; a crowd last, and for a while only."""
        if self._is_letting_in:
            return
        self._is_letting_in = True
        try:
            has_room = self._let_in_from(self._first, math.inf)
            if has_room and not self._is_going_on:
                has_room = self._let_in_from(self._crowd, monotonic() + _CROWD_S)
        finally:
            self._is_letting_in = False
        if has_room and self._crowd and not self._is_going_on:
            self._is_going_on = True
            self._service.loop.go_on_later(self._go_on)
        if not self.waiting:
            self._admission.go_on(self)
        if not self._is_full():
            self._watch()

    def _go_on(self) -> None:
        self._is_going_on = False
        self._let_in()

    def _let_in_from(self, queue: deque[Newcomer], until_s: float) -> bool:
        """Connect those in this queue; returns False if there is no room for the next one."""
        while queue and monotonic() < until_s:
            who = queue[0]
            if queue is self._first and who.gives_way:
                self._crowd.append(queue.popleft())
            elif who.since_s < self._service.loop.now and has_left(who.sock):
                self._forget(queue.popleft())
            elif self._find_room():
                self._connect(queue.popleft())
            else:
                return False
        return True

    def _pass_door(self, sock: socket.socket, door: Door) -> None:
        handle = door(sock)
        if handle is None or self._admission.has_room:
            self._service.connections.add(
                Connection(self._service, handle or self._handle, sock, None, self._binding.address)
            )
        else:
            sock.close()

    def _connect(self, who: Newcomer) -> None:
        """Make a connection of a newcomer; one with whom that fails keeps nobody else out."""
        if not self._service.loop.guard(partial(self._make_connection, who)):
            who.sock.close()

    def _make_connection(self, who: Newcomer) -> None:
        service, address = self._service, self._binding.address
        limit = service.client_limit
        limit.discard(who)
        gives_way = limit.is_crowd(who.peer)
        connection = Connection(
            service, self._handle, who.sock, who.peer, address, gives_way=gives_way
        )
        service.connections.add(connection)
        limit.add(connection, who.peer)

    def _turn_away(self, sock: socket.socket, peer: Address) -> None:
        """Answer before reading anything, and close: a client with too many connections must not
        wait.
        """
        service = self._service
        request_id = service.request_id(NO_REQUEST)
        data = service.client_limit.refuse(
            peer, service.loop.now, request_id=request_id, date=service.date()
        )
        with sock, contextlib.suppress(OSError):  # it has left by itself
            sock.send(data)

    def _find_room(self) -> bool:
        """Whether to let in the next one, for whom another connection may have to be closed."""
        admission = self._admission
        if admission.has_room or admission.make_room():
            admission.go_on(self)
            return True
        admission.wait(self)
        if not self._is_looking_again:
            self._is_looking_again = True
            self._service.loop.call_later(_NOBODY_GOES_S, self._look_again)
        return False

    def _look_again(self) -> None:
        self._is_looking_again = False
        if self._is_full():
            self._drop_left()
        self._let_in()

    def _on_accept_error(self, exc: OSError) -> None:
        """Out of descriptors or memory: connected clients go on, others wait."""
        count = self._failed.add(self._service.loop.now)
        if count:
            self._service.log.error(
                "listener.accept_failed", "cannot accept connections", error=str(exc), times=count
            )
        self._pause()
        self._has_failed = True
        self._service.loop.call_later(_NO_DESCRIPTORS_S, self.resume)

    def _watch(self) -> None:
        if not (self._is_watching or self._has_failed) and self._sock is not None:
            self._is_watching = True
            self._service.loop.register(self._sock, READ, self)

    def _pause(self) -> None:
        if self._is_watching and self._sock is not None:
            self._is_watching = False
            self._service.loop.unregister(self._sock)


def _limit_unsent(sock: socket.socket) -> None:
    """Connections inherit this from the socket that listens."""
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None and sock.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):  # a kernel without it takes what it wants, as before
            sock.setsockopt(socket.IPPROTO_TCP, option, _UNSENT_BYTES)


def _plain(address: str) -> str:
    """An IPv4 client of an IPv6 socket as IPv4: "::ffff:10.0.0.1" -> "10.0.0.1"."""
    return address.removeprefix("::ffff:") if "." in address else address
