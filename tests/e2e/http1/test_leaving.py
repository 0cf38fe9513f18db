"""Clients that leave while nothing is read from them: in the middle of an upload or of messages
that the app does not read. The end of the connection then comes after unread bytes."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.harness import Runtime, running, write_app
from tests.support.pressure import MB, send_until_stopped, small_client
from tests.support.rawclient import RawClient, client_of, request
from tests.support.rawsocket import BINARY, handshake, switched, write_frame

# What each kind does when its client leaves: it prints "left" and the name that the client gave.
APPS = {
    "async": """
import asyncio
from buntime import Response
async def fetch(request):
    if request.method == "GET":
        return Response("here")
    print("begun", request.query["name"])
    try:
        await asyncio.sleep(30)
    finally:
        print("left", request.query["name"])
""",
    "sync": """
import time
from buntime import Response
def fetch(request):
    if request.method == "GET":
        return Response("here")
    print("begun", request.query["name"])
    while not request.is_cancelled():
        time.sleep(0.01)
    print("left", request.query["name"])
    return Response("late")
""",
    "generator": """
import time
from buntime import Response
def fetch(request):
    if request.method == "GET":
        return Response("here")
    print("begun", request.query["name"])
    return Response(pieces(request.query["name"]))
def pieces(name):
    try:
        while True:
            yield "."
            time.sleep(0.02)
    finally:
        print("left", name)
""",
    "wsgi": """
import time
from urllib.parse import parse_qs
class Pieces:
    def __init__(self, name):
        self.name = name
    def __iter__(self):
        while True:
            yield b"."
            time.sleep(0.02)
    def close(self):
        print("left", self.name)
def app(environ, start_response):
    start_response("200 OK", [])
    if environ["REQUEST_METHOD"] == "GET":
        return [b"here"]
    name = parse_qs(environ["QUERY_STRING"])["name"][0]
    print("begun", name)
    return Pieces(name)
""",
    "asgi": """
import asyncio
from urllib.parse import parse_qs
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["method"] == "GET":
        return await send({"type": "http.response.body", "body": b"here"})
    name = parse_qs(scope["query_string"].decode())["name"][0]
    print("begun", name)
    try:
        while True:
            await send({"type": "http.response.body", "body": b".", "more_body": True})
            await asyncio.sleep(0.02)
    except OSError:
        print("left", name)
""",
}
SOCKETS = {
    "async_socket": """
import asyncio
async def websocket(ws):
    await ws.accept()
    print("begun", ws.query["name"])
    while ws.close_code is None:
        await asyncio.sleep(0.01)
    print("left", ws.query["name"], ws.close_code)
""",
    "sync_socket": """
import time
def websocket(ws):
    ws.accept()
    print("begun", ws.query["name"])
    while ws.close_code is None:
        time.sleep(0.01)
    print("left", ws.query["name"], ws.close_code)
""",
}
MESSAGES = write_frame(BINARY, bytes(MB)) * 8
SIZE = 8 * MB  # the announced length of an upload; less of it is sent
# More than runtime and worker hold of what the app does not read, and less than kernels hold.
UNREAD = 140 * 1024


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("apps")
    for name, source in (APPS | SOCKETS).items():
        write_app(folder / name, {"app.py": source}, ttl="1h", maxBodySize="100mb")
    with running(folder) as runtime:
        yield runtime


def check_told_soon(runtime: Runtime, line: str, app: str, within_s: float = 1.0) -> None:
    begun = time.monotonic()
    runtime.wait_for_line(line, app=app)
    assert time.monotonic() - begun < within_s


@pytest.mark.parametrize("how", ["closed", "reset"])
@pytest.mark.parametrize("app", APPS)
def test_in_the_middle_of_an_upload(runtime: Runtime, app: str, how: str) -> None:
    """The app learns of it within a second, even though neither it nor the runtime reads the
    upload; its worker lives on."""
    with small_client(runtime) as client:
        client.send(request(f"POST /{app}/?name={how}", f"Content-Length: {SIZE}"))
        runtime.wait_for_line(f"begun {how}", app=app)
        leave(client, bytes(SIZE), how)
    check_told_soon(runtime, f"left {how}", app)
    with client_of(runtime) as other:
        name = f"after-{how}-{app}"
        assert other.get(f"/{app}/", f"X-Request-ID: {name}").body == b"here"
    runtime.wait_for_record("request.access", request_id=name)
    records = tuple(runtime.records)
    workers = [r["worker"] for r in records if r["event"] == "request.access" and r["app"] == app]
    assert len(set(workers)) == 1


@pytest.mark.parametrize("how", ["closed", "reset"])
@pytest.mark.parametrize("app", SOCKETS)
def test_in_the_middle_of_messages(runtime: Runtime, app: str, how: str) -> None:
    """The same for an app that takes no messages from its WebSocket."""
    with small_client(runtime) as client:
        client.send(handshake(f"/{app}/?name={how}"))
        switched(client)
        runtime.wait_for_line(f"begun {how}", app=app)
        leave(client, MESSAGES, how)
    check_told_soon(runtime, f"left {how} 1006", app)


def leave(client: RawClient, data: bytes, how: str) -> None:
    """Sends what is not read, and leaves. The runtime sees a close after all that was sent: the
    client's kernel delivers both once the runtime's has room. A reset comes at once."""
    if how == "closed":
        client.send(data[:UNREAD])
    else:
        assert send_until_stopped(client, memoryview(data)) < len(data)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()


def test_behind_a_request_that_waits(runtime: Runtime) -> None:
    """A client that leaves after it has sent its next request counts as gone after a second, as it
    could just have shut its side."""
    with client_of(runtime) as client:
        client.send(request("POST /async/?name=next", body=b"a") + request("GET /async/"))
        runtime.wait_for_line("begun next", app="async")
    check_told_soon(runtime, "left next", "async", within_s=1.6)


@pytest.mark.parametrize("framing", ["Content-Length: 20971520", "Transfer-Encoding: chunked"])
def test_an_early_answer(runtime: Runtime, framing: str) -> None:
    """If an app answers without reading, the client gets the answer even if it goes on sending: the
    rest is discarded for a while, and the connection closes cleanly."""
    piece = b"10000\r\n" + bytes(0x10000) + b"\r\n" if "chunked" in framing else bytes(0x10000)
    with client_of(runtime) as client:
        client.send(request("GET /async/early", framing))
        for _ in range(SIZE // len(piece)):
            client.send(piece)
        reply = client.read()
        assert (reply.status, reply.body, reply.get("connection")) == (200, b"here", "close")
        client.expect_end()
