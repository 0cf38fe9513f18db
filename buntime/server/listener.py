"""Accepts connections, up to a bound; the next ones wait in the kernel's backlog."""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable

from buntime.core.errors import UsageError
from buntime.server.connection import Connection
from buntime.server.exchange import Exchange
from buntime.server.loop import READ
from buntime.server.service import Service

_BACKLOG = 1024  # connections that the kernel keeps for us; net.core.somaxconn may lower it
_ACCEPTS = 64  # in one go; those who are in want their turn
_NO_DESCRIPTORS_S = 0.25  # how long to wait for one when the process has none left


def open_listener(host: str, port: int, unix_path: str | None) -> socket.socket:
    """A listening socket. Raises UsageError that says why there can be none."""
    try:
        if unix_path is not None:
            return _listen_unix(unix_path)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
            sock.listen(_BACKLOG)
        except BaseException:
            sock.close()
            raise
        return sock
    except (OSError, OverflowError) as exc:
        raise UsageError(_why_not(exc, host, port, unix_path)) from exc


def _listen_unix(path: str) -> socket.socket:
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _remove_stale(path: str) -> None:
    """A socket that nobody listens on is left over from a runtime that was killed."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)  # a backlog that is full would make us wait
            if probe.connect_ex(path) == errno.ECONNREFUSED:
                os.unlink(path)


def _why_not(exc: Exception, host: str, port: int, unix_path: str | None) -> str:
    where = f"unix:{unix_path}" if unix_path is not None else f"{host} port {port}"
    number = getattr(exc, "errno", None)
    if number == errno.EADDRINUSE:
        hint = "something listens there already; stop it or choose another PORT"
    elif number in (errno.EACCES, errno.EPERM):
        hint = "this user may not; choose a PORT above 1023 or allow it"
    elif number == errno.EADDRNOTAVAIL or isinstance(exc, socket.gaierror):
        hint = "this machine has no such address; set HOST to one of its own, or to 0.0.0.0"
    else:
        hint = getattr(exc, "strerror", None) or str(exc)
    return f"cannot listen on {where}: {hint}"


class Listener:
    """Watches a listening socket and makes connections of those who come."""

    def __init__(
        self,
        service: Service,
        handle: Callable[[Exchange], None],
        sock: socket.socket,
        connections_max: int,
    ) -> None:
        self._service = service
        self._handle = handle
        self._sock: socket.socket | None = sock
        self._connections_max = connections_max
        self._is_watching = False
        self._unix_path = sock.getsockname() if sock.family == socket.AF_UNIX else None
        sock.setblocking(False)
        service.on_room = self._resume
        self._resume()

    @property
    def url(self) -> str:
        """Where it can be reached: "http://127.0.0.1:8000"."""
        if self._sock is None:
            return "closed"
        if self._unix_path is not None:
            return f"unix:{self._unix_path}"
        host, port = self._sock.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def on_ready(self, events: int) -> None:
        connections = self._service.connections
        for _ in range(_ACCEPTS):
            if self._sock is None:
                return
            if len(connections) >= self._connections_max:
                self._pause()
                return
            try:
                sock, address = self._sock.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as exc:
                self._on_accept_error(exc)
                return
            sock.setblocking(False)
            peer: tuple[str, int] | None = None
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                peer = (address[0], address[1])
            connections.add(Connection(self._service, self._handle, sock, peer))

    def abort(self) -> None:
        """Stop accepting; who waits in the backlog is refused by the kernel."""
        self._pause()
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()
            if self._unix_path is not None:
                with contextlib.suppress(OSError):
                    os.unlink(self._unix_path)

    def _on_accept_error(self, exc: OSError) -> None:
        """Out of descriptors or memory: those who are connected go on, others wait."""
        self._service.log.error("cannot accept connections", error=str(exc))
        self._pause()
        self._service.loop.call_later(_NO_DESCRIPTORS_S, self._resume)

    def _pause(self) -> None:
        if self._is_watching and self._sock is not None:
            self._is_watching = False
            self._service.loop.unregister(self._sock)

    def _resume(self) -> None:
        if self._is_watching or self._sock is None:
            return
        if len(self._service.connections) < self._connections_max:
            self._is_watching = True
            self._service.loop.register(self._sock, READ, self)
