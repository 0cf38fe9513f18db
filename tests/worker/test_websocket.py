"""WebSockets of fetch apps: `websocket(ws)`, sync and async, and in a thread beside the loop."""

import json
import random
import re
import select
from collections.abc import Callable
from pathlib import Path

import pytest

from buntime.wire import DOWNLOAD_WINDOW, MESSAGE_OVERHEAD, UPLOAD_WINDOW, Message
from tests.support.peer import Peer, opened
from tests.support.workshop import Worker, Workshop, eventually

Start = Callable[..., Worker]


def spelled(source: str, kind: str) -> str:
    """The source of an app, written as async and without indentation, converted to one of the
    kinds. `thread` is a sync handler of WebSockets beside an async `fetch`."""
    if kind == "async":
        return source
    source = source.replace("asyncio.sleep", "time.sleep")
    source = source.replace("async ", "").replace("await ", "")
    beside = "\nfrom buntime import Response\nasync def fetch(request):\n    return Response('x')\n"
    return source + (beside if kind == "thread" else "")


def starter(shop: Workshop, kind: str) -> Start:
    def start(source: str, **init: object) -> Worker:
        return shop.start(spelled(source, kind), **init)

    return start


@pytest.fixture(params=["sync", "async"])
def start(shop: Workshop, request: pytest.FixtureRequest) -> Start:
    """Starts a worker with an app of this kind."""
    return starter(shop, request.param)


@pytest.fixture(params=["sync", "async", "thread"])
def start_any(shop: Workshop, request: pytest.FixtureRequest) -> Start:
    """The same, also for a sync handler beside a loop."""
    return starter(shop, request.param)


DOCS = Path(__file__).parents[2] / "docs/streaming.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", DOCS.read_text("utf-8"), re.DOTALL | re.MULTILINE)
ECHO = """
async def websocket(ws):
    async for message in ws:
        await ws.send(message)
    print("closed", ws.close_code, ws.close_reason)
"""


def test_echo(start_any: Start) -> None:
    """Text is received and sent as str, bytes as bytes; empty messages are messages."""
    worker = start_any(ECHO)
    peer = opened(worker)
    for message in ("hello", b"\xff\x00", "", b"", "\u20ac\U0001f600"):
        peer.send(message)
        assert peer.receive() == message
    peer.close(1001, "going away")
    assert peer.closed()[2] is True
    eventually(lambda: "closed 1001 going away\n" in worker.stdout)
    assert worker.stderr == ""


def test_large_messages_pass_by_credit(start_any: Start) -> None:
    """A message larger than any window arrives whole, in both directions."""
    peer = opened(start_any(ECHO))
    for size in (65_472, 65_473, 65_536, 65_537, 1024 * 1024):
        message = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        peer.send(message)
        assert peer.receive() == message


def test_text_may_be_cut_anywhere(start: Start) -> None:
    """Pieces of text are joined before they are decoded."""
    peer = opened(start(ECHO))
    text = "a\u20ac\U0001f600\xe9" * 30
    for sizes in (1, 2, 5, 100):
        peer.send(text, sizes=sizes)
        assert peer.receive() == text


def test_many_small_pieces_get_credit(start: Start) -> None:
    """Credit is given for the overhead of pieces too, or a fragmented message would get stuck."""
    peer = opened(start(ECHO))
    message = b"z" * 5000
    peer.send(message, sizes=1)
    assert peer.receive() == message


def test_what_is_not_received_gets_no_credit(start: Start) -> None:
    """An app that does not receive stops its client: no credit is returned."""
    source = """
import asyncio, os, time
async def websocket(ws):
    await ws.send("ready")
    while not os.path.exists("go"):
        await asyncio.sleep(0.01)
    total = 0
    while total < 300_000:
        total += len(await ws.receive())
    await ws.send(str(total))
"""
    worker = start(source)
    peer = opened(worker)
    assert peer.receive() == "ready"
    piece = 30_000
    for _ in range(2):
        peer.send_piece("bytes", b"m" * piece, end=True)
    assert worker.get().status in (200, 426)  # something after which a WINDOW would have come
    assert all(message["type"] != "WINDOW" for message in worker.leftover())
    (worker.app / "go").touch()
    for _ in range(8):
        peer.send(b"m" * piece)
    assert peer.receive() == "300000"


