"""Connections to a runtime: over TLS, unencrypted, or to the socket in a state folder."""

import http.client
import os
import socket
import ssl

from buntime.commands.apierrors import unreachable, untrusted
from buntime.commands.targets import Target

_CONNECT_S = 10.0
_ADDRESS_MAX_BYTES = 100  # of a unix socket's path; sun_path has 108, or 104
# Where systems keep the certificates that they trust. The binary's own OpenSSL looks for them where
# they were on the machine that built it.
_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def open_connection(target: Target, read_s: float) -> http.client.HTTPConnection:
    """A new one, whose reads wait this long. Raises ApiError, which says what to do."""
    made = _made(target)
    try:
        made.connect()
    except ssl.SSLCertVerificationError as exc:
        raise untrusted(target, exc) from exc
    except OSError as exc:
        raise unreachable(target, exc) from exc
    if made.sock is not None:
        made.sock.settimeout(read_s)
    return made


def _made(target: Target) -> http.client.HTTPConnection:
    if target.socket:
        return _UnixConnection(target.socket)
    host, port = target.host, target.port
    if target.is_tls:
        return http.client.HTTPSConnection(host, port, timeout=_CONNECT_S, context=_tls())
    return http.client.HTTPConnection(host, port, timeout=_CONNECT_S)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over the socket in a state folder."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_CONNECT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        try:
            self.sock.settimeout(_CONNECT_S)
            _connect(self.sock, self._path)
        except BaseException:
            self.sock.close()
            raise


def _connect(sock: socket.socket, path: str) -> None:
    if len(os.fsencode(path)) <= _ADDRESS_MAX_BYTES:
        sock.connect(path)
        return
    folder, name = os.path.split(path)
    fd = os.open(folder, os.O_RDONLY if not hasattr(os, "O_PATH") else os.O_PATH)
    try:
        sock.connect(f"/proc/self/fd/{fd}/{name}")
    finally:
        os.close(fd)


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    is_chosen = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
    if not is_chosen and not context.cert_store_stats()["x509_ca"]:
        known = next(filter(os.path.exists, _AUTHORITIES), None)
        if known is not None:
            context.load_verify_locations(known)
    return context
