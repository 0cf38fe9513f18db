"""Event streams through a worker: each event at once, heartbeats, an end when nobody listens."""

import json

import pytest

from buntime.wire import DOWNLOAD_WINDOW
from tests.support.workshop import Worker, Workshop, eventually

# The same three events, each sent once a file with its number exists.
SLOW = {
    "sync": """
import os, time
from buntime import Event, Response
def events():
    try:
        for n in range(3):
            while not os.path.exists(str(n)):
                time.sleep(0.005)
            yield [str(n), {"n": n}, Event(n, event="tick", id=n)][n]
    finally:
        print("closed")
def fetch(request):
    return Response.events(events(), heartbeat=HEARTBEAT)
""",
    "async": """
import asyncio, os
from buntime import Event, Response
async def events():
    try:
        for n in range(3):
            while not os.path.exists(str(n)):
                await asyncio.sleep(0.005)
            yield [str(n), {"n": n}, Event(n, event="tick", id=n)][n]
    finally:
        print("closed")
async def fetch(request):
    return Response.events(events(), heartbeat=HEARTBEAT)
""",
    "thread": """
import os, time
from buntime import Event, Response
def events():
    try:
        for n in range(3):
            while not os.path.exists(str(n)):
                time.sleep(0.005)
            yield [str(n), {"n": n}, Event(n, event="tick", id=n)][n]
    finally:
        print("closed")
async def fetch(request):
    return Response.events(events(), heartbeat=HEARTBEAT)
""",
}


def begin(shop: Workshop, kind: str, heartbeat: float | None) -> tuple[Worker, int]:
    worker = shop.start(SLOW[kind].replace("HEARTBEAT", repr(heartbeat)))
    number = worker.request()
    head, payload = worker.take(lambda m: m["type"] == "RESPONSE")
    assert (head["status"], payload, head["end"]) == (200, b"", False)
    assert ["content-type", "text/event-stream"] in head["headers"]
    return worker, number


def next_piece(worker: Worker) -> bytes:
    return worker.take(lambda m: m["type"] == "BODY")[1]


@pytest.mark.parametrize("kind", SLOW)
def test_each_event_leaves_at_once(shop: Workshop, kind: str) -> None:
    """The head is sent before the first event, and each event when it is made, by itself."""
    worker, _ = begin(shop, kind, None)
    for n, sent in enumerate([b"data: 0\n\n", b'data: {"n":1}\n\n']):
        (worker.app / str(n)).touch()
        assert next_piece(worker) == sent
    (worker.app / "2").touch()
    assert next_piece(worker) == b"event: tick\nid: 2\ndata: 2\n\n"
    end, payload = worker.take(lambda m: m["type"] == "BODY")
    assert (end["end"], payload) == (True, b"")
    eventually(lambda: worker.stdout == "closed\n")


@pytest.mark.parametrize("kind", SLOW)
def test_heartbeat(shop: Workshop, kind: str) -> None:
    """While nothing comes, comments are sent; the events arrive among them."""
    worker, _ = begin(shop, kind, 0.02)
    assert [next_piece(worker) for _ in range(3)] == [b":\n\n"] * 3
    for n in range(3):
        (worker.app / str(n)).touch()
    pieces = []
    while True:
        message, payload = worker.take(lambda m: m["type"] == "BODY")
        pieces.append(payload)
        if message["end"]:
            break
    assert [piece for piece in pieces if piece not in (b":\n\n", b"")] == [
        b"data: 0\n\n",
        b'data: {"n":1}\n\n',
        b"event: tick\nid: 2\ndata: 2\n\n",
    ]
    # The request is over: none of its messages follow the next answer.
    assert worker.get(method="HEAD").status == 200
    assert worker.leftover() == []


@pytest.mark.parametrize("kind", SLOW)
def test_heartbeat_needs_credit(shop: Workshop, kind: str) -> None:
    """No heartbeat is sent beyond the credit, nor inside an event that waits for credit."""
    source = SLOW[kind].replace("yield [str(n)", 'yield ["x" * 500_000')
    worker = shop.start(source.replace("HEARTBEAT", "0.0005"))
    for name in ("0", "1", "2"):
        (worker.app / name).touch()
    number = worker.request()
    stream, granted = b"", DOWNLOAD_WINDOW
    while not stream.endswith(b"x\n\n"):
        if len(stream) == granted:  # otherwise it would be asked for more than there is
            worker.send({"type": "WINDOW", "id": number, "credit": 500})
            granted += 500
        stream += next_piece(worker)
        assert len(stream) <= granted
    assert stream.lstrip(b":\n") == b"data: " + b"x" * 500_000 + b"\n\n"


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_heartbeat_without_credit(shop: Workshop, kind: str) -> None:
    """If the credit is used up, no heartbeat is sent until there is more."""
    event = "x" * (DOWNLOAD_WINDOW - len("data: \n\n") - 2)  # less is left than a heartbeat takes
    source = SLOW[kind].replace("yield [str(n)", f'yield ["x" * {len(event)}')
    worker = shop.start(source.replace("HEARTBEAT", "0.1"))
    (worker.app / "0").touch()
    number = worker.request()
    assert next_piece(worker) + next_piece(worker) == f"data: {event}\n\n".encode()
    with pytest.raises(AssertionError, match="nothing came"):
        worker.take(lambda m: m["type"] == "BODY", timeout_s=0.3)
    worker.send({"type": "WINDOW", "id": number, "credit": 1})
    assert next_piece(worker) == b":\n\n"


