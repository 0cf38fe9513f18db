"""Decodes request bodies that are sent in chunks (RFC 9112 7.1).

    chunk       = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
    chunk-size  = 1*HEXDIG           (at most 15 behind leading zeros)
    chunk-ext   = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
    last-chunk  = 1*("0") [ chunk-ext ] CRLF
    trailers    = *( field-line CRLF ) CRLF

Trailers are checked and dropped: no kind of app that runs here can receive them.
"""

from buntime.core.errors import ClientFault
from buntime.core.http1.grammar import TOKEN_BYTES, VALUE_BYTES
from buntime.core.values.enums import Enum, auto
from buntime.core.values.regex import regex

_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_CHUNK_LINE = regex(
    rb"(0*+[1-9A-Fa-f][0-9A-Fa-f]{0,14}|0++)(?:[ \t]*;[ \t]*"
    + TOKEN_BYTES
    + rb"(?:[ \t]*=[ \t]*(?:"
    + TOKEN_BYTES
    + rb"|"
    + _QUOTED
    + rb"))?)*"
)
_TRAILER_LINE = regex(TOKEN_BYTES + rb":" + VALUE_BYTES)

_CHUNK_LINE_MAX = 4 * 1024  # bytes; extensions are ignored here, so they get little room
_LINES_AT_ONCE = 200  # framing lines per `take`: a body in one-byte chunks is expensive to read
_TRAILERS_MAX = 16 * 1024  # bytes of all trailer lines together


class _At(Enum):
    SIZE = auto()  # at the line with a chunk's size
    DATA = auto()
    DATA_END = auto()  # at the CRLF after a chunk's data
    TRAILERS = auto()


class ChunkedBody:
    """A body in chunks. Strict: refuses anything that two parsers could read differently."""

    __slots__ = ("_at", "_chunk_left", "_trailer_bytes", "ended")

    def __init__(self) -> None:
        self._at = _At.SIZE
        self._chunk_left = 0
        self._trailer_bytes = 0
        self.ended = False

    def __repr__(self) -> str:
        return f"ChunkedBody({self._at.name}, {self._chunk_left} left)"

    def take(self, buffer: bytes, limit: int) -> tuple[bytes, bytes]:
        pieces: list[bytes] = []
        position = 0
        lines = 0
        while not self.ended and not (pieces and lines > _LINES_AT_ONCE):
            if self._at is _At.DATA:
                piece = buffer[position : position + min(self._chunk_left, limit)]
                if not piece:
                    break
                pieces.append(piece)
                position += len(piece)
                limit -= len(piece)
                self._chunk_left -= len(piece)
                if self._chunk_left == 0:
                    self._at = _At.DATA_END
            else:
                after = self._take_line(buffer, position)
                if after is None:
                    break
                position = after
                lines += 1
        return b"".join(pieces), buffer[position:]

    def _take_line(self, buffer: bytes, start: int) -> int | None:
        """Consume one complete framing line; returns its end, or None while it is incomplete."""
        if self._at is _At.DATA_END:
            found = buffer[start : start + 2]
            if found != b"\r\n"[: len(found)]:
                raise _bad_chunk("a chunk's data does not end in CRLF")
            if len(found) < 2:
                return None
            self._at = _At.SIZE
            return start + 2
        end = buffer.find(b"\n", start, start + _CHUNK_LINE_MAX)
        if end < 0:
            if len(buffer) - start >= _CHUNK_LINE_MAX:
                raise _bad_chunk(f"a chunk's line is longer than {_CHUNK_LINE_MAX} bytes")
            self._check_start(buffer[start:])
            return None
        if end == start or buffer[end - 1] != 0x0D:
            raise _bad_chunk("a line does not end in CRLF")
        line = buffer[start : end - 1]
        if self._at is _At.SIZE:
            self._begin_chunk(line)
        else:
            self._step_over_trailer(line)
        return end + 1

    def _check_start(self, line: bytes) -> None:
        """Refuse a line that cannot become valid, before its end has arrived."""
        if self._at is _At.SIZE and line and line[:1] not in b"0123456789abcdefABCDEF":
            raise _bad_chunk("a chunk's size is not a hexadecimal number")

    def _begin_chunk(self, line: bytes) -> None:
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise _bad_chunk("a chunk's size or extension is malformed")
        self._chunk_left = int(match[1], 16)
        self._at = _At.DATA if self._chunk_left else _At.TRAILERS

    def _step_over_trailer(self, line: bytes) -> None:
        if not line:
            self.ended = True
            return
        self._trailer_bytes += len(line)
        if self._trailer_bytes > _TRAILERS_MAX:
            raise ClientFault(
                431, "headers_too_large", f"trailers of over {_TRAILERS_MAX} bytes", closes=True
            )
        if _TRAILER_LINE.fullmatch(line) is None:
            raise _bad_chunk("a trailer line is malformed")


def _bad_chunk(message: str) -> ClientFault:
    return ClientFault(400, "bad_request", message, closes=True)
