"""Reads the requests of a connection: heads by `head`, bodies by `framing` and `chunks`.

Bodies are not left to h11, because it accepts any bytes in a chunk extension and copies each body
byte twice.

    data -> RequestReader.receive -> next_head() -> Head
                                  -> read_body(limit) -> bytes, until .body_ended
                                  -> next_head() -> ...
"""

from copy import copy

from buntime.core.errors import ClientFault
from buntime.core.http1.chunks import ChunkedBody
from buntime.core.http1.framing import Body, LengthBody
from buntime.core.http1.head import HEAD_MAX_BYTES, Head, HeadParser
from buntime.core.values.regex import regex

_EMPTY_LINES = regex(rb"(?:\r\n)*")


class RequestReader:
    """The requests of one connection, one after the other; bytes after one wait for their turn."""

    __slots__ = (
        "_body",
        "_gathered",
        "_parser",
        "_scanned",
        "body_ended",
        "buffer",
        "is_broken",
    )

    def __init__(self, parser: HeadParser) -> None:
        self._parser = parser
        # per connection
        self.buffer = b""  # received and not yet taken
        self._scanned = 0  # bytes of the buffer known to contain no end of a head
        # Was something refused? Nothing after it can be trusted; the client may still send more.
        self.is_broken = False
        # per request
        self._body: Body | None = None
        # part of the body, kept for `read_body`; a bytearray if not empty, since it grows piece by
        # piece
        self._gathered: bytes | bytearray = b""
        self.body_ended = True  # has the current request's body been read to its end?

    def __repr__(self) -> str:
        state = "broken" if self.is_broken else "at a head" if self.body_ended else "in a body"
        return f"RequestReader({state}, {len(self.buffer)} bytes buffered)"

    def receive(self, data: bytes) -> None:
        """Take what the client sent."""
        self.buffer = self.buffer + data if self.buffer else data

    def next_head(self) -> Head | None:
        """The next request's head, or None while it is incomplete.

        Raises ClientFault (400, 414, 417, 431, 501, 505); then the connection must be closed.
        """
        buffer = self.buffer
        if not buffer:
            return None
        if self.is_broken or not self.body_ended:
            raise RuntimeError(f"a head was asked for by {self!r}")
        head = self._parser.recall(buffer) if len(buffer) <= HEAD_MAX_BYTES else None
        if head is not None:
            self.buffer = b""
            self._scanned = 0
        else:
            try:
                raw = self._cut_head(buffer)
                if raw is None:
                    return None
                head = self._parser.parse(raw)
            except ClientFault:
                self.is_broken = True
                raise
        if head.chunked:
            self._body = ChunkedBody()
            self.body_ended = False
        elif head.content_length:
            self._body = LengthBody(head.content_length)
            self.body_ended = False
        return head

    @property
    def gathered_bytes(self) -> int:
        """The number of body bytes that `gather` has kept."""
        return len(self._gathered)

    @property
    def body_has_come(self) -> bool:
        """Is all of the body here, read or not?"""
        return self._body is None

    def may_be_whole(self, unread_bytes: int) -> bool:
        """Could the whole request be here, including this many bytes not yet read from the
        socket?"""
        body = self._body
        if body is None:
            return True
        if isinstance(body, LengthBody):
            return body.left_bytes <= len(self.buffer) + unread_bytes
        if unread_bytes:
            return True
        body = copy(body)
        try:
            rest = self.buffer
            while rest and not body.ended:
                data, rest = body.take(rest, len(rest))
                if not data:
                    break
        except ClientFault:
            return True  # whoever takes it gets the error
        return body.ended

    def gather(self, limit: int) -> bool:
        """Keep some of the body that has arrived for `read_body`; False where there is no more.

        Keeps at most `limit` bytes. Raises as `read_body` does.
        """
        data = self._take(limit - len(self._gathered))
        if data and self._gathered:
            self._gathered += data
        elif data:
            self._gathered = bytearray(data)
        self.body_ended = self._body is None and not self._gathered
        return bool(data)

    def peek(self, start: int, end: int) -> bytes:
        """Part of what `gather` has kept, which stays."""
        return bytes(self._gathered[start:end])

    def discard(self) -> None:
        """Drop what `gather` has kept. If that is the whole body, the body has ended."""
        self._gathered = b""
        self.body_ended = self._body is None

    def read_body(self, limit: int) -> bytes:
        """Up to `limit` bytes of the body that have arrived; b"" if none have.

        Raises ClientFault(400) for malformed chunks, after which the connection must be closed.
        """
        gathered = self._gathered
        if gathered:
            data = bytes(gathered[:limit])
            del gathered[:limit]  # type: ignore[union-attr]  # only b"" is not a bytearray
            if not gathered:
                self._gathered = b""
            self.body_ended = self._body is None and not gathered
            return data
        data = self._take(limit)
        if self._body is None:
            self.body_ended = True
        return data

    def _take(self, limit: int) -> bytes:
        body = self._body
        if body is None or not self.buffer:
            return b""
        try:
            data, self.buffer = body.take(self.buffer, limit)
        except ClientFault:
            self.is_broken = True
            raise
        if body.ended:
            self._body = None
        return data

    def take_rest(self) -> bytes:
        """All bytes that do not belong to a request: from here on another protocol is spoken."""
        rest, self.buffer = self.buffer, b""
        return rest

    def _cut_head(self, buffer: bytes) -> bytes | None:
        if buffer[:1] == b"\r":  # RFC 9112 2.2: skip empty lines before a request line
            match = _EMPTY_LINES.match(buffer)
            if match is not None and match.end():
                buffer = self.buffer = buffer[match.end() :]
                self._scanned = 0
        end = buffer.find(b"\r\n\r\n", max(0, self._scanned - 3))
        if end < 0:
            self._parser.limits.check_incomplete(buffer, self._scanned)
            self._scanned = len(buffer)
            return None
        self._scanned = 0
        end += 4
        if end == len(buffer):
            self.buffer = b""
            return buffer
        self.buffer = buffer[end:]
        return buffer[:end]
