"""The end of a runtime: what ends when, and what is logged."""

from __future__ import annotations

from typing import Any

import pytest

from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import load_settings
from buntime.server.lifetime.shutdown import ECHO_S, Shutdown
from tests.support.fakes import FakeSink, make_log

TIMEOUT_S = 3.0


class Parts:
    """Everything that is shut down, in one object; records what happened, in order."""

    def __init__(self, connections: int) -> None:
        self.happened: list[str] = []
        self.sink = FakeSink()
        self.log = make_log(self.sink)
        self.now = 1000.0
        self.timers: list[tuple[float, Any]] = []
        self.jobs: set[Connection] = set()
        self.connections = {Connection(self) for _ in range(connections)}
        self.is_draining = False
        self.on_room: Any = None
        self.within_s = 0.0
        self.on_empty: Any = None
        settings = load_settings(
            args={},
            environ={
                "RUNTIME_WORKER_DIRS": "/srv/apps",
                "RUNTIME_SHUTDOWN_TIMEOUT": f"{TIMEOUT_S:g}s",
            },
            dotenv={},
            mode="pyz",
            cores=2,
        )
        me: Any = self  # service, loop, pool, notifier and listener at once
        plugins: Any = NoPlugins()
        self.loop = self
        self.shutdown = Shutdown(LiveSettings(settings), [me], me, me, me, plugins)

    def wait(self, seconds: float) -> None:
        """Let time pass, and call what is due."""
        self.now += seconds
        due = [call for at_s, call in self.timers if at_s <= self.now]
        self.timers = [each for each in self.timers if each[0] > self.now]
        for call in due:
            call()

    # the loop
    def guard(self, call: Any) -> bool:
        try:
            call()
        except ZeroDivisionError:
            self.happened.append("failed")
            return False
        return True

    def call_later(self, delay_s: float, call: Any) -> None:
        self.timers.append((self.now + delay_s, call))

    def stop(self) -> None:
        self.happened.append("loop stopped")

    # the service
    def begin_drain(self) -> None:
        self.is_draining = True

    # a listener
    def end(self) -> None:
        self.happened.append("listener closed")

    # the notifier
    def stopping(self, status: str, within_s: float) -> None:
        self.happened.append(status)
        self.within_s = within_s

    # the pool
    def close(self, on_empty: Any) -> None:
        self.happened.append("workers told to end")
        self.on_empty = on_empty

    def kill_all(self) -> None:
        self.happened.append("workers killed")


class NoPlugins:
    """No plugins: nothing to wait for."""

    def close(self, then: Any) -> None:
        then()


class Connection:
    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.is_faulty = False

    def drain(self) -> None:
        self.parts.happened.append("drained")
        if self.is_faulty:
            raise ZeroDivisionError

    def abort(self) -> None:
        self.close()

    def close(self) -> None:
        self.parts.connections.discard(self)
        if self.parts.on_room is not None:
            self.parts.on_room()
        if self.is_faulty:
            raise ZeroDivisionError


BEGUN = ["listener closed"]


def test_connections_that_fail() -> None:
    """All others are told and cut nevertheless, and the runtime ends."""
    parts = Parts(connections=3)
    for each in parts.connections:
        each.is_faulty = True
    parts.shutdown.begin("SIGTERM")
    assert parts.happened.count("drained") == 3
    parts.wait(TIMEOUT_S)
    assert parts.connections == set()
    assert parts.happened[-1] == "failed"
    assert "workers told to end" in parts.happened


def test_nobody_is_there() -> None:
    """Without connections the workers are told at once; the loop stops when they have ended."""
    parts = Parts(0)
    parts.shutdown.begin("SIGTERM")
    assert parts.is_draining
    assert parts.happened == [*BEGUN, "Stopping, no connections are left", "workers told to end"]
    parts.on_empty()
    assert parts.happened[-1] == "loop stopped"
    assert parts.sink.events() == ["runtime.stopping"]


def test_connections_are_waited_for() -> None:
    """The workers are told to end when the last connection has closed."""
    parts = Parts(2)
    first, second = parts.connections
    parts.shutdown.begin("SIGTERM")
    assert parts.happened == [*BEGUN, "Stopping, 2 connections are left", "drained", "drained"]
    first.close()
    assert parts.happened[-1] == "drained"
    second.close()
    assert parts.happened[-1] == "workers told to end"
    assert parts.on_room is None


def test_it_is_told_when_nobody_can_connect_any_more() -> None:
    """The log says that the runtime stops only once its listeners are closed."""
    parts = Parts(1)
    seen: list[list[str]] = []
    parts.end = lambda: seen.append(parts.sink.events())  # type: ignore[method-assign]  # listener
    parts.shutdown.begin("SIGTERM")
    assert seen == [[]]
    assert parts.sink.records[0].fields == {"signal": "SIGTERM", "connections": 1}


def test_the_timeout() -> None:
    """What is left at the timeout is cut, and the log says so; then the workers get their time."""
    parts = Parts(2)
    parts.shutdown.begin("SIGTERM")
    parts.wait(TIMEOUT_S - 0.1)
    assert len(parts.connections) == 2
    parts.wait(0.2)
    assert parts.connections == set()
    assert parts.happened[-1] == "workers told to end"
    assert parts.sink.events() == ["runtime.stopping", "runtime.connections_cut"]
    assert parts.sink.records[-1].fields == {"connections": 2}


def test_workers_that_do_not_end() -> None:
    """Workers get at least five seconds, then they are killed, within the announced time."""
    parts = Parts(0)
    parts.shutdown.begin("SIGTERM")
    parts.wait(4.9)
    assert "workers killed" not in parts.happened
    parts.wait(0.2)
    assert parts.happened[-2:] == ["workers killed", "loop stopped"]
    assert parts.within_s > TIMEOUT_S + 5.0


@pytest.mark.parametrize(("after_s", "cuts"), [(0.0, False), (ECHO_S * 0.9, False), (ECHO_S, True)])
def test_a_second_signal(after_s: float, cuts: bool) -> None:
    """A second signal stops at once; one that comes right with the first counts as its echo."""
    parts = Parts(1)
    parts.shutdown.begin("SIGINT")
    parts.wait(after_s)
    parts.shutdown.begin("SIGTERM")
    assert ("loop stopped" in parts.happened) is cuts
    assert parts.sink.events() == ["runtime.stopping", *["runtime.stopping_now"] * cuts]


def test_jobs_are_waited_for() -> None:
    """Jobs that the runtime has started are awaited like connections."""
    parts = Parts(0)
    job = Connection(parts)
    parts.jobs.add(job)
    parts.shutdown.begin("SIGTERM")
    assert "workers told to end" not in parts.happened
    parts.jobs.discard(job)
    parts.on_room()
    assert parts.happened[-1] == "workers told to end"
