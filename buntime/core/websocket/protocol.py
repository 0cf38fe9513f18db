"""One WebSocket, the server's side of RFC 6455 after the handshake: bytes <-> events; no I/O.

    socket ── receive(data, credit) ──> [Piece | Ponged | PeerClosed | Failed, ...] ──> app
           <── outgoing() ───────────── pongs and the answer to PeerClosed
           <── send_piece(), send_ping(), close() ───────────────────────────────────── app

wsproto's FrameDecoder parses frames: lengths, masks, opcodes, reserved bits. Everything above
frames is in `incoming.py`, not in wsproto.connection.Connection, for three reasons: that class
passes on text as str, where the channel carries bytes; it decodes everything it has, where the
worker's credit is limited; and it takes 28 us to echo a small message, where this code takes 18.

Memory. What `receive` was given and could not pass on is kept in the form received: a caller that
stops reading while `is_blocked` keeps no more than one read of it. Compressed data is inflated only
as far as there is credit, MAX_PAYLOAD at a time, however large it would become.

Order. Write what `outgoing` returns before looking at the events. Once `state` is CLOSED, end the
TCP connection after the written data, and not by a reset, which would discard that data.

A peer that breaks a rule has sent messages before, and the app's answer to them may be on its way.
So after Failed nothing more is read, but the app's answers are still sent until `close` is called.
"""

from dataclasses import dataclass
from typing import cast

from wsproto.extensions import Extension
from wsproto.frame_protocol import (
    CloseReason,
    Frame,
    FrameDecoder,
    FrameProtocol,
    Opcode,
    ParseFailed,
    RsvBits,
)

from buntime.core.values.enums import Enum, auto
from buntime.core.websocket.deflate import Agreement, Deflater, Inflater
from buntime.core.websocket.incoming import Incoming, Kind, Piece
from buntime.core.websocket.outgoing import Outgoing, write_control
from buntime.sdk import closecodes

__all__ = [
    "MESSAGE_MAX_BYTES",
    "Event",
    "Failed",
    "Kind",
    "PeerClosed",
    "Piece",
    "Ponged",
    "State",
    "WebSocket",
]

# Bytes of one message, inflated. RFC 6455 10.4 leaves the limit to us.
MESSAGE_MAX_BYTES = 16 * 1024 * 1024

_FRAMES_AT_ONCE = 64
_CONTROL = 0x08  # RFC 6455 5.5: this bit of an opcode
_REASON_MAX_BYTES = 123  # a control frame holds 125, and the code takes two


class State(Enum):
    """How far the closing handshake has come (RFC 6455 7)."""

    OPEN = auto()
    CLOSING = auto()  # our closing frame is sent, the peer's has not arrived
    FAILED = auto()  # the peer broke a rule: nothing more is read, `close` will say so
    CLOSED = auto()  # nothing more is read or sent


class Step(Enum):
    """What moves a WebSocket from one state to the next."""

    CLOSE_SENT = auto()
    CLOSE_RECEIVED = auto()  # and answered, unless ours was first
    RULE_BROKEN = auto()


# 7.1.7: after a broken rule we do not wait for the peer's answer to our closing frame. Not
# modelled: time and TCP. The caller limits the peer's time in CLOSING, and the app's in FAILED.
_NEXT: dict[State, dict[Step, State]] = {
    State.OPEN: {
        Step.CLOSE_SENT: State.CLOSING,
        Step.CLOSE_RECEIVED: State.CLOSED,
        Step.RULE_BROKEN: State.FAILED,
    },
    State.CLOSING: {Step.CLOSE_RECEIVED: State.CLOSED, Step.RULE_BROKEN: State.CLOSED},
    State.FAILED: {Step.CLOSE_SENT: State.CLOSED},
    State.CLOSED: {},
}


@dataclass(frozen=True, slots=True)
class Ponged:
    """The peer answered a ping, or sent a pong unasked."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PeerClosed:
    """The peer closed, with code 1005 if it gave none; an unfinished message gets no end."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The peer broke the protocol or a limit; `close` will send it this code."""

    code: int
    reason: str


Event = Piece | Ponged | PeerClosed | Failed


