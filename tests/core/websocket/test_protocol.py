"""The protocol of a WebSocket: Autobahn's groups, credit, memory, and closing."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Message, Ping, Pong, TextMessage
from wsproto.extensions import PerMessageDeflate

from buntime.core.websocket.deflate import Agreement, negotiate, parse_offers
from buntime.core.websocket.protocol import (
    Event,
    Failed,
    Kind,
    PeerClosed,
    Piece,
    Ponged,
    State,
    WebSocket,
)
from buntime.sdk import closecodes
from buntime.wire import MAX_PAYLOAD, MESSAGE_OVERHEAD
from tests.corpus.cases import Case, load_cases

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
RSV1, RSV2, RSV3 = 0x40, 0x20, 0x10
PLENTY = 10**9
MASK = b"\x12\x34\x56\x78"
OFFERS = [
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits",
    "permessage-deflate; server_max_window_bits=9; client_max_window_bits=9",
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
]


def masked(data: bytes) -> bytes:
    return bytes(byte ^ MASK[at % 4] for at, byte in enumerate(data))


def length_of(payload: bytes) -> bytes:
    if len(payload) < 126:
        return bytes([0x80 | len(payload)])
    if len(payload) < 65536:
        return struct.pack("!BH", 0xFE, len(payload))
    return struct.pack("!BQ", 0xFF, len(payload))


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """A client's frame."""
    return bytes([fin << 7 | rsv | opcode]) + length_of(payload) + MASK + masked(payload)


