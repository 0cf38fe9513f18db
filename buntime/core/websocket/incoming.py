"""Incoming messages of a WebSocket: from the payloads of frames to pieces for an app.

    credit = ...
    start(frame), hand_on() ...   until hand_on() returns False, or no frame is left
    end_turn() -> pieces

A payload is passed on as far as the turn's credit allows; the rest waits in the form received, and
a compressed one is not inflated before its turn. Small fragments are joined, because on the channel
a piece costs more than a fragment. A message is checked while it arrives: its size before more of
it is inflated, its UTF-8 at the first invalid byte.
"""

import codecs
import zlib
from typing import Literal

from wsproto.frame_protocol import CloseReason, Frame, Opcode, ParseFailed

from buntime.core.values.tuples import QuickTuple
from buntime.core.websocket.deflate import Inflater
from buntime.wire import MAX_PAYLOAD, MESSAGE_OVERHEAD

Kind = Literal["text", "bytes"]

_KINDS: dict[Opcode, Kind] = {Opcode.TEXT: "text", Opcode.BINARY: "bytes"}


class Piece(QuickTuple):
    """A piece of a message, at most MAX_PAYLOAD bytes; the last one has `end`.

    Text is UTF-8, valid up to here; a piece may end inside a character.
    """

    kind: Kind
    data: bytes
    end: bool


class Incoming:
    """The message that is arriving, and the part of it that waits for credit."""

    __slots__ = (
        "_compressed",
        "_discards",
        "_ends",
        "_inflater",
        "_is_paid",
        "_kind",
        "_max_bytes",
        "_parts",
        "_parts_bytes",
        "_payload",
        "_pieces",
        "_size",
        "_split_character",
        "credit",
    )

    def __init__(self, inflater: Inflater | None, max_bytes: int) -> None:
        # per connection
        self._inflater = inflater
        self._max_bytes = max_bytes
        self._discards = False
        # per message
        self._kind: Kind | None = None
        self._compressed: Inflater | None = None
        self._size = 0  # bytes of the message so far, inflated
        self._split_character = b""  # the end of a payload that is not a whole character yet
        # per payload
        self._payload = b""
        self._ends = False
        # per turn
        self.credit = 0  # bytes; each piece costs its size and MESSAGE_OVERHEAD
        self._pieces: list[Piece] = []
        self._is_paid = False  # has the credit paid for the overhead of the piece in _parts?
        self._parts: list[bytes] = []
        self._parts_bytes = 0

    def __repr__(self) -> str:
        return f"Incoming({self._kind or 'between messages'}, {self._size} bytes so far)"

    def start(self, frame: Frame, compressed: bool, following_bytes: int) -> None:
        """Take the payload of a data frame, or what has arrived of it.

        `compressed` is RSV1 of the frame; `following_bytes` are still missing. Raises ParseFailed.
        """
        payload: bytes = frame.payload  # type: ignore[assignment]  # a FrameProtocol's has others
        if frame.opcode is Opcode.CONTINUATION:
            if self._kind is None:
                raise ParseFailed("a continuation without a message")
        else:
            if self._kind is not None:
                raise ParseFailed("a new message before the end of the last one")
            self._kind = _KINDS[frame.opcode]
            self._size = 0
            self._compressed = self._inflater if compressed else None
        self._ends = frame.frame_finished and frame.message_finished
        if self._discards:
            self._forget()
        elif self._compressed is not None:
            self._compressed.feed(payload, self._ends)
        else:
            self._payload = payload
            if self._size + len(payload) + following_bytes > self._max_bytes:
                raise self._too_big()

    def hand_on(self) -> bool:
        """Pass on what waits; False where the credit does not suffice. Raises ParseFailed."""
        if self._ends and not self._is_paid and self._compressed is None:
            size = len(self._payload)
            if size <= MAX_PAYLOAD and size + MESSAGE_OVERHEAD <= self.credit:
                self._hand_on_whole()
                return True
        while self._payload if self._compressed is None else not self._compressed.is_drained:
            room = self._find_room()
            if room <= 0:
                return False
            data = self._take(room)
            if self._kind == "text":
                self._check_text(data, end=False)
            self._parts.append(data)
            self._parts_bytes += len(data)
            self.credit -= len(data)
        if self._ends:
            if not (self._is_paid or self._pay()):
                return False
            if self._kind == "text":
                self._check_text(b"", end=True)
            self._close_piece(end=True)
            self._forget()
        return True

    def _hand_on_whole(self) -> None:
        """All that most messages need, in one step; the others take a dozen calls."""
        payload = self._payload
        if self._kind == "text":
            self._check_text(payload, end=True)
        self.credit -= len(payload) + MESSAGE_OVERHEAD
        self._payload = b""
        self._parts.append(payload)
        self._close_piece(end=True)
        self._forget()

    def end_turn(self) -> list[Piece]:
        """The pieces of this turn."""
        if self._parts:
            self._close_piece(end=False)
        pieces, self._pieces = self._pieces, []
        self._is_paid = False
        return pieces

    def discard(self) -> None:
        """Pass on nothing more; frames are still parsed, to find the closing one."""
        self._discards = True
        self._compressed = None
        self._payload = b""
        self._parts = []
        self._parts_bytes = 0
        self._forget()

    def _forget(self) -> None:
        """The payload is finished, and with its last one the message."""
        if self._ends:
            self._kind = None
            self._compressed = None
            self._ends = False

    def _find_room(self) -> int:
        """How many more bytes the piece may take now."""
        if self._parts_bytes == MAX_PAYLOAD:
            self._close_piece(end=False)
        if not (self._is_paid or self._pay()):
            return 0
        return min(MAX_PAYLOAD - self._parts_bytes, self.credit)

    def _pay(self) -> bool:
        if self.credit < MESSAGE_OVERHEAD:
            return False
        self.credit -= MESSAGE_OVERHEAD
        self._is_paid = True
        return True

    def _take(self, room: int) -> bytes:
        """Up to `room` bytes of the waiting data."""
        if self._compressed is None:
            data = self._payload[:room]
            self._payload = self._payload[room:]
            self._size += len(data)
            return data
        try:
            data = self._compressed.take(room)
        except zlib.error as exc:
            raise ParseFailed(
                f"what is marked as compressed is not: {exc}",
                CloseReason.INVALID_FRAME_PAYLOAD_DATA,
            ) from exc
        self._size += len(data)
        if self._size > self._max_bytes:
            raise self._too_big()
        return data

    def _check_text(self, data: bytes, end: bool) -> None:
        if self._split_character:
            data = self._split_character + data
        elif data.isascii():
            return
        try:
            _, valid_bytes = codecs.utf_8_decode(data, "strict", end)
        except UnicodeDecodeError as exc:
            raise _no_text(exc.reason) from exc
        self._split_character = data[valid_bytes:]
        # CPython waits for the third byte of a surrogate, though the second already shows it.
        if self._split_character[:1] == b"\xed" and self._split_character[1:] >= b"\xa0":
            raise _no_text("surrogates not allowed")

    def _close_piece(self, end: bool) -> None:
        if self._kind is None:
            raise RuntimeError(f"a piece of no message, {self!r}")
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._pieces.append(Piece(self._kind, data, end))
        self._parts = []
        self._parts_bytes = 0
        self._is_paid = False

    def _too_big(self) -> ParseFailed:
        return ParseFailed(
            f"a message may have {self._max_bytes} bytes", CloseReason.MESSAGE_TOO_BIG
        )


def _no_text(reason: str) -> ParseFailed:
    return ParseFailed(f"text is not UTF-8: {reason}", CloseReason.INVALID_FRAME_PAYLOAD_DATA)
