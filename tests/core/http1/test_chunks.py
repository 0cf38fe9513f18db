"""Request bodies: the result does not depend on how the bytes were cut."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.errors import ClientFault
from buntime.core.http1.chunks import ChunkedBody
from buntime.core.http1.framing import Body, LengthBody

TOKENS = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=6)
QUOTED = st.lists(
    st.sampled_from(["a", "Z", " ", "\t", ";", "=", ",", '\\"', "\\\\", "\\a", "\xe9"]), max_size=6
).map(lambda parts: '"' + "".join(parts) + '"')
BLANKS = st.sampled_from(["", " ", "\t", " \t"])


@st.composite
def extensions(draw: st.DrawFn) -> str:
    """Chunk extensions such as `; a; b=c; d="e"`, as RFC 9112 7.1.1 allows them."""
    made = ""
    for _ in range(draw(st.integers(0, 2))):
        made += draw(BLANKS) + ";" + draw(BLANKS) + draw(TOKENS)
        if draw(st.booleans()):
            made += draw(BLANKS) + "=" + draw(BLANKS) + draw(st.one_of(TOKENS, QUOTED))
    return made


@st.composite
def chunked(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A body, and one of its encodings."""
    pieces = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=6))
    made = b""
    for piece in pieces:
        size = draw(st.sampled_from(["%x", "%X", "%03x", "%015x", "%060x"])) % len(piece)
        made += (size + draw(extensions())).encode("latin-1") + b"\r\n" + piece + b"\r\n"
    made += (
        draw(st.sampled_from([b"0", b"000", b"0" * 60]))
        + draw(extensions()).encode("latin-1")
        + b"\r\n"
    )
    for name in draw(st.lists(TOKENS, max_size=2)):
        made += name.encode() + b": \xe9 value\r\n"
    return b"".join(pieces), made + b"\r\n"


def decode(body: Body, data: bytes, cuts: list[int], limit: int) -> tuple[bytes, bytes]:
    """Feed the data in pieces and take it in pieces; returns the body and the bytes after it."""
    out = buffer = b""
    at = 0
    for size in [*cuts, len(data)]:
        buffer += data[at : at + size]
        at += size
        while not body.ended:
            before = len(buffer)
            piece, buffer = body.take(buffer, limit)
            assert len(piece) <= limit
            out += piece
            if not piece and len(buffer) == before:
                break
    return out, buffer


@given(chunked(), st.lists(st.integers(1, 20), max_size=40), st.integers(1, 64), st.binary())
def test_any_chunked_body_is_decoded(
    made: tuple[bytes, bytes], cuts: list[int], limit: int, behind: bytes
) -> None:
    """Chunks, extensions and trailers, cut anywhere, give the body and no byte after it."""
    content, encoded = made
    body = ChunkedBody()
    assert decode(body, encoded + behind, cuts, limit) == (content, behind)
    assert body.ended


@given(st.binary(max_size=200), st.lists(st.integers(1, 20), max_size=20), st.integers(1, 64))
def test_any_body_of_a_length_is_cut_out(content: bytes, cuts: list[int], limit: int) -> None:
    """A body of known length is exactly that many bytes."""
    content += b"x"
    body = LengthBody(len(content))
    assert decode(body, content + b"GET /", cuts, limit) == (content, b"GET /")
    assert body.ended


@given(st.binary(max_size=120), st.lists(st.integers(1, 9), max_size=60))
def test_garbage_is_decoded_alike_or_refused(data: bytes, cuts: list[int]) -> None:
    """Random bytes are read the same way, or refused, however they are cut."""
    outcomes: list[object] = []
    for some in ([], cuts):
        body = ChunkedBody()
        try:
            outcomes.append((*decode(body, data, some, 10**6), body.ended))
        except ClientFault as fault:
            outcomes.append(fault.status)
    assert outcomes[0] == outcomes[1]