def closing(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


def agreement_of(offer: str) -> Agreement | None:
    return negotiate(parse_offers(offer))


def receive_all(
    ws: WebSocket, data: bytes, step: int = PLENTY, credit: int = PLENTY
) -> list[Event]:
    """All events of a byte stream that comes in pieces of `step`, with `credit` for each turn."""
    events = []
    for at in range(0, len(data), step):
        part = data[at : at + step]
        while True:
            got = ws.receive(part, credit)
            assert sum(cost(event) for event in got) <= credit
            events += got
            if not ws.is_blocked:
                break
            part = b""
    return events


def cost(event: Event) -> int:
    if not isinstance(event, Piece):
        return 0
    assert len(event.data) <= MAX_PAYLOAD
    return len(event.data) + MESSAGE_OVERHEAD


def messages_of(events: Iterable[Event]) -> list[tuple[Kind, bytes]]:
    """The complete messages among events."""
    messages = []
    begun: list[Piece] = []
    for event in events:
        if isinstance(event, Piece):
            begun.append(event)
            if event.end:
                assert {piece.kind for piece in begun} == {event.kind}
                messages.append((event.kind, b"".join(piece.data for piece in begun)))
                begun = []
    return messages


def client_of(agreement: Agreement | None) -> Connection:
    """wsproto's client, after a handshake with this `agreement`."""
    if agreement is None:
        return Connection(ConnectionType.CLIENT)
    extension = PerMessageDeflate()
    extension.finalize(agreement.answer)
    return Connection(ConnectionType.CLIENT, [extension])


AGREEMENTS = st.sampled_from([None, *map(agreement_of, OFFERS)])
TEXTS = st.lists(st.text(max_size=200), min_size=1, max_size=5)
BINARIES = st.lists(st.binary(max_size=200), min_size=1, max_size=5)
MESSAGES = st.lists(TEXTS | BINARIES, max_size=6)


# Messages


@settings(deadline=None)
@given(MESSAGES, AGREEMENTS, st.integers(1, 600), st.integers(MESSAGE_OVERHEAD + 1, 300), st.data())
def test_what_a_client_sends_arrives(
    messages: list[list[str] | list[bytes]],
    agreement: Agreement | None,
    step: int,
    credit: int,
    data: st.DataObject,
) -> None:
    """Messages in any fragments, with pings between, arrive as sent, however they are cut."""
    client, ws = client_of(agreement), WebSocket(agreement)
    stream = b""
    pings: list[bytes] = []
    for fragments in messages:
        for at, fragment in enumerate(fragments):
            event = TextMessage if isinstance(fragment, str) else BytesMessage
            stream += client.send(event(fragment, message_finished=at == len(fragments) - 1))
            if data.draw(st.booleans()):
                pings.append(bytes([len(pings)]))
                stream += client.send(Ping(pings[-1]))
    got = messages_of(receive_all(ws, stream, step, credit))
    assert got == [
        ("text", "".join(fragments).encode())
        if isinstance(fragments[0], str)
        else ("bytes", b"".join(fragments))
        for fragments in messages
    ]
    assert ws.outgoing() == b"".join(b"\x8a\x01" + ping for ping in pings)


@settings(deadline=None)
@given(MESSAGES, AGREEMENTS)
def test_what_is_sent_arrives(
    messages: list[list[str] | list[bytes]], agreement: Agreement | None
) -> None:
    """Another implementation of a client reads what is sent, in any pieces, compressed or not."""
    client, ws = client_of(agreement), WebSocket(agreement)
    for pieces in messages:
        kind: Kind = "text" if isinstance(pieces[0], str) else "bytes"
        for at, piece in enumerate(pieces):
            raw = piece.encode() if isinstance(piece, str) else piece
            client.receive_data(ws.send_piece(kind, raw, at == len(pieces) - 1))
    got, begun = [], []
    for event in client.events():
        assert isinstance(event, Message)
        begun.append(event.data)
        if event.message_finished:
            got.append(type(event.data)().join(begun))
            begun = []
    assert got == [type(pieces[0])().join(pieces) for pieces in messages]


@pytest.mark.parametrize("size", [0, 125, 126, 127, 65535, 65536, 200_000])
def test_lengths(size: int) -> None:
    """Each of the three forms of a length is read and written at its limits."""
    payload = bytes(size)
    assert messages_of(receive_all(WebSocket(), frame(BINARY, payload))) == [("bytes", payload)]
    sent = WebSocket().send_piece("bytes", payload, True)
    client = client_of(None)
    client.receive_data(sent)
    assert b"".join(event.data for event in client.events()) == payload


def test_small_fragments_are_joined() -> None:
    """Fragments that arrive together become one piece, to save messages on the channel."""
    data = frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b", fin=False) * 50
    ws = WebSocket()
    assert ws.receive(data, PLENTY) == [Piece("text", b"a" + b"b" * 50, False)]
    assert ws.receive(frame(CONTINUATION), PLENTY) == [Piece("text", b"", True)]


def test_joined_fragments_make_no_larger_piece() -> None:
    """Fragments are joined only up to MAX_PAYLOAD, including the last one."""
    data = frame(BINARY, b"ab", fin=False) + frame(CONTINUATION, bytes(MAX_PAYLOAD - 1))
    pieces = [piece for piece in WebSocket().receive(data, PLENTY) if isinstance(piece, Piece)]
    assert [(len(piece.data), piece.end) for piece in pieces] == [(MAX_PAYLOAD, False), (1, True)]


def test_pieces_are_handed_on_as_they_come() -> None:
    """A large frame is passed on as it arrives, in pieces of at most MAX_PAYLOAD."""
    ws = WebSocket()
    data = frame(BINARY, bytes(3 * MAX_PAYLOAD))
    assert ws.receive(data[:100], PLENTY) == [Piece("bytes", bytes(86), False)]
    rest = ws.receive(data[100:], PLENTY)
    assert [len(event.data) for event in rest if isinstance(event, Piece)] == [
        MAX_PAYLOAD,
        MAX_PAYLOAD,
        MAX_PAYLOAD - 86,
    ]


def test_a_ping_between_compressed_fragments() -> None:
    """A control frame between the fragments of a compressed message does not affect it."""
    ws = WebSocket(agreement_of("permessage-deflate"))
    data = deflated(b"hello hello hello")
    fragments = frame(TEXT, data[:4], fin=False, rsv=RSV1) + frame(PING, b"p")
    events = receive_all(ws, fragments + frame(CONTINUATION, data[4:]))
    assert messages_of(events) == [("text", b"hello hello hello")]


def test_plain_messages_may_stand_between_compressed_ones() -> None:
    """With compression negotiated, each message still says whether it is compressed."""
    ws = WebSocket(agreement_of("permessage-deflate"))
    data = frame(TEXT, deflated(b"one"), rsv=RSV1) + frame(TEXT, b"two") + frame(BINARY)
    data += frame(BINARY, b"\x00", rsv=RSV1)
    assert messages_of(receive_all(ws, data, 1)) == [
        ("text", b"one"),
        ("text", b"two"),
        ("bytes", b""),
        ("bytes", b""),
    ]


def deflated(message: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return (stream.compress(message) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


def test_small_messages_are_sent_plain() -> None:
    """A message is compressed only if deflate makes it shorter."""
    ws = WebSocket(agreement_of("permessage-deflate"))
    assert ws.send_piece("text", b"a" * 63, True) == b"\x81\x3f" + b"a" * 63
    large = ws.send_piece("text", b"a" * 64, True)
    assert large[0] == 0x80 | RSV1 | TEXT
    assert len(large) < 12


def test_pieces_that_zlib_keeps_back_are_no_frames() -> None:
    """The first frame with bytes has the opcode, even if the first pieces produced none."""
    ws = WebSocket(agreement_of("permessage-deflate"))
    assert ws.send_piece("text", b"", False) == b""
    assert ws.send_piece("text", b"aaaa", False) == b""
    assert ws.send_piece("text", b"aaaa", True)[0] == 0x80 | RSV1 | TEXT
    assert WebSocket().send_piece("bytes", b"", False) == b""


def test_a_message_has_one_kind() -> None:
    """A piece of another kind within a message is the caller's error."""
    ws = WebSocket()
    ws.send_piece("text", b"a", False)
    with pytest.raises(ValueError, match="a piece of bytes inside of a message of text"):
        ws.send_piece("bytes", b"a", True)
    with pytest.raises(ValueError, match="text or bytes"):
        WebSocket().send_piece("blob", b"a", True)  # type: ignore[arg-type]  # what is tested


# Control frames


@pytest.mark.parametrize("payload", [b"", b"ping", bytes(range(125))])
def test_pings_are_answered(payload: bytes) -> None:
    """A pong has the ping's payload."""
    ws = WebSocket()
    assert ws.receive(frame(PING, payload), 0) == []
    assert ws.outgoing() == bytes([0x8A, len(payload)]) + payload
    assert ws.outgoing() == b""


def test_pongs_are_told() -> None:
    """A pong is an event, solicited or not."""
    assert receive_all(WebSocket(), frame(PONG, b"x"), 1) == [Ponged(b"x")]


def test_our_pings_are_answered_by_a_client() -> None:
    """Another implementation of a client answers our ping."""
    ws, client = WebSocket(), client_of(None)
    client.receive_data(ws.send_ping())
    [ping] = client.events()
    assert isinstance(ping, Ping)
    assert ws.receive(client.send(Pong(ping.payload)), 0) == [Ponged(b"")]


def test_a_ping_is_answered_before_a_large_message_ends() -> None:
    """A ping between fragments is answered before the message is complete."""
    ws = WebSocket()
    ws.receive(frame(TEXT, b"a", fin=False) + frame(PING, b"1"), PLENTY)
    assert ws.outgoing() == b"\x8a\x011"


# Refusals: Autobahn's groups 3 to 7, and 12 as far as RSV1 is concerned


BAD_FRAMES = {
    "rsv1 without compression": frame(TEXT, b"a", rsv=RSV1),
    "rsv2": frame(TEXT, b"a", rsv=RSV2),
    "rsv3": frame(BINARY, b"a", rsv=RSV3),
    "all reserved bits": frame(TEXT, rsv=RSV1 | RSV2 | RSV3),
    "rsv1 on a ping": frame(PING, rsv=RSV1),
    "rsv2 on a closing frame": frame(CLOSE, rsv=RSV2),
    **{f"opcode {code}": frame(code, b"a") for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "a fragmented ping": frame(PING, b"a", fin=False),
    "a fragmented pong": frame(PONG, fin=False),
    "a fragmented closing frame": frame(CLOSE, fin=False),
    "a ping of 126 bytes": frame(PING, bytes(126)),
    "a closing frame of 126 bytes": closing(1000, b"a" * 124),
    "no mask": b"\x81\x01a",
    "a ping without a mask": b"\x89\x00",
    "a continuation first": frame(CONTINUATION, b"a"),
    "a continuation first, not the last": frame(CONTINUATION, b"a", fin=False),
    "a continuation after a message": frame(TEXT, b"a") + frame(CONTINUATION, b"b"),
    "a message inside of another": frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"),
    "bytes inside of text": frame(TEXT, b"a", fin=False) + frame(BINARY, b"b", fin=False),
    "a length of 2 bytes that fits in one": b"\x82\xfe\x00\x7d" + MASK + bytes(125),
    "a length of 8 bytes that fits in two": b"\x82\xff" + struct.pack("!Q", 65535) + MASK,
    "a length with its highest bit": b"\x82\xff" + struct.pack("!Q", 1 << 63) + MASK,
    "a closing frame of one byte": frame(CLOSE, b"a"),
    **{
        f"closing code {code}": closing(code)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
}


def fails_with(code: int, data: bytes, agreement: Agreement | None = None) -> None:
    """`data` fails with `code` whole, byte by byte and with more after it, and nothing follows."""
    for stream, step in ((data, PLENTY), (data, 1), (data + frame(PING) + data, PLENTY)):
        ws = WebSocket(agreement)
        events = receive_all(ws, stream, step)
        assert isinstance(events[-1], Failed)
        assert events[-1].code == code
        assert not any(isinstance(event, Failed | PeerClosed) for event in events[:-1])
        assert ws.state is State.FAILED
        assert ws.outgoing() == b""
        assert ws.close()[:4] == bytes([0x88, 2 + len(events[-1].reason)]) + struct.pack("!H", code)
        assert ws.state is State.CLOSED


@pytest.mark.parametrize("data", BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_a_broken_rule(data: bytes) -> None:
    """A frame that RFC 6455 5 or 7 forbids fails the connection with 1002."""
    fails_with(1002, data)


@pytest.mark.parametrize(
    "data",
    [
        frame(PING, rsv=RSV1),
        frame(CLOSE, rsv=RSV1),
        frame(TEXT, deflated(b"a")[:1], fin=False, rsv=RSV1)
        + frame(CONTINUATION, deflated(b"a")[1:], rsv=RSV1),
        frame(TEXT, deflated(b"a"), rsv=RSV1 | RSV2),
        frame(CONTINUATION, deflated(b"a"), rsv=RSV1),
    ],
)
def test_rsv1_belongs_on_first_frames(data: bytes) -> None:
    """RSV1 may be set only on the first frame of a message (RFC 7692 6)."""
    fails_with(1002, data, agreement_of("permessage-deflate"))


def test_what_is_not_compressed() -> None:
    """A message that is marked as compressed but is not fails with 1007."""
    fails_with(1007, frame(BINARY, b"\xff" * 20, rsv=RSV1), agreement_of("permessage-deflate"))


VALID_TEXTS = [
    "κόσμε", "\x00", "\x7f", "\x80", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\ufffd", "\ufffe",
    "\uffff", "\U00010000", "\U0003ffff", "\U0010ffff",
]  # fmt: skip

# Bytes that are not UTF-8, and how many of them it takes to know.
INVALID_TEXTS = [
    (b"\x80", 1), (b"\xbf\xbf", 1), (b"\xc0\xaf", 1), (b"\xc1\xbf", 1), (b"\xf5\x80", 1),
    (b"\xf8\x88\x80\x80\x80", 1), (b"\xfc\x84", 1), (b"\xfe", 1), (b"\xff", 1),
    (b"\xc3\x28", 2), (b"\xe0\x80\xaf", 2), (b"\xe0\x9f\xbf", 2), (b"\xed\xa0\x80", 2),
    (b"\xed\xbf\xbf", 2), (b"\xf0\x80\x80\xaf", 2), (b"\xf0\x8f\xbf\xbf", 2),
    (b"\xf4\x90\x80\x80", 2), (b"\xe1\x80\x41", 3), (b"\xf1\x80\x41", 3), (b"\xf1\x80\x80\xc0", 4),
]  # fmt: skip


@pytest.mark.parametrize("text", VALID_TEXTS, ids=ascii)
def test_utf_8_is_taken(text: str) -> None:
    """All of UTF-8 is accepted, even if a character is split between fragments."""
    raw = text.encode()
    data = frame(TEXT, raw[:1], fin=False) + frame(CONTINUATION, raw[1:])
    assert messages_of(receive_all(WebSocket(), data, 1)) == [("text", raw)]


@pytest.mark.parametrize(("text", "needed"), INVALID_TEXTS, ids=str)
def test_what_is_no_utf_8(text: bytes, needed: int) -> None:
    """Text that is not UTF-8 fails with 1007."""
    assert needed <= len(text)
    fails_with(1007, frame(TEXT, "κόσμε".encode() + text + b"edited"))
    fails_with(1007, frame(TEXT, deflated(text), rsv=RSV1), agreement_of("permessage-deflate"))


@pytest.mark.parametrize(("text", "needed"), INVALID_TEXTS, ids=str)
@pytest.mark.parametrize("before", [b"", "κόσμε".encode()], ids=["", "text before"])
def test_no_utf_8_is_found_at_once(text: bytes, needed: int, before: bytes) -> None:
    """Text fails at the first impossible byte, in a frame and in a fragment (Autobahn 6.4)."""
    known = before + text[:needed]
    whole = frame(TEXT, before + text + b"more")
    for fine, bad in (
        (whole[: 6 + len(known) - 1], whole[6 + len(known) - 1 : 6 + len(known)]),
        (frame(TEXT, known[:-1], fin=False), frame(CONTINUATION, known[-1:], fin=False)),
    ):
        ws = WebSocket()
        assert not any(isinstance(event, Failed) for event in ws.receive(fine, PLENTY))
        [failed] = ws.receive(bad, PLENTY)
        assert isinstance(failed, Failed)
        assert failed.code == 1007


@pytest.mark.parametrize("text", [b"\xce", b"\xe2\x82", b"\xf0\x9f\x98"])
def test_text_that_ends_inside_of_a_character(text: bytes) -> None:
    """A character must be complete at the end of a message, not of a fragment."""
    fails_with(1007, frame(TEXT, b"a" + text))
    fails_with(1007, frame(TEXT, b"a" + text, fin=False) + frame(CONTINUATION))


def test_bytes_may_be_anything() -> None:
    """Binary messages are not checked."""
    assert messages_of(receive_all(WebSocket(), frame(BINARY, b"\xff"))) == [("bytes", b"\xff")]


def test_a_reason_that_is_no_utf_8() -> None:
    """The reason in a closing frame must be UTF-8."""
    fails_with(1007, closing(1000, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xed\xa0\x80"))


def test_messages_before_a_failure_are_told() -> None:
    """Messages completed before the peer broke a rule are passed on, incomplete ones never end."""
    data = frame(TEXT, b"one") + frame(TEXT, b"two", fin=False) + frame(TEXT, b"three")
    events = WebSocket().receive(data, PLENTY)
    assert events[0] == Piece("text", b"one", True)
    assert [type(event) for event in events[1:]] == [Failed]


def test_answers_still_go_out_after_a_failure() -> None:
    """The app may still answer earlier messages; then close() says what was wrong."""
    ws = WebSocket()
    ws.receive(frame(TEXT, b"one") + frame(3), PLENTY)
    assert ws.send_ping() == b""
    assert ws.send_piece("text", b"one", True) == b"\x81\x03one"
    assert ws.receive(frame(PING), PLENTY) == []
    assert ws.outgoing() == b""
    assert ws.close(1000, "bye")[:4] == b"\x88\x14\x03\xea"
    assert ws.send_piece("text", b"one", True) == b""


@settings(deadline=None)
@given(st.binary(max_size=60), AGREEMENTS)
def test_garbage_fails_and_nothing_else(data: bytes, agreement: Agreement | None) -> None:
    """Any bytes give events and no exception, and the same events however they are cut."""
    whole, cut = WebSocket(agreement), WebSocket(agreement)
    at_once = [event for event in whole.receive(data, PLENTY) if not isinstance(event, Piece)]
    by_byte = [event for event in receive_all(cut, data, 1) if not isinstance(event, Piece)]
    assert at_once == by_byte
    assert whole.state is cut.state


# Limits


@pytest.mark.parametrize(
    "too_large",
    [
        frame(BINARY, bytes(101)),
        frame(BINARY, bytes(50), fin=False) + frame(CONTINUATION, bytes(51)),
        frame(BINARY, bytes(100), fin=False) + frame(CONTINUATION, bytes(1), fin=False),
        frame(BINARY, deflated(bytes(101)), rsv=RSV1),
        frame(BINARY, deflated(bytes(101))[:3], rsv=RSV1, fin=False)
        + frame(CONTINUATION, deflated(bytes(101))[3:]),
        b"\x82\xff" + struct.pack("!Q", 1 << 62) + MASK + b"a",  # its first byte is enough
    ],
)
@pytest.mark.parametrize("step", [1, PLENTY])
def test_a_message_that_is_too_large(too_large: bytes, step: int) -> None:
    """A message beyond the limit fails with 1009, and no byte beyond the limit is passed on."""
    ws = WebSocket(agreement_of("permessage-deflate"), message_max_bytes=100)
    events = receive_all(ws, frame(TEXT, b"first") + too_large, step)
    assert messages_of(events) == [("text", b"first")]
    assert sum(len(event.data) for event in events if isinstance(event, Piece)) <= 105
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert failed.code == 1009


def test_a_message_as_large_as_the_limit() -> None:
    """Each message may be exactly as large as the limit, however it is framed."""
    ws = WebSocket(agreement_of("permessage-deflate"), message_max_bytes=100)
    data = frame(BINARY, bytes(100)) + frame(BINARY, deflated(bytes(100)), rsv=RSV1)
    data += frame(BINARY, bytes(99), fin=False) + frame(CONTINUATION, b"\x00")
    assert messages_of(receive_all(ws, data)) == [("bytes", bytes(100))] * 3


def traced_peak(act: Callable[[], None]) -> int:
    """The peak memory in bytes that `act` used."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        act()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def bomb_of(size: int) -> bytes:
    stream = zlib.compressobj(9, wbits=-15)
    inflated = b"".join(stream.compress(bytes(100_000)) for _ in range(size // 100_000))
    return frame(BINARY, (inflated + stream.flush(zlib.Z_SYNC_FLUSH))[:-4], rsv=RSV1)


@pytest.mark.parametrize("credit", [MAX_PAYLOAD, MAX_PAYLOAD + MESSAGE_OVERHEAD])
def test_a_bomb_is_inflated_as_far_as_credit_goes(credit: int) -> None:
    """10 MB of zeros in one frame of 10 KB are never all in memory: a turn needs 400 KB at most."""
    bomb = bomb_of(10_000_000)
    assert len(bomb) < 10_000
    ws = WebSocket(agreement_of("permessage-deflate"))
    seen = 0

    def act() -> None:
        nonlocal seen
        events = ws.receive(bomb, credit)
        while ws.is_blocked:
            seen += sum(len(event.data) for event in events if isinstance(event, Piece))
            events = ws.receive(b"", credit)
        seen += sum(len(event.data) for event in events if isinstance(event, Piece))

    assert traced_peak(act) < 400_000
    assert seen == 10_000_000


def test_a_bomb_beyond_the_limit() -> None:
    """A bomb larger than a message may be fails with 1009 once the limit is reached."""
    bomb = bomb_of(10_000_000)
    ws = WebSocket(agreement_of("permessage-deflate"), message_max_bytes=200_000)
    events: list[Event] = []
    assert traced_peak(lambda: events.extend(ws.receive(bomb, PLENTY))) < 1_000_000
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert failed.code == 1009


def test_a_large_frame_is_not_kept() -> None:
    """16 MiB in one frame pass through in reads of 64 KiB with at most 1 MB in memory."""
    head = b"\x82\xff" + struct.pack("!Q", 16 * 1024 * 1024) + MASK
    part = bytes(MAX_PAYLOAD)
    ws = WebSocket()
    seen = 0

    def act() -> None:
        nonlocal seen
        ws.receive(head, PLENTY)
        for _ in range(256):
            seen += sum(len(e.data) for e in ws.receive(part, PLENTY) if isinstance(e, Piece))

    assert traced_peak(act) < 1_000_000
    assert seen == 16 * 1024 * 1024


# Credit


def test_without_credit_nothing_is_handed_on() -> None:
    """Without credit a message waits, whole, and the frames after it wait too."""
    ws = WebSocket()
    assert ws.receive(frame(PING, b"1") + frame(TEXT, b"ab") + frame(PING, b"2"), 65) == [
        Piece("text", b"a", False)
    ]
    assert ws.is_blocked
    assert ws.outgoing() == b"\x8a\x011"
    assert ws.receive(b"", MESSAGE_OVERHEAD - 1) == []
    assert ws.receive(b"", 66) == [Piece("text", b"b", True)]
    assert not ws.is_blocked
    assert ws.outgoing() == b"\x8a\x012"


def test_an_empty_message_needs_credit_too() -> None:
    """An empty message costs the overhead, so that a flood of them is limited too."""
    ws = WebSocket()
    data = frame(TEXT) * 3
    assert ws.receive(data, 2 * MESSAGE_OVERHEAD) == [Piece("text", b"", True)] * 2
    assert ws.is_blocked
    assert ws.receive(b"", MESSAGE_OVERHEAD) == [Piece("text", b"", True)]


def test_no_credit_is_needed_for_what_is_no_message() -> None:
    """Control frames need no credit, including the closing one."""
    ws = WebSocket()
    assert ws.receive(frame(PONG) + closing(1000), 0) == [Ponged(b""), PeerClosed(1000, "")]


# Closing


@pytest.mark.parametrize("code", [*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999])
def test_the_peer_closes(code: int) -> None:
    """A closing frame is answered with its own code, and nothing after it is read."""
    ws = WebSocket()
    events = ws.receive(closing(code, "bye €".encode()) + frame(PING) + frame(3), PLENTY)
    assert events == [PeerClosed(code, "bye €")]
    assert ws.outgoing() == b"\x88\x02" + struct.pack("!H", code)
    assert ws.state is State.CLOSED
    assert ws.receive(frame(PING), PLENTY) == []
    assert ws.send_piece("text", b"a", True) == ws.send_ping() == ws.close() == b""


def test_the_peer_closes_without_a_code() -> None:
    """A closing frame without a code counts as 1005, and is answered without one."""
    ws = WebSocket()
    assert receive_all(ws, frame(CLOSE), 1) == [PeerClosed(1005, "")]
    assert ws.outgoing() == b"\x88\x00"


def test_the_longest_reason() -> None:
    """A reason may have 123 bytes."""
    assert receive_all(WebSocket(), closing(1000, b"a" * 123)) == [PeerClosed(1000, "a" * 123)]


def test_a_message_that_is_closed_over() -> None:
    """A closing frame between fragments ends the connection, and the message never ends."""
    events = receive_all(WebSocket(), frame(TEXT, b"a", fin=False) + closing(1000))
    assert events == [Piece("text", b"a", False), PeerClosed(1000, "")]


def test_we_close() -> None:
    """After close() we wait for the peer's closing frame, and drop everything before it."""
    ws = WebSocket()
    ws.receive(frame(TEXT, b"a", fin=False), PLENTY)
    assert ws.close(4000, "enough") == b"\x88\x08\x0f\xa0enough"
    assert ws.state is State.CLOSING
    assert ws.send_piece("text", b"a", True) == ws.send_ping() == ws.close() == b""
    more = frame(CONTINUATION, b"\xff") + frame(PING) + frame(TEXT, bytes(100))
    assert receive_all(ws, more, 1, 0) == []
    assert receive_all(ws, closing(4000), 1, 0) == [PeerClosed(4000, "")]
    assert ws.outgoing() == b""
    assert ws.state is State.CLOSED


def test_a_client_sees_our_code() -> None:
    """Another implementation reads our code and reason, and its answer ends the connection."""
    ws, client = WebSocket(), client_of(None)
    client.receive_data(ws.close(1012, "restart"))
    [event] = client.events()
    assert isinstance(event, CloseConnection)
    assert (event.code, event.reason) == (1012, "restart")
    assert ws.receive(client.send(event.response()), 0) == [PeerClosed(1012, "restart")]


def test_pongs_stand_before_our_closing_frame() -> None:
    """Nothing follows a closing frame, so everything pending is written before it."""
    ws = WebSocket()
    ws.receive(frame(PING, b"1"), 0)
    assert ws.close() == b"\x8a\x011" + b"\x88\x02\x03\xe8"
    assert ws.outgoing() == b""


def test_what_was_blocked_is_dropped_at_our_close() -> None:
    """After close() the peer's closing frame is found even after messages without credit."""
    agreement = agreement_of("permessage-deflate")
    blocked = frame(BINARY, deflated(bytes(1000)), rsv=RSV1) + frame(TEXT, b"a") * 3
    ws = WebSocket(agreement)
    ws.receive(blocked + closing(1001), 100)
    assert ws.is_blocked
    ws.close()
    assert ws.receive(b"", 0) == [PeerClosed(1001, "")]
    assert not ws.is_blocked


def test_a_rule_broken_after_our_close() -> None:
    """A peer that breaks a rule after our closing frame is not waited for."""
    ws = WebSocket()
    ws.close()
    assert isinstance(ws.receive(frame(3), 0)[0], Failed)
    assert ws.state is State.CLOSED
    assert ws.close() == ws.outgoing() == b""


@pytest.mark.parametrize(
    "code", [-1, 0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65536, 1 << 40]
)
def test_codes_that_cannot_be_sent(code: int) -> None:
    """A code that is invalid in a closing frame is the caller's error, and changes nothing."""
    ws = WebSocket()
    assert not closecodes.may_send(code)
    with pytest.raises(ValueError, match=f"^{code} cannot close"):
        ws.close(code)
    assert ws.state is State.OPEN


@settings(deadline=None)
@given(st.text())
def test_reasons_are_cut(reason: str) -> None:
    """A reason is cut between characters to fit into the closing frame."""
    sent = WebSocket().close(1000, reason)
    assert sent[:4] == bytes([0x88, len(sent) - 2, 0x03, 0xE8])
    assert len(sent) <= 127
    assert reason.startswith(sent[4:].decode())
    assert len(sent) >= min(2 + 2 + len(reason.encode()), 124)


def test_it_shows_its_state() -> None:
    """Its repr shows how far it has closed, and what is coming in."""
    ws = WebSocket()
    assert repr(ws) == "WebSocket(OPEN, Incoming(between messages, 0 bytes so far))"
    ws.receive(frame(TEXT, b"abc", fin=False), PLENTY)
    assert repr(ws) == "WebSocket(OPEN, Incoming(text, 3 bytes so far))"


# The corpus


@pytest.mark.parametrize("case", load_cases("frames"), ids=str)
def test_the_corpus(case: Case) -> None:
    """Each case ends with its code, however it is cut, and nothing after it is read."""
    for behind in (b"", frame(TEXT, b"behind"), closing(1000)):
        for step in (PLENTY, 3, 1):
            ends_with_its_code(case, behind, step)


def ends_with_its_code(case: Case, behind: bytes, step: int) -> None:
    code, _, offer = case.expected[0].partition(" ")
    ws = WebSocket(agreement_of(offer) if offer else None)
    *before, last = receive_all(ws, case.data + behind, step)
    assert isinstance(last, PeerClosed | Failed)
    assert last.code == int(code)
    assert all(isinstance(event, Piece) for event in before)
    closing_frame = ws.outgoing() or ws.close()
    assert closing_frame[0] == 0x80 | CLOSE
    assert closing_frame[2:4] == (b"" if code == "1005" else struct.pack("!H", int(code)))
    assert ws.state is State.CLOSED


def test_a_flood_of_frames_is_read_a_bounded_number_at_once() -> None:
    """Pings need no credit, but only a limited number is answered in each turn."""
    socket = WebSocket()
    pings = b"\x89\x80\0\0\0\0" * 1000
    socket.receive(pings, 10**6)
    turns, pongs = 1, len(socket.outgoing()) // 2
    assert socket.has_more
    assert pongs < 200
    while socket.has_more:
        socket.receive(b"", 10**6)
        pongs += len(socket.outgoing()) // 2
        turns += 1
    assert pongs == 1000
    assert turns > 5
