"""Accepts connections, up to a limit; further ones wait in the kernel's backlog."""

import contextlib
import select
import socket
from collections.abc import Callable

from buntime.core.http1.forwarded import Address
from buntime.core.values.tally import Tally
from buntime.server.http1.binding import Binding
from buntime.server.http1.clientlimit import NO_REQUEST
from buntime.server.http1.connection import Connection
from buntime.server.http1.ending import has_left
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.service import Service
from buntime.server.loop import READ

_ACCEPTS = 64  # in one go; those already connected want their turn
# From this many in one go, check whether clients are still there. Clients that connect and leave
# over and over fill the kernel's backlog, a thousand ahead of all others, and each would otherwise
# cost 80 us of work.
_SURE = 8
_LOOKS = 256  # in one go, including clients that have left
_NO_DESCRIPTORS_S = 0.25  # how long to wait for a descriptor when none is left
_TELL_S = 60.0  # between two log records of that
_NOBODY_GOES_S = 0.02  # how long to wait for a connection to become idle or to close


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
    ) -> None:
        """`door` names who answers instead of `handle`, if not None. Such clients are few, and are
        let in even where there is no room for others.
        """
        self._service = service
        self._admission = service.admission
        self._handle = handle
        self._binding = binding
        self._door = door
        self._sock: socket.socket | None = binding.sock
        self._is_watching = False
        self._is_looking_again = False
        self._failed = Tally(every_s=_TELL_S)
        binding.sock.setblocking(False)
        self._backlog = select.poll()
        self._backlog.register(binding.sock, select.POLLIN)
        self.resume()

    def __repr__(self) -> str:
        return f"Listener({self._binding.url}, {'watching' if self._is_watching else 'paused'})"

    def on_ready(self, events: int) -> None:
        stayed = 0
        for number in range(_LOOKS):
            if stayed == _ACCEPTS or self._sock is None or not self._find_room():
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
            sock.setblocking(False)
            peer: Address | None = None
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                peer = (_plain(from_address[0]), from_address[1])
            if self._door is not None:
                self._pass_door(sock, self._door)
            elif peer is None or self._service.client_limit.takes(peer):
                self._connect(sock, peer)
            else:
                self._turn_away(sock, peer)

    def abort(self) -> None:
        """Stop accepting; the kernel refuses those in the backlog."""
        self._pause()
        self._admission.go_on(self)
        self._sock = None
        self._binding.close()

    def resume(self) -> None:
        """Accept again, if there is room."""
        if self._admission.has_room or self._door is not None:
            self._admission.go_on(self)
            self._watch()

    def _pass_door(self, sock: socket.socket, door: Door) -> None:
        handle = door(sock)
        if handle is None or self._admission.has_room:
            self._connect(sock, None, handle)
        else:
            sock.close()

    def _connect(
        self, sock: socket.socket, peer: Address | None, handle: Handle | None = None
    ) -> None:
        service = self._service
        handle = handle or self._handle
        connection = Connection(service, handle, sock, peer, self._binding.address)
        service.connections.add(connection)
        service.client_limit.add(connection, peer)

    def _turn_away(self, sock: socket.socket, peer: Address) -> None:
        """Answer before reading anything, and close: a client with too many connections must not
        wait.
        """
        service = self._service
        request_id = service.request_id(NO_REQUEST)
        data = service.client_limit.refuse(
            peer, service.loop.now, request_id=request_id, date=service.date()
        )
        with sock, contextlib.suppress(OSError):
            sock.send(data)

    def _find_room(self) -> bool:
        """Whether to accept the next client, for whom another connection may have to be closed."""
        admission = self._admission
        if admission.has_room or self._door is not None:
            return True
        if not self._backlog.poll(0):  # close nothing unless somebody waits
            admission.go_on(self)
            return False
        if admission.make_room():
            admission.go_on(self)
            return True
        self._pause()
        admission.wait(self)
        if not self._is_looking_again:
            self._is_looking_again = True
            self._service.loop.call_later(_NOBODY_GOES_S, self._look_again)
        return False

    def _look_again(self) -> None:
        self._is_looking_again = False
        if not self._backlog.poll(0):  # who waited has left
            self._admission.go_on(self)
        self._watch()

    def _on_accept_error(self, exc: OSError) -> None:
        """Out of descriptors or memory: connected clients go on, others wait."""
        count = self._failed.add(self._service.loop.now)
        if count:
            self._service.log.error(
                "listener.accept_failed", "cannot accept connections", error=str(exc), times=count
            )
        self._pause()
        self._service.loop.call_later(_NO_DESCRIPTORS_S, self._watch)

    def _watch(self) -> None:
        if not self._is_watching and self._sock is not None:
            self._is_watching = True
            self._service.loop.register(self._sock, READ, self)

    def _pause(self) -> None:
        if self._is_watching and self._sock is not None:
            self._is_watching = False
            self._service.loop.unregister(self._sock)


def _plain(address: str) -> str:
    """An IPv4 client of an IPv6 socket as IPv4: "::ffff:10.0.0.1" -> "10.0.0.1"."""
    return address.removeprefix("::ffff:") if "." in address else address