def test_a_client_that_takes_nothing_stops_the_app(start: Start) -> None:
    """Without credit `send` waits; another WebSocket of the same worker continues."""
    source = """
async def websocket(ws):
    if ws.path == "/echo":
        async for message in ws:
            await ws.send(message)
    while True:
        await ws.send(b"x" * 1000)
"""
    worker = start(source)
    stalled, quick = opened(worker, "/shop/flood"), opened(worker, "/shop/echo")
    stalled.grants = False
    for _ in range(DOWNLOAD_WINDOW // (1000 + MESSAGE_OVERHEAD)):
        stalled.receive()
    for n in range(50):
        quick.send(f"{n}")
        assert quick.receive() == f"{n}"
    assert [m for m in worker.leftover() if m["id"] == stalled.id] == []
    stalled.grant(1000 + MESSAGE_OVERHEAD)
    stalled.receive()
    stalled.close(1000)
    assert stalled.closed()[2] is True


def test_a_stalled_message_lets_others_through(start: Start) -> None:
    """A message that waits for credit halfway holds up no other WebSocket."""
    source = """
async def websocket(ws):
    if ws.path == "/big":
        await ws.send(b"y" * 1_000_000)
    async for message in ws:
        await ws.send(message)
"""
    worker = start(source)
    big, small = opened(worker, "/shop/big"), opened(worker, "/shop/small")
    big.send("queued")
    for n in range(20):
        small.send(f"{n}")
        assert small.receive() == f"{n}"
    assert big.receive() == b"y" * 1_000_000
    assert big.receive() == "queued"


def test_the_handshake(start_any: Start) -> None:
    """The handler sees the request; what it passes to accept is sent."""
    source = """
async def websocket(ws):
    await ws.accept("v2", {"X-Room": "1"})
    await ws.send_json([
        ws.method, ws.path, ws.base, ws.target, ws.query["q"], ws.headers["x-a"],
        ws.cookies["c"], ws.client, ws.server, ws.scheme, ws.host, ws.url, ws.id,
        ws.subprotocols, ws.subprotocol, ws.close_code, ws.close_reason,
    ])
"""
    worker = start_any(source)
    headers = [("x-a", "1"), ("cookie", "c=d")]
    peer = Peer(worker, "/shop/r%20m?q=2", ("v1", "v2"), headers=headers)
    accepted = peer.accepted()
    assert (accepted["subprotocol"], accepted["headers"]) == ("v2", [["x-room", "1"]])
    assert json.loads(peer.receive()) == [
        "GET", "/r m", "/shop", "/shop/r%20m?q=2", "2", "1",
        "d", ["203.0.113.7", 50123], ["127.0.0.1", 8000], "ws", "example.com",
        "ws://example.com/shop/r%20m?q=2", f"req-{peer.id}",
        ["v1", "v2"], "v2", None, "",
    ]  # fmt: skip
    assert peer.closed() == (1000, "", True)
    secure = Peer(worker, "/shop/?q=2", ("v2",), headers=headers, scheme="https")
    secure.accepted()
    assert json.loads(secure.receive())[9] == "wss"


@pytest.mark.parametrize("first", ["await ws.receive()", "await ws.send('x')"])
def test_first_use_accepts(start: Start, first: str) -> None:
    """The first receive or send accepts, without a subprotocol."""
    peer = Peer(start(f"async def websocket(ws):\n    {first}\n"), "/shop/", ("a",))
    assert peer.accepted()["subprotocol"] is None


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ("pass", 403, ""),
        ("await ws.close(4000)", 403, ""),
        ("await ws.deny(Response('no', 401, {'x-a': '1'}))", 401, "no"),
        ("return Response('no', 401, {'x-a': '1'})", 401, "no"),
        ("await ws.deny(Response(iter(['a', 'b' * 300_000]), 429))", 429, "a" + "b" * 300_000),
    ],
)
def test_denial(start: Start, body: str, status: int, text: str) -> None:
    """What is not accepted is denied: with 403, or with the handler's response."""
    source = f"from buntime import Response\nasync def websocket(ws):\n    {body}\n"
    answer = Peer(start(source)).denied()
    assert (answer.status, answer.text) == (status, text), answer.stack
    assert answer.headers.get("x-a") == ("1" if status == 401 else None)


