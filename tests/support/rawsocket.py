"""A WebSocket client that sends any bytes, also those that no client library would."""

from __future__ import annotations

import base64
import contextlib
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from tests.support.harness import Runtime
from tests.support.rawclient import Cut, RawClient, client_of

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
RSV1 = 0x40
MASK = b"\x12\x34\x56\x78"


class Frame(NamedTuple):
    """A frame from the server."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0


def write_frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """A frame from a client."""
    if len(payload) < 126:
        length = bytes([0x80 | len(payload)])
    elif len(payload) < 65536:
        length = struct.pack("!BH", 0xFE, len(payload))
    else:
        length = struct.pack("!BQ", 0xFF, len(payload))
    masked = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))
    return bytes([fin << 7 | rsv | opcode]) + length + MASK + masked


def write_close(code: int, reason: bytes = b"") -> bytes:
    return write_frame(CLOSE, struct.pack("!H", code) + reason)


def handshake(path: str, *fields: str) -> bytes:
    """The head that asks for a WebSocket."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: a",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
        *fields,
    ]
    return "".join(line + "\r\n" for line in [*lines, ""]).encode("latin-1")


class RawSocket:
    """An open WebSocket."""

    def __init__(self, client: RawClient, unread: bytes = b"", head: bytes = b"") -> None:
        self.head = head  # of the answer that opened it
        self.sock = client.sock
        self._client = client
        self._unread = unread

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def send_slowly(self, data: bytes) -> None:
        """Send each byte in its own segment."""
        self._client.send_slowly(data)

    def send_text(self, text: str) -> None:
        self.send(write_frame(TEXT, text.encode()))

    def read(self) -> Frame:
        """The next frame. Raises Cut if the connection has ended."""
        first, length = self._take(2)
        assert not length & 0x80, "a server masks nothing"
        if length == 126:
            length = int.from_bytes(self._take(2), "big")
        elif length == 127:
            length = int.from_bytes(self._take(8), "big")
        return Frame(first & 0x0F, self._take(length), bool(first & 0x80), first & 0x70)

    def read_text(self) -> str:
        """The next message, which must be a text in one frame."""
        frame = self.read()
        assert (frame.opcode, frame.fin, frame.rsv) == (TEXT, True, 0), frame
        return frame.payload.decode()

    def read_close(self) -> int:
        """The code of the next frame, which must be closing; then the connection ends in order."""
        frame = self.read()
        assert frame.opcode == CLOSE, frame
        self.expect_end()
        return int.from_bytes(frame.payload[:2], "big") if frame.payload else 1005

    def expect_end(self) -> None:
        assert not self._unread, self._unread
        self._client.expect_end()

    def _take(self, size: int) -> bytes:
        while len(self._unread) < size:
            data = self._client.receive()
            if not data:
                raise Cut(f"the connection ended behind {self._unread!r}")
            self._unread += data
        data, self._unread = self._unread[:size], self._unread[size:]
        return data


@contextlib.contextmanager
def socket_of(runtime: Runtime, path: str, *fields: str) -> Iterator[RawSocket]:
    """An open WebSocket to a path; `fields` are more header lines."""
    with client_of(runtime) as client:
        client.send(handshake(path, *fields))
        yield switched(client)


def switched(client: RawClient) -> RawSocket:
    """The WebSocket that the answer to a handshake opens."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = client.receive()
        assert piece, f"no answer to the handshake: {data!r}"
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 "), data
    return RawSocket(client, rest, head)
