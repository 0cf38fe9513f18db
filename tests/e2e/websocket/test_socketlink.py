"""WebSockets of clients that break the protocol, or read nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support.harness import Runtime, running, write_app
from tests.support.pressure import (
    KERNEL_MAX,
    MB,
    has_proc,
    held_little,
    send_until_stopped,
    small_client,
)
from tests.support.rawsocket import PING, TEXT, handshake, socket_of, switched, write_frame

BAD_FRAME = write_frame(3)  # an undefined opcode, RFC 6455 5.2

ECHO = """
import asyncio
async def websocket(ws):
    async for message in ws:
        if message == "slowly":
            await asyncio.sleep(0.2)
        elif message == "never":
            await asyncio.sleep(60)
        await ws.send(message)
    print("told", ws.close_code, ws.path)
"""
SYNC = ECHO.replace("import asyncio", "import time").replace("await asyncio.", "time.")
SYNC = SYNC.replace("async ", "").replace("await ", "").replace("sleep(60)", "sleep(5)")


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("apps")
    write_app(folder / "a", {"index.py": ECHO}, ttl="1h")
    write_app(folder / "s", {"index.py": SYNC}, ttl="1h")
    with running(folder) as runtime:
        yield runtime


@pytest.mark.parametrize("app", ["a", "s"])
def test_what_came_before_a_bad_frame_is_answered(runtime: Runtime, app: str) -> None:
    """The app's answers to messages before a bad frame go out before the closing frame, even slow
    ones; what came after the frame is not read."""
    with socket_of(runtime, f"/{app}/bad") as ws:
        sent = ["a", "b", "slowly", "d"]
        ws.send(b"".join(write_frame(TEXT, text.encode()) for text in sent))
        ws.send(BAD_FRAME + write_frame(TEXT, b"unread") + write_frame(PING))
        assert [ws.read_text() for _ in sent] == sent
        assert ws.read_close() == 1002
    runtime.wait_for_line("told 1002 /bad", app=app)


@pytest.mark.parametrize("app", ["a", "s"])
def test_an_app_that_does_not_end_is_not_waited_for(runtime: Runtime, app: str) -> None:
    """A client that broke the protocol learns it within two seconds, whatever the app does."""
    with socket_of(runtime, f"/{app}/") as ws:
        ws.send_text("never")
        begun = time.monotonic()
        ws.send(BAD_FRAME)
        assert ws.read_close() == 1002
        assert 0.5 < time.monotonic() - begun < 2.5


@has_proc
def test_pongs_do_not_heap_up(runtime: Runtime) -> None:
    """The runtime stops reading from a client that pings and does not read: it can send only what
    the kernels hold."""
    pings = memoryview(write_frame(PING, b"x" * 125) * (40 * MB // 131))
    with small_client(runtime) as client:
        client.send(handshake("/a/"))
        switched(client)
        with held_little(runtime):
            assert 0 < send_until_stopped(client, pings) < KERNEL_MAX
