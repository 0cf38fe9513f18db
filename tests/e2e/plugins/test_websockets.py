"""The opening of a WebSocket passes on_response, whatever kind of app accepts it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.harness import Runtime, write_app
from tests.support.pluginfolders import plugged, wait_for_state, write_plugin
from tests.support.rawclient import RawClient, client_of
from tests.support.rawsocket import handshake, switched

PLUGIN = """
from buntime.plugin import Continue, Response
def on_request(request):
    return Continue(headers={"set-cookie": "seen=1"})
def on_response(request, response):
    match request.path:
        case "/refuse": return Response("not you", status=403)
        case "/raise": raise RuntimeError("boom")
        case "/frame": response.headers["sec-websocket-accept"] = "forged"
        case "/status": response.status = 200
    response.headers["x-seen"] = f"{response.status} {request.is_websocket}"
    response.headers["x-app"] = "changed"
"""
ASYNC = """
async def websocket(ws):
    await ws.accept(headers=[("x-app", "1")])
    await ws.send("first")
    try:
        async for message in ws:
            await ws.send(message)
    finally:
        print("over", ws.path)
"""
SYNC = """
def websocket(ws):
    ws.accept(headers=[("x-app", "1")])
    ws.send("first")
    try:
        for message in ws:
            ws.send(message)
    finally:
        print("over", ws.path)
"""
ASGI = """
async def app(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept", "headers": [(b"x-app", b"1")]})
    await send({"type": "websocket.send", "text": "first"})
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            print("over", scope["path"].removeprefix("/asgi"))
            return
        await send({"type": "websocket.send", "text": event["text"]})
"""
APPS = {"async": ASYNC, "sync": SYNC, "asgi": ASGI}


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("websockets")
    write_plugin(folder / "plugins", "looks", PLUGIN)
    for name, source in APPS.items():
        write_app(folder / "apps" / name, {"app.py": source}, ttl=600)
    with plugged(folder) as runtime:
        wait_for_state(runtime, "looks", "serving")
        yield runtime


def ask(client: RawClient, path: str) -> None:
    client.send(handshake(path))


@pytest.mark.parametrize("kind", APPS)
def test_its_fields_change(runtime: Runtime, kind: str) -> None:
    """The hook sees status 101 and the app's fields; messages sent meanwhile come after it."""
    with client_of(runtime) as client:
        ask(client, f"/{kind}/chat")
        ws = switched(client)
        assert b"\r\nx-seen: 101 True\r\n" in ws.head
        assert b"\r\nx-app: changed\r\n" in ws.head
        assert b"\r\nset-cookie: seen=1\r\n" in ws.head
        assert b"x-app: 1" not in ws.head
        assert ws.read_text() == "first"
        ws.send_text("hello")
        assert ws.read_text() == "hello"


@pytest.mark.parametrize(
    ("path", "status"), [("refuse", 403), ("raise", 502), ("frame", 502), ("status", 502)]
)
@pytest.mark.parametrize("kind", APPS)
def test_it_is_refused(runtime: Runtime, kind: str, path: str, status: int) -> None:
    """The client gets the hook's answer, and the app learns that the WebSocket is over."""
    with client_of(runtime) as client:
        ask(client, f"/{kind}/{path}")
        assert client.read().status == status
    runtime.wait_for_line(f"over /{path}", app=kind)