@given(chunked(), st.integers(0, 10**6), st.integers(0, 255))
def test_a_changed_byte_is_no_crash(made: tuple[bytes, bytes], where: int, byte: int) -> None:
    """An encoding with one byte changed is read or refused, and raises nothing else."""
    data = bytearray(made[1])
    data[where % len(data)] = byte
    with contextlib.suppress(ClientFault):
        decode(ChunkedBody(), bytes(data), [], 10**6)


@pytest.mark.parametrize(
    "data",
    [
        b"g\r\n",
        b"\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b" 1\r\n",
        b"1 \r\n",
        b"1_0\r\n",
        b"1\n",
        b"1\r\r\n",
        b"1;\r\n",
        b"1;=b\r\n",
        b'1;a="b\r\n',
        b"1;a\x00\r\n",
        b"1;a=b c\r\n",
        b"f" * 16 + b"\r\n",
        b"0" * 30 + b"1" + b"0" * 15 + b"\r\n",
        b"0" * 30 + b"g\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\n\r\n",
        b"0\r\n a\r\n",
        b"0\r\na\r\n",
        b"0\r\na : b\r\n",
        b"0\r\na: \x00\r\n",
        b"0\r\na: b\n",
    ],
)
def test_what_parsers_could_read_differently_is_refused(data: bytes) -> None:
    """Malformed sizes, extensions, line ends and trailers get 400, and the connection ends."""
    with pytest.raises(ClientFault) as caught:
        decode(ChunkedBody(), data, [], 100)
    assert (caught.value.status, caught.value.closes) == (400, True)


@pytest.mark.parametrize(
    "data", [b"1" * 5000, b"1;a=" + b"b" * 5000, b"0\r\n" + b"a" * 5000, b"0\r\nX:" + b" " * 5000]
)
def test_a_framing_line_has_a_bound(data: bytes) -> None:
    """A line without an end is refused before it fills the memory."""
    with pytest.raises(ClientFault):
        decode(ChunkedBody(), data, [1] * len(data), 100)


def test_trailers_have_a_bound() -> None:
    """Trailers beyond 16 KiB are refused with 431, whatever the length of their lines."""
    data = b"0\r\n" + b"X-Trailer: v\r\n" * 2000
    with pytest.raises(ClientFault) as caught:
        decode(ChunkedBody(), data, [], 100)
    assert caught.value.status == 431


def test_a_hopeless_size_is_refused_early() -> None:
    """A line that cannot become a size is refused before its end arrives."""
    with pytest.raises(ClientFault):
        ChunkedBody().take(b"hello", 100)


def test_a_limit_holds_back_the_rest() -> None:
    """What exceeds the limit stays in the buffer, untouched."""
    body = ChunkedBody()
    assert body.take(b"5\r\nabcde\r\n0\r\n\r\n", 2) == (b"ab", b"cde\r\n0\r\n\r\n")
    assert not body.ended
    assert body.take(b"cde\r\n0\r\n\r\n", 9) == (b"cde", b"")
    assert body.ended


def test_a_whole_buffer_is_not_copied() -> None:
    """A body of known length returns the received bytes object itself if it takes all of it."""
    data = b"x" * 1000
    assert LengthBody(5000).take(data, 1000)[0] is data


def test_it_shows_its_state() -> None:
    """Its repr shows its state."""
    body = ChunkedBody()
    body.take(b"a\r\nxyz", 100)
    assert repr(body) == "ChunkedBody(DATA, 7 left)"


def test_tiny_chunks_are_read_a_bounded_number_at_once() -> None:
    """A body in one-byte chunks needs several takes, so that other connections get their turn."""
    body = ChunkedBody()
    rest = b"1\r\nx\r\n" * 2000 + b"0\r\n\r\n"
    takes = []
    while not body.ended:
        data, rest = body.take(rest, 10**6)
        takes.append(len(data))
    assert sum(takes) == 2000
    assert max(takes) < 500
    assert rest == b""
