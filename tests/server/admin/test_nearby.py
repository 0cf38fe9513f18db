"""Who is at the other end of a connection over the loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from buntime.server.admin.nearby import Nearby

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

HOLD = """
import socket, sys
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
print("here", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_another_process(family: socket.AddressFamily) -> None:
    """One of this machine is let in, and nobody once it is gone, or where nobody was."""
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    try:
        listening = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip("there is no IPv6 here")
    with listening:
        port = listening.getsockname()[1]
        # In no tree of ours: who asks is the runtime here, and refuses what it has started.
        argv = [sys.executable, "-c", HOLD, host, str(port)]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"here\n"
            sock, place = listening.accept()
            with sock:
                why = Nearby().refusal((place[0], place[1]), port)
                assert why == "the runtime has started it"
                assert "cannot be seen" in Nearby().refusal((place[0], place[1]), port + 1)
                process.communicate()
                assert "cannot be seen" in Nearby().refusal((place[0], place[1]), port)
    assert Nearby().refusal(None, port) == "it does not come by TCP"


def test_one_of_its_own() -> None:
    """The process above this one is no app."""
    nearby = Nearby()
    assert nearby._peers.origin(os.getppid()) == ""
