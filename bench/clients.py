"""Clients for what wrk cannot do: wait between requests, transfer much, keep many connections."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from collections.abc import Callable, Iterator

from bench.errors import BenchError
from bench.figures import Sample, percentile
from bench.servers import HOST, KEY
from bench.sizes import PIECE, TRANSFER_BYTES

ANSWER_S = 30.0
PACE_S = 0.1  # between the starts of two requests
_LENGTH = re.compile(rb"^content-length:[ \t]*(\d+)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)


class Client:
    """A keep-alive connection that reads only answers with a content-length."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection((HOST, port), timeout=ANSWER_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray(4 * len(PIECE))

    def send(self, method: str, path: str, *fields: str) -> None:
        lines = (f"{method} {path} HTTP/1.1", f"Host: {HOST}", *fields, "", "")
        self.sock.sendall("\r\n".join(lines).encode("ascii"))

    def receive_head(self) -> tuple[int, int, bytes]:
        """Status, length of the body, and the part of the body that came with the head."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive()
        head, _, rest = data.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not length:
            raise BenchError(f"an answer without content-length: {head!r}")
        return int(head.split(None, 2)[1]), int(length[1]), rest

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body."""
        self.send("GET", path)
        return self.receive()

    def receive(self) -> tuple[int, bytes]:
        status, length, rest = self.receive_head()
        body = bytearray(rest)
        while len(body) < length:
            body += self._receive()
        return status, bytes(body)

    def receive_away(self) -> tuple[int, int]:
        """Status, and size of a body that is read but not kept."""
        status, length, rest = self.receive_head()
        count = len(rest)
        while count < length:
            received = self.sock.recv_into(self.buffer)
            if not received:
                raise BenchError(f"the connection ended after {count} of {length} bytes")
            count += received
        return status, count

    def close(self) -> None:
        self.sock.close()

    def _receive(self) -> bytes:
        data = self.sock.recv(len(PIECE))
        if not data:
            raise BenchError("the connection ended before the answer did")
        return data


@contextlib.contextmanager
def connected(port: int) -> Iterator[Client]:
    client = Client(port)
    try:
        yield client
    finally:
        client.close()


def worker_pids(client: Client) -> list[int]:
    """The pids of the processes that have an app loaded, according to Buntime."""
    client.send("GET", "/api/workers", f"X-API-Key: {KEY}")
    status, body = client.receive()
    if status != 200:
        raise BenchError(f"/api/workers answered {status}: {body[:200]!r}")
    return [worker["pid"] for worker in json.loads(body)["workers"] if worker["app"]]


def pace(
    port: int, path: str, expected: bytes, seconds: float, between: str | None = None
) -> Sample:
    """One request every 100 ms, over one connection.

    Until the next one is due the client sleeps, or sends other requests, to the path `between`.
    """
    times_ms: list[float] = []
    with connected(port) as client:
        begun = time.perf_counter()
        for number in range(max(1, int(seconds / PACE_S))):
            due = begun + number * PACE_S
            while between is not None and time.perf_counter() < due:
                expect(client.get(between), expected)
            time.sleep(max(0.0, due - time.perf_counter()))
            sent = time.perf_counter()
            expect(client.get(path), expected)
            times_ms.append((time.perf_counter() - sent) * 1e3)
    return {"p50_ms": percentile(times_ms, 0.5), "p99_ms": percentile(times_ms, 0.99)}


def download(port: int, path: str, seconds: float) -> Sample:
    """Download 100 MiB again and again."""

    def transfer(client: Client) -> None:
        client.send("GET", path)
        if client.receive_away() != (200, TRANSFER_BYTES):
            raise BenchError(f"{path} answered something else than {TRANSFER_BYTES} bytes")

    return _repeat(port, transfer, seconds)


def upload(port: int, path: str, seconds: float) -> Sample:
    """Upload 100 MiB again and again; each answer must be the number of bytes."""

    def transfer(client: Client) -> None:
        client.send("POST", path, f"Content-Length: {TRANSFER_BYTES}")
        for _ in range(TRANSFER_BYTES // len(PIECE)):
            client.sock.sendall(PIECE)
        expect(client.receive(), b"%d" % TRANSFER_BYTES)

    return _repeat(port, transfer, seconds)


def expect(answer: tuple[int, bytes], body: bytes) -> None:
    """Raise BenchError if an answer is not 200 with this body."""
    if answer != (200, body):
        status, found = answer
        raise BenchError(
            f"answered {status} with {len(found)} bytes {found[:200]!r}, "
            f"not 200 with {len(body)} bytes {body[:40]!r}"
        )


def _repeat(port: int, transfer: Callable[[Client], None], seconds: float) -> Sample:
    """Repeat a transfer over one connection, at least once."""
    count = 0
    with connected(port) as client:
        begun = time.perf_counter()
        while not count or time.perf_counter() - begun < seconds:
            transfer(client)
            count += 1
        passed = time.perf_counter() - begun
    return {"mb_per_s": count * TRANSFER_BYTES / passed / 1e6}