def test_error_before_accept(start: Start) -> None:
    """A handler that raises before it accepts fails, which is answered with 500."""
    failed = Peer(start("async def websocket(ws):\n    ws.nothing\n")).failed()
    assert "AttributeError" in failed["message"]
    assert "ws.nothing" in failed["stack"]


def test_error_after_accept(start_any: Start) -> None:
    """A handler that raises later fails, and the runtime closes with 1011."""
    peer = opened(start_any("async def websocket(ws):\n    await ws.send('x')\n    1 / 0\n"))
    assert peer.receive() == "x"
    assert "ZeroDivisionError" in peer.failed()["message"]


def test_the_app_closes(start_any: Start) -> None:
    """The app's close is sent at once and its handler continues; after it nothing is received."""
    source = """
from buntime import WebSocketClosed
async def websocket(ws):
    await ws.send("hello")
    await ws.close(4001, "bye")
    await ws.close(4002)
    for _ in range(2):
        for call in (ws.receive, lambda: ws.send("late")):
            try:
                await call()
            except WebSocketClosed as closed:
                print(closed.code, closed.reason, closed)
    print(ws.close_code, ws.close_reason)
    async for message in ws:
        print("never")
"""
    worker = start_any(source)
    peer = opened(worker)
    assert peer.receive() == "hello"
    peer.send("too late")
    assert peer.closed() == (4001, "bye", False)
    assert peer.closed() == (4001, "bye", True)
    assert worker.stdout == "4001 bye 4001 bye\n" * 4 + "4001 bye\n"
    assert worker.stderr == ""


def test_codes(shop: Workshop) -> None:
    """A code that is allowed in a close frame closes; another is an error in the app."""
    worker = shop.start("def websocket(ws):\n    ws.accept()\n    ws.close(eval(ws.query['c']))\n")
    for code in (1000, 1001, 1003, 1007, 1012, 1014, 3000, 4999):
        peer = opened(worker, f"/shop/?c={code}")
        assert [peer.closed(), peer.closed()] == [(code, "", False), (code, "", True)]
    for code in (999, 1004, 1005, 1006, 1015, 2999, 5000, "'1000'", None, 1e3):
        failed = opened(worker, f"/shop/?c={code}").failed()
        assert "ValueError" in failed["message"], code


@pytest.mark.parametrize(
    ("accept", "error"),
    [
        ("'c'", "the client did not offer 'c'; it offers: a, b"),
        ("headers={'Sec-WebSocket-Protocol': 'a'}", "belongs to the handshake"),
        ("headers={'x y': 'a'}", "not a token"),
    ],
)
def test_bad_accept(start: Start, accept: str, error: str) -> None:
    """What the handshake cannot contain is an error in the app, before anything is sent."""
    source = f"async def websocket(ws):\n    await ws.accept({accept})\n"
    assert error in Peer(start(source), "/shop/", ("a", "b")).failed()["message"]


