"""A pytest plugin that runs test files in several processes: `-p tests.processes --processes 6`.

Each process collects only the files that it runs, since importing all test files takes longer than
running most of them. It asks for the next file when it is done with one. All tests of a file run in
one process, in their order, because they may share a runtime.

The processes are forks of the first, which has found the files and imported what many of them
import, so this is done once.

The first process runs no test. It replays the reports of the others to its own plugins, so what is
printed, counted and returned is what pytest does with a run of its own.

Messages are JSON lines, {"name": value}. To a process: "file", the id of a file to run. From a
process: "collected", how many tests the file has; "test", the id of the one that begins; "report",
of a test or a collection, as pytest serializes it; "done", the id of the file.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import gc
import importlib
import json
import os
import re
import selectors
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest

# Files that take long, mostly spent waiting. They run first, so that nothing waits for them at the
# end.
LONGEST = (
    "tests/e2e/panel/",
    "tests/e2e/access/test_description.py",
    "tests/chaos/",
    "tests/e2e/pool/test_hung_apps.py",
    "tests/e2e/modes/test_websocket.py",
    "tests/e2e/pool/test_spreading.py",
    "tests/e2e/plugins/test_services.py",
    "tests/server/pythons/",
    "tests/e2e/http1/test_slow_clients.py",
    "tests/e2e/deploys/test_faults.py",
    "tests/commands/test_new_and_check.py",
    "tests/commands/test_login.py",
    "tests/e2e/modes/test_operating.py",
    "tests/e2e/modes/test_signin.py",
    "tests/worker/test_pythons.py",
    "tests/e2e/pool/test_faults.py",
    "tests/server/lifetime/test_stalls.py",
)
# So long the first process lets messages come before it reads them: if it woke up for each test,
# that would take a tenth of the time of short ones.
PAUSE_S = 0.01
OUTPUT_MAX = 1 << 20  # read of what a process printed that has ended, in bytes
_Message = dict[str, Any]
_File = pytest.Item | pytest.Collector
_IMPORT = re.compile(r"^(?:from|import) ([\w.]+)", re.MULTILINE)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--processes", type=int, default=0, help="processes that run tests, or 0")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.processes:
        config.pluginmanager.register(_HandsOut(config))


class _Runs:
    """One of the processes that run tests."""

    def __init__(self, session: pytest.Session, sock: socket.socket) -> None:
        self._session = session
        self._config = session.config
        self._sock = sock
        self._unsent = bytearray()

    def run(self, files: dict[str, _File]) -> None:
        """Run each file that the first process names, until it closes the connection."""
        # By this attribute pytest's plugins and others know that they are not in the first process.
        cast("Any", self._config).workerinput = {}
        plugins = self._config.pluginmanager
        _capture_anew(plugins.get_plugin("capturemanager"))
        _Unseen.take_over(plugins)
        plugins.register(self)
        try:
            with self._sock.makefile("r", encoding="ascii") as lines:
                for line in lines:
                    file = json.loads(line)["file"]
                    self._run(self._session, files.pop(file))
                    self._send(done=file)
        finally:  # what was set up for the whole session; other plugins would report a second time
            ends: Any = plugins.get_plugin("runner")
            ends.pytest_sessionfinish(self._session)

    def _run(self, session: pytest.Session, file: _File) -> None:
        failed = session.testsfailed
        items = session.items = [*session.genitems(file)]
        hook = self._config.hook
        hook.pytest_collection_modifyitems(session=session, config=self._config, items=items)
        self._add(collected=len(items))
        if session.testsfailed > failed or not items:  # a fault, or all are left out
            return
        # Until the process ends, what has been set up for the whole session stays.
        after: pytest.Item = _Nothing.from_parent(session, name="the next file")
        for item, following in zip(items, [*items[1:], after], strict=True):
            self._send(test=item.nodeid)
            hook.pytest_runtest_protocol(item=item, nextitem=following)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed or report.when == "call":
            self._report(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if not report.passed:
            self._report(report)

    def _report(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.passed:
            report.sections.clear()
        hook = self._config.hook.pytest_report_to_serializable
        self._add(report=hook(config=self._config, report=report))

    def _add(self, **message: object) -> None:
        """It goes with the next one that is sent, since the first process wakes up for each."""
        self._unsent += json.dumps(message).encode("ascii") + b"\n"

    def _send(self, **message: object) -> None:
        self._add(**message)
        self._sock.sendall(self._unsent)
        self._unsent.clear()


def _capture_anew(captures: Any) -> None:
    """Capture into files of this process, not into those it has from the first."""
    captures.stop_global_capturing()
    captures.start_global_capturing()
    captures.suspend_global_capture()


class _Unseen:
    """In the place of the plugin that prints: what it would print of each test is never read."""

    def __init__(self, writer: object) -> None:
        self._tw = writer  # pytest-timeout writes to it

    @classmethod
    def take_over(cls, plugins: pytest.PytestPluginManager) -> None:
        printing = plugins.unregister(name="terminalreporter")
        plugins.register(cls(cast("Any", printing)._tw), "terminalreporter")


class _Nothing(pytest.Item):
    """Follows the last test of a file, and never runs."""

    def runtest(self) -> None:
        raise NotImplementedError


class _Process:
    """One of the processes that run tests, as the first process has it."""

    def __init__(self, run: Callable[[socket.socket], None]) -> None:
        """Fork; the fork calls `run` with its end of the connection, and ends."""
        self.sock, theirs = socket.socketpair()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  # `end` closes it
        self._pid = os.fork()
        if self._pid == 0:
            self.sock.close()
            _become(lambda: run(theirs), self._output.fileno())
        theirs.close()
        self.file = ""  # that it runs
        self.test = ""  # that it began last
        self.has_collected = False
        self._unread = b""

    def give(self, file: str) -> None:
        self.file, self.test = file, ""
        with contextlib.suppress(OSError):  # it has ended: reading says so
            self.sock.sendall(json.dumps({"file": file}).encode("ascii") + b"\n")

    def messages(self) -> list[_Message] | None:
        """What has come, at least in part; None once the process has ended."""
        try:
            data = self.sock.recv(1 << 18)
        except ConnectionResetError:
            data = b""
        *lines, self._unread = (self._unread + data).split(b"\n")
        return [json.loads(line) for line in lines] if data else None

    def end(self) -> str:
        """Wait until it has ended by itself; returns its exit code and what it printed last."""
        self.sock.close()
        code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        with self._output as output:
            output.seek(max(0, output.seek(0, os.SEEK_END) - OUTPUT_MAX))
            said = output.read().decode(errors="replace")
        fault = said.rfind("Fatal Python error")  # followed by a trace of each thread
        return f"exit code {code}\n{said[fault:] if fault >= 0 else said[-5000:]}"

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        self.end()

    def forget(self) -> None:
        """In a fork that is another process: close what belongs to this one."""
        self.sock.close()
        self._output.close()


def _become(run: Callable[[], None], output: int) -> NoReturn:
    """Run it, with output to this descriptor, and end the process without freeing its memory."""
    code = 1
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        for ours, its in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(ours, its)
        os.close(nothing)
        if faulthandler.is_enabled():
            faulthandler.enable(output)
        run()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        os._exit(code)


class _HandsOut:
    """The first process."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._found: dict[str, _File] = {}
        self._files: deque[str] = deque()  # that no process has yet
        self._selector = selectors.DefaultSelector()

    def pytest_report_collectionfinish(self) -> str:
        return f"{self._config.option.processes} processes collect the tests, file by file"

    def pytest_collection(self, session: pytest.Session) -> bool:
        self._found = _files(session)
        self._files.extend(sorted(self._found, key=lambda file: not file.startswith(LONGEST)))
        session.testscollected = 0  # the other processes say how many
        return True

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        processes: list[_Process] = []
        _import_what_many_need(
            {file.path for file in self._found.values()}, self._config.option.processes
        )
        if launcher := sys.modules.get("tests.support.launcher"):
            launcher.prepare()
        gc.collect()
        gc.freeze()  # the forks need not look at it again
        try:
            while self._files and len(processes) < self._config.option.processes:
                processes.append(self._start(session, processes))
            while self._selector.get_map():
                self._selector.select()
                time.sleep(PAUSE_S)
                for key, _ in self._selector.select():
                    self._read(session, key.data, processes)
            while processes:
                processes.pop().end()
        finally:
            for process in processes:
                process.kill()
            self._selector.close()
        return True

    def _start(self, session: pytest.Session, others: Iterable[_Process]) -> _Process:
        def run(sock: socket.socket) -> None:
            self._selector.close()
            for other in others:
                other.forget()
            self._config.pluginmanager.unregister(self)
            _Runs(session, sock).run(self._found)

        process = _Process(run)
        self._selector.register(process.sock, selectors.EVENT_READ, process)
        process.give(self._files.popleft())
        return process

    def _read(self, session: pytest.Session, process: _Process, others: list[_Process]) -> None:
        messages = process.messages()
        if messages is None:
            self._selector.unregister(process.sock)
            others.remove(process)
            self._on_death(process, process.end())
            if self._files:
                others.append(self._start(session, others))
            return
        for message in messages:
            self._on_message(session, process, message)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)

    def _on_message(self, session: pytest.Session, process: _Process, message: _Message) -> None:
        [(name, value)] = message.items()
        if name == "collected":
            process.has_collected = True
            session.testscollected += value
        elif name == "test":
            process.test = value
        elif name == "report":
            self._replay(value)
        elif self._files:
            process.give(self._files.popleft())
        else:
            self._selector.unregister(process.sock)

    def _replay(self, data: _Message) -> None:
        hook = self._config.hook
        if isinstance(data["longrepr"], list):  # of a skipped test; JSON has no tuples
            data["longrepr"] = tuple(data["longrepr"])
        report = hook.pytest_report_from_serializable(config=self._config, data=data)
        if isinstance(report, pytest.CollectReport):
            hook.pytest_collectreport(report=report)
        else:
            hook.pytest_runtest_logreport(report=report)

    def _on_death(self, process: _Process, last: str) -> None:
        """Its test fails, and what is left of its file is not run."""
        if not process.has_collected:
            raise RuntimeError(f"a process that runs tests has not started: {last}")
        test = process.test or process.file
        report = pytest.TestReport(
            nodeid=test,
            location=(process.file, None, test),
            keywords={},
            outcome="failed",
            longrepr=f"the process ended, and the rest of {process.file} was not run: {last}",
            when="call",
        )
        self._config.hook.pytest_runtest_logreport(report=report)


