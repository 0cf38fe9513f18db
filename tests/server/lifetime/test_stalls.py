"""A stalled loop is reported and ended, in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from buntime.server.lifetime.stalls import STALLED_CODE
from tests.support.harness import ROOT

TIMEOUT_S = 1.0
SOON_S = 0.4  # for what is ended
SHORT_S = 0.6  # longer than a turn should take
END_S = 30.0  # far more than any of these tests needs

# Runs a loop whose first call is `first`, and prints its log records, then "turned" for each
# line of its input.
SCRIPT = """
import re, sys, threading, time
from buntime.server.lifetime.stalls import StallWatch
from buntime.server.loop.loop import READ, Loop
from tests.support.fakesink import FakeSink, make_log

class Input:
    def on_ready(self, events):
        line = sys.stdin.readline()
        if not line:
            loop.stop()
        report("turned")
    def abort(self):
        loop.stop()

def report(*words):
    for record in sink.records:
        print(record.event, record.fields, flush=True)
    sink.records.clear()
    print(*words, flush=True)

def nothing():
    pass

def short():
    time.sleep(0.6)

def often():
    time.sleep(0.05)
    loop.call_soon(often)

def sleeps():
    time.sleep(3600)

def waits_for_a_lock():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()

def keeps_the_interpreter():
    re.match(r"(a|a)*b", "a" * 60)

def spins():
    while True:
        pass

sink = FakeSink()
loop = Loop(lambda exc: report("error", exc))
timeout_s = float(sys.argv[2])
watch = StallWatch(loop, make_log(sink), timeout_s, flush_log=lambda: report("flushed"))
loop.call_soon(globals()[sys.argv[1]])
loop.register(sys.stdin.fileno(), READ, Input())
watch.start()
print("started", flush=True)
loop.run()
watch.stop()
report("stopped")
"""


@contextmanager
def looping(first: str, timeout_s: float = TIMEOUT_S) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, first, str(timeout_s)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        try:
            yield process
        finally:
            process.kill()


def turn(process: subprocess.Popen[str]) -> str:
    """Have the loop turn; returns what was printed until then. The first turn may be that of
    `first`."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    printed = ""
    while not printed.endswith("turned\n"):
        line = process.stdout.readline()
        assert line, printed
        printed += line
    return printed


@pytest.mark.parametrize("first", ["sleeps", "waits_for_a_lock", "spins"])
def test_a_loop_that_is_kept_ends_the_process(first: str) -> None:
    """A stalled loop ends the process, with the stacks of all threads on stderr and in the log,
    which is flushed first."""
    with looping(first, SOON_S) as process:
        out, errors = process.communicate(timeout=END_S)
    assert process.returncode == STALLED_CODE
    assert f"in {first}" in errors
    assert "loop.stalled" in out
    assert f"in {first}" in out
    assert out.endswith("flushed\n")


def test_the_interpreters_lock_is_no_way_out() -> None:
    """If the interpreter's lock is never released the kernel ends the process, with the stacks."""
    with looping("keeps_the_interpreter", SOON_S) as process:
        _, errors = process.communicate(timeout=END_S)
    assert process.returncode == -signal.SIGPROF
    assert "in keeps_the_interpreter" in errors


def test_without_a_limit_it_may_take_as_long_as_it_likes() -> None:
    """Without a limit a slow turn is only logged."""
    with looping("short", timeout_s=0.0) as process:
        assert "loop.slow_turn" in turn(process) + turn(process)


def test_a_slow_turn_is_told() -> None:
    """A slow turn is logged with its duration and what it did."""
    with looping("short", timeout_s=60.0) as process:
        record = turn(process) + turn(process)
    assert "loop.slow_turn" in record
    assert "in short" in record
    seconds = re.search(r"'seconds': ([0-9.]+)", record)
    assert seconds is not None
    assert float(seconds[1]) >= SHORT_S


@pytest.mark.parametrize("first", ["nothing", "often"])
def test_a_loop_that_waits_or_turns_is_left_alone(first: str) -> None:
    """A loop is left alone however long it waits for events, and if it is busy in each turn."""
    with looping(first) as process:
        begun = time.monotonic()
        while time.monotonic() - begun < 2.5 * TIMEOUT_S:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(2.5 * TIMEOUT_S)
        assert turn(process).endswith("turned\n")


@pytest.mark.parametrize("first", ["short", "nothing"])
def test_a_stopped_process_is_no_stalled_one(first: str) -> None:
    """A process that was stopped in the middle of a turn or a wait, for longer than the limit,
    continues."""
    with looping(first) as process:
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2.5 * TIMEOUT_S)
        os.kill(process.pid, signal.SIGCONT)
        assert turn(process).endswith("turned\n")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.5 * TIMEOUT_S)
        assert "loop.stalled" not in turn(process)
