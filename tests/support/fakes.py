"""Stand-ins for parts of the server in tests of other parts, and how they are held to the real
ones.

Each fake is listed in `STANDS_IN` with the class that it replaces; tests/test_fakes.py compares the
names and parameters of their methods.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from buntime.core.admin.audittrail import Change
from buntime.core.apps.app import App
from buntime.core.telemetry.meters import Cause
from buntime.server.admin.audit import Audit, Begun
from buntime.server.admin.call import Call
from buntime.server.http1.exchange import Exchange
from buntime.server.loop.loop import Loop
from buntime.server.pool.process import Process
from buntime.server.pool.stacks import Stacks
from buntime.server.pool.supervisor import Supervisor
from buntime.server.pool.worker import Worker
from buntime.server.pythons.interpreter import Interpreters, running_interpreter
from buntime.server.pythons.probe import Interpreter
from buntime.server.telemetry.logs import Log, LogSink
from tests.support.fakesink import FakeSink as FakeSink  # noqa: PLC0414  # for mypy
from tests.support.fakesink import make_log as make_log  # noqa: PLC0414  # likewise


class FakeAudit:
    """Audit records, kept as given: action, subject, before, after, result, app."""

    def __init__(self) -> None:
        self.noted: list[tuple[object, ...]] = []

    def record(
        self,
        call: Call,
        action: str,
        subject: str,
        before: object = None,
        after: object = None,
        result: str = "done",
        *,
        app: str | None = None,
    ) -> None:
        if not call.is_dry_run:
            self.noted.append((action, subject, before, after, result, app))

    def note_of(
        self,
        call: Call,
        action: str,
        subject: str,
        before: object = None,
        after: object = None,
        *,
        app: str | None = None,
    ) -> Any:
        """The record is kept when `tell` is called."""
        keep: Any = lambda _: None  # noqa: E731
        return SimpleNamespace(
            keep=keep, tell=lambda: self.record(call, action, subject, before, after, app=app)
        )

    def begin(
        self,
        call: Call,
        subject: str,
        before: object = None,
        after: object = None,
        *,
        then: Callable[[Begun], None],
        app: str | None = None,
    ) -> None:
        """Begins at once; the record is kept when the change ends."""
        real: Any = self
        change = Change(
            *(0.0, call.caller.name, call.caller.source, "", "", call.route.name, subject, app),
            *(before, after, "begun"),
        )
        begun = Begun(real, change)
        call.guard(lambda: begun.run(lambda: then(begun)))

    def note_end(self, begun: Begun, change: Change) -> None:
        told = (change.action, change.subject, change.before, change.after, change.result)
        self.noted.append((*told, change.app))

    def own(
        self,
        action: str,
        subject: str,
        before: object = None,
        after: object = None,
        result: str = "done",
        *,
        source: str = "signal",
        app: str | None = None,
    ) -> None:
        self.noted.append((action, subject, before, after, result, app))


class FakeInterpreters:
    """Interpreters that are known at once, known once looked for, or permanently unfit."""

    def __init__(self) -> None:
        self.default = running_interpreter()
        self.unknown: set[App] = set()  # until `find` is called
        self.unfit: dict[App, Exception] = {}
        self.chosen: dict[App, Interpreter] = {}

    def known(self, app: App) -> Interpreter | None:
        return None if app in self.unknown else self._get(app)

    def find(self, app: App) -> Interpreter:
        self.unknown.discard(app)
        return self._get(app)

    def close(self) -> None:
        pass

    def _get(self, app: App) -> Interpreter:
        if app in self.unfit:
            raise self.unfit[app]
        return self.chosen.get(app, self.default)


class FakeLoop:
    """Time that a test moves, and calls that run when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.calls: list[Callable[[], None]] = []

    def run_blocking(
        self, work: Callable[[], Any], then: Callable[[Any | BaseException], None]
    ) -> None:
        self.calls.append(lambda: then(_result(work)))

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.calls.append(callback)

    def go_on_later(self, callback: Callable[[], None]) -> None:
        self.calls.append(callback)

    def turn(self) -> None:
        """Make the calls that were left for later."""
        calls, self.calls = self.calls, []
        for call in calls:
            call()


