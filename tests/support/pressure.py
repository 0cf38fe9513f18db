"""What a runtime holds in memory, and clients that stop: for tests of back-pressure."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.harness import Runtime, look_into
from tests.support.rawclient import RawClient

MB = 1024 * 1024
# The most that the runtime's memory may rise, whatever the size of a body; it rises by under 1 MB.
HELD_MAX = 4 * MB
# What kernels hold of a body between a sender and a stopped receiver: the buffers of both sockets
# grow by themselves, to 10 MB together.
KERNEL_MAX = 12 * MB

has_proc = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="memory is read from Linux's /proc"
)


def memory(runtime: Runtime, field: str) -> int:
    """VmRSS or VmHWM, in bytes."""
    status = Path(f"/proc/{runtime.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


@contextmanager
def held_little(runtime: Runtime) -> Iterator[None]:
    """Fails if the runtime's memory rises by HELD_MAX or more, even for a moment."""
    (look_into(runtime.process.pid) / "clear_refs").write_text("5")  # the peak counts from now
    before = memory(runtime, "VmRSS")
    yield
    rise = memory(runtime, "VmHWM") - before
    assert rise < HELD_MAX, f"the runtime's memory rose by {rise / MB:.1f} MB"


@contextmanager
def small_client(runtime: Runtime) -> Iterator[RawClient]:
    """A client whose kernel buffers little for it; less than a few segments would make it slow."""
    with socket.socket() as sock:
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, 256 * 1024)
        sock.settimeout(30)
        sock.connect(("127.0.0.1", runtime.port))
        yield RawClient(sock)


def send_until_stopped(client: RawClient, data: memoryview) -> int:
    """Send until nothing is taken for a while; returns how many bytes were."""
    client.sock.setblocking(False)
    sent = 0
    while sent < len(data) and select.select([], [client.sock], [], 0.5)[1]:
        sent += client.sock.send(data[sent : sent + MB])
    client.sock.settimeout(30)
    return sent


def settled(read: Callable[[], int]) -> int:
    """A count that has begun and then stays the same for a while."""
    deadline = time.monotonic() + 20
    last, since = read(), time.monotonic()
    while not last or time.monotonic() - since < 0.4:
        assert time.monotonic() < deadline, "it does not settle"
        time.sleep(0.02)  # polls: asking without a pause would take a whole processor
        count = read()
        if count != last:
            last, since = count, time.monotonic()
    return last