def _import_what_many_need(paths: Iterable[Path], many: int) -> None:
    """Import the modules that at least so many of these test files name."""
    named = Counter(
        name for path in paths for name in {*_IMPORT.findall(path.read_text(errors="replace"))}
    )
    for name, count in named.items():
        if count >= many:
            with contextlib.suppress(Exception, pytest.skip.Exception):  # its files will say so
                importlib.import_module(name)
    if named["hypothesis"] >= many:
        _draw_once()


def _draw_once() -> None:
    """Let Hypothesis collect what it draws from, before the processes are forked.

    These are tables of characters, and the constants in all modules of this project that are
    imported. In a clean clone that takes seconds, and each process would do it.
    """
    from hypothesis import HealthCheck, given, settings, strategies

    # The first example is the simplest. One number in twenty is such a constant, so one of two
    # hundred surely is.
    @settings(max_examples=2, database=None, deadline=None, suppress_health_check=[*HealthCheck])
    @given(strategies.text(), strategies.lists(strategies.integers(), min_size=200, max_size=200))
    def draw(_text: str, _numbers: list[int]) -> None:
        pass

    draw()


def _files(session: pytest.Session) -> dict[str, _File]:
    """The files that the arguments name, by their ids, without importing them.

    If an argument names a test, the test is in the file's place.
    """
    finds = _Finds()
    session.config.pluginmanager.register(finds)
    session.perform_collect(genitems=False)
    session.config.pluginmanager.unregister(finds)
    return finds.files


class _Finds:
    """Takes the files before pytest ends its collection.

    At that end it forgets conftest.py of those folders that are named and not yet read.
    """

    def __init__(self) -> None:
        self.files: dict[str, _File] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """`items` is what the arguments name, since no test is generated."""
        self.files = {file.nodeid: file for node in items for file in _below(node)}


def _below(node: _File) -> Iterator[_File]:
    if isinstance(node, pytest.Directory):
        report = node.ihook.pytest_make_collect_report(collector=node)
        for each in report.result:
            yield from _below(each)
    else:
        yield node
