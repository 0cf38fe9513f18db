"""What a client has not taken yet, over a real pair of sockets."""

from __future__ import annotations

import os
import socket
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.server.http1.backlog import Backlog

Pair = tuple[socket.socket, socket.socket]


class Held:
    """An open file of an answer, to be closed after it was sent."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def pair() -> Iterator[Pair]:
    """The runtime's socket, and its client's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "file").write_bytes(bytes(range(256)) * 4096)
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    yield fd
    os.close(fd)


def take(sock: socket.socket) -> bytes:
    """What has arrived."""
    pieces: list[bytes] = []
    while True:
        try:
            pieces.append(sock.recv(1 << 20))
        except BlockingIOError:
            return b"".join(pieces)


def pump(backlog: Backlog, pair: Pair) -> bytes:
    """Send everything to a client that reads whatever has arrived, as often as the socket is
    full."""
    got: list[bytes] = []
    while backlog:
        try:
            backlog.send(pair[0])
        except BlockingIOError:
            pass
        got.append(take(pair[1]))
    return b"".join(got)


def test_buffers_leave_in_their_order(pair: Pair) -> None:
    """More buffers than one vectored write takes leave in order, after the first was sent in
    part."""
    buffers = [b"%d," % number for number in range(500)]
    backlog = Backlog()
    backlog.put_unsent(buffers, 5)
    assert backlog.size_bytes == len(b"".join(buffers)) - 5
    assert pump(backlog, pair) == b"".join(buffers)[5:]
    assert (len(backlog), backlog.size_bytes) == (0, 0)


@given(st.lists(st.binary(max_size=4)), st.data())
def test_what_is_unsent_is_the_rest(buffers: list[bytes], data: st.DataObject) -> None:
    """What is unsent is the rest, wherever the kernel stopped: inside a buffer or between two."""
    whole = b"".join(buffers)
    sent = data.draw(st.integers(0, len(whole)))
    backlog = Backlog()
    backlog.put_unsent(buffers, sent)
    assert b"".join(each for each in backlog if isinstance(each, memoryview)) == whole[sent:]
    assert backlog.size_bytes == len(whole) - sent


def test_a_client_that_takes_nothing_stops_it(pair: Pair) -> None:
    """What the kernel does not take stays, and its size is known."""
    data = os.urandom(4_000_000)
    backlog = Backlog()
    backlog.put_unsent([data], 0)
    with pytest.raises(BlockingIOError):
        while True:
            backlog.send(pair[0])
    got = take(pair[1])
    assert backlog.size_bytes == len(data) - len(got)
    assert got + pump(backlog, pair) == data


def test_files_and_buffers_keep_their_order(pair: Pair, fd: int) -> None:
    """A part of a file is sent between what was written before and after it."""
    backlog = Backlog()
    backlog.put_unsent([b"head"], 0)
    backlog.put_file(fd, 1, 3)
    backlog.put_unsent([b"between"], 0)
    backlog.put_file(fd, 0, 1_048_576)
    whole = b"head\1\2\3between" + bytes(range(256)) * 4096
    assert backlog.size_bytes == len(whole)
    assert pump(backlog, pair) == whole


def test_a_file_that_became_shorter_breaks_the_connection(pair: Pair, fd: int) -> None:
    """A file that got shorter breaks the connection: its length was promised, and nothing may fill
    the gap."""
    backlog = Backlog()
    backlog.put_file(fd, 1_048_570, 100)
    with pytest.raises(ConnectionAbortedError):
        pump(backlog, pair)


def test_a_file_is_closed_behind_its_last_byte(pair: Pair, fd: int) -> None:
    """A file is closed after its last byte, and not while the client still needs some of it."""
    held = Held()
    backlog = Backlog()
    backlog.put_file(fd, 0, 1_048_576)
    backlog.put_release(held)
    with pytest.raises(BlockingIOError):
        while True:
            backlog.send(pair[0])
    assert held.closed == 0
    pump(backlog, pair)
    assert held.closed == 1


def test_what_is_given_up_is_closed(fd: int) -> None:
    """When the connection has ended each file is closed once."""
    held = [Held(), Held()]
    backlog = Backlog()
    for each in held:
        backlog.put_file(fd, 0, 100)
        backlog.put_release(each)
    backlog.release()
    assert [each.closed for each in held] == [1, 1]
    assert (len(backlog), backlog.size_bytes) == (0, 0)


def test_short_pieces_take_little_more_than_their_bytes(pair: Pair) -> None:
    """Short pieces take little more memory than their bytes: they once took 1.4 kB each."""
    backlog = Backlog()
    pieces = [b"%x\r\n" % (number % 16) for number in range(20_000)]
    tracemalloc.start()
    for at in range(0, len(pieces), 3):
        backlog.put_unsent(pieces[at : at + 3], 0)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert backlog.size_bytes == len(b"".join(pieces))
    assert held < 1.5 * backlog.size_bytes
    assert pump(backlog, pair) == b"".join(pieces)


def test_pongs_of_a_client_that_does_not_read_are_bounded() -> None:
    """Pongs for a client that does not read are limited by their bytes; short ones are joined and
    hold no more."""
    large, many = Backlog(), Backlog()
    large.put_unsent([b"x" * 1_000_000], 0)
    assert large.is_clogged
    many.put_unsent([b"x" * 8] * 125_000, 0)
    assert many.is_clogged
    assert len(many) < 300
    large.release()
    assert not large.is_clogged


@given(st.data())
def test_what_was_moved_to_a_file_keeps_its_place(data: st.DataObject) -> None:
    """However much is written and sent between the begin and the end of a move."""
    ours, theirs = socket.socketpair()
    fd = os.memfd_create("moved")
    backlog, whole, got, size_in_file = Backlog(), b"", b"", 0
    moving: tuple[bytes, int, int] | None = None
    try:
        ours.setblocking(False)
        theirs.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        for step in data.draw(st.lists(st.sampled_from("wwbeest"), max_size=40)):
            if step == "w":
                piece = os.urandom(data.draw(st.integers(1, 20_000)))
                whole += piece
                backlog.put_unsent([piece[:7], piece[7:]], 0)
            elif step == "b" and moving is None and backlog.buffers():
                moved = b"".join(backlog.buffers())
                moving = moved, size_in_file, backlog.end_of_spooled
                size_in_file += os.pwrite(fd, moved, size_in_file)
            elif step == "e" and moving is not None:
                moved, offset, start = moving
                backlog.move(fd, offset, len(moved), start)
                moving = None
            elif step == "s":
                try:
                    backlog.send(ours)
                except BlockingIOError:
                    pass
            elif step == "t":
                got += take(theirs)
            assert 0 <= backlog.spooled_bytes <= backlog.size_bytes
            in_memory = sum(map(len, backlog.buffers()))
            assert in_memory == backlog.size_bytes - backlog.spooled_bytes
        got += take(theirs) + pump(backlog, (ours, theirs))
        assert got == whole
        assert (backlog.size_bytes, backlog.spooled_bytes) == (0, 0)
    finally:
        os.close(fd)
        ours.close()
        theirs.close()