def test_answered_once(start: Start) -> None:
    """Accepting twice, or denying after accepting, is an error in the app."""
    source = """
from buntime import Response
async def websocket(ws):
    await ws.accept()
    for call in (ws.accept, lambda: ws.deny(Response("no", 401))):
        try:
            await call()
        except RuntimeError as exc:
            print(exc)
"""
    worker = start(source)
    assert opened(worker).closed() == (1000, "", True)
    assert worker.stdout.count("has been answered") == 2


def test_messages_before_the_close_are_received(start: Start) -> None:
    """Messages from before the close are received first, then every receive reports the close."""
    source = """
import asyncio, os, time
from buntime import WebSocketClosed
async def websocket(ws):
    await ws.send("ready")
    while not os.path.exists("go"):
        await asyncio.sleep(0.01)
    print([await ws.receive() for _ in range(2)])
    for _ in range(2):
        try:
            await ws.receive()
        except WebSocketClosed as closed:
            print(closed.code)
"""
    worker = start(source)
    peer = opened(worker)
    peer.receive()
    peer.send("1")
    peer.send("2")
    peer.close(4000)
    (worker.app / "go").touch()
    assert peer.closed()[2] is True
    assert worker.stdout == "['1', '2']\n4000\n4000\n"


def test_the_last_words_of_an_app(start_any: Start) -> None:
    """If the runtime no longer listens to the client, the app is told after it has answered the
    earlier messages; those answers are still sent, until the runtime says that it is over."""
    worker = start_any(
        """
async def websocket(ws):
    async for message in ws:
        await ws.send(message)
    await ws.send("last")
    print("told", ws.close_code)
    while True:
        await ws.send("?" * 1000)
"""
    )
    peer = opened(worker)
    peer.send("a")
    peer.send("b")
    peer.close(1002, "no frame", end=False)
    assert [peer.receive() for _ in range(4)] == ["a", "b", "last", "?" * 1000]
    eventually(lambda: "told 1002\n" in worker.stdout)
    peer.close(1002, "no frame")
    message, _ = worker.take(lambda m: m["type"] == "CLOSE")
    assert (message["code"], message["end"]) == (1002, True)
    assert worker.stderr == ""


def test_the_client_leaves_while_the_app_sends(start_any: Start) -> None:
    """A send that waits for credit gets the close, also in the middle of a message."""
    source = """
from buntime import WebSocketClosed
async def websocket(ws):
    try:
        await ws.send(b"x" * 1_000_000)
    except WebSocketClosed as closed:
        print("closed", closed.code)
        raise
"""
    worker = start_any(source)
    peer = opened(worker)
    peer.close(1006)
    worker.take(lambda m: m["type"] == "CLOSE" and m["end"])
    eventually(lambda: worker.stdout == "closed 1006\n")
    assert worker.stderr == ""


def test_the_client_leaves_before_accept(start: Start) -> None:
    """A client that left during the handshake is no error, and its request ends."""
    source = """
import asyncio, os, time
async def websocket(ws):
    print("begun")
    while not os.path.exists("go"):
        await asyncio.sleep(0.01)
    await ws.accept()
    print("never")
"""
    worker = start(source)
    peer = Peer(worker)
    eventually(lambda: "begun" in worker.stdout)
    worker.cancel(peer.id)
    assert worker.get().status in (200, 426)  # the worker has read what came before this
    (worker.app / "go").touch()
    message, _ = worker.take(lambda m: m.get("id") == peer.id)
    assert message["type"] == "ERROR" or message["end"]
    assert worker.get().status in (200, 426)
    assert "never" not in worker.stdout
    assert worker.stderr == ""


def test_an_error_after_the_close_is_told(start: Start) -> None:
    """What a handler raises after its client has left is on stderr, with its stack."""
    source = """
async def websocket(ws):
    async for message in ws:
        pass
    ws.nothing
"""
    worker = start(source)
    peer = opened(worker)
    peer.close(1001)
    assert peer.closed()[2] is True
    eventually(lambda: "after its WebSocket was closed" in worker.stderr)
    assert "ws.nothing" in worker.stderr


