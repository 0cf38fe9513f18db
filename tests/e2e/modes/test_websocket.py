"""WebSockets through the runtime, with the `websockets` package as client, for apps of all kinds.

All apps named `ws_...` have the same paths, so each test runs against all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.support.client import workers_of
from tests.support.harness import PACKAGES, Runtime, is_alive, running, wait_until, write_app
from tests.support.hosting import install

ASYNC = ["ws_starlette", "ws_fastapi", "ws_quart", "ws_async"]
ALL = [*ASYNC, "ws_sync"]
OF_EACH_PROTOCOL = ["ws_starlette", "ws_async", "ws_sync"]  # ASGI, async and sync handlers
LARGEST = 16 * 1024 * 1024
MANY = 100

ECHO = """
async def websocket(ws):
    async for message in ws:
        await ws.send(message)
"""
PID = """
import os
async def websocket(ws):
    await ws.send(str(os.getpid()))
    async for message in ws:
        await ws.send(message)
    print("ended", ws.close_code)
"""
DIES = """
import os
async def websocket(ws):
    await ws.send(str(os.getpid()))
    async for message in ws:
        os._exit(3)
"""
PLAIN = """
from buntime import Response
def fetch(request):
    return Response("plain " + request.headers.get("upgrade", ""))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dirs = tmp_path_factory.mktemp("apps")
    for name in ALL:
        install(dirs, name, ttl="1h", concurrency=2)
    write_app(dirs / "echo0", {"index.py": PID}, ttl=0)
    write_app(dirs / "many", {"index.py": ECHO}, ttl="1h")
    write_app(dirs / "dies", {"index.py": DIES}, ttl="1h")
    write_app(dirs / "plain", {"index.py": PLAIN}, ttl="1h")
    write_app(dirs / "changed", {"index.py": PID}, ttl="1h")
    return dirs


@pytest.fixture(scope="module")
def runtime(folder: Path) -> Iterator[Runtime]:
    with running(folder, env={"RUNTIME_EPHEMERAL_CONCURRENCY": "4", **PACKAGES}) as runtime:
        yield runtime


@contextlib.contextmanager
def client(runtime: Runtime, path: str, **options: object) -> Iterator[ClientConnection]:
    """A WebSocket to a path of the runtime."""
    options = {"max_size": None, "proxy": None, "close_timeout": 5, **options}
    url = f"ws://127.0.0.1:{runtime.port}{path}"
    with connect(url, **options) as ws:  # type: ignore[arg-type]  # some of many options
        yield ws


def closed(ws: ClientConnection) -> tuple[int, str]:
    """Wait for the server's close: code and reason."""
    with pytest.raises(ConnectionClosed) as caught:
        ws.recv(timeout=10)
    assert caught.value.rcvd is not None, "the connection was cut"
    return caught.value.rcvd.code, caught.value.rcvd.reason


def refused(runtime: Runtime, path: str) -> httpx.Response:
    """The response to a handshake that the app denies."""
    with pytest.raises(InvalidStatus) as caught, client(runtime, path):
        pass
    response = caught.value.response
    return httpx.Response(
        response.status_code, headers=[*response.headers.raw_items()], content=bytes(response.body)
    )


@pytest.mark.parametrize("app", ALL)
def test_echo(runtime: Runtime, app: str) -> None:
    """Text, bytes, an empty message and the largest message come back as they were sent."""
    messages = ["hello", b"\xff\0", "", "\u20ac" * 50_000]
    if app in OF_EACH_PROTOCOL:
        messages.append(b"x" * LARGEST)
    if app != "ws_quart":  # which takes empty bytes for no message
        messages.append(b"")
    with client(runtime, f"/{app}/echo") as ws:
        for message in messages:
            ws.send(message)
            assert ws.recv(timeout=30) == message


@pytest.mark.parametrize("app", ALL)
def test_fragments(runtime: Runtime, app: str) -> None:
    """Fragments are joined, also if they split a character."""
    with client(runtime, f"/{app}/echo", compression=None) as ws:
        ws.send(["a", "\u20ac" * 40_000, "", "c"])
        assert ws.recv(timeout=10) == "a" + "\u20ac" * 40_000 + "c"
        ws.send([b"a"] * 500)
        assert ws.recv(timeout=10) == b"a" * 500


