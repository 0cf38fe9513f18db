"""Every case of the corpus: whole, byte by byte, and with more bytes after it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.errors import ClientFault
from buntime.core.http1.head import Head, HeadParser
from buntime.core.http1.limits import Limits
from buntime.core.http1.reader import RequestReader
from tests.corpus.cases import Case, load_cases

VALID = load_cases("valid")
INVALID = load_cases("invalid")
STEPS = (1, 3, 10**9)  # bytes that come at once


def read_all(data: bytes, step: int) -> list[tuple[Head, bytes]]:
    """All requests in a byte stream that comes in pieces of `step` bytes."""
    reader = RequestReader(HeadParser(Limits()))
    requests: list[tuple[Head, bytes]] = []
    is_in_body = False
    for at in range(0, len(data), step):
        reader.receive(data[at : at + step])
        while True:
            if not is_in_body:
                head = reader.next_head()
                if head is None:
                    break
                requests.append((head, b""))
                is_in_body = True
            head, body = requests[-1]
            while piece := reader.read_body(7):
                body += piece
            requests[-1] = (head, body)
            if not reader.body_ended:
                break
            is_in_body = False
    return requests


def check(case: Case, requests: list[tuple[Head, bytes]]) -> None:
    assert len(requests) == len(case.expected)
    for (head, body), text in zip(requests, case.expected, strict=True):
        for key, value in json.loads(text).items():
            if key == "body":
                assert body.decode() == value
            elif key == "headers":
                assert [list(pair) for pair in head.headers] == value
            else:
                assert getattr(head, key) == value


@pytest.mark.parametrize("case", VALID, ids=str)
def test_a_valid_request_is_read(case: Case) -> None:
    """A valid request is read the same way, however its bytes are cut."""
    for step in STEPS:
        check(case, read_all(case.data, step))


@pytest.mark.parametrize("case", VALID, ids=str)
def test_what_follows_a_request_is_the_next_one(case: Case) -> None:
    """Bytes after a request belong to the next one."""
    requests = read_all(case.data + b"GET /next HTTP/1.1\r\nHost: z\r\n\r\n", 10**9)
    assert requests[-1][0].target == "/next"
    check(case, requests[:-1])


@pytest.mark.parametrize("case", INVALID, ids=str)
def test_an_invalid_request_is_refused(case: Case) -> None:
    """An invalid request gets its status, and the connection ends with it."""
    for step in STEPS:
        with pytest.raises(ClientFault) as caught:
            read_all(case.data, step)
        assert caught.value.status == int(case.expected[0])
        assert caught.value.closes


@given(st.binary(max_size=400), st.integers(1, 50))
def test_garbage_is_refused_and_nothing_else(data: bytes, step: int) -> None:
    """Random bytes are not a request and raise nothing but ClientFault."""
    status = 400
    try:
        read_all(data, step)
    except ClientFault as fault:
        status = fault.status
    assert status in (400, 414, 431, 505)


@given(st.data())
def test_mutated_requests_are_read_or_refused(data: st.DataObject) -> None:
    """A valid request with some bytes changed is read or refused alike, however it is cut."""
    case = data.draw(st.sampled_from(VALID))
    mutated = bytearray(case.data[:2000])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(mutated) - 1))
        mutated[at] = data.draw(st.integers(0, 255))
    outcomes = []
    for step in (1, 10**9):
        try:
            requests = read_all(bytes(mutated), step)
            outcomes.append([(head.method, head.target, head.headers, b) for head, b in requests])
        except ClientFault as fault:
            outcomes.append(fault.status)
    assert outcomes[0] == outcomes[1] or all(isinstance(o, int) for o in outcomes)


CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
LENGTH = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "unread_bytes", "expected"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0, True),
        (LENGTH + b"abc", 0, False),
        (LENGTH + b"abc", 1, True),
        (LENGTH + b"abcd", 0, True),
        (LENGTH + b"abcdGET", 0, True),
        (CHUNKED + b"2\r\nab\r\n", 0, False),
        (CHUNKED + b"2\r\nab\r\n", 1, True),  # it is unknown
        (CHUNKED + b"2\r\nab\r\n0\r\n\r\n", 0, True),
        (CHUNKED + b"0\r\nX: y\r\n", 0, False),
        (CHUNKED + b"".join(b"1\r\na\r\n" for _ in range(3000)), 0, False),
        (CHUNKED + b"".join(b"1\r\na\r\n" for _ in range(3000)) + b"0\r\n\r\n", 0, True),
        (CHUNKED + b"g\r\n", 0, True),  # reading it will refuse it
    ],
)
def test_whether_a_request_can_be_whole(data: bytes, unread_bytes: int, expected: bool) -> None:
    """The bytes received and the number still unread decide it, and nothing is consumed."""
    reader = RequestReader(HeadParser(Limits()))
    reader.receive(data)
    assert reader.next_head() is not None
    before = reader.buffer
    assert reader.may_be_whole(unread_bytes) is expected
    assert reader.buffer == before


def test_the_corpus_is_there() -> None:
    """The corpus was found: an empty one would pass everything."""
    assert len(VALID) >= 30
    assert len(INVALID) >= 100
    assert Path(__file__).name == "test_reader.py"
