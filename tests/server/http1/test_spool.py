"""Answers that wait on disk for slow clients."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from buntime.server.http1.sending import SendingHalf
from buntime.server.http1.spool import ANSWER_MAX_BYTES, Spool, Spools
from tests.support.fakes import FakeSink, make_log

KB = 1024


class FakeLoop:
    """Work for threads that waits until a test does it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waiting: list[tuple[Callable[[], Any], Callable[[Any], None]]] = []

    def run_blocking(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        self.waiting.append((work, then))

    def do(self) -> None:
        waiting, self.waiting = self.waiting, []
        for work, then in waiting:
            try:
                result = work()
            except OSError as exc:
                result = exc
            then(result)


class World:
    def __init__(self, folder: Path, max_bytes: int = 1024 * KB, free_bytes: int = 0) -> None:
        self.loop = FakeLoop()
        self.sink = FakeSink()
        self.spools = Spools(
            cast(Any, self.loop), make_log(self.sink), folder=str(folder), free_bytes=free_bytes
        )
        self.spools.max_bytes = max_bytes
        self.offsets: list[int] = []

    def write(self, spool: Spool, *buffers: bytes) -> bool:
        return spool.write(buffers, self.offsets.append)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_pieces_are_written_one_after_the_other(world: World, tmp_path: Path) -> None:
    """They go to a file that has no name, so nothing is left behind by a runtime that is killed."""
    spool = Spool(world.spools)
    assert world.write(spool, b"abc", b"", b"de")
    world.loop.do()
    assert world.write(spool, b"fgh")
    world.loop.do()
    assert world.offsets == [0, 5]
    assert os.pread(spool.fd, 100, 0) == b"abcdefgh"
    assert list(tmp_path.iterdir()) == []
    fd = spool.fd
    spool.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_one_piece_is_written_at_a_time(world: World) -> None:
    spool = Spool(world.spools)
    assert world.write(spool, b"abc")
    assert not world.write(spool, b"de")
    world.loop.do()
    assert world.offsets == [0]
    spool.close()


def test_all_files_share_the_room(world: World) -> None:
    """Who finds none waits in memory; what is closed gives its room back."""
    first, second = Spool(world.spools), Spool(world.spools)
    assert world.write(first, b"x" * 600 * KB)
    assert not world.write(second, b"x" * 600 * KB)
    assert world.spools.is_pressed()
    world.loop.do()
    first.close()
    assert world.spools.taken_bytes == 0
    assert not world.spools.is_pressed()
    assert world.write(second, b"x" * 600 * KB)
    world.loop.do()
    second.close()


def test_no_room_at_all(tmp_path: Path) -> None:
    """With a setting of 0 nothing is kept on disk, and that is no shortage."""
    world = World(tmp_path, max_bytes=0)
    assert not world.write(Spool(world.spools), b"x")
    assert not world.spools.is_pressed()


def test_one_answer_has_a_limit(tmp_path: Path) -> None:
    """An answer without an end does not take all the room."""
    world = World(tmp_path, max_bytes=10 * ANSWER_MAX_BYTES)
    spool = Spool(world.spools)
    assert world.write(spool, b"x" * ANSWER_MAX_BYTES)
    world.loop.do()
    assert not world.write(spool, b"x")
    spool.close()


def test_a_connection_that_ends_meanwhile(world: World) -> None:
    """The file is closed after the thread is done with it, and nobody is called."""
    spool = Spool(world.spools)
    world.write(spool, b"abc")
    spool.close()
    assert world.spools.taken_bytes == 3
    world.loop.do()
    assert (world.offsets, world.spools.taken_bytes) == ([], 0)


def test_a_folder_that_cannot_be_written(world: World, tmp_path: Path) -> None:
    """Answers wait in memory as before; the log says so, and there is another try after a while."""
    world.spools.folder = str(tmp_path / "missing")
    spool = Spool(world.spools)
    assert world.write(spool, b"abc")
    world.loop.do()
    assert world.offsets == []
    [record] = world.sink.records
    assert (record.event, record.fields["times"]) == ("answer.not_spooled", 1)
    assert "missing" in str(record.fields["error"])
    spool.close()
    assert world.spools.taken_bytes == 0
    another = Spool(world.spools)
    assert not world.write(another, b"abc")
    world.spools.folder = str(tmp_path)
    world.loop.now += 11.0
    assert world.write(another, b"abc")
    world.loop.do()
    assert world.offsets == [0]
    another.close()


def test_a_disk_that_is_nearly_full(tmp_path: Path) -> None:
    """The runtime leaves room for others."""
    world = World(tmp_path, free_bytes=1 << 60)
    spool = Spool(world.spools)
    world.write(spool, b"abc")
    world.loop.do()
    assert world.offsets == []
    assert "would be free" in str(world.sink.records[0].fields["error"])
    spool.close()


# A connection's sending half


class Half(SendingHalf):
    """A connection that only sends."""

    __slots__ = ("aborts", "moves")

    def __init__(self, world: World, sock: socket.socket) -> None:
        self.service = cast(Any, world)  # has `spools`, which is all that is needed
        self._sock = sock
        self._pending = None
        self._spool = None
        self.moves = 0
        self.aborts = 0

    @property
    def has_file(self) -> bool:
        return self._spool is not None

    def abort(self) -> None:
        self.aborts += 1

    def settle(self) -> None:
        pass

    def on_moved(self) -> None:
        self.moves += 1

    def flush(self) -> None:
        if self._pending is not None:
            try:
                self._pending.send(self._sock)
            except BlockingIOError:
                pass
        self._close_spool()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        yield ours, theirs


def read_all(half: Half, theirs: socket.socket) -> bytes:
    got = b""
    while True:
        half.flush()
        try:
            got += theirs.recv(100_000)
        except BlockingIOError:
            if not half.pending_bytes:
                return got


def test_what_waits_moves_to_disk(world: World, pair: tuple[socket.socket, socket.socket]) -> None:
    """All of it still waits for the client, none of it in memory; the file goes with the last."""
    half, data = Half(world, pair[0]), os.urandom(300 * KB)
    half.write(data)
    pending = half.pending_bytes
    assert pending > 200 * KB
    half.spool()
    half.spool()  # no second time
    assert (half.spooled_bytes, len(world.loop.waiting)) == (0, 1)
    world.loop.do()
    assert (half.pending_bytes, half.spooled_bytes, half.moves) == (pending, pending, 1)
    assert read_all(half, pair[1]) == data
    assert not half.has_file
    assert world.spools.taken_bytes == 0


def test_nothing_waits(world: World, pair: tuple[socket.socket, socket.socket]) -> None:
    half = Half(world, pair[0])
    half.spool()
    assert (world.loop.waiting, half.has_file) == ([], False)


def test_the_order_is_kept_whenever_things_happen(
    world: World, pair: tuple[socket.socket, socket.socket]
) -> None:
    """The client takes some, or all, while a thread writes; more is written meanwhile; several
    times."""
    half, data, got = Half(world, pair[0]), os.urandom(900 * KB), b""
    at = 0
    for number in range(30):
        size = 30 * KB
        half.write(data[at : at + size // 2])
        half.spool()
        half.write_all((data[at + size // 2 : at + size - 9], data[at + size - 9 : at + size]))
        at += size
        if number % 3:
            half.flush()
            with_luck = pair[1].recv(10_000 * (number % 5)) if number % 5 else b""
            got += with_luck
        if number % 7 == 6:
            got += read_all(half, pair[1])
        if number % 2:
            world.loop.do()
            half.flush()
    world.loop.do()
    got += read_all(half, pair[1])
    assert got == data
    assert world.spools.taken_bytes == 0
    assert not half.has_file
