"""An attack, and the runtime that it attacks, end with the process that started them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.harness import ROOT, wait_until

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
        children = f"/proc/{parent.pid}/task/{parent.pid}/children"
        with open(children, encoding="ascii") as file:
            started = [int(each) for each in file.read().split()]
        assert len(started) == 2
        parent.kill()
    wait_until(lambda: not [each for each in started if is_running(each)])


def is_running(pid: int) -> bool:
    """False once it has ended, even if nobody has reaped it yet."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text("ascii")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
