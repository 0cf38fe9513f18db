"""An attack ends with who has started it."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.harness import ROOT, wait_until

STARTS = """
import socket, time
from tests.siege.attacker import attacker

with socket.create_server(("127.0.0.1", 0)) as server:
    with attacker("slow-bodies", server.getsockname()[1]):
        print(server.accept() and "attacked", flush=True)
        time.sleep(60)
"""


def test_its_parent_is_killed() -> None:
    """Nobody ends it then; it sees that by itself."""
    command = [sys.executable, "-c", STARTS]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "attacked\n"
        children = f"/proc/{parent.pid}/task/{parent.pid}/children"
        with open(children, encoding="ascii") as file:
            attacking = int(file.read())
        parent.kill()
    wait_until(lambda: not os.path.exists(f"/proc/{attacking}"))
