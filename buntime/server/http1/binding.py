"""Listening sockets: all of them opened or none, or inherited; closed without leaving a file."""

import contextlib
import errno
import os
import socket
import stat
import sys
from collections.abc import Iterator, Sequence

from buntime.core.errors import UsageError
from buntime.core.settings.endpoint import Endpoint, TcpEndpoint, UnixEndpoint
from buntime.core.telemetry.supervision import FIRST_DESCRIPTOR

_FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
_FURTHER = 10  # the port that is offered instead: the next one may be the operators' own
_BACKLOG = 1024  # connections that the kernel queues for us; net.core.somaxconn may lower it


class Binding:
    """A socket that listens at an endpoint."""

    __slots__ = ("_inode", "address", "endpoint", "sock", "url")

    def __init__(
        self, endpoint: Endpoint, sock: socket.socket, *, is_inherited: bool = False
    ) -> None:
        """An inherited socket's file and backlog stay with whoever handed the socket over."""
        self.endpoint = endpoint
        self.sock = sock
        self.address: tuple[str, int] | None = None  # None for a unix socket
        self._inode: tuple[int, int] | None = None  # of the unix socket's file
        if isinstance(endpoint, TcpEndpoint):
            host, port = sock.getsockname()[:2]
            self.address = host, port
            self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        else:
            self._inode = None if is_inherited else _inode_at(endpoint.path)
            self.url = str(endpoint)

    def __repr__(self) -> str:
        return f"Binding({self.url})"

    def close(self) -> None:
        """Stop listening; the kernel refuses those in the backlog. Safe to call again."""
        if self.sock.fileno() < 0:
            return
        self.sock.close()
        # Somebody may have put another socket there meanwhile; that one stays.
        if isinstance(self.endpoint, UnixEndpoint) and self._inode is not None:
            with contextlib.suppress(OSError):
                if _inode_at(self.endpoint.path) == self._inode:
                    os.unlink(self.endpoint.path)


def open_bindings(endpoints: Sequence[Endpoint], *, setting: str = "PORT") -> list[Binding]:
    """Listen at all endpoints, or at none: raises UsageError with the reason if one fails.

    The reason names the setting that they are from.
    """
    bindings: list[Binding] = []
    try:
        for endpoint in endpoints:
            bindings.append(_open(endpoint, endpoints, setting))  # noqa: PERF401  # closed on an error
    except BaseException:
        for binding in bindings:
            binding.close()
        raise
    return bindings


def inherit_bindings(names: Sequence[str]) -> list[Binding]:
    """Take over sockets that a service manager opened: the descriptors from FIRST_DESCRIPTOR on.

    Raises UsageError if one of them cannot accept connections.
    """
    return [_inherit(fd, name) for fd, name in enumerate(names, FIRST_DESCRIPTOR)]


def _inherit(fd: int, name: str) -> Binding:
    what = f"descriptor {fd} ({name}) from LISTEN_FDS"
    try:
        os.set_inheritable(fd, False)  # child processes must not get it
        sock = socket.socket(fileno=fd)
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as exc:
        raise UsageError(f"{what} is not a socket: {exc.strerror}") from exc
    is_stream = sock.type == socket.SOCK_STREAM and sock.family in _FAMILIES
    if not (is_stream and listens):
        raise UsageError(
            f"{what} is not a socket that accepts connections; write ListenStream= and Accept=no"
        )
    place = sock.getsockname()
    endpoint: Endpoint
    if sock.family == socket.AF_UNIX:
        path = place if isinstance(place, str) else "@" + place[1:].decode("utf-8", "replace")
        endpoint = UnixEndpoint(path)
    else:
        endpoint = TcpEndpoint(place[0], place[1])
    return Binding(endpoint, sock, is_inherited=True)


def _open(endpoint: Endpoint, others: Sequence[Endpoint], setting: str) -> Binding:
    try:
        if isinstance(endpoint, UnixEndpoint):
            return _open_unix(endpoint)
        return _open_tcp(endpoint, v6_only=_has_ipv4(others, endpoint.port))
    except (OSError, UnicodeError) as exc:  # UnicodeError: not a host name, as "a..b"
        raise UsageError(f"cannot listen on {endpoint}: {_hint(exc, endpoint, setting)}") from exc


def _open_tcp(endpoint: TcpEndpoint, *, v6_only: bool) -> Binding:
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    with _closed_on_error(socket.socket(family, socket.SOCK_STREAM)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6_only)
        sock.bind((endpoint.host, endpoint.port))
        sock.listen(_BACKLOG)
        return Binding(endpoint, sock)


def _has_ipv4(endpoints: Sequence[Endpoint], port: int) -> bool:
    """Does an IPv4 endpoint use the port too? Then [::] must not take IPv4 as it usually does."""
    tcp = [endpoint for endpoint in endpoints if isinstance(endpoint, TcpEndpoint)]
    return any(":" not in other.host and other.port == port != 0 for other in tcp)


def _open_unix(endpoint: UnixEndpoint) -> Binding:
    _remove_stale(endpoint.path)
    with _closed_on_error(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
        sock.bind(endpoint.path)
        try:
            os.chmod(endpoint.path, endpoint.mode)  # before anybody can connect
            sock.listen(_BACKLOG)
            return Binding(endpoint, sock)
        except BaseException:
            os.unlink(endpoint.path)
            raise


def _remove_stale(path: str) -> None:
    """Remove a socket's file that nobody listens on: it is left over from a killed runtime."""
    if not _is_socket(path):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a full backlog would make us wait
        if probe.connect_ex(path) == errno.ECONNREFUSED:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


@contextlib.contextmanager
def _closed_on_error(sock: socket.socket) -> Iterator[socket.socket]:
    try:
        yield sock
    except BaseException:
        sock.close()
        raise


def _inode_at(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _hint(exc: Exception, endpoint: Endpoint, setting: str) -> str:
    number = getattr(exc, "errno", None)
    if isinstance(endpoint, UnixEndpoint):
        if number == errno.EADDRINUSE and not _is_socket(endpoint.path):
            return "what is there is not a socket; choose another path"
        instead, allowed = "path", "path"
    else:
        instead = "PORT" if setting == "PORT" else f"port in {setting}"
        allowed = f"{instead} above 1023"
    if number == errno.EADDRINUSE:
        more = "" if isinstance(endpoint, UnixEndpoint) else _offer(endpoint, setting)
        return f"something listens there already; stop it or choose another {instead}{more}"
    if number in (errno.EACCES, errno.EPERM):
        return f"this user may not; choose another {allowed} or allow it"
    if number == errno.EADDRNOTAVAIL or isinstance(exc, socket.gaierror | UnicodeError):
        own = "HOST to one of its own, or to 0.0.0.0"
        if setting != "PORT":
            own = f"{setting} to one of its own"
        return f"this machine has no such address; set {own}"
    return getattr(exc, "strerror", None) or str(exc)


def _offer(endpoint: TcpEndpoint, setting: str) -> str:
    port, other = endpoint.port, (endpoint.port + _FURTHER - 1) % 65535 + 1
    look = f"ss -ltnp 'sport = :{port}'" if sys.platform == "linux" else f"lsof -i :{port}"
    if setting == "PORT":
        return f", such as --port {other} ({look} shows what it is)"
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f", such as {host}:{other} ({look} shows what it is)"