def test_the_close_of_another_is_an_error(start: Start) -> None:
    """WebSocketClosed ends a handler quietly only if it is from its own WebSocket."""
    source = """
others = []
async def websocket(ws):
    others.append(ws)
    async for message in ws:
        await others[0].send(message)
"""
    worker = start(source)
    first, second = opened(worker), opened(worker)
    second.send("1")
    assert first.receive() == "1"
    first.close(4005)
    assert first.closed()[2] is True
    second.send("2")
    assert "WebSocketClosed: 4005" in second.failed()["message"]


def test_receive_json(start_any: Start) -> None:
    """JSON is read from text and bytes; invalid JSON closes with 1007 if the handler does not catch
    it."""
    source = """
async def websocket(ws):
    while True:
        await ws.send_json({"got": await ws.receive_json()})
"""
    worker = start_any(source)
    peer = opened(worker)
    for message in ('{"a": 1}', b"[1]"):
        peer.send(message)
        assert json.loads(peer.receive()) == {"got": json.loads(message)}
    peer.send("{")
    code, reason, _ = peer.closed()
    assert code == 1007
    assert reason.startswith("the message is not JSON")
    assert worker.stderr == ""


def test_no_message(start: Start) -> None:
    """A value that is no message raises an error that names its type."""
    worker = start("async def websocket(ws):\n    await ws.send(eval(ws.query['v']))\n")
    for value in ("None", "1", "{}", "['a']"):
        failed = Peer(worker, f"/shop/?v={value}").failed()
        assert "a message is str or bytes" in failed["message"]


def test_bytes_like(start: Start) -> None:
    """A bytearray or memoryview is sent as it is now, even if it changes later."""
    source = """
async def websocket(ws):
    data = bytearray(b"abc")
    await ws.send(data)
    data[0] = 0
    await ws.send(memoryview(data))
"""
    peer = opened(start(source))
    assert [peer.receive(), peer.receive()] == [b"abc", b"\0bc"]


def test_any_thread_or_task_may_send(start_any: Start) -> None:
    """Handlers may send to each other's WebSockets, also large messages; they never mix."""
    source = """
members = []
async def websocket(ws):
    members.append(ws)  # before it is accepted, so in the order of the peers, who read in theirs
    count = len(members)
    await ws.accept()
    if count == 4:
        for member in members:
            await member.send("all here")
    async for message in ws:
        for member in members:
            await member.send(message)
"""
    worker = start_any(source)
    peers = [opened(worker) for _ in range(4)]
    assert [peer.receive() for peer in peers] == ["all here"] * 4
    sent = [letter * 200_000 for letter in "abcd"]
    for peer, text in zip(peers, sent, strict=True):
        peer.send(text)
    received = {peer.id: [] for peer in peers}
    for _ in range(4):
        for peer in peers:
            received[peer.id].append(peer.receive())
    assert all(sorted(texts) == sent for texts in received.values())


def test_wrong_results_are_told(start: Start) -> None:
    """A handler that returns something other than a Response gets an error that says what it may
    return."""
    failed = Peer(start("async def websocket(ws):\n    return 'hello'\n")).failed()
    assert "websocket returned a value of type str; it returns nothing" in failed["message"]


def test_a_new_close_needs_no_credit(start: Start) -> None:
    """A close is sent even if a message waits for credit."""
    source = """
import asyncio, threading, time
async def websocket(ws):
    await ws.accept()
    worker(ws)
    try:
        await ws.send(b"x" * 1_000_000)
    except Exception as exc:
        print(repr(exc))

def worker(ws):
    async def close():
        await asyncio.sleep(0.05)
        await ws.close(4008)
    if hasattr(ws, "__anext__"):
        task = asyncio.get_running_loop().create_task(close())
        tasks.append(task)
    else:
        threading.Thread(target=close).start()
tasks = []
"""
    worker = start(source)
    opened(worker)
    for end in (False, True):
        message, _ = worker.take(lambda m: m["type"] == "CLOSE")
        assert (message["code"], message["end"]) == (4008, end)
    assert worker.stdout == "WebSocketClosed(4008, '')\n"


