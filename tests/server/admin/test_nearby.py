"""Who is at the other end of a connection over the loopback."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from buntime.server.admin.nearby import Nearby

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

HOLD = """
import socket, sys
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
print("here", flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def listening(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    host = "127.0.0.1" if request.param == socket.AF_INET else "::1"
    try:
        sock = socket.create_server((host, 0), family=request.param)
    except OSError:
        pytest.skip("there is no IPv6 here")
    with sock:
        yield sock


def test_another_process(listening: socket.socket) -> None:
    """What this process, the runtime here, has started is refused; so is who is gone, or nobody."""
    host, port, *_ = listening.getsockname()
    argv = [sys.executable, "-c", HOLD, host, str(port)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        sock, place = listening.accept()
        with sock:
            client = (place[0], place[1])
            assert Nearby().refusal(client, port) == "an app has started it"
            assert "cannot be seen" in Nearby().refusal(client, port + 1)
            process.communicate()
            assert "cannot be seen" in Nearby().refusal(client, port)


def test_one_that_no_app_has(listening: socket.socket) -> None:
    """What is held by a process beside the apps is let in, whoever has them."""
    host, port, *_ = listening.getsockname()
    with socket.create_connection((host, port)) as sock:
        place = sock.getsockname()
        assert Nearby().refusal((place[0], place[1]), port) == ""
        assert Nearby().refusal((place[0], place[1]), port, is_ours=True) == ""
