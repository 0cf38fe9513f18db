"""A thread that restricts itself for one task, and what it leaves unchanged."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from buntime.confine import NotConfined, prepare
from buntime.core.sandbox.kernel import READ, RUN, WRITE
from buntime.core.sandbox.order import at_start, make_order
from buntime.core.sandbox.systemcalls import program
from buntime.server.defence.ownthread import confined, in_own_thread
from buntime.server.defence.shortage import is_start_shortage
from tests.support.fence import KERNEL, needs_sandbox
from tests.support.shortage import few_descriptors, no_threads

SYSTEM = ["/usr", "/lib", "/lib64", "/bin"]


def order(folder: Path, *, becomes_user: bool = False) -> dict[str, Any]:
    rules = [(RUN, SYSTEM), (READ, ["/proc", "/etc", "/dev"]), (WRITE, [str(folder)])]
    filtered = program(KERNEL.machine, runtime_pid=os.getpid())
    made = make_order("strict", rules, KERNEL, program=filtered, capabilities=[])
    return at_start(made, is_root=os.geteuid() == 0, becomes_user=becomes_user)


def shell(command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", command], check=False, text=True, capture_output=True, **options
    )


@needs_sandbox
def test_a_program_is_confined_and_nobody_else(tmp_path: Path) -> None:
    """The program is in the sandbox from its start; this process and its later threads are not."""
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    inner.mkdir()
    command = (
        f"echo 1 > {inner}/a; echo 1 > {outer}; grep -E 'Seccomp:|NoNewPrivs' /proc/self/status"
    )
    said = confined(order(inner), lambda: shell(command)).stdout.split()
    assert said == ["NoNewPrivs:", "1", "Seccomp:", "2"]
    assert ((inner / "a").exists(), outer.exists()) == (True, False)
    assert in_own_thread(lambda: None, lambda: shell(command), name="free").stdout.split() == [
        *("NoNewPrivs:", "0", "Seccomp:", "0"),
    ]
    assert outer.exists()


@needs_sandbox
def test_root_becomes_a_user(tmp_path: Path) -> None:
    """Inside the sandbox a program runs as its user, and has no capabilities and no way to get
    any."""
    if os.geteuid() != 0:
        pytest.skip("only root can change to another user")
    made = order(tmp_path, becomes_user=True)
    done = confined(
        made, lambda: shell("id -u; grep Cap /proc/self/status", user=65534, group=65534)
    )
    uid, *capabilities = done.stdout.split()
    assert uid == "65534"
    assert {int(each, 16) for each in capabilities[1::2]} == {0}


@needs_sandbox
def test_root_loses_what_reaches_past_files(tmp_path: Path) -> None:
    """A root program without a user of its own runs without the capabilities that INIT's order
    drops."""
    if os.geteuid() != 0:
        pytest.skip("only root has capabilities")
    done = confined(order(tmp_path), lambda: shell("grep -E 'CapEff|CapBnd' /proc/self/status"))
    for each in done.stdout.split()[1::2]:
        assert int(each, 16) >> 21 & 1 == 0  # SYS_ADMIN


@needs_sandbox
def test_the_program_outlives_its_thread(tmp_path: Path) -> None:
    """The program is this process's child, and any of its threads can wait for it."""
    made = confined(order(tmp_path), lambda: subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE))
    assert made.poll() is None
    assert made.stdin is not None
    made.stdin.close()
    assert made.wait(10) == 0


@needs_sandbox
def test_an_impossible_order(tmp_path: Path) -> None:
    """Nothing is started without the sandbox that was ordered."""
    made = order(tmp_path) | {"ruleset": "ff" * 24}
    with pytest.raises(NotConfined, match="the sandbox cannot be made: Landlock"):
        confined(made, lambda: shell(f"echo 1 > {tmp_path}/a"))
    assert list(tmp_path.iterdir()) == []


@needs_sandbox
def test_a_machine_without_descriptors(tmp_path: Path) -> None:
    """Without descriptors a program is not started with a right missing, and the program is not
    blamed; what was opened for it is closed."""
    confined(order(tmp_path), lambda: None)  # so that everything is loaded already
    with few_descriptors(1), pytest.raises(NotConfined) as raised:
        confined(order(tmp_path), lambda: shell(f"echo 1 > {tmp_path}/a"))
    assert is_start_shortage(raised.value)
    assert list(tmp_path.iterdir()) == []
    before = len(os.listdir("/proc/self/fd"))
    with few_descriptors(1), pytest.raises(NotConfined):
        prepare(order(tmp_path))
    assert len(os.listdir("/proc/self/fd")) == before


def test_without_an_order() -> None:
    """Without an order no thread is used."""
    assert confined(None, threading.get_ident) == threading.get_ident()


def test_what_the_work_raises() -> None:
    """An error in the task is raised where its result is awaited."""
    with pytest.raises(ZeroDivisionError):
        in_own_thread(lambda: None, lambda: 1 // 0, name="fails")
    with pytest.raises(FileNotFoundError):
        in_own_thread(lambda: os.stat("/gone"), lambda: None, name="fails")  # type: ignore[arg-type, return-value]


def test_a_thread_that_cannot_be_started() -> None:
    """If the thread cannot be started the system's error is raised, as for a process."""
    with no_threads(), pytest.raises(BlockingIOError):
        in_own_thread(lambda: None, lambda: None, name="none")
