"""The channel's messages survive any cut of the byte stream."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime import wire

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
MESSAGES = st.lists(
    st.tuples(st.dictionaries(st.text(), VALUES, max_size=4), st.binary(max_size=200)), max_size=6
)


@given(MESSAGES, st.lists(st.integers(1, 50), min_size=1))
def test_any_cut_gives_the_same_messages(
    pairs: list[tuple[dict[str, object], bytes]], cuts: list[int]
) -> None:
    """What was encoded is decoded again, wherever the stream is cut."""
    sent = [({**m, "type": "T", "size": len(payload)}, payload) for m, payload in pairs]
    stream = b"".join(wire.encode(m) + payload for m, payload in sent)
    decoder = wire.Decoder()
    got = []
    at = 0
    turn = 0
    while at < len(stream):
        step = cuts[turn % len(cuts)]
        got += decoder.feed(stream[at : at + step])
        at += step
        turn += 1
    assert got == sent


@given(st.binary(max_size=300))
def test_garbage_gives_wire_errors_only(data: bytes) -> None:
    """Random bytes are an incomplete message, messages, or a WireError."""
    try:
        messages = wire.Decoder().feed(data)
    except wire.WireError:
        return
    assert all(isinstance(m["type"], str) for m, _ in messages)


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense\n",
        b"[1]\n",
        b'"text"\n',
        b"{}\n",
        b'{"type":1}\n',
        b'{"type":"A"} {"type":"B"}\n',
        b'{"type":"A","size":-1}\n',
        b'{"type":"A","size":"9"}\n',
        b'{"type":"A","size":true}\n',
        b'{"type":"A","size":65537}\n',
        b"\xff\n",
        b"[" * 100_000 + b"\n",
    ],
)
def test_a_broken_line_is_refused(line: bytes) -> None:
    """A line that is not a message raises."""
    with pytest.raises(wire.WireError):
        wire.Decoder().feed(line)


def test_an_endless_line_is_refused_before_it_fills_the_memory() -> None:
    """A line without an end raises once it is longer than MAX_LINE."""
    decoder = wire.Decoder()
    decoder.feed(b"x" * wire.MAX_LINE)
    with pytest.raises(wire.WireError):
        decoder.feed(b"x")


def test_a_bounded_number_at_once() -> None:
    """With `most`, further messages come with the next calls: none lost, in order."""
    decoder = wire.Decoder()
    lines = b"".join(wire.encode({"type": "A", "at": at}) for at in range(7))
    got = [decoder.feed(lines, 3)]
    while decoder.has_more:
        got.append(decoder.feed(b"", 3))
    assert [[message["at"] for message, _ in some] for some in got] == [[0, 1, 2], [3, 4, 5], [6]]


@pytest.mark.parametrize("step", [1, 7])
def test_a_large_message_in_bits_is_joined_once(step: int) -> None:
    """A message that comes byte by byte is copied now and then, not at each byte."""
    line = wire.encode({"type": "A", "text": "x" * 500_000})
    data = line + wire.encode({"type": "B", "size": 60_000}) + b"y" * 60_000
    decoder = wire.Decoder()
    begun = time.process_time()
    got = [each for at in range(0, len(data), step) for each in decoder.feed(data[at : at + step])]
    assert [message["type"] for message, _ in got] == ["A", "B"]
    assert got[1][1] == b"y" * 60_000
    assert time.process_time() - begun < 3.0  # 14 s if each byte makes a copy


def test_surrogates_pass() -> None:
    """Text that is not valid UTF-8 (a lone surrogate) passes as JSON escapes."""
    message = {"type": "T", "text": "\udcff"}
    line = wire.encode(message)
    assert json.loads(line) == message
    assert wire.Decoder().feed(line) == [(message, b"")]


def test_a_second_object_is_decoded_once() -> None:
    """A HOOK has the second object of its line as `shared`, the same each time."""
    decoder = wire.Decoder()
    lines = b"".join(b'{"type":"HOOK","at":%d}{"b":[1]}\n' % at for at in range(3))
    got = [*decoder.feed(lines), *decoder.feed(lines[: len(lines) // 3])]
    assert [message["at"] for message, _ in got] == [0, 1, 2, 0]
    assert all(message["shared"] == {"b": [1]} for message, _ in got)
    assert len({id(message["shared"]) for message, _ in got}) == 1


def test_a_second_object_of_an_answer() -> None:
    """A RESPONSE has the fields of both objects, of which its own win."""
    decoder = wire.Decoder()
    line = b'{"type":"RESPONSE","id":%d,"a":1}{"headers":[["b","c"]],"a":2,"type":"HOOK"}\n'
    first, second = (decoder.feed(line % number)[0][0] for number in (1, 2))
    assert first == {"type": "RESPONSE", "id": 1, "a": 1, "headers": [["b", "c"]]}
    assert second == {**first, "id": 2}
    assert first["headers"] is second["headers"]


def test_a_second_object_of_a_request() -> None:
    """A REQUEST has its id as the last of its headers, which no other request has."""
    decoder = wire.Decoder()
    line = b'{"type":"REQUEST","id":%d,"request_id":"r%d"}{"headers":[["b","c"]],"base":"/a"}\n'
    for number in (1, 2):
        ((message, _),) = decoder.feed(line % (number, number))
        headers = [["b", "c"], ["x-request-id", f"r{number}"]]
        assert message == {
            "type": "REQUEST",
            "id": number,
            "request_id": f"r{number}",
            "headers": headers,
            "base": "/a",
        }


def test_a_second_object_is_changed_once() -> None:
    """Whoever reads a channel may make something else of it, when it is decoded."""
    made: list[wire.Message] = []

    def make(message: wire.Message) -> wire.Message:
        made.append(message)
        return {"c": 2}

    decoder = wire.Decoder(make)
    for _ in range(2):
        assert decoder.feed(b'{"type":"RESPONSE"}{"b":1}\n')[0][0] == {"type": "RESPONSE", "c": 2}
    assert made == [{"b": 1}]


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"A"}{"b":1}\n',
        b'{"type":"BODY","id":1}{"end":true}\n',
        b'{"type":"REQUEST","request_id":"r"}{"b":1}\n',
        b'{"type":"REQUEST"}{"headers":[]}\n',
        b'{"type":"REQUEST","request_id":"r"}{"headers":1}\n',
        b'{"type":"RESPONSE"}{"size":-1}\n',
    ],
)
def test_a_second_object_where_none_may_be(line: bytes) -> None:
    """Only some messages may have one, and it must have what belongs in it."""
    with pytest.raises(wire.WireError):
        wire.Decoder().feed(line)


def test_a_second_object_with_a_payload() -> None:
    """The payload follows the line, wherever the stream is cut."""
    data = b'{"type":"HOOK","size":3}{"b":1}\n' + b"x\ny"
    for cut in range(len(data)):
        decoder = wire.Decoder()
        got = [*decoder.feed(data[:cut]), *decoder.feed(data[cut:])]
        assert got == [({"type": "HOOK", "size": 3, "shared": {"b": 1}}, b"x\ny")]


@pytest.mark.parametrize("second", [b" ", b"[1]", b"1", b"nonsense", b"{}{}", b'{"a":1} ', b'{"a"'])
def test_a_broken_second_object_is_refused(second: bytes) -> None:
    """What follows the message is one object, or nothing."""
    with pytest.raises(wire.WireError):
        wire.Decoder().feed(b'{"type":"HOOK"}' + second + b"\n")


@pytest.mark.parametrize(("size", "kept"), [(10, True), (5000, False)])
def test_few_second_objects_are_kept(size: int, kept: bool) -> None:
    """A bounded number of them is kept, and none that is long."""
    decoder = wire.Decoder()
    line = b'{"type":"HOOK"}{"b":"%s"}\n' % (b"x" * size)

    def shared() -> object:
        return decoder.feed(line)[0][0]["shared"]

    first = shared()
    assert (shared() is first) is kept
    for number in range(100):
        decoder.feed(b'{"type":"HOOK"}{"b":%d}\n' % number)
    assert shared() is not first


def test_all_second_objects_together_are_bounded() -> None:
    """However few they are, they have 64 KiB of text at most."""
    decoder = wire.Decoder()
    lines = [b'{"type":"HOOK"}{"b":"%s%02d"}\n' % (b"x" * 4000, number) for number in range(18)]
    got = [decoder.feed(line)[0][0]["shared"] for line in lines]
    assert decoder.feed(lines[-1])[0][0]["shared"] is got[-1]
    assert decoder.feed(lines[0])[0][0]["shared"] is not got[0]
