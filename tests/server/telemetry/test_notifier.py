"""What the service manager is told, when, and what happens when it does not listen."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buntime.core.telemetry.supervision import Supervision
from buntime.server.telemetry.notifier import Notifier, is_stream
from tests.support.exchanges import FakeLoop
from tests.support.fakes import FakeSink, make_log


class Manager:
    """A service manager's socket."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.setblocking(False)
        self.sock.bind(self.path)

    def told(self) -> list[dict[str, str]]:
        """Everything that has arrived; on one machine a datagram is there once it is sent."""
        messages: list[dict[str, str]] = []
        while True:
            try:
                text = self.sock.recv(65536).decode()
            except BlockingIOError:
                return messages
            lines = [line.partition("=") for line in text.split("\n")]
            messages.append({name: value for name, _, value in lines})


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.sock.close()


class Fixture:
    def __init__(self, **told: Any) -> None:
        self.loop = FakeLoop()
        self.sink = FakeSink()
        loop: Any = self.loop
        self.notifier = Notifier(Supervision(**told), loop, make_log(self.sink))


def test_the_states(manager: Manager) -> None:
    """Ready, reloading with its time, and stopping with the time that it may take."""
    notifier = Fixture(notify=manager.path).notifier
    notifier.ready(lambda: "Serving 2 apps")
    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.reloading()
    notifier.stopping("Stopping", 61.5)
    ready, reloading, stopping = manager.told()
    assert ready == {"READY": "1", "STATUS": "Serving 2 apps"}
    assert int(reloading.pop("MONOTONIC_USEC")) >= before_us
    assert reloading == {"RELOADING": "1", "STATUS": "Reloading"}
    assert stopping == {
        "STOPPING": "1",
        "STATUS": "Stopping",
        "EXTEND_TIMEOUT_USEC": "61500000",
    }


def test_the_watchdog(manager: Manager) -> None:
    """It is sent three times per watchdog period, while the loop turns."""
    fixture = Fixture(notify=manager.path, watchdog_s=30.0)
    fixture.notifier.start_watchdog()
    for _ in range(3):
        [(delay_s, again)] = fixture.loop.later
        assert delay_s == 10.0
        fixture.loop.later.clear()
        again()
    assert manager.told() == [{"WATCHDOG": "1"}] * 4


@pytest.mark.parametrize("told", [{}, {"watchdog_s": 1.0}])
def test_nobody_wants_to_know(told: dict[str, Any]) -> None:
    """Without a socket nothing is sent, logged or scheduled, and no status is made."""
    fixture = Fixture(**told)
    fixture.notifier.ready(lambda: pytest.fail("asked for the status"))
    fixture.notifier.start_watchdog()
    assert (fixture.loop.later, fixture.sink.records) == ([], [])


def test_nobody_listens(tmp_path: Path) -> None:
    """A missing manager is logged once, and again if it had come back meanwhile."""
    path = tmp_path / "notify"
    fixture = Fixture(notify=str(path))
    for _ in range(3):
        fixture.notifier.ready(lambda: "Serving")
    assert fixture.sink.events() == ["supervisor.unreachable"]
    assert fixture.sink.records[0].fields == {"error": "No such file or directory"}
    manager = Manager(path)
    fixture.notifier.ready(lambda: "Serving")
    assert len(manager.told()) == 1
    manager.sock.close()
    for _ in range(3):
        fixture.notifier.ready(lambda: "Serving")
    assert fixture.sink.events() == ["supervisor.unreachable"] * 2


def test_a_manager_that_reads_nothing(manager: Manager) -> None:
    """The loop does not wait for a full socket."""
    fixture = Fixture(notify=manager.path)
    for _ in range(2000):
        fixture.notifier.ready(lambda: "Serving")
    assert fixture.sink.events() == ["supervisor.unreachable"]
    assert 0 < len(manager.told()) < 2000


def test_the_journal_s_stream(tmp_path: Path) -> None:
    """A descriptor is the journal's if it is the file that the environment names."""
    with (tmp_path / "stream").open("w") as file:
        state = os.fstat(file.fileno())
        assert is_stream(file.fileno(), (state.st_dev, state.st_ino))
        assert not is_stream(file.fileno(), (state.st_dev, state.st_ino + 1))
        assert not is_stream(file.fileno(), None)
        closed = file.fileno()
    assert not is_stream(closed, (state.st_dev, state.st_ino))