@pytest.mark.parametrize("app", ALL)
def test_scope(runtime: Runtime, app: str) -> None:
    """The app sees path, base, query, cookie, client and subprotocols; the client sees its
    choice."""
    with client(
        runtime,
        f"/{app}/scope?q=%20x",
        subprotocols=["v1", "v2"],
        additional_headers={"Cookie": "c=d"},
    ) as ws:
        assert ws.subprotocol == "v2"
        assert ws.response is not None
        assert ws.response.headers["x-room"] == "blue"
        assert json.loads(ws.recv(timeout=10)) == {
            "path": f"/{app}/scope",
            "base": f"/{app}",
            "q": " x",
            "cookie": "d",
            "client": "127.0.0.1",
            "scheme": "ws",
            "subprotocols": ["v1", "v2"],
        }
        assert closed(ws)[0] == 1000


@pytest.mark.parametrize("app", ALL)
def test_the_app_closes(runtime: Runtime, app: str) -> None:
    """The app's close code and reason reach the client."""
    with client(runtime, f"/{app}/close?code=4001&reason=%E2%82%AC") as ws:
        assert closed(ws) == (4001, "\u20ac")


@pytest.mark.parametrize("app", ALL)
def test_the_client_closes(runtime: Runtime, app: str) -> None:
    """The client's close code and reason reach the app."""
    with client(runtime, f"/{app}/told") as ws:
        assert ws.recv(timeout=10) == "ready"
        ws.close(4002, "bye")
    runtime.wait_for_line("told" if app == "ws_quart" else "told 4002 bye", app=app)


@pytest.mark.parametrize("app", ALL)
def test_the_client_is_cut_off(runtime: Runtime, app: str) -> None:
    """The app learns within a second that a client is gone without a close."""
    with client(runtime, f"/{app}/told") as ws:
        assert ws.recv(timeout=10) == "ready"
        begun = time.monotonic()
        ws.socket.shutdown(socket.SHUT_RDWR)
        if app == "ws_quart":
            wait_until(lambda: told(runtime, app) == 2)
        else:
            runtime.wait_for_line("told 1006 -", app=app)
        assert time.monotonic() - begun < 1


def told(runtime: Runtime, app: str) -> int:
    records = tuple(runtime.records)
    return sum(record["message"] == "told" and record.get("app") == app for record in records)


@pytest.mark.parametrize("app", ASYNC)
def test_a_deaf_handler(runtime: Runtime, app: str) -> None:
    """A handler that waits for something else is cancelled when its client has left."""
    with client(runtime, f"/{app}/deaf") as ws:
        assert ws.recv(timeout=10) == "ready"
    runtime.wait_for_line("cancelled", app=app, timeout_s=5)


@pytest.mark.parametrize("app", ALL)
def test_denial(runtime: Runtime, app: str) -> None:
    """The app's own response is the answer to a handshake that it denies."""
    response = refused(runtime, f"/{app}/deny")
    assert response.status_code == 401
    assert "log in first" in response.text
    assert response.headers["x-why"] == "no cookie"
    assert response.headers["x-request-id"]


@pytest.mark.parametrize("app", ALL)
def test_rejection(runtime: Runtime, app: str) -> None:
    """A close instead of an accept is a 403."""
    assert refused(runtime, f"/{app}/reject").status_code == 403


@pytest.mark.parametrize("app", ALL)
def test_failures(runtime: Runtime, app: str) -> None:
    """An exception of the app is logged: 1011 after the accept, 500 before."""
    with client(runtime, f"/{app}/fail") as ws:
        assert ws.recv(timeout=10) == "soon"
        # Quart handles its exceptions itself, and then closes as if there had been none.
        assert closed(ws)[0] == (1000 if app == "ws_quart" else 1011)
    if app != "ws_quart":
        record = runtime.wait_for_record("app.request_failed", app=app)
        assert "failed on purpose" in record["error"]
    assert refused(runtime, f"/{app}/fail-early").status_code == 500


