"""server/pool/stacks.py, with a real pipe and a hostile worker."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from buntime.server.loop.loop import Loop
from buntime.server.pool.stacks import Stacks
from buntime.wire import STACKS_END
from tests.support.fakes import FakeSink, make_log


class Asked:
    """Stacks of a worker whose end of the pipe the test holds."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.loop = Loop(self.errors.append)
        reading, self.writing = os.pipe()
        self.signals: list[int] = []
        self.stacks = Stacks(self.loop, reading, self.signals.append)
        self.sink = FakeSink()

    def close(self) -> None:
        self.stacks.abort()
        self.loop.close()
        os.close(self.writing)
        assert self.errors == []


@pytest.fixture
def asked() -> Iterator[Asked]:
    asked = Asked()
    yield asked
    asked.close()


def test_what_nobody_asks_for_is_read_seldom(asked: Asked) -> None:
    """A worker that writes endless stacks does not make the loop turn for each piece."""
    end = threading.Event()

    def flood() -> None:
        while not end.is_set():
            try:
                os.write(asked.writing, b"x" * 4096)
            except BrokenPipeError:
                return

    writer = threading.Thread(target=flood)
    writer.start()
    try:
        turns, until = 0, asked.loop.now + 0.3
        while asked.loop.now < until:
            asked.loop.run_once(0.3)
            turns += 1
        assert turns < 40
    finally:
        end.set()
        asked.stacks.abort()  # so that the writer does not wait for ever
        writer.join()


def test_an_answer_comes_during_a_pause(asked: Asked) -> None:
    """An answer is read at once, even if the worker has just written something unasked."""
    os.write(asked.writing, b"too late" + STACKS_END)
    asked.loop.run_once(1.0)
    os.write(asked.writing, b"later still" + STACKS_END)
    asked.stacks.ask(make_log(asked.sink), {"request_id": "r1"})
    os.write(asked.writing, b"Thread 1" + STACKS_END)
    while not asked.sink.events():
        asked.loop.run_once(1.0)
    assert asked.sink.events() == ["worker.stacks"]
    assert asked.sink.records[0].fields["stack"] == "Thread 1"


def test_what_is_late_together(asked: Asked) -> None:
    """One record covers a late request, an app that loads, which has no request, and another
    request."""
    told: list[str] = []
    log = make_log(asked.sink)
    asked.stacks.ask(log, {"request_id": "r1"})
    asked.stacks.ask(log, {"seconds": 1.0}, told.append)
    asked.stacks.ask(log, {"request_id": "r2"}, told.append)
    os.write(asked.writing, b"Thread 1" + STACKS_END)
    while not asked.sink.events():
        asked.loop.run_once(1.0)
    assert told == ["Thread 1", "Thread 1"]
    assert asked.sink.records[0].fields == {
        "request_id": "r1", "others": ["r2"], "stack": "Thread 1"
    }  # fmt: skip


def test_apps_that_load_too_long_together(asked: Asked) -> None:
    """If none of the late ones is a request, no others are named."""
    told: list[str] = []
    for _ in range(2):
        asked.stacks.ask(make_log(asked.sink), {"seconds": 1.0}, told.append)
    os.write(asked.writing, b"Thread 1" + STACKS_END)
    while not asked.sink.events():
        asked.loop.run_once(1.0)
    assert told == ["Thread 1", "Thread 1"]
    assert asked.sink.records[0].fields == {"seconds": 1.0, "stack": "Thread 1"}