def test_beside_fetch(shop: Workshop) -> None:
    """Requests and WebSockets are answered side by side."""
    source = """
from buntime import Response
def fetch(request):
    return Response(request.path)
async def websocket(ws):
    async for message in ws:
        await ws.send(message)
"""
    worker = shop.boot(source)
    ready = worker.ready()
    assert (ready["kind"], ready["is_async"], ready["concurrency"]) == ("fetch", True, 100)
    peer = opened(worker)
    peer.send("a")
    assert worker.get("/shop/b").text == "/b"
    assert peer.receive() == "a"


def test_which_sockets_take_a_place(shop: Workshop) -> None:
    """An async handler's WebSocket is open-ended; a sync handler's has a thread and is not."""
    source = "async def websocket(ws):\n    await ws.receive()\n"
    for kind, is_open_ended in (("async", True), ("thread", False), ("sync", False)):
        peer = Peer(shop.start(spelled(source, kind)))
        assert peer.accepted()["open_ended"] is is_open_ended


def test_beside_routes(shop: Workshop) -> None:
    """`routes` and `websocket` work together."""
    source = """
from buntime import Response
routes = {"/": Response("page")}
def websocket(ws):
    ws.send("hello")
"""
    worker = shop.boot(source)
    ready = worker.ready()
    assert (ready["kind"], ready["is_async"], ready["concurrency"]) == ("routes", False, 100)
    assert opened(worker).receive() == "hello"
    assert worker.get().text == "page"


def test_alone(shop: Workshop) -> None:
    """An app with only a websocket handler answers everything else with 426."""
    worker = shop.boot("def websocket(ws): ws.send('x')")
    assert worker.ready()["kind"] == "websocket"
    answer = worker.get()
    assert answer.status == 426
    assert answer.headers["upgrade"] == "websocket"
    assert answer.json["error"]["code"] == "upgrade_required"
    assert opened(worker).receive() == "x"


def test_low_memory(shop: Workshop) -> None:
    """lowMemory reduces the threads for sync WebSockets to those for requests."""
    worker = shop.boot("def websocket(ws): ws.send('x')", config={"ttl": 60, "lowMemory": True})
    assert worker.ready()["concurrency"] == 8


@pytest.mark.parametrize(
    "source",
    [
        "def fetch(request): return Response(request.headers['upgrade'])",
        "async def fetch(request): return Response(request.headers['upgrade'])",
        "routes = {'/': lambda request: Response(request.headers['upgrade'])}",
        """
def app(environ, start_response):
    start_response("200 OK", [])
    return [environ["HTTP_UPGRADE"].encode()]
""",
    ],
)
def test_apps_without_it(shop: Workshop, source: str) -> None:
    """An app without WebSockets answers the handshake as the GET that it is."""
    worker = shop.start("from buntime import Response\n" + source)
    peer = Peer(worker, headers={"upgrade": "websocket"})
    assert peer.denied().text == "websocket"


def test_a_module_is_no_handler(shop: Workshop) -> None:
    """An imported module called websocket is not a handler."""
    shop.write("", "websocket.py")
    source = "import websocket\nfrom buntime import Response\nroutes = {'/': Response('x')}"
    worker = shop.boot(source)
    assert worker.ready()["concurrency"] == 8
    assert Peer(worker).denied().text == "x"


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("websocket = 1", "websocket is an int, which cannot be called"),
        ("def websocket(): pass", "websocket must take one argument, the WebSocket"),
        ("import os\nwebsocket = os", "websocket is a module"),
    ],
)
def test_bad_exports(shop: Workshop, source: str, error: str) -> None:
    """What cannot be a handler is a boot error that says why."""
    assert error in shop.boot(source).boot_error()["message"]