@pytest.mark.parametrize("app", ALL)
def test_http_beside_it(runtime: Runtime, app: str) -> None:
    """The same worker answers requests while WebSockets are open."""
    with client(runtime, f"/{app}/echo") as ws:
        ws.send("a")
        assert ws.recv(timeout=10) == "a"
        assert (
            httpx.get(f"{runtime.url}/{app}/page", trust_env=False, verify=False).json() == "page"
        )
        ws.send("b")
        assert ws.recv(timeout=10) == "b"


def test_compression(runtime: Runtime) -> None:
    """permessage-deflate is agreed on if the client offers it, and otherwise not."""
    for compression in ("deflate", None):
        with client(runtime, "/ws_async/echo", compression=compression) as ws:
            assert ws.response is not None
            agreed = "permessage-deflate" in ws.response.headers.get("sec-websocket-extensions", "")
            assert agreed == (compression is not None)
            ws.send("abc" * 100_000)
            assert ws.recv(timeout=10) == "abc" * 100_000


def test_ttl_0(runtime: Runtime) -> None:
    """An ephemeral worker lives as long as its WebSocket, has no other, and ends with it."""
    with client(runtime, "/echo0/") as first, client(runtime, "/echo0/") as second:
        pids = {int(ws.recv(timeout=10)) for ws in (first, second)}
        assert len(pids) == 2
        first.send("still here")
        assert first.recv(timeout=10) == "still here"
    wait_until(lambda: not any(map(is_alive, pids)), what="the end of both workers")
    runtime.wait_for_line("ended 1000", app="echo0")


def test_an_app_without_websockets(runtime: Runtime) -> None:
    """An app that takes no WebSockets answers a handshake as the GET that it is."""
    response = refused(runtime, "/plain/")
    assert response.status_code == 200
    assert response.text.startswith("plain")


def test_no_websocket_where_one_is_needed(runtime: Runtime) -> None:
    """An app with only WebSockets answers other requests with 426 and what to upgrade to."""
    response = httpx.get(f"{runtime.url}/many/", trust_env=False, verify=False)
    assert response.status_code == 426
    assert response.headers["upgrade"] == "websocket"


def test_many(runtime: Runtime) -> None:
    """A hundred WebSockets of one worker are open at once, and each gets its own messages."""
    url = f"ws://127.0.0.1:{runtime.port}/many/"

    async def one(number: int, open_ones: asyncio.Semaphore, all_open: asyncio.Barrier) -> bool:
        async with open_ones:
            ws = await connect_async(url, proxy=None, compression=None, open_timeout=30)
        async with ws:
            await all_open.wait()
            for turn in range(3):
                await ws.send(f"{number} {turn}")
                if await ws.recv() != f"{number} {turn}":
                    return False
        return True

    async def all_of_them() -> list[bool]:
        open_ones, all_open = asyncio.Semaphore(50), asyncio.Barrier(MANY)
        return await asyncio.gather(*[one(n, open_ones, all_open) for n in range(MANY)])

    assert asyncio.run(all_of_them()) == [True] * MANY


@pytest.mark.parametrize("app", ["ws_async", "ws_starlette"])
def test_open_ones_take_no_place(runtime: Runtime, app: str) -> None:
    """With a concurrency of 2, ten WebSockets of an async app are open at once and requests are
    answered beside them; when they end, no place is freed that they had not taken."""
    for _ in range(2):
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(client(runtime, f"/{app}/echo")) for _ in range(10)]
            for number, ws in enumerate(sockets):
                ws.send(str(number))
                assert ws.recv(timeout=10) == str(number)
            page = httpx.get(f"{runtime.url}/{app}/page", trust_env=False, verify=False)
            assert page.json() == "page"
    assert in_hand(runtime, app) == [0]


