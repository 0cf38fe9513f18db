"""ASGI's websocket scope, checked by apps that assert every fact themselves."""

import json

import pytest

from tests.support.peer import Peer, opened
from tests.support.workshop import Lasting, Worker, Workshop, eventually

STRICT = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        assert await receive() == {"type": "lifespan.startup"}
        scope["state"]["shared"] = []
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return await send({"type": "lifespan.shutdown.complete"})
    assert type(scope) is dict
    shared = scope["state"].pop("shared")
    shared.append(1)
    assert len(shared) == 1
    headers = scope.pop("headers")
    assert [pair for pair in headers if pair[0] == b"x-a"] == [(b"x-a", b"1"), (b"x-a", b"\\xe9")]
    assert headers[-2:] == [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "wss",
        "path": "/shop/a b/\\xe9",
        "raw_path": b"/shop/a%20b/%C3%A9",
        "query_string": b"q=%20",
        "root_path": "/shop",
        "client": ("203.0.113.7", 50123),
        "server": ("127.0.0.1", 8000),
        "subprotocols": ["v1", "v2"],
        "state": {},
        "extensions": {"websocket.http.response": {}},
    }, scope
    assert await receive() == {"type": "websocket.connect"}
    accept = {"type": "websocket.accept", "subprotocol": "v2", "headers": [(b"X-A", b"\\xe9")]}
    await send(accept)
    assert await receive() == {"type": "websocket.receive", "text": "t\\u20ac"}
    assert await receive() == {"type": "websocket.receive", "bytes": b"\\xff"}
    assert await receive() == {"type": "websocket.receive", "text": ""}
    await send({"type": "websocket.send", "text": "t\\u20ac"})
    await send({"type": "websocket.send", "bytes": b"\\xff", "text": None})
    await send({"type": "websocket.send", "bytes": None, "text": ""})
    await send({"type": "websocket.send", "bytes": bytearray(b"b")})
    for _ in range(2):
        disconnect = {"type": "websocket.disconnect", "code": 4004, "reason": "bye"}
        assert await receive() == disconnect
    try:
        await send({"type": "websocket.send", "text": "late"})
    except OSError as exc:
        print(exc)
    await send({"type": "websocket.close"})
    print("done")
"""


def test_a_strict_app_finds_nothing(shop: Workshop) -> None:
    """Scope and events are exactly as specified."""
    worker = shop.start(STRICT)
    headers = [("x-a", "1"), ("x-a", "\xe9")]
    peer = Peer(worker, "/shop/a%20b/%C3%A9?q=%20", ("v1", "v2"), headers=headers, scheme="https")
    accepted = peer.accepted()
    assert (accepted["subprotocol"], accepted["headers"]) == ("v2", [["x-a", "\xe9"]])
    for message in ("t\u20ac", b"\xff", ""):
        peer.send(message)
    assert [peer.receive() for _ in range(4)] == ["t\u20ac", b"\xff", "", b"b"]
    peer.close(4004, "bye")
    assert peer.closed()[2] is True
    assert worker.stdout == "the WebSocket is closed: 4004 bye\ndone\n", worker.stderr
    assert worker.stderr == ""


SCRIPTED = """
import json
async def app(scope, receive, send):
    if scope["type"] != "websocket":
        raise RuntimeError("no")
    results = []
    for step in SCRIPTS[scope["path"].rpartition("/")[2]]:
        try:
            results.append(await (receive() if step is None else send(step)))
        except Exception as exc:
            results.append(f"{type(exc).__name__}: {exc}")
    print(json.dumps(results))
SCRIPTS = """


def scripted(shop: Workshop, **scripts: list[object]) -> Worker:
    """An app that follows a script for each path: None receives, an event is sent."""
    return shop.start(SCRIPTED + repr(scripts))


def results(worker: Worker) -> list[object]:
    """The results of one WebSocket's steps."""
    eventually(lambda: worker.stdout.endswith("\n"))
    last: list[object] = json.loads(worker.stdout.splitlines()[-1])
    return last


ACCEPT = {"type": "websocket.accept"}
CLOSE = {"type": "websocket.close", "code": 4001, "reason": "bye"}
TEXT = {"type": "websocket.send", "text": "x"}
START = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-a", b"1")]}
MORE = {"type": "websocket.http.response.body", "body": b"no", "more_body": True}
BODY = {"type": "websocket.http.response.body", "body": b"pe"}


