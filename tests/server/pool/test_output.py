"""server/pool/output.py, with real pipes."""

from __future__ import annotations

import fcntl
import os
import sys
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from buntime.core.telemetry.linesplitter import LineSplitter
from buntime.server.loop.loop import Loop
from buntime.server.pool.allowance import BYTES_BURST, LINES_BURST, Allowances
from buntime.server.pool.output import Output, OutputBudget
from tests.support.harness import wait_until


@pytest.fixture
def loop() -> Iterator[Loop]:
    errors: list[BaseException] = []
    loop = Loop(errors.append)
    yield loop
    loop.close()
    assert errors == []


class Stream:
    """A pipe, and what was reported of it."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.lines: list[str] = []
        self.dropped_lines = 0
        self.dropped_bytes = 0
        reading, self.writing = os.pipe()
        self.budget = OutputBudget(loop, self._on_dropped)
        self.output = Output(
            loop,
            os.fdopen(reading, "rb"),
            "stdout",
            lambda _, line: self.lines.append(line),
            self.budget,
        )

    def _on_dropped(self, lines: int, size_bytes: int) -> None:
        self.dropped_lines += lines
        self.dropped_bytes += size_bytes


@pytest.fixture
def stream(loop: Loop) -> Iterator[Stream]:
    stream = Stream(loop)
    yield stream
    stream.output.abort()
    os.close(stream.writing)


def test_a_turn_hands_on_a_bounded_number_of_lines(loop: Loop, stream: Stream) -> None:
    """What exceeds a turn's share follows in the next turns, in order and complete."""
    os.write(stream.writing, b"".join(b"%d\n" % number for number in range(1000)))
    loop.run_once(1.0)
    assert 0 < len(stream.lines) < 1000
    wait_until(lambda: loop.run_once(0.1) or len(stream.lines) == 1000, what="all lines")
    assert stream.lines == [str(number) for number in range(1000)]
    assert stream.dropped_lines == 0


def test_beyond_its_budget_lines_are_counted(loop: Loop, stream: Stream) -> None:
    """A flood is cut to the burst; the numbers reported for what is not logged add up."""
    os.write(stream.writing, b"\n" * 60_000)
    ended: list[bool] = []
    stream.output.finish(lambda: ended.append(True))
    assert not ended  # nobody should wait for ten thousand lines
    wait_until(lambda: loop.run_once(0.1) or ended, what="the end")
    stream.budget.tell()
    assert len(stream.lines) == LINES_BURST
    assert stream.dropped_lines == stream.dropped_bytes == 60_000 - LINES_BURST


def test_entries_come_from_the_budget_of_lines(loop: Loop, stream: Stream) -> None:
    """What a worker reports is covered as its lines are; what is not is counted with them."""
    entries = [stream.budget.covers(64 * 1024) for _ in range(1000)]
    covered = entries.count(True)
    assert entries == [True] * covered + [False] * (1000 - covered)
    assert 0 <= covered * 64 * 1024 - BYTES_BURST < 128 * 1024
    stream.budget.tell()
    assert stream.dropped_lines == 1000 - covered
    assert stream.dropped_bytes == (1000 - covered) * (64 * 1024 + 1)


def test_a_spent_stream_is_read_seldom(loop: Loop, stream: Stream) -> None:
    """A stream beyond its budget has to wait: the loop does not turn for each piece it writes."""
    end = threading.Event()

    def flood() -> None:
        while not end.is_set():
            try:
                os.write(stream.writing, b"\n" * 4096)
            except BrokenPipeError:
                return

    writer = threading.Thread(target=flood)
    writer.start()
    try:
        while len(stream.lines) < LINES_BURST:  # without a pause, which would refill the budget
            loop.run_once(0.1)
        turns, until = 0, loop.now + 0.5
        while loop.now < until:
            loop.run_once(0.5)
            turns += 1
        assert turns < 60
    finally:
        end.set()
        stream.output.abort()  # so that the writer does not wait for ever
        writer.join()


def test_drain_takes_what_is_there_and_no_more(loop: Loop, stream: Stream) -> None:
    """A child that keeps writing to its dead parent's pipe holds up nobody."""
    end = threading.Event()

    def write_on() -> None:
        while not end.is_set():
            try:
                os.write(stream.writing, b"y\n" * 2048)
            except OSError:
                return

    os.write(stream.writing, b"last words\n")
    writer = threading.Thread(target=write_on)
    writer.start()
    ended: list[bool] = []
    stream.output.finish(lambda: ended.append(True))
    wait_until(lambda: loop.run_once(0.1) or ended, what="the end")
    end.set()
    writer.join()
    assert stream.lines[0] == "last words"


def test_a_worker_that_dies_leaves_no_fresh_budget(loop: Loop) -> None:
    """Workers of an app that die one after another together print no more than the app may."""
    allowances = Allowances()
    logged = 0
    for _ in range(6):
        stream = Stream(loop)
        stream.budget.share(allowances.of("shop", loop.now))
        ended: list[bool] = []
        os.write(stream.writing, b"\n" * 20_000)
        stream.output.finish(partial(ended.append, True))
        while not ended:  # at most 200 turns, none of which waits
            loop.run_once(0.1)
        stream.budget.tell()
        assert len(stream.lines) + stream.dropped_lines == 20_000
        logged += len(stream.lines)
        os.close(stream.writing)
    assert logged < 3 * LINES_BURST


def test_a_turn_makes_no_more_lines_than_it_hands_on(
    loop: Loop, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A piece of 64 KiB is not split into 65,536 lines at once: that alone takes 12 ms."""
    made: list[int] = []
    feed = LineSplitter.feed

    def count(self: LineSplitter, data: bytes) -> list[str]:
        lines = feed(self, data)
        made.append(len(lines))
        return lines

    monkeypatch.setattr(LineSplitter, "feed", count)
    os.write(stream.writing, b"\n" * 60_000)
    while len(stream.lines) < LINES_BURST:
        loop.run_once(0.1)
    assert max(made) <= 100


@pytest.mark.skipif(sys.platform != "linux", reason="pipes cannot be enlarged there")
def test_a_dead_workers_pipe_is_read_to_a_bound(loop: Loop, stream: Stream) -> None:
    """A pipe that its worker has enlarged holds up nobody when the worker dies."""
    size = fcntl.fcntl(stream.writing, fcntl.F_SETPIPE_SZ, 1 << 20)
    os.set_blocking(stream.writing, False)
    assert os.write(stream.writing, b"y" * size) == size
    ended: list[bool] = []
    stream.output.finish(lambda: ended.append(True))
    wait_until(lambda: loop.run_once(0.1) or ended, what="the end")
    assert sum(map(len, stream.lines)) == 256 * 1024