def test_open_ones_with_threads_take_places(runtime: Runtime) -> None:
    """In a sync app each has a thread; with a concurrency of 2 a third waits until one ends."""
    with client(runtime, "/ws_sync/echo") as first:
        with client(runtime, "/ws_sync/echo"):
            with pytest.raises(TimeoutError), client(runtime, "/ws_sync/echo", open_timeout=0.5):
                pass
            first.send("still open")
            assert first.recv(timeout=10) == "still open"
        with client(runtime, "/ws_sync/echo") as third:
            third.send("now")
            assert third.recv(timeout=10) == "now"


def in_hand(runtime: Runtime, app: str) -> list[int]:
    """The requests in hand of each of the app's workers, once all are idle, or at the end of the
    wait."""

    def counts() -> list[int]:
        return [each["inHand"] for each in workers_of(runtime, app)]

    with contextlib.suppress(AssertionError):
        wait_until(lambda: not any(counts()), timeout_s=5)
    return counts()


def test_a_slow_client_stops_its_app_alone(runtime: Runtime) -> None:
    """A client that does not read neither fills the memory nor holds up another client."""
    with (
        client(runtime, "/ws_async/echo", compression=None) as slow,
        client(runtime, "/ws_async/echo", compression=None) as quick,
    ):
        sender = threading.Thread(target=flood, args=(slow,), daemon=True)
        sender.start()
        time.sleep(0.5)  # the test measures the others' time while this one is stuck
        latencies = []
        for _ in range(50):
            begun = time.monotonic()
            quick.send("x")
            assert quick.recv(timeout=10) == "x"
            latencies.append(time.monotonic() - begun)
        assert sorted(latencies)[25] < 0.1
        assert sender.is_alive(), "nothing has held up the sender"
        slow.socket.shutdown(socket.SHUT_RDWR)
        sender.join(10)


def flood(ws: ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed, OSError):
        while True:
            ws.send(b"x" * 500_000)


def test_too_large(runtime: Runtime) -> None:
    """A message beyond the limit closes with 1009, and the app learns of it."""
    with client(runtime, "/ws_sync/told", compression=None) as ws:
        assert ws.recv(timeout=10) == "ready"
        with contextlib.suppress(ConnectionClosed):
            ws.send(b"x" * (LARGEST + 1))
        assert closed(ws)[0] == 1009
    wait_until(lambda: any(r["message"].startswith("told 1009") for r in tuple(runtime.records)))


def test_a_worker_that_dies(runtime: Runtime) -> None:
    """When a worker dies, its WebSockets close with 1011, and the next ones get a new worker."""
    with client(runtime, "/dies/") as first, client(runtime, "/dies/") as second:
        pid = first.recv(timeout=10)
        assert second.recv(timeout=10) == pid
        second.send("die")
        assert [closed(ws)[0] for ws in (first, second)] == [1011, 1011]
    with client(runtime, "/dies/") as ws:
        assert ws.recv(timeout=10) != pid
    # An open WebSocket is not a request that could be given to another worker.
    runtime.wait_for_record("worker.died")
    died = [r for r in tuple(runtime.records) if r["event"] == "worker.died"]
    assert [(record["app"], record["how"]) for record in died] == [("dies", "exit code 3")]


def test_changed_code(runtime: Runtime, folder: Path) -> None:
    """In development a change of the code closes with 1012: reconnect, to the new code."""
    with client(runtime, "/changed/") as ws:
        old = ws.recv(timeout=10)
        (folder / "changed" / "index.py").write_text(PID + "# changed", "utf-8")
        with client(runtime, "/changed/") as other:
            assert other.recv(timeout=10) != old
        assert closed(ws)[0] == 1012
    runtime.wait_for_line("ended 1012", app="changed")


def test_shutdown(runtime: Runtime) -> None:
    """SIGTERM closes open WebSockets with 1001, and the apps learn of it. So this is the last."""
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(client(runtime, f"/{app}/told")) for app in ("ws_async", "ws_sync")
        ]
        for ws in sockets:
            assert ws.recv(timeout=10) == "ready"
        runtime.process.send_signal(signal.SIGTERM)
        assert [closed(ws)[0] for ws in sockets] == [1001, 1001]
        assert runtime.process.wait(20) == 0
        for app in ("ws_async", "ws_sync"):
            runtime.wait_for_line("told 1001 -", app=app)