@pytest.mark.parametrize("kind", SLOW)
def test_no_heart_beats_on(shop: Workshop, kind: str) -> None:
    """A stream that has ended leaves no timer behind, nor any work for the heartbeats' thread."""
    prefix = "" if kind == "sync" else "async "
    source = f"""
import asyncio, sys
from buntime import Response
{prefix if kind == "async" else ""}def events():
    yield "x"
{prefix}def fetch(request):
    if request.path == "/events":
        return Response.events(events(), heartbeat=30)
    pulse = sys.modules["buntime.worker.eventkeepalive"]
    loop = {"None" if kind == "sync" else "asyncio.get_running_loop()"}
    beats = [] if loop is None else [t for t in loop._scheduled if not t.cancelled()]
    return Response.json([len(pulse._beats._pulses), len(beats)])
"""
    worker = shop.start(source)
    for _ in range(3):
        assert worker.get("/shop/events").text == "data: x\n\n"
    assert worker.get("/shop/").json == [0, 0]


@pytest.mark.parametrize("kind", SLOW)
def test_when_the_client_leaves(shop: Workshop, kind: str) -> None:
    """The generator is closed: at its next event, or at once if it is on the loop."""
    worker, number = begin(shop, kind, 0.02)
    worker.cancel(number)
    if kind != "async":
        worker.take_type("RESPONSE", worker.request())  # it has also read what came before
        (worker.app / "0").touch()
    message, _ = worker.take(lambda m: m.get("id") == number and m.get("end", True))
    assert message["type"] in ("ERROR", "BODY")
    eventually(lambda: worker.stdout == "closed\n")
    assert worker.stderr == ""


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_last_event_id(shop: Workshop, kind: str) -> None:
    """A client that reconnects says which event it saw last, in UTF-8."""
    prefix = "async " if kind == "async" else ""
    source = f"""
from buntime import Response
{prefix}def fetch(request):
    return Response.json(request.last_event_id)
"""
    worker = shop.start(source)
    assert worker.get().json is None
    assert worker.get(headers={"last-event-id": "17"}).json == "17"
    sent = "\u20ac".encode().decode("latin-1")
    assert worker.get(headers={"last-event-id": sent}).json == "\u20ac"


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_bad_event(shop: Workshop, kind: str) -> None:
    """An invalid event fails the request, with the reason."""
    prefix = "async " if kind == "async" else ""
    source = f"""
from buntime import Response
{prefix}def events():
    yield 1
{prefix}def fetch(request):
    return Response.events(events())
"""
    assert "an event is str, dict or buntime.Event, not int" in str(shop.start(source).get().error)


def test_async_events_of_a_sync_handler(shop: Workshop) -> None:
    """A sync handler cannot send what has to be awaited."""
    source = """
from buntime import Response
async def events():
    yield "x"
def fetch(request):
    return Response.events(events())
"""
    assert "cannot have an async iterable" in str(shop.start(source).get().error)


@pytest.mark.parametrize("concurrency", [1, 8])
def test_is_cancelled(shop: Workshop, concurrency: int) -> None:
    """A sync handler that works for a long time can ask whether the client still waits."""
    source = """
import time
from buntime import Response
def fetch(request):
    print("begun", request.is_cancelled())
    while not request.is_cancelled():
        time.sleep(0.001)
    print("cancelled")
    return Response("x")
"""
    worker = shop.start(source, concurrency=concurrency)
    number = worker.request()
    eventually(lambda: worker.stdout == "begun False\n")
    worker.cancel(number)
    eventually(lambda: worker.stdout == "begun False\ncancelled\n")


def test_is_cancelled_in_a_thread(shop: Workshop) -> None:
    """So can a sync handler of an async app."""
    source = """
import time
from buntime import Response
def slow(request):
    print("begun", flush=True)
    while not request.is_cancelled():
        time.sleep(0.001)
    print("cancelled")
async def quick(request):
    return Response("x")
routes = {"/slow": slow, "/quick": quick}
"""
    worker = shop.start(source)
    number = worker.request("/shop/slow")
    eventually(lambda: worker.stdout == "begun\n")
    worker.cancel(number)
    eventually(lambda: worker.stdout == "begun\ncancelled\n")
    assert worker.get("/shop/quick").text == "x"


def test_a_sync_body_of_an_async_app_is_closed_in_its_thread(shop: Workshop) -> None:
    """A generator that is running when the client leaves is closed once it yields."""
    source = """
import os, threading, time
from buntime import Response
def pieces():
    try:
        yield "first"
        while not os.path.exists("go"):
            time.sleep(0.005)
        yield "second"
    finally:
        print("closed", threading.current_thread().name.partition("_")[0])
async def fetch(request):
    return Response(pieces())
"""
    worker = shop.start(source)
    number = worker.request()
    worker.take(lambda m: m["type"] == "BODY")
    worker.cancel(number)
    assert "ClientGone" in str(worker.answer(number).error)
    (worker.app / "go").touch()
    eventually(lambda: worker.stdout == "closed handler\n")
    assert worker.stderr == ""


def test_json_of_events(shop: Workshop) -> None:
    """Many streams of one worker send heartbeats at the same time."""
    worker = shop.start(SLOW["sync"].replace("HEARTBEAT", "0.02"), concurrency=5)
    ids = [worker.request() for _ in range(5)]
    for number in ids * 2:
        _, payload = worker.take(lambda m, n=number: m["type"] == "BODY" and m["id"] == n)
        assert payload == b":\n\n"
    for n in range(3):
        (worker.app / str(n)).touch()
    for number in ids:
        text = worker.answer(number).text.replace(":\n\n", "")
        assert json.loads(text.splitlines()[2].removeprefix("data: ")) == {"n": 1}
