"""A worker's process as the loop sees it: its output and its end."""

from __future__ import annotations

import errno
import gc
import os
import select
import signal
import sys
import weakref
from collections.abc import Iterator

import pytest

from buntime.core.telemetry.records import Level
from buntime.server.loop.loop import Loop
from buntime.server.pool.process import Process
from buntime.server.pool.worker import Worker
from buntime.server.telemetry.logs import Log, LogSink
from tests.support.harness import wait_until


@pytest.fixture
def errors() -> list[BaseException]:
    return []


@pytest.fixture
def loop(errors: list[BaseException]) -> Iterator[Loop]:
    loop = Loop(errors.append)
    yield loop
    loop.close()


# Prints something, waits for a byte on its channel, and exits before its child prints something.
LEAVES_A_CHILD = """
import os, subprocess, sys
print("first", flush=True)
os.read(int(sys.argv[1]), 1)
subprocess.Popen(["/bin/sh", "-c", "sleep 0.1; echo late"])
os._exit(0)
"""


class Started:
    """A process, and what it reported."""

    def __init__(self, loop: Loop, *command: str) -> None:
        self.lines: list[tuple[str, str]] = []
        self.dropped: list[tuple[int, int]] = []
        self.codes: list[int] = []
        self.loop = loop
        self.process = Process(
            loop,
            command,
            {"PATH": "/usr/bin:/bin"},
            on_line=lambda stream, line: self.lines.append((stream, line)),
            on_dropped=lambda lines, size: self.dropped.append((lines, size)),
            on_exit=self.codes.append,
        )

    def wait(self) -> None:
        """Turn the loop until it is over."""
        wait_until(self._is_over, what="the end of the process")
        self.process.channel.close()

    def _is_over(self) -> bool:
        if not self.codes:
            self.loop.run_once(1.0)
        return bool(self.codes)


def shell(loop: Loop, script: str) -> Started:
    return Started(loop, "/bin/sh", "-c", script, "sh")


def test_output_and_exit_code(loop: Loop) -> None:
    """Each line comes with its stream, even a last one without a line end, and then the exit
    code."""
    started = shell(loop, "echo one; echo two >&2; printf three; exit 7")
    started.wait()
    assert sorted(started.lines) == [("stderr", "two"), ("stdout", "one"), ("stdout", "three")]
    assert started.codes == [7]


def test_all_that_was_written_is_read(loop: Loop) -> None:
    """What a process wrote right before its end is not lost, even if it takes more than one
    read."""
    pad = "x" * 200
    started = shell(loop, f"i=0; while [ $i -lt 900 ]; do echo {pad} $i; i=$((i+1)); done")
    started.wait()
    assert [line for _, line in started.lines] == [f"{pad} {i}" for i in range(900)]


# Moves itself into the group of its child, so that its own group is gone.
LEAVES_ITS_GROUP = """
import os, signal, sys, time
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    os.kill(os.getpid(), signal.SIGSTOP)
    os._exit(0)
os.waitpid(child, os.WUNTRACED)
os.setpgid(0, child)
os.kill(child, signal.SIGKILL)
signal.signal(signal.SIGTERM, lambda *_: print("asked", flush=True))
print("ready", flush=True)
while True:
    time.sleep(60)
"""


def test_a_process_that_leaves_its_group(loop: Loop) -> None:
    """A process that has moved into another group is still asked to end, once, and killed."""
    started = Started(loop, sys.executable, "-c", LEAVES_ITS_GROUP)

    def has_said(count: int) -> bool:
        loop.run_once(1.0)
        return len(started.lines) >= count

    wait_until(lambda: has_said(1), what="its start")
    started.process.signal_group(signal.SIGTERM)
    wait_until(lambda: has_said(2), what="its answer")
    started.process.kill()
    started.wait()
    assert started.lines == [("stdout", "ready"), ("stdout", "asked")]
    assert started.codes == [-9]


def test_kill_ends_what_it_started_too(loop: Loop) -> None:
    """Killing a process also kills what it had started, and reports -9."""
    started = shell(loop, "sleep 60 & echo $!; wait")
    wait_until(lambda: loop.run_once(0.1) or started.lines, what="the line")
    child = int(started.lines[0][1])
    started.process.kill()
    started.wait()
    assert started.codes == [-9]
    wait_until(lambda: not _is_there(child), what="the child's end")
    started.process.kill()  # a second time does no harm


def _is_there(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Deaf:
    """A worker's overseer that reacts only to its end."""

    def on_breach(self, worker: Worker, why: str) -> None:
        raise AssertionError(why)

    def on_broken(self, worker: Worker, why: str) -> None:
        pass


def test_what_has_ended_is_freed_at_once(loop: Loop) -> None:
    """A process and its worker form no reference cycle, which would hold memory until collected."""
    sink = LogSink(Level.ERROR, stream_fd=None)
    gc.disable()
    try:
        codes: list[int] = []
        process = Process(
            loop,
            ["/bin/true"],
            {},
            on_line=lambda stream, line: None,
            on_dropped=lambda lines, size: None,
            on_exit=codes.append,
        )
        worker = Worker(1, loop, process, Deaf(), Log(sink))  # type: ignore[arg-type]
        wait_until(lambda: loop.run_once(1.0) or codes, what="the end of the process")
        worker.drain()
        ended = [weakref.ref(process), weakref.ref(worker)]
        del process, worker
        assert [each() for each in ended] == [None, None]
    finally:
        gc.enable()
        assert sink.close(10)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a pidfd")
def test_an_event_that_came_with_its_end(loop: Loop, errors: list[BaseException]) -> None:
    """Output that is ready in the same turn as the end, but later in the list, has been read by
    then: its descriptor is closed, and may belong to something else already."""
    started = Started(loop, sys.executable, "-c", LEAVES_A_CHILD)
    wait_until(lambda: loop.run_once(0.01) or started.lines, what="the first line")
    started.process.channel.send(b"x")
    outputs = [key.fd for key in loop._selector.get_map().values() if _is_stdout(key.data)]
    select.select(outputs, [], [], 10)  # now both are ready, the end for longer
    started.wait()
    assert errors == []
    assert [line for _, line in started.lines] == ["first", "late"]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM, errno.EMFILE])
def test_where_the_kernel_gives_no_pidfd(
    loop: Loop, errors: list[BaseException], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """An old kernel, a container's filter of system calls, or no descriptor left."""

    def refuse(pid: int, flags: int = 0) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.pidfd_open", refuse, raising=False)
    started = Started(loop, "/bin/sh", "-c", "echo here; exit 3")
    started.wait()
    assert (started.lines, started.codes, errors) == ([("stdout", "here")], [3], [])


def _is_stdout(watcher: object) -> bool:
    return getattr(watcher, "_name", "") == "stdout"
