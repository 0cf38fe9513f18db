"""What clients begin and never finish takes a bounded amount of a worker's memory."""

from __future__ import annotations

import base64
import contextlib
import os
import select
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import workers_of
from tests.support.harness import Runtime, read_until, running, wait_until, write_app

WORKERS_START_AFRESH = True  # forks share memory

MB = 1024 * 1024
APP = """
async def websocket(ws):
    async for message in ws:
        await ws.send(str(len(message)))
"""
MOST = 30  # of forty: some may stay, with their share
BOUND = 200 * MB  # 128 MB, the worker itself, and what the allocator keeps

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="memory is read from Linux's /proc"
)


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    write_app(tmp_path / "app", {"app.py": APP}, ttl=600)
    with running(tmp_path) as started:
        yield started


def frame(opcode: int, payload: bytes) -> bytes:
    """The first frame of an unfinished message, compressed and masked."""
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return bytes((0x40 | opcode, 0x80 | 126)) + struct.pack(">H", len(payload)) + mask + masked


def test_unfinished_messages(runtime: Runtime) -> None:
    """Forty messages of 15 kB that inflate to 15 MB each do not fill the machine."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    small = deflate.compress(bytes(15 * MB)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    assert len(small) < 20_000
    key = base64.b64encode(bytes(16)).decode()
    head = (
        "GET /app/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Extensions: permessage-deflate\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    )
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(runtime.connect()) for _ in range(40)]
        for sock in peers:
            sock.sendall(head.encode())
            assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
            sock.sendall(frame(2, small))
        highest = 0

        def most_are_closed() -> bool:
            nonlocal highest
            highest = max(highest, resident(runtime))
            readable, _, _ = select.select(peers, [], [], 0)
            return len(readable) >= MOST

        wait_until(most_are_closed, 40, "the end of most")
        codes = [sock.recv(4)[2:4] for sock in select.select(peers, [], [], 0)[0]]
    assert {struct.unpack(">H", code)[0] for code in codes} == {1013}
    assert highest < BOUND, f"{highest / MB:.0f} MB"


def resident(runtime: Runtime) -> int:
    [worker] = workers_of(runtime, "app")
    pages = int(Path(f"/proc/{worker['pid']}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
