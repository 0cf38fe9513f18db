"""A strict HTTP/1.1 client: an answer is whole to the last byte, or it is `Cut`."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from tests.support.harness import OPERATORS_KEY

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n")
_UPLOAD_PIECE = 30_000  # bytes of a chunk
_NO_BODY = frozenset({204, 304})


class Reply(NamedTuple):
    """One whole answer; field names are in lower case."""

    status: int
    fields: dict[str, str]
    body: bytes


class Cut(Exception):
    """The connection ended before the answer was whole; `body` is the part that came."""

    def __init__(self, why: str, *, has_begun: bool, body: bytes = b"") -> None:
        super().__init__(f"{why}, {len(body)} bytes of the body had come")
        self.has_begun = has_begun
        self.body = body


class Garbage(Exception):
    """The bytes that came are not HTTP."""


class Client:
    """One connection at a time, opened when needed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(
        self, method: str, target: str, body: bytes = b"", *, is_streamed: bool = False
    ) -> Reply:
        """Send a request, and read the answer while the body is still being sent. Raises Cut."""
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        head = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{self._port}"]
        if target.startswith(("/api/", "/metrics")):
            head.append(f"X-API-Key: {OPERATORS_KEY}")
        if is_streamed:
            head.append("Transfer-Encoding: chunked")
        elif body:
            head.append(f"Content-Length: {len(body)}")
        self._writer.write("\r\n".join([*head, "", ""]).encode())
        pieces = _chunks(body) if is_streamed else iter([body] if body else [])
        sending = asyncio.create_task(_send(self._writer, pieces))
        try:
            reply = await self._read(method)
            if not sending.done() or reply.fields.get("connection", "").lower() == "close":
                self.close()
        except BaseException:
            self.close()
            raise
        finally:
            if not sending.done():
                sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending
        return reply

    def close(self) -> None:
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            writer.transport.abort()

    async def _read(self, method: str) -> Reply:
        begun = [False]
        body: list[bytes] = []
        try:
            return await self._read_answer(method, begun, body)
        except asyncio.IncompleteReadError as exc:
            body.append(exc.partial if begun[0] else b"")
            raise Cut("end", has_begun=begun[0], body=b"".join(body)) from exc
        except OSError as exc:
            raise Cut(repr(exc), has_begun=begun[0], body=b"".join(body)) from exc

    async def _read_answer(self, method: str, begun: list[bool], body: list[bytes]) -> Reply:
        reader = self._reader
        assert reader is not None
        status = 100
        while status < 200:
            head = await reader.readuntil(b"\r\n\r\n")
            match = _STATUS.match(head)
            if match is None:
                raise Garbage(repr(head[:100]))
            status = int(match[1])
        begun[0] = True
        fields = {}
        for line in head[match.end() : -4].decode("latin-1").split("\r\n"):
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        if method == "HEAD" or status in _NO_BODY:
            return Reply(status, fields, b"")
        if fields.get("transfer-encoding") == "chunked":
            await _read_chunks(reader, body)
        else:
            await _read_length(reader, int(fields["content-length"]), body)
        return Reply(status, fields, b"".join(body))


async def _read_length(reader: asyncio.StreamReader, length: int, body: list[bytes]) -> None:
    while length:
        piece = await reader.read(min(length, 65536))
        if not piece:
            raise asyncio.IncompleteReadError(b"", length)
        body.append(piece)
        length -= len(piece)


async def _read_chunks(reader: asyncio.StreamReader, body: list[bytes]) -> None:
    while True:
        line = await _read_line(reader)
        try:
            size = int(line, 16)
        except ValueError:
            raise Garbage(f"a chunk's size {line[:100]!r}") from None
        await _read_length(reader, size, body)
        if await _read_line(reader):
            raise Garbage("no line's end behind a chunk")
        if size == 0:
            return


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    try:
        return (await reader.readuntil(b"\r\n"))[:-2]
    except asyncio.IncompleteReadError as exc:
        raise asyncio.IncompleteReadError(b"", None) from exc  # framing is not part of the body


def _chunks(body: bytes) -> Iterator[bytes]:
    for at in range(0, len(body), _UPLOAD_PIECE):
        piece = body[at : at + _UPLOAD_PIECE]
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


async def _send(writer: asyncio.StreamWriter, pieces: Iterator[bytes]) -> None:
    """Send a body; if the server hangs up, its answer, or the lack of one, says why."""
    with contextlib.suppress(OSError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