def test_many_sync_sockets(shop: Workshop) -> None:
    """A sync app has a thread for each of 100 WebSockets, and each gets its own messages."""
    worker = shop.start("def websocket(ws):\n    for m in ws: ws.send(m)\n")
    peers = [opened(worker) for _ in range(100)]
    for n, peer in enumerate(peers):
        peer.send(f"{n}")
    assert [peer.receive() for peer in peers] == [f"{n}" for n in range(100)]
    for peer in peers:
        peer.close()
    assert all(peer.closed()[2] for peer in peers)


def test_concurrency_of_one(shop: Workshop) -> None:
    """With one thread for everything, the handler itself reads the channel while it waits."""
    source = """
def websocket(ws):
    ws.accept()
    for n in range(1000):
        ws.send(b"x" * 1000)
    for message in ws:
        ws.send(message)
"""
    worker = shop.start(source, concurrency=1)
    peer = opened(worker)
    for _ in range(1000):
        peer.receive()
    peer.send("a")
    assert peer.receive() == "a"
    peer.close()
    assert peer.closed()[2] is True
    assert opened(worker).receive() == b"x" * 1000


def test_one_thread_hears_of_the_close(shop: Workshop) -> None:
    """With one thread for everything, a handler that only sends checks for messages as it does."""
    source = """
import time
def websocket(ws):
    while True:
        ws.send("x")
        time.sleep(0.02)
"""
    worker = shop.start(source, concurrency=1)
    peer = opened(worker)
    assert peer.receive() == "x"
    peer.close(1001)
    worker.take(lambda m: m["type"] == "CLOSE" and m["end"])


def test_an_untold_handler_is_cancelled(shop: Workshop) -> None:
    """An async handler that waits for something else is cancelled a second after the close."""
    source = """
import asyncio
async def websocket(ws):
    await ws.accept()
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        print("cancelled")
        raise
"""
    worker = shop.start(source)
    peer = opened(worker)
    peer.close(1001)
    assert peer.closed()[2] is True
    assert worker.stdout == "cancelled\n"
    assert worker.stderr == ""


def test_a_told_handler_has_time(shop: Workshop) -> None:
    """A handler that was told of the close may take more than a second to clean up."""
    source = """
import asyncio
async def websocket(ws):
    async for message in ws:
        pass
    await asyncio.sleep(1.5)
    print("in order")
"""
    worker = shop.start(source)
    peer = opened(worker)
    peer.close(1001)
    assert peer.closed()[2] is True
    assert worker.stdout == "in order\n"


def test_terminate_waits_for_open_sockets(start_any: Start) -> None:
    """After TERMINATE an open WebSocket continues until the runtime closes it."""
    worker = start_any(ECHO)
    peer = opened(worker)
    worker.send({"type": "TERMINATE"})
    peer.send("still here")
    assert peer.receive() == "still here"
    peer.close(1012)
    assert peer.closed()[2] is True
    assert worker.process.wait(20) == 0


def test_poll_with_a_timeout(shop: Workshop) -> None:
    """A cancelled receive loses no message, and leaves nothing behind."""
    source = """
import asyncio
async def websocket(ws):
    await ws.accept()
    timeouts = 0
    while timeouts < 300:
        try:
            await asyncio.wait_for(ws.receive(), 0.0001)
        except asyncio.TimeoutError:
            timeouts += 1
    await ws.send(str(len(ws._link._waiters)))
    message = None
    while message is None:
        try:
            message = await asyncio.wait_for(ws.receive(), 0.001)
        except asyncio.TimeoutError:
            pass
    await ws.send(str(len(message)))
"""
    worker = shop.start(source)
    peer = opened(worker)
    assert int(peer.receive()) <= 1
    peer.send(b"x" * 500_000)
    assert peer.receive() == "500000"