class FakeStacks:
    """Stacks that code asks for, and that arrive when a test says so."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, object]] = []
        self.then: list[Callable[[str], None]] = []
        self.last = ""

    def ask(
        self, log: Log, late: Mapping[str, object], then: Callable[[str], None] | None = None
    ) -> None:
        self.asked.append(late)
        if then is not None:
            self.then.append(then)

    def come(self, stack: str = "") -> None:
        then, self.then = self.then, []
        for call in then:
            call(stack)


class FakeProcess:
    """A process whose size a test sets; the test has its end of the channel."""

    def __init__(self, pid: int = 4711, channel: socket.socket | None = None) -> None:
        self.pid = pid
        self.channel = channel
        self.stacks = FakeStacks()
        self.size_bytes = 0
        self.is_killed = False
        self.may_log = True

    def resident_bytes(self) -> int:
        return self.size_bytes

    def covers(self, size_bytes: int) -> bool:
        return self.may_log

    def kill(self) -> None:
        self.is_killed = True


class FakeWorker:
    """A worker whose channel nobody listens to."""

    def __init__(self, number: int, log: Log, app: App | None = None) -> None:
        self.number = number
        self.name = f"w{number}"
        self.log = log
        self.process = FakeProcess()
        self.app_name = app.name if app is not None else ""
        self.app_version = app.version if app is not None else None
        self.sandbox = "off" if app is not None else None
        self.memory_max_bytes = 0
        self.leaving_since_s: float | None = None
        self.codes: list[int] = []  # codes with which its streams were ended
        self.open_since_s: list[float] = [0.0]  # when each of its streams began
        self.left: list[Exchange] = []  # exchanges that it is still working on
        self.is_only_stuck = False

    def drain(self) -> list[Exchange]:
        return self.left

    def has_only_stuck(self) -> bool:
        return self.is_only_stuck

    def streams(self) -> list[Any]:
        return [
            SimpleNamespace(id=f"{self.name}-{at}", started_s=at, end_open=self.codes.append)
            for at in self.open_since_s
        ]


class FakeGroups:
    """Control groups in which a test says what the kernel has killed."""

    def __init__(self) -> None:
        self.limits: dict[int, str] = {}  # by the number of the killed worker
        self.found: set[int] = set()  # workers with a killed process

    def memory_limit(self, number: int) -> str:
        return self.limits.get(number, "")

    def look(self, number: int) -> bool:
        return number in self.found


class FakeSupervisor:
    """A supervisor that notes which workers it should kill."""

    def __init__(self) -> None:
        self.workers: dict[int, FakeWorker] = {}
        self.killed: list[tuple[str, Cause]] = []
        self.reasons: list[tuple[str, Cause, str]] = []  # why each worker is about to end
        self.stopped: list[int] = []  # workers whose boot ran out of time
        self.sweeps = 0
        self.groups = FakeGroups()

    def dismiss(self, number: int) -> FakeWorker:
        return self.workers.pop(number)

    def stop_boot_timer(self, number: int) -> None:
        self.stopped.append(number)

    def will_end(self, worker: FakeWorker, cause: Cause, why: str) -> None:
        self.reasons.append((worker.name, cause, why))

    def kill(self, worker: FakeWorker, cause: Cause) -> None:
        self.killed.append((worker.name, cause))

    def sweep(self) -> None:
        self.sweeps += 1


def _result(work: Callable[[], Any]) -> Any | BaseException:
    try:
        return work()
    except Exception as exc:  # as the loop does
        return exc


STANDS_IN: dict[type, type] = {
    FakeAudit: Audit,
    FakeInterpreters: Interpreters,
    FakeLoop: Loop,
    FakeProcess: Process,
    FakeSink: LogSink,
    FakeStacks: Stacks,
    FakeSupervisor: Supervisor,
    FakeWorker: Worker,
}
OWN = {  # methods only for tests
    FakeLoop: {"turn"},
    FakeSink: {"events"},
    FakeStacks: {"come"},
}
GIVEN = {FakeSink: {"clock"}}  # arguments that only the real one gets when it is made