class WebSocket:
    """The protocol of one connection."""

    __slots__ = (
        "_decoder",
        "_failure",
        "_incoming",
        "_outgoing",
        "_rsv1",
        "_unsent",
        "has_more",
        "is_blocked",
        "state",
    )

    def __init__(
        self, agreement: Agreement | None = None, *, message_max_bytes: int = MESSAGE_MAX_BYTES
    ) -> None:
        """`agreement` is the result of the handshake about compression."""
        inflater = deflater = None
        if agreement is not None:
            inflater = Inflater(
                agreement.client_window_bits, keeps_context=agreement.client_keeps_context
            )
            deflater = Deflater(
                agreement.server_window_bits, keeps_context=agreement.server_keeps_context
            )
        self.state = State.OPEN
        self.is_blocked = False  # more would be passed on if there were credit
        self.has_more = False  # more frames wait than one `receive` handles
        self._incoming = Incoming(inflater, message_max_bytes)
        self._outgoing = Outgoing(deflater)
        # wsproto reports RSV1 only to extensions, and refuses it if there is none.
        self._rsv1 = None if agreement is None else _Rsv1()
        self._decoder = FrameDecoder(client=False, extensions=[self._rsv1] if self._rsv1 else [])
        self._unsent = bytearray()
        self._failure: Failed | None = None

    def __repr__(self) -> str:
        return f"WebSocket({self.state.name}, {self._incoming!r})"

    def receive(self, data: bytes, credit: int) -> list[Event]:
        """Take what the peer sent, and pass on what may be passed on.

        The pieces cost at most `credit` together, each its size and MESSAGE_OVERHEAD. While
        `is_blocked`, read no more from the peer; call this with b"" once there is credit. With
        `has_more` do the same after other connections have had their turn: there may be many frames
        that pass on nothing.
        """
        if self.state is State.FAILED or self.state is State.CLOSED:
            return []
        if data:
            self._decoder.receive_bytes(data)
        events: list[Event] = []
        self._incoming.credit = credit
        try:
            self._read_frames(events)
        except ParseFailed as exc:
            self._incoming.discard()
            self._advance(Step.RULE_BROKEN)
            self._failure = Failed(int(exc.code), str(exc))
            events.append(self._failure)
        pieces = self._incoming.end_turn()
        return [*pieces, *events]

    def outgoing(self) -> bytes:
        """What to write at once, after each `receive`."""
        if not self._unsent:
            return b""
        unsent = bytes(self._unsent)
        self._unsent.clear()
        return unsent

    def send_piece(self, kind: Kind, data: bytes, end: bool) -> bytes:
        """What to write for a piece of a message: b"" once a closing frame is sent.

        Text is UTF-8, and a piece of it may end inside a character. Raises ValueError for a kind
        that differs from that of the message under way.
        """
        if self.state is State.CLOSING or self.state is State.CLOSED:
            return b""
        return self._outgoing.write_piece(kind, data, end)

    def send_ping(self) -> bytes:
        """What to write as a ping: b"" if an answer would not be read."""
        return write_control(Opcode.PING, b"") if self.state is State.OPEN else b""

    def close(self, code: int = closecodes.NORMAL, reason: str = "") -> bytes:
        """What to write to close: b"" once a closing frame is sent.

        After Failed, its code and reason are sent instead of the arguments. A `reason` longer than
        123 bytes is cut. Then call `receive(b"", 0)`: the peer's closing frame may have waited
        behind messages that are now dropped. Raises ValueError for a code that cannot be sent.
        """
        if not closecodes.may_send(code):
            raise ValueError(f"{code} cannot close a WebSocket; 1000 or 3000 to 4999 can")
        if self.state is State.CLOSING or self.state is State.CLOSED:
            return b""
        if self._failure is not None:
            code, reason = self._failure.code, self._failure.reason
        self._advance(Step.CLOSE_SENT)
        self._incoming.discard()
        cut = reason.encode(errors="replace")[:_REASON_MAX_BYTES].decode(errors="ignore").encode()
        self._unsent += write_control(Opcode.CLOSE, code.to_bytes(2, "big") + cut)
        return self.outgoing()

    def _read_frames(self, events: list[Event]) -> None:
        if self.is_blocked and not self._incoming.hand_on():
            return
        self.is_blocked = self.has_more = False
        decoder = self._decoder
        for _ in range(_FRAMES_AT_ONCE):
            frame = decoder.process_buffer()
            if frame is None:
                return
            if frame.opcode & _CONTROL:
                if self._is_last(frame, events):
                    return
                continue
            header = decoder.header  # None once the whole frame has arrived
            self._incoming.start(
                frame,
                compressed=self._rsv1 is not None and self._rsv1.is_set,
                following_bytes=header.payload_len - decoder.payload_consumed if header else 0,
            )
            if not self._incoming.hand_on():
                self.is_blocked = True
                return
        self.has_more = True

    def _is_last(self, frame: Frame, events: list[Event]) -> bool:
        """Carry out a control frame, which may come between others; returns whether it was the
        closing one."""
        payload = cast(bytes, frame.payload)  # only a FrameProtocol gives other types
        if frame.opcode is Opcode.PONG:
            events.append(Ponged(payload))
        elif frame.opcode is Opcode.CLOSE:
            event = _parse_close(payload)
            if self.state is State.OPEN:
                self._unsent += write_control(Opcode.CLOSE, payload[:2])
            self._advance(Step.CLOSE_RECEIVED)
            events.append(event)
            return True
        elif self.state is State.OPEN:
            self._unsent += write_control(Opcode.PONG, payload)
        return False

    def _advance(self, step: Step) -> None:
        following = _NEXT[self.state].get(step)
        if following is None:
            raise RuntimeError(f"{step.name} while {self.state.name}")
        self.state = following


class _Rsv1(Extension):
    """To wsproto an extension: says where RSV1 is allowed, and remembers whether it was set."""

    name = "rsv1"

    def __init__(self) -> None:
        self.is_set = False

    def enabled(self) -> bool:
        return True

    def offer(self) -> bool:
        return False  # no handshake names it

    def frame_inbound_header(
        self,
        proto: FrameDecoder | FrameProtocol,
        opcode: Opcode,
        rsv: RsvBits,
        payload_length: int,
    ) -> CloseReason | RsvBits:
        """RFC 7692 6: only on the first frame of a message; wsproto refuses it elsewhere."""
        self.is_set = rsv.rsv1
        return RsvBits(opcode is Opcode.TEXT or opcode is Opcode.BINARY, False, False)


def _parse_close(payload: bytes) -> PeerClosed:
    """RFC 6455 5.5.1: nothing, or a code and a reason. Raises ParseFailed."""
    if not payload:
        return PeerClosed(closecodes.NO_CODE, "")
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not closecodes.may_send(code):
        raise ParseFailed("a closing frame without a code that may be sent")
    try:
        return PeerClosed(code, payload[2:].decode())
    except UnicodeDecodeError as exc:
        raise ParseFailed(
            f"the reason of a closing frame is not UTF-8: {exc.reason}",
            CloseReason.INVALID_FRAME_PAYLOAD_DATA,
        ) from exc
