"""Calls from everywhere at once, with streams, large contents and hooks in between."""

import select
import socket

import pytest

from buntime.wire import Decoder, Message, encode
from tests.support.plugins import WORDS, ask, start_plugin, verdict
from tests.support.services import give, give_item
from tests.support.workshop import WAIT_S, Worker, Workshop

SOURCE = """
import asyncio, threading
from buntime import Response, async_service, service
kv = service("kv")
ends = []
def work(name):
    for n in range(40):
        assert kv.get(name, n) == [name, n]
        if n % 10 == 0:
            assert list(kv.watch(n)) == [n, n + 1, n + 2], n
        if n % 20 == 0:
            assert len(kv.large(b"x" * 100_000)) == 100_000
    ends.append(name)
threads = [threading.Thread(target=work, args=(f"import {n}",)) for n in range(2)]
for thread in threads:
    thread.start()
work("at import")
{async_}def fetch(request):
    {body}
    return Response("done")
def on_terminate():
    work("at the end")
    for thread in threads:
        thread.join()
    print(len(ends))
"""
ASYNC_BODY = """await asyncio.gather(*(one(request.path, n) for n in range(30)))
async def one(path, n):
    assert await async_service("kv").get(path, n) == [path, n]
    assert [each async for each in async_service("kv").watch(n)] == [n, n + 1, n + 2]
async def unused():
    pass"""
BODIES = {
    "sync": ("", "work(request.path)"),
    "async": (
        "async ",
        ASYNC_BODY,
    ),
    "async, blocking": ("async ", "work(request.path)"),
}


class Store:
    """Plays the runtime: answers every CALL that arrives, and never waits to send."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.large: dict[int, list[int]] = {}  # what has not arrived yet
        self.answers = 0
        self._out = bytearray()
        self._decoder = Decoder()

    def send(self, message: Message, payload: bytes = b"") -> None:
        """Send a message when the kernel accepts it."""
        self._out += encode(message) + payload

    def serve(self, wanted: int) -> None:
        """Answer until this many RESPONSEs have come, or the process has ended."""
        sock = self.worker.socket
        while self.answers < wanted:
            out = [sock] if self._out else []
            readable, writable, _ = select.select([sock], out, [], WAIT_S)
            assert readable or writable, f"nothing goes on: {self.worker.stderr}"
            if writable:
                del self._out[: sock.send(self._out[:65536], socket.MSG_DONTWAIT)]
            data = sock.recv(262144) if readable else None
            if data == b"":
                return
            for message, payload in self._decoder.feed(data or b""):
                getattr(self, "on_" + message["type"].lower(), self.on_other)(message, payload)

    def on_call(self, message: Message, payload: bytes) -> None:
        number = message["id"]
        if message["method"] == "get":
            give(self, number, message["args"])
        elif message["method"] == "watch":
            self.send({"type": "RESULT", "id": number, "ok": True, "stream": True})
            for n in range(3):
                give_item(self, number, message["args"][0] + n)
            self.send({"type": "ITEM", "id": number, "end": True})
        else:
            self.large[number] = [message["total"]]

    def on_item(self, message: Message, payload: bytes) -> None:
        number = message["id"]
        self.send({"type": "WINDOW", "id": number, "credit": len(payload) + 64})
        self.large[number][0] -= len(payload)
        if not self.large[number][0]:
            text = b'{"$bytes":100000}'
            sizes = {"text": len(text), "total": len(text) + 100_000}
            self.send({"type": "RESULT", "id": number, "ok": True, **sizes})
            content = text + b"y" * 100_000
            for piece in (content[:65536], content[65536:]):
                self.send({"type": "ITEM", "id": number, "size": len(piece)}, piece)

    def on_response(self, message: Message, payload: bytes) -> None:
        assert message["status"] == 200
        self.answers += 1

    def on_other(self, message: Message, payload: bytes) -> None:
        assert message["type"] in ("UP", "READY", "WINDOW", "ERROR"), message
        assert message["type"] != "ERROR", message


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("concurrency", [1, 3, None])
def test_stress(shop: Workshop, kind: str, concurrency: int | None) -> None:
    """Nothing is lost, mixed up or stuck during a worker's whole life."""
    async_, body = BODIES[kind]
    first, *rest = body.split("\n")
    source = SOURCE.replace("{async_}", async_).replace("{body}", first) + "\n".join(rest) + "\n"
    worker = shop.boot(source, uses=["kv"], concurrency=concurrency)
    store = Store(worker)
    for n in range(6):
        worker.request(f"/shop/{n}")
    store.serve(6)
    store.send({"type": "TERMINATE"})
    store.serve(7)
    assert worker.process.wait(20) == 0
    assert worker.stdout.strip() == str(4 + (0 if kind == "async" else 6))
    assert worker.stderr == ""


def test_hooks_that_call(shop: Workshop) -> None:
    """Many hooks at once, each of which calls a service, in a plugin of either kind."""
    for words in WORDS:
        kind = "service" if words == "sync" else "async_service"
        source = """
        from buntime.plugin import Continue, plugin
        kv = plugin.KIND("kv")
        {async_}def on_request(request):
            got = [{await_}kv.get(request.path, n) for n in range(5)]
            return Continue(tags=[str(len(got))])
        """
        worker = start_plugin(shop, source.replace("KIND", kind), words)
        numbers = [ask(worker, path=f"/{n}") for n in range(30)]
        for _ in range(150):
            message, _ = worker.take(lambda m: m["type"] == "CALL")
            give(worker, message, message["args"])
        assert all(verdict(worker, number).said == {"tags": ["5"]} for number in numbers)
