"""A client that sends any bytes and reads answers strictly, judged by h11's client side."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

import h11

from tests.support.harness import Runtime


class Reply(NamedTuple):
    """One answer; `interim` are the statuses of the 1xx answers before it."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes
    interim: list[int]

    def get(self, name: str) -> str | None:
        """The first value of a field."""
        return next((value for key, value in self.fields if key == name), None)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a runtime's error, which must contain its request's id."""
        error = self.json["error"]
        assert error["requestId"] == self.get("x-request-id")
        return str(error["code"])


class Cut(Exception):
    """The connection ended within an answer, or before one."""


class RawClient:
    """A connection to the runtime."""

    def __init__(self, sock: socket.socket, runtime: Runtime | None = None) -> None:
        """With the runtime, `get` sends what opens an operators' page."""
        self.sock = sock
        self._runtime = runtime
        self._unread = b""

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def send_slowly(self, data: bytes) -> None:
        """Send each byte in its own segment."""
        for at in range(len(data)):
            self.sock.send(data[at : at + 1])

    def get(self, target: str, *fields: str) -> Reply:
        """Send a request and read the answer."""
        added = self._runtime.operators_fields(target) if self._runtime is not None else {}
        self.send(request(f"GET {target}", *fields, *(f"{k}: {v}" for k, v in added.items())))
        return self.read()

    def read(self, method: str = "GET") -> Reply:
        """The next answer, whole. Raises Cut if it never becomes whole."""
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
        client.send(h11.EndOfMessage())
        if self._unread:  # to h11 an empty input is the end
            client.receive_data(self._unread)
        self._unread = b""
        interim: list[int] = []
        response: h11.Response | None = None
        body: list[bytes] = []
        while True:
            try:
                event = client.next_event()
            except h11.RemoteProtocolError as exc:
                raise Cut(str(exc)) from exc
            if event is h11.NEED_DATA:
                client.receive_data(self.receive())
            elif isinstance(event, h11.InformationalResponse):
                interim.append(event.status_code)
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                body.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                raise Cut("the connection ended without an answer")
        assert response is not None
        self._unread = client.trailing_data[0]
        fields = [(name.decode(), value.decode("latin-1")) for name, value in response.headers]
        return Reply(response.status_code, fields, b"".join(body), interim)

    def receive(self) -> bytes:
        """The next bytes; b"" at the end. Raises Cut on a reset."""
        try:
            return self.sock.recv(65536)
        except ConnectionResetError as exc:
            raise Cut("reset") from exc

    def expect_end(self) -> None:
        """The other side closes, without another byte and without a reset."""
        assert self._unread == b""
        assert self.receive() == b""

    def close(self) -> None:
        self.sock.close()


@contextlib.contextmanager
def client_of(runtime: Runtime) -> Iterator[RawClient]:
    """A connected client."""
    with runtime.connect() as sock:
        yield RawClient(sock, runtime)


def request(line: str, *fields: str, body: bytes = b"", version: str = "1.1") -> bytes:
    """`request("GET /x", "X-A: 1")` as bytes, with a Host, and a Content-Length for a body."""
    lines = [f"{line} HTTP/{version}", "Host: localhost", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