def test_a_cancelled_send_leaves_whole_messages(shop: Workshop) -> None:
    """A send that is cancelled halfway is completed before the next one begins."""
    source = """
import asyncio
async def websocket(ws):
    await ws.accept()
    try:
        await asyncio.wait_for(ws.send(b"1" * 300_000), 0.05)
    except asyncio.TimeoutError:
        print("timed out")
    await ws.send("2")
"""
    worker = shop.start(source)
    peer = opened(worker)
    eventually(lambda: worker.stdout == "timed out\n")
    assert peer.receive() == b"1" * 300_000
    assert peer.receive() == "2"


def test_a_group_of_closes_is_a_close(shop: Workshop) -> None:
    """A TaskGroup whose tasks all get the close is a normal end."""
    source = """
import asyncio
async def read(ws):
    while True:
        await ws.receive()
async def websocket(ws):
    await ws.accept()
    async with asyncio.TaskGroup() as group:
        group.create_task(read(ws))
        group.create_task(read(ws))
"""
    worker = shop.start(source)
    peer = opened(worker)
    peer.close(4000)
    assert peer.closed() == (4000, "", True)
    assert worker.stderr == ""


@pytest.mark.parametrize("source", EXAMPLES)
def test_docs(shop: Workshop, source: str) -> None:
    """Each example in docs/streaming.md can be loaded unchanged."""
    shop.start(source)


STORM = """
from buntime import WebSocketClosed
members = []
async def websocket(ws):
    if ws.path == "/deny":
        return
    await ws.accept()
    members.append(ws)
    try:
        async for message in ws:
            for member in list(members):
                try:
                    await member.send(message * 1000)
                except WebSocketClosed:
                    pass
            if message == "x":
                await ws.close(4000)
            if message == "y":
                return
    finally:
        members.remove(ws)
"""


@pytest.mark.parametrize("seed", range(3))
def test_a_storm(start: Start, seed: int) -> None:
    """When many send, close and leave at the same time, each WebSocket ends once, with nothing
    after it."""
    chance = random.Random(seed)
    worker = start(STORM)
    ended: set[int] = set()
    told: set[int] = set()
    peers: list[Peer] = []

    def take(message: Message, payload: bytes) -> None:
        number = message["id"]
        assert number not in ended, f"{message} after its end"
        if message["type"] == "MESSAGE" and number not in told:
            size = len(payload) + MESSAGE_OVERHEAD
            worker.send({"type": "WINDOW", "id": number, "credit": size})
        if message["type"] == "ERROR" or (
            message["type"] in ("RESPONSE", "CLOSE") and message["end"]
        ):
            ended.add(number)

    def leave(peer: Peer) -> None:
        if peer.id not in told | ended:
            told.add(peer.id)
            peer.close(1001)

    for _ in range(250):
        what = chance.random()
        if what < 0.2 or len(peers) < 3:
            peers.append(Peer(worker, "/shop/deny" if what < 0.02 else "/shop/"))
        else:
            peer = chance.choice(peers)
            if what < 0.3:
                leave(peer)
            elif peer.id not in told and peer.upload_credit > 1000:
                letter = chance.choice("xy" + "abc" * 6).encode()
                peer.send_piece("text", letter, end=True)
        while select.select([worker.socket], [], [], 0)[0]:
            take(*worker.take(lambda _: True))
    for peer in peers:
        leave(peer)
    while len(ended) < len(peers):
        take(*worker.take(lambda _: True))
    assert worker.get().status in (200, 426)
    assert worker.stderr == ""


def test_upload_window(shop: Workshop) -> None:
    """The returned credit adds up to what was received, within one window."""
    worker = shop.start("def websocket(ws):\n    for m in ws: ws.send(str(len(m)))\n")
    peer = opened(worker)
    for _ in range(200):
        peer.send(b"a" * 3000)
        assert peer.receive() == "3000"
    assert 0 < peer.upload_credit <= UPLOAD_WINDOW
