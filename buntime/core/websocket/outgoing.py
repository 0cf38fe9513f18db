"""Outgoing messages of a WebSocket: frames as bytes (RFC 6455 5.2), one or more per message.

wsproto's writer is not used: it wants text as str, where the channel carries bytes that may end
inside a character, and it compresses messages that are too small for it.
"""

import struct

from wsproto.frame_protocol import Opcode

from buntime.core.values.wording import shown
from buntime.core.websocket.deflate import Deflater
from buntime.core.websocket.incoming import Kind

# bytes. Deflate makes most smaller messages longer, or saves too little for its 4 us.
COMPRESSED_MIN_BYTES = 64

_FIN = 0x80
_RSV1 = 0x40  # RFC 7692 6: on the first frame of a compressed message

_OPCODES: dict[Kind, int] = {"text": Opcode.TEXT.value, "bytes": Opcode.BINARY.value}


def write_frame(first_byte: int, payload: bytes) -> bytes:
    """A frame from the server, and therefore without a mask."""
    length = len(payload)
    if length < 126:
        return bytes((first_byte, length)) + payload
    if length < 65536:
        return struct.pack("!BBH", first_byte, 126, length) + payload
    return struct.pack("!BBQ", first_byte, 127, length) + payload


def write_control(opcode: Opcode, payload: bytes) -> bytes:
    """A closing frame, a ping or a pong; `payload` has at most 125 bytes."""
    return bytes((_FIN | opcode, len(payload))) + payload


class Outgoing:
    """The message that is being sent."""

    __slots__ = ("_compresses", "_deflater", "_kind", "_opcode")

    def __init__(self, deflater: Deflater | None) -> None:
        # per connection
        self._deflater = deflater
        # per message
        self._kind: Kind | None = None
        self._compresses: Deflater | None = None
        self._opcode = 0  # of its next frame, including RSV1

    def write_piece(self, kind: Kind, data: bytes, end: bool) -> bytes:
        """The frame for a piece; b"" where there is nothing to send yet.

        Raises ValueError for an unknown `kind`, or one that differs from the message under way.
        """
        if self._kind is None:
            if kind not in _OPCODES:
                raise ValueError(f"a message is text or bytes, not {shown(kind)}")
            self._kind = kind
            self._opcode = _OPCODES[kind]
            if self._deflater is not None and not (end and len(data) < COMPRESSED_MIN_BYTES):
                self._compresses = self._deflater
                self._opcode |= _RSV1
        elif kind != self._kind:
            name = kind if kind in _OPCODES else shown(kind)
            raise ValueError(f"a piece of {name} inside of a message of {self._kind}")
        if self._compresses is not None:
            data = self._compresses.compress(data, end)
        if end:
            first_byte = self._opcode | _FIN
            self._kind = None
            self._compresses = None
        elif data:
            first_byte = self._opcode
            self._opcode = Opcode.CONTINUATION.value
        else:
            return b""
        return write_frame(first_byte, data)
