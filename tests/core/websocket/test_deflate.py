"""permessage-deflate: what is negotiated, and zlib limited to small pieces."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buntime.core.websocket.deflate import Deflater, Inflater, Offer, negotiate, parse_offers

TAIL = b"\x00\x00\xff\xff"
NAME = "permessage-deflate"


def compressed(*messages: bytes, bits: int = 15) -> list[bytes]:
    """Messages as a client sends them, with context takeover."""
    stream = zlib.compressobj(wbits=-bits)
    return [(stream.compress(m) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4] for m in messages]


def finished(message: bytes) -> bytes:
    """A message in a block with BFINAL, padded as in RFC 7692 7.2.3.5."""
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(message) + stream.flush(zlib.Z_FINISH) + b"\x00"


def inflate(inflater: Inflater, data: bytes, limit: int = 1000, end: bool = True) -> bytes:
    inflater.feed(data, end)
    taken = b""
    while not inflater.is_drained:
        piece = inflater.take(limit)
        assert len(piece) <= limit
        taken += piece
    return taken


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", []),
        (" , ,", []),
        ("a", [("a", [])]),
        ("a, b;x", [("a", []), ("b", [("x", None)])]),
        ("a,,b", [("a", []), ("b", [])]),
        (' A ; X = 1 ;y="2"; y = "\\3" ', [("a", [("x", "1"), ("y", "2"), ("y", "3")])]),
    ],
)
def test_offers_are_parsed(value: str, expected: list[tuple[str, list[tuple[str, str]]]]) -> None:
    """Names become lower case, values are unquoted, order and repeats are kept."""
    assert parse_offers(value) == [Offer(name, tuple(pairs)) for name, pairs in expected]


@pytest.mark.parametrize(
    "value", ["a b", "a;", "a;;x", "a; x=", 'a; x="', 'a; x="1 2"', 'a; x=""', "a=1", "/", "a\xe9"]
)
def test_malformed_offers(value: str) -> None:
    """What RFC 6455 9.1 does not allow is an error that says where."""
    with pytest.raises(ValueError, match=r"at character|not a token"):
        parse_offers(value)


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("", ""),
        ("; client_max_window_bits", "; client_max_window_bits=12"),
        ("; client_max_window_bits=15", "; client_max_window_bits=12"),
        ("; client_max_window_bits=9", "; client_max_window_bits=9"),
        ("; client_max_window_bits=8", "; client_max_window_bits=8"),
        ("; server_max_window_bits=9", "; server_max_window_bits=9"),
        ('; server_max_window_bits="10"', "; server_max_window_bits=10"),
        ("; server_max_window_bits=15", "; server_max_window_bits=12"),
        ("; server_no_context_takeover", "; server_no_context_takeover"),
        ("; client_no_context_takeover", "; client_no_context_takeover"),
        (
            "; server_max_window_bits=11; server_no_context_takeover; client_max_window_bits",
            "; server_no_context_takeover; server_max_window_bits=11; client_max_window_bits=12",
        ),
    ],
)
def test_what_is_agreed_on(offer: str, answer: str) -> None:
    """Each parameter is honoured, and the answer has no parameter that was not offered."""
    agreement = negotiate(parse_offers(NAME + offer))
    assert agreement is not None
    assert agreement.answer == NAME + answer


@pytest.mark.parametrize(
    "offer",
    [
        "; server_max_window_bits",
        "; server_max_window_bits=8",
        "; server_max_window_bits=16",
        "; server_max_window_bits=010",
        "; server_max_window_bits=x",
        "; client_max_window_bits=7",
        "; client_max_window_bits=x",
        "; client_max_window_bits=+9",
        "; server_no_context_takeover=1",
        "; client_no_context_takeover=true",
        "; client_max_window_bits; client_max_window_bits=10",
        "; something_else",
    ],
)
def test_what_is_declined(offer: str) -> None:
    """An invalid offer, or one that cannot be met, is skipped for the next (RFC 7692 5.1)."""
    assert negotiate(parse_offers(NAME + offer)) is None
    second = negotiate(parse_offers(f"{NAME}{offer}, {NAME}; server_max_window_bits=9, {NAME}"))
    assert second is not None
    assert second.server_window_bits == 9


def test_what_the_parameters_mean() -> None:
    """Without parameters both sides keep their context, and the client may use any window."""
    plain = negotiate([Offer(NAME, ())])
    assert plain is not None
    assert (plain.server_keeps_context, plain.client_keeps_context) == (True, True)
    assert (plain.server_window_bits, plain.client_window_bits) == (12, 15)
    bare = negotiate(
        parse_offers(f"{NAME}; server_no_context_takeover; client_no_context_takeover")
    )
    assert bare is not None
    assert (bare.server_keeps_context, bare.client_keeps_context) == (False, False)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.binary(max_size=300), min_size=1, max_size=4), max_size=5),
    st.sampled_from([9, 12]),
    st.booleans(),
    st.integers(1, 200),
)
def test_what_is_deflated_is_inflated(
    messages: list[list[bytes]], bits: int, keeps: bool, limit: int
) -> None:
    """Messages in any pieces come back, with and without context, taken in any steps."""
    deflater = Deflater(bits, keeps_context=keeps)
    inflater = Inflater(bits, keeps_context=keeps)
    for pieces in messages:
        got = b""
        for at, piece in enumerate(pieces):
            end = at == len(pieces) - 1
            got += inflate(inflater, deflater.compress(piece, end), limit, end)
        assert got == b"".join(pieces)


def test_context_is_kept() -> None:
    """A repeated message costs a few bytes if context is kept, and its full size otherwise."""
    message = bytes(range(200))
    kept = Deflater(12, keeps_context=True)
    dropped = Deflater(12, keeps_context=False)
    assert len(kept.compress(message, True)) > 190
    assert len(kept.compress(message, True)) < 20
    assert dropped.compress(message, True) == dropped.compress(message, True)


def test_a_window_of_8_bits_is_inflated() -> None:
    """zlib has no such window, but a larger one reads its data."""
    inflater = Inflater(8, keeps_context=True)
    assert inflate(inflater, compressed(b"hello" * 50, bits=9)[0]) == b"hello" * 50


def test_messages_that_end_their_stream() -> None:
    """A block with BFINAL ends a stream, but not the message, and the next one starts afresh."""
    inflater = Inflater(15, keeps_context=True)
    # RFC 7692 7.2.3.5
    assert inflate(inflater, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00") == b"Hello"
    first, second = compressed(b"one " * 9, b"one " * 9)
    assert inflate(inflater, first) == b"one " * 9
    assert inflate(inflater, second) == b"one " * 9
    joined = finished(b"a" * 99)[:-1] + finished(b"b" * 99)[:-1] + compressed(b"c" * 99)[0]
    assert inflate(inflater, joined, limit=7) == b"a" * 99 + b"b" * 99 + b"c" * 99
    assert inflate(inflater, finished(b"d")[:-1]) == b"d"  # a client that omits the padding
    assert inflate(inflater, compressed(b"e" * 99)[0]) == b"e" * 99


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # RFC 7692 7.2.3: one block, a block without compression, two blocks, no data at all
        (b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"Hello"),
        (b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", b"Hello"),
        (b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", b"Hello"),
        (b"\x00", b""),
    ],
)
def test_the_examples_of_the_rfc(data: bytes, expected: bytes) -> None:
    """The examples of RFC 7692 7.2.3 are inflated as given there."""
    assert inflate(Inflater(15, keeps_context=True), data) == expected


def test_what_is_no_deflate() -> None:
    """Bytes that are not deflate data are an error, not an empty message."""
    inflater = Inflater(15, keeps_context=True)
    inflater.feed(b"\xff" * 20, True)
    with pytest.raises(zlib.error):
        inflater.take(100)


def test_a_bomb_of_ends() -> None:
    """A piece in which a stream ends every few bytes is refused; one that ends each KiB is not."""
    inflater = Inflater(15, keeps_context=True)
    inflater.feed(b"\x03\x00" * 32_768, False)
    with pytest.raises(zlib.error, match="too often"):
        inflater.take(64 * 1024)
    stream = zlib.compressobj(0, wbits=-15)
    each = stream.compress(bytes(1024)) + stream.flush(zlib.Z_FINISH)
    fair = Inflater(15, keeps_context=True)
    assert inflate(fair, each * 128, limit=64 * 1024) == bytes(128 * 1024)
    for _ in range(100):
        assert inflate(fair, finished(b"x")[:-1], end=False) == b"x"


@pytest.mark.parametrize("limit", [1, 64 * 1024])
def test_a_bomb_is_held(limit: int) -> None:
    """Inflating ten megabytes of zeros from 10 KB takes less than 200 KB of memory."""
    stream = zlib.compressobj(9, wbits=-15)
    bomb = (stream.compress(bytes(10_000_000)) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]
    assert len(bomb) < 10_000
    inflater = Inflater(15, keeps_context=True)
    tracemalloc.start()
    try:
        inflater.feed(bomb, True)
        total = 0
        for _ in range(1000):
            total += len(inflater.take(limit))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == min(10_000_000, 1000 * limit)
    assert peak < 200_000


def test_the_memory_of_a_connection() -> None:
    """The figures in the module's docstring are right: nothing at first, then 11 and 39 KB."""
    wide, narrow = Inflater(15, keeps_context=True), Inflater(12, keeps_context=True)
    deflater = Deflater(12, keeps_context=True)
    piece = compressed(bytes(range(256)) * 200)[0]
    small = compressed(bytes(range(256)) * 200, bits=12)[0]
    taken = []
    tracemalloc.start()
    try:
        for use in (
            lambda: inflate(wide, piece, 100_000),
            lambda: inflate(narrow, small, 100_000),
            lambda: deflater.compress(bytes(range(256)), True),
        ):
            before = tracemalloc.get_traced_memory()[0]
            use()
            taken.append(tracemalloc.get_traced_memory()[0] - before)
    finally:
        tracemalloc.stop()
    assert 36_000 < taken[0] < 44_000
    assert 9_000 < taken[1] < 13_000
    assert 34_000 < taken[2] < 42_000
