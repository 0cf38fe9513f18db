"""The control socket, STATE/control.sock: the operators' API on this host, without a key.

It belongs to the runtime that holds the state folder; with RUNTIME_STATE=none, to a runtime that
finds the folder there and nobody listening in it. It speaks HTTP/1.1 by the same code as elsewhere;
`peers` decides who may connect. No app answers here.
"""

import contextlib
import errno
import os
import socket
import sys

from buntime.core.access.rights import admin
from buntime.core.apps.router import reserved_path
from buntime.core.errors import ClientFault, HttpError
from buntime.core.settings.endpoint import UnixEndpoint
from buntime.core.settings.live import LiveSettings
from buntime.core.values.tally import Tally
from buntime.server.admin.latepages import LatePages
from buntime.server.admin.peers import Peers
from buntime.server.http1.binding import Binding
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.listener import Handle, Listener
from buntime.server.http1.service import Service
from buntime.server.state.statefolder import StateFolder, prepare_state

NAME = "control.sock"
CALLER = admin("socket", "socket")
_MODE = 0o600
_BACKLOG = 64
_TELL_S = 60.0  # between two log lines about refused peers


class Control:
    """Listens there, once the state folder is ours."""

    def __init__(
        self,
        service: Service,
        live: LiveSettings,
        pages: LatePages,
        state: StateFolder,
        listeners: list[Listener],
    ) -> None:
        """`listeners` are all of the runtime's, which it closes; this one is added to them."""
        self._listeners = listeners
        self._is_open = False
        self._service = service
        self._live = live
        self._pages = pages
        self._state = state
        self._refused = Tally(every_s=_TELL_S)
        self._peers: Peers | None = None

    def __repr__(self) -> str:
        return f"Control({self.path}, {'open' if self._is_open else 'closed'})"

    @property
    def path(self) -> str:
        return os.path.join(self._state.path, NAME)

    def open(self) -> None:
        """Listen, if the state folder can be used; call it again when it becomes usable."""
        state, log = self._state, self._service.log
        if self._is_open or sys.platform != "linux" or (state.trouble and not state.is_off):
            return
        try:
            if state.is_off and not _is_ours_to_use(self._state.path):
                return
            sock = _listen(self._state.path)
            self._peers = Peers()
            binding = Binding(UnixEndpoint(self.path), sock)
        except OSError as exc:
            log.warn(
                "control.unavailable",
                "there is no control socket: commands on this host need a key",
                file=self.path,
                error=exc.strerror or str(exc),
            )
            return
        self._is_open = True
        self._listeners.append(Listener(self._service, self.handle, binding, door=self.judge))
        # After the line that says the runtime listens, which comes first in the log.
        self._service.loop.call_soon(self._tell)

    def _tell(self) -> None:
        self._service.log.info(
            "control.listening", "commands on this host need no key", file=self.path
        )

    def judge(self, sock: socket.socket) -> Handle | None:
        """The handler for a peer that is refused; None if it is let in."""
        if self._peers is None:
            raise AssertionError("a peer before anybody listens")
        peer, why = self._peers.refusal(sock)
        if not why:
            return None
        service = self._service
        count = self._refused.add(service.loop.now)
        if count:
            service.log.warn(
                "control.refused",
                "a process may not use the control socket",
                pid=peer.pid,
                uid=peer.uid,
                reason=why,
                times=count,
            )
        message = f"the control socket is not for this process: {why}; use a key"
        return lambda exchange: exchange.fail(ClientFault(403, "not_allowed", message, closes=True))

    def handle(self, exchange: Exchange) -> None:
        """Answer a request: with a page of the runtime's own, or 404."""
        path = reserved_path(exchange.head.target, self._live.now.api_prefix)
        try:
            if path is None:
                raise ClientFault(404, "not_found", "apps do not answer at the control socket")
            self._pages.answer(exchange, path, CALLER)
        except HttpError as error:
            exchange.fail(error)


def _is_ours_to_use(folder: str) -> bool:
    """Whether the folder exists and no other runtime listens in it. Raises OSError."""
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):
        return False
    reason = prepare_state(folder)
    if reason:
        raise OSError(0, reason, folder)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sock.connect(f"/proc/self/fd/{fd}/{NAME}")
        except (FileNotFoundError, ConnectionRefusedError):
            return True
        except BlockingIOError:  # its queue is full, so somebody listens
            pass
        finally:
            os.close(fd)
    raise OSError(errno.EADDRINUSE, "another runtime listens there", folder)


def _listen(folder: str) -> socket.socket:
    """Open our socket in the folder, replacing one that an earlier runtime left."""
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.fchmod(sock.fileno(), _MODE)  # Linux creates the file with this mode
            with contextlib.suppress(FileNotFoundError):
                os.unlink(NAME, dir_fd=fd)
            sock.bind(f"/proc/self/fd/{fd}/{NAME}")  # a long path would not fit
            sock.listen(_BACKLOG)
        except BaseException:
            sock.close()
            raise
        return sock
    finally:
        os.close(fd)
