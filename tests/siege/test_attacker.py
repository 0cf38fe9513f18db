"""What starts an attack: the processes that it leaves alone, and when they end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.chaos.subject import Subject
from tests.siege.apps import write_apps
from tests.siege.attacker import attacker
from tests.siege.attacks import AUTOGROUP
from tests.siege.plugins import write_plugins
from tests.support.harness import ROOT, children_of, is_alive, wait_until

STARTS = """
import pathlib, socket, sys, time
from tests.chaos.subject import Subject
from tests.siege.attacker import attacker

folder = pathlib.Path(sys.argv[1])
(folder / "apps").mkdir()
subject = Subject(folder / "apps", folder / "log", {"RUNTIME_STATE_DIR": str(folder / "state")})

with socket.create_server(("127.0.0.1", 0)) as server:
    with attacker("slow-bodies", server.getsockname()[1]):
        print(server.accept() and "attacked", flush=True)
        time.sleep(60)
"""


def test_their_parent_is_killed(tmp_path: Path) -> None:
    """If that process is killed nobody ends them, so they notice it themselves."""
    command = [sys.executable, "-c", STARTS, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "attacked\n"
        started = children_of(parent.pid)
        assert len(started) == 2
        parent.kill()
    wait_until(lambda: not [each for each in started if is_alive(each)])


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel has no groups of sessions")
def test_it_takes_what_others_leave(tmp_path: Path) -> None:
    """An attacker that took half of the processor would measure the kernel, not the runtime."""
    subject = Subject(tmp_path, tmp_path / "log", {"RUNTIME_STATE_DIR": str(tmp_path / "state")})
    try:
        with attacker("slow-bodies", subject.port):
            wait_until(lambda: any(map(is_attacker, children_of(os.getpid()))))
            (pid,) = filter(is_attacker, children_of(os.getpid()))
            wait_until(lambda: nice_of_session(pid) == 19)
            assert os.getpriority(os.PRIO_PROCESS, pid) == 19
        assert nice_of_session(os.getpid()) < 19
    finally:
        subject.process.kill()
        subject.process.wait()


def test_the_slow_hook_is_asked(tmp_path: Path) -> None:
    """Requests of the attack are delayed by the hook, those of others are not."""
    write_apps(tmp_path / "apps")
    variables = write_plugins(tmp_path, tmp_path / "apps")
    subject = Subject(tmp_path / "apps", tmp_path / "log", variables)

    def seconds(path: str) -> float:
        url = f"http://127.0.0.1:{subject.port}{path}"
        return httpx.get(url, verify=False).elapsed.total_seconds()

    try:
        wait_until(lambda: seconds("/hostile/") >= 1)
        assert min(seconds("/calm/") for _ in range(5)) < 1
    finally:
        subject.process.kill()
        subject.process.wait()


def is_attacker(pid: int) -> bool:
    return b"tests.siege.attacks" in Path(f"/proc/{pid}/cmdline").read_bytes()


def nice_of_session(pid: int) -> int:
    """The priority of its session among all sessions. One that has no group, such as that of a
    container's first process, has the file, but nothing in it."""
    found = re.search(r"nice (-?\d+)", Path(f"/proc/{pid}/autogroup").read_text())
    return int(found[1]) if found is not None else 0
