"""A server that answers each request with bytes that a test chooses, with or without TLS."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pytest

DISCOVERY = "/.well-known/buntime"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Request(NamedTuple):
    """A request that came: field names in lower case."""

    method: str
    target: str
    fields: dict[str, str]
    body: bytes


Script = Callable[[Request], bytes]


def answer(
    value: object, status: int = 200, fields: Mapping[str, str] | None = None, kind: str = "json"
) -> bytes:
    """An answer with `value` as JSON, or bytes as they are."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    told = {"Content-Type": f"application/{kind}", "Content-Length": str(len(body))}
    head = "".join(f"{name}: {text}\r\n" for name, text in (told | dict(fields or {})).items())
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body


def discovered(script: Script, api: str = "/api") -> Script:
    """Answer like a Buntime that says where its API is."""

    def answered(request: Request) -> bytes:
        if request.target.endswith(DISCOVERY):
            return answer({"name": "buntime", "version": "0", "api": api})
        return script(request)

    return answered


class Server:
    """A server; has its URL, and the requests that came."""

    def __init__(self, sock: socket.socket, script: Script, tls: ssl.SSLContext | None) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.early: Script = lambda _: CONTINUE  # answers a head that expects 100-continue
        scheme, name = "http" if tls is None else "https", sock.getsockname()
        self.url = f"{scheme}://127.0.0.1:{name[1]}" if isinstance(name, tuple) else f"unix:{name}"
        self._sock = sock
        self._script = script
        self._tls = tls
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        for sock in (self._sock, *self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._sock.close()

    def asked(self) -> list[tuple[str, str]]:
        """Methods and targets, except those that look for the API."""
        return [(r.method, r.target) for r in self.requests if not r.target.endswith(DISCOVERY)]

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._sock.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._take, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _take(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), connection:
            connection.settimeout(5)
            if self._tls is None:
                self._converse(connection)
            else:
                with self._tls.wrap_socket(connection, server_side=True) as wrapped:
                    self._converse(wrapped)

    def _converse(self, connection: socket.socket) -> None:
        """Answer requests until an answer has no length and therefore ends with the connection."""
        with connection.makefile("rb") as file:
            while self._answer(connection, file):
                pass

    def _answer(self, connection: socket.socket, file: BinaryIO) -> bool:
        line = file.readline()
        if not line:
            return False
        method, target, _ = line.decode().split()
        fields = {}
        while (line := file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            fields[name.lower()] = value.strip()
        if "expect" in fields:
            early = self.early(Request(method, target, fields, b""))
            connection.sendall(early)
            if early and not early.startswith(CONTINUE):
                self.requests.append(Request(method, target, fields, b""))
                return False
        body = file.read(int(fields.get("content-length", 0)))
        request = Request(method, target, fields, body)
        self.requests.append(request)
        data = self._script(request)
        connection.sendall(data)
        head, _, rest = data.partition(b"\r\n\r\n")
        return f"Content-Length: {len(rest)}".encode() in head


@contextlib.contextmanager
def serving(
    script: Script, *, tls: ssl.SSLContext | None = None, path: Path | None = None
) -> Iterator[Server]:
    """A server on a free port, or on the unix socket `path`."""
    if path is None:
        sock = socket.create_server(("127.0.0.1", 0))
    else:
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(path))
        sock.listen()
    server = Server(sock, script, tls)
    try:
        yield server
    finally:
        server.close()


def make_certificate(folder: Path, address: str = "127.0.0.1") -> tuple[Path, Path]:
    """A self-signed certificate and its key: `cert.pem`, `key.pem`."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("there is no openssl here")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", f"subjectAltName=IP:{address},DNS:localhost",
         "-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return cert, key
