"""WebSockets and event streams of `ttl: 0`, each of which holds a slot while it is open."""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Iterator

import pytest

from tests.support.client import fetch
from tests.support.harness import Runtime, running, wait_until, write_app
from tests.support.rawclient import RawClient, client_of, request
from tests.support.rawsocket import CLOSE, socket_of

SLOTS = 2
CALM = "from buntime import Response\ndef fetch(request):\n    return Response('fine')\n"
SOCKET = """
async def websocket(ws):
    async for message in ws:
        await ws.send(message)
"""
EVENTS = """
import asyncio
from buntime import Response

async def events():
    yield "hello"
    await asyncio.sleep(3600)

async def fetch(request):
    return Response.events(events())
"""
PROMPT_S = 5.0  # 0.5 s of waiting, half a second until the next look, and a start of a worker


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    apps = tmp_path_factory.mktemp("apps")
    write_app(apps / "calm", {"app.py": CALM}, ttl=0)
    write_app(apps / "kept", {"app.py": CALM}, ttl=3600)
    write_app(apps / "ws", {"app.py": SOCKET}, ttl=0)
    write_app(apps / "events", {"app.py": EVENTS}, ttl=0)
    env = {"RUNTIME_EPHEMERAL_CONCURRENCY": str(SLOTS), "RUNTIME_POOL_SIZE": "10"}
    with running(apps, env=env) as started:
        yield started


@pytest.fixture
def runtime(shared: Runtime) -> Runtime:
    """The runtime, when all slots are free again."""
    wait_until(lambda: {each["app"] for each in workers(shared)} <= {"kept"}, what="free slots")
    return shared


def workers(runtime: Runtime) -> list[dict[str, object]]:
    return fetch(runtime, "/api/workers").json()["workers"]  # type: ignore[no-any-return]


def ended(clients: list[RawClient]) -> list[RawClient]:
    return [each for each in clients if select.select([each.sock], [], [], 0)[0]]


def open_events(runtime: Runtime, stack: contextlib.ExitStack) -> RawClient:
    """An event stream whose first event has come."""
    client = stack.enter_context(client_of(runtime))
    client.send(request("GET /events/"))
    data = b""
    while b"hello" not in data:
        data += client.receive()
    return client


def test_websockets(runtime: Runtime) -> None:
    """The oldest is ended with 1013 so that another app's request gets its slot."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket_of(runtime, "/ws/")) for _ in range(SLOTS)]
        began = time.monotonic()
        assert fetch(runtime, "/calm/").body == b"fine"
        assert time.monotonic() - began < PROMPT_S
        frame = sockets[0].read()
        assert (frame.opcode, frame.payload[:2]) == (CLOSE, (1013).to_bytes(2, "big"))
        runtime.wait_for_record("worker.stream_ended", app="ws")
        assert fetch(runtime, "/calm/").body == b"fine"  # the slot is free now
        told = [each for each in runtime.records if each["event"] == "worker.stream_ended"]
        assert [each["app"] for each in told].count("ws") == 1


def test_event_streams(runtime: Runtime) -> None:
    """They are ended too, as long as they hold more than half of the slots."""
    with contextlib.ExitStack() as stack:
        streams = [open_events(runtime, stack) for _ in range(SLOTS)]
        assert fetch(runtime, "/calm/").body == b"fine"
        wait_until(lambda: ended(streams) == streams[:1])


def test_requests_that_do_not_wait_for_a_slot(runtime: Runtime) -> None:
    """They end no stream, however long they take."""
    with contextlib.ExitStack() as stack:
        streams = [open_events(runtime, stack) for _ in range(SLOTS)]
        for _ in range(3):
            assert fetch(runtime, "/kept/").body == b"fine"
        assert ended(streams) == []