@pytest.mark.parametrize(
    ("script", "status", "body"),
    [
        ([None], 403, b""),
        ([], 403, b""),
        ([None, CLOSE, CLOSE], 403, b""),
        ([None, START, MORE, BODY], 401, b"nope"),
        ([None, START, BODY], 401, b"pe"),
    ],
)
def test_denial(shop: Workshop, script: list[object], status: int, body: bytes) -> None:
    """What is not accepted is denied, with 403 or with a response of the app."""
    worker = scripted(shop, a=script)
    answer = Peer(worker, "/shop/a").denied()
    assert (answer.status, answer.body) == (status, body)
    assert ("x-a" in answer.headers) == (status == 401)
    said = results(worker)
    assert len(said) == len(script)
    if script[1:] == [CLOSE, CLOSE]:
        said.pop()
    assert not any(isinstance(result, str) for result in said), said


OUT_OF_PLACE: list[tuple[list[object], str]] = [
    ([TEXT], "the app sent websocket.send before websocket.accept"),
    ([ACCEPT, ACCEPT], "the app sent websocket.accept after websocket.accept"),
    ([ACCEPT, START], "the app sent websocket.http.response.start after websocket.accept"),
    ([BODY], "expected http.response.start"),
    ([START, ACCEPT], "the app sent websocket.accept in the middle of a response"),
    ([START, START], "expected http.response.body"),
    ([START, BODY, TEXT], "the app sent websocket.send after the handshake was denied"),
    ([ACCEPT, CLOSE, TEXT], "the app sent websocket.send after websocket.close"),
    ([ACCEPT, CLOSE, CLOSE], "the app sent websocket.close after websocket.close"),
    ([ACCEPT, {"type": "websocket.send"}], "websocket.send needs text"),
    ([ACCEPT, {"type": "websocket.send", "text": b"x"}], "websocket.send needs text"),
    ([ACCEPT, {"type": "websocket.send", "bytes": "x"}], "websocket.send needs text"),
    ([ACCEPT, {"type": "websocket.close", "code": 1006}], "1006 cannot close"),
    ([ACCEPT, {"type": "http.response.start"}], "the app sent http.response.start"),
    ([{**ACCEPT, "subprotocol": "z"}], "did not offer 'z'"),
    ([{**ACCEPT, "headers": [("a", "b")]}], "must be bytes"),
    ([{**ACCEPT, "headers": [(b"sec-websocket-protocol", b"a")]}], "belongs to the handshake"),
]


@pytest.mark.parametrize("number", range(len(OUT_OF_PLACE)))
def test_events_out_of_place(lasting: Lasting, number: int) -> None:
    """An event out of place is an error in the app, which says which event and where."""
    scripts = {str(each): script for each, (script, _) in enumerate(OUT_OF_PLACE)}
    worker = lasting(SCRIPTED + repr(scripts))
    before = worker.stdout.count("\n")
    peer = Peer(worker, f"/shop/{number}")
    # However it ends, it ends once.
    while True:
        message, _ = worker.take(lambda m: m.get("id") == peer.id)
        if message["type"] == "ERROR" or message.get("end"):
            break
    eventually(lambda: worker.stdout.count("\n") > before)
    assert OUT_OF_PLACE[number][1] in str(results(worker)[-1])


def test_the_app_closes(shop: Workshop) -> None:
    """After its own close the app gets the disconnect, with its own code, again and again."""
    worker = scripted(shop, a=[None, ACCEPT, CLOSE, None, None])
    peer = opened(worker, "/shop/a")
    assert [peer.closed(), peer.closed()] == [(4001, "bye", False), (4001, "bye", True)]
    disconnect = {"type": "websocket.disconnect", "code": 4001, "reason": "bye"}
    assert results(worker) == [{"type": "websocket.connect"}, None, None, disconnect, disconnect]


def test_defaults_of_close(shop: Workshop) -> None:
    """A close without code and reason is a normal one; None counts as missing."""
    close = {"type": "websocket.close", "code": None, "reason": None}
    worker = scripted(shop, a=[ACCEPT, {"type": "websocket.close"}], b=[ACCEPT, close])
    assert opened(worker, "/shop/a").closed() == (1000, "", False)
    assert opened(worker, "/shop/b").closed() == (1000, "", False)


def test_return_closes(shop: Workshop) -> None:
    """An app that returns after accepting has closed normally."""
    assert opened(scripted(shop, a=[ACCEPT]), "/shop/a").closed() == (1000, "", True)


@pytest.mark.parametrize("steps", ["", "await send({'type': 'websocket.accept'})"])
def test_errors(shop: Workshop, steps: str) -> None:
    """An app that raises fails: with 500 before it has accepted, with 1011 after."""
    source = f"async def app(scope, receive, send):\n    await receive()\n    {steps}\n    1 / 0\n"
    peer = Peer(shop.start(source))
    if steps:
        peer.accepted()
    assert "ZeroDivisionError" in peer.failed()["message"]


def test_unfinished_denial(shop: Workshop) -> None:
    """An app that returns in the middle of its denial fails."""
    worker = scripted(shop, a=[START, MORE])
    assert "before it had sent the end" in str(Peer(worker, "/shop/a").denied().error)


def test_the_client_leaves_before_accept(shop: Workshop) -> None:
    """The app gets a disconnect before it accepts, and its accept raises OSError."""
    worker = scripted(shop, a=[None, None, ACCEPT, CLOSE])
    peer = Peer(worker, "/shop/a")
    worker.cancel(peer.id)
    worker.take(lambda m: m.get("id") == peer.id and m["end"])
    connect, disconnect, accept, close = results(worker)
    assert connect == {"type": "websocket.connect"}
    assert disconnect == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
    assert str(accept).startswith("ClientGone")
    assert close is None


def test_receive_before_accept(shop: Workshop) -> None:
    """A receive waits while the app has not accepted, and gets the first message after that."""
    source = """
import asyncio
async def app(scope, receive, send):
    assert scope["type"] == "websocket"
    await receive()
    task = asyncio.ensure_future(receive())
    await asyncio.sleep(0.01)
    assert not task.done(), task
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": (await task)["text"]})
"""
    peer = opened(shop.start(source))
    peer.send("a")
    assert peer.receive() == "a"


def test_an_app_that_does_not_listen(shop: Workshop) -> None:
    """An app that waits for something else is cancelled a second after its client has left."""
    source = """
import asyncio
async def app(scope, receive, send):
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    try:
        await asyncio.sleep(60)
    finally:
        print("cancelled")
"""
    worker = shop.start(source)
    peer = opened(worker)
    peer.close(1001)
    assert peer.closed()[2] is True
    assert worker.stdout == "cancelled\n"
    assert worker.stderr == ""


def test_send_waits_for_credit(shop: Workshop) -> None:
    """A send waits for its client, and raises OSError when the client leaves."""
    source = """
async def app(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "bytes": b"x" * 1_000_000})
    try:
        await send({"type": "websocket.send", "bytes": b"y" * 1_000_000})
    except OSError:
        print("gone")
        raise
"""
    worker = shop.start(source)
    peer = opened(worker)
    assert peer.receive() == b"x" * 1_000_000
    peer.close(1006)
    worker.take(lambda m: m["type"] == "CLOSE" and m["end"])
    assert worker.stdout == "gone\n"


def test_http_beside_websocket(shop: Workshop) -> None:
    """Requests are answered while a WebSocket is open."""
    source = """
async def app(scope, receive, send):
    await receive()
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200})
        return await send({"type": "http.response.body", "body": b"x"})
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})
"""
    worker = shop.start(source)
    peer = opened(worker)
    assert worker.get().text == "x"
    peer.send("a")
    assert peer.receive() == "a"


def test_frameworks_exceptions(shop: Workshop) -> None:
    """Starlette's examples let WebSocketDisconnect through; this is not reported."""
    source = """
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

async def echo(ws):
    await ws.accept()
    while True:
        await ws.send_text(await ws.receive_text())

app = Starlette(routes=[WebSocketRoute("/", echo)])
"""
    worker = shop.start(source)
    peer = opened(worker)
    peer.send("a")
    assert peer.receive() == "a"
    peer.close(1001)
    assert peer.closed()[2] is True
    assert worker.stderr == ""
