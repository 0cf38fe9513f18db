"""Clients that run all the time, each of one kind, and count what fails."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Message,
    RejectConnection,
    Request,
    TextMessage,
)

APP = """
import asyncio
from buntime import Response

async def fetch(request):
    if request.path == "/stream":
        return Response(pieces())
    body = await request.bytes() if request.method == "POST" else b"x"
    return Response(str(len(body)))

async def pieces():
    for _ in range(5):
        yield b"piece"
        await asyncio.sleep(0.08)

async def websocket(ws):
    async for message in ws:
        await ws.send(message)
"""
_PAUSE_S = 0.06
_GOING_AWAY = (1001, 1012)


class Lost(Exception):
    """A request that got no answer."""


class Traffic:
    """`done` counts successes by kind, `lost` has a line for each failure."""

    def __init__(self, port: int) -> None:
        self.done: Counter[str] = Counter()
        self.lost: list[str] = []
        self._port = port
        self._is_over = threading.Event()

    def go(self, kind: str, once: Callable[[http.client.HTTPConnection], str]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        while not self._is_over.is_set():
            try:
                self.done[once(connection)] += 1
            except (OSError, http.client.HTTPException, Lost) as exc:
                self.lost.append(f"{kind}: {exc!r}")
                connection.close()
        connection.close()

    def stop(self) -> None:
        self._is_over.set()


@contextlib.contextmanager
def flowing(port: int) -> Iterator[Traffic]:
    """All kinds at once: keep-alive, slow uploads, streams, WebSockets."""
    traffic = Traffic(port)
    kinds = [("get", get)] * 4 + [("upload", upload), ("stream", stream), ("socket", talk)] * 2
    threads = [threading.Thread(target=traffic.go, args=each, daemon=True) for each in kinds]
    for thread in threads:
        thread.start()
    try:
        yield traffic
    finally:
        traffic.stop()
        for thread in threads:
            thread.join(20)


def _expect(answer: http.client.HTTPResponse, body: bytes) -> None:
    got = answer.read()
    if (answer.status, got) != (200, body):
        raise Lost(f"{answer.status} {got[:80]!r}")


def get(connection: http.client.HTTPConnection) -> str:
    connection.request("GET", "/web/")
    _expect(connection.getresponse(), b"1")
    return "get"


def upload(connection: http.client.HTTPConnection) -> str:
    def body() -> Iterator[bytes]:
        for _ in range(5):
            yield b"x" * 1000
            time.sleep(_PAUSE_S)

    connection.request("POST", "/web/", body=body(), headers={"Content-Length": "5000"})
    _expect(connection.getresponse(), b"5000")
    return "upload"


def stream(connection: http.client.HTTPConnection) -> str:
    connection.request("GET", "/web/stream")
    _expect(connection.getresponse(), b"piece" * 5)
    return "stream"


def talk(connection: http.client.HTTPConnection) -> str:
    """A conversation; it is not lost if the server ends it properly, with "going away"."""
    connection.connect()
    sock = connection.sock
    ws = WSConnection(ConnectionType.CLIENT)

    def events() -> list[Event]:
        data = sock.recv(65536)
        if not data:
            raise Lost("the connection ended within a conversation")
        ws.receive_data(data)
        return list(ws.events())

    sock.sendall(ws.send(Request(host="web", target="/web/")))
    for event in events():
        if isinstance(event, RejectConnection) or not isinstance(event, AcceptConnection):
            raise Lost(f"{event}")
    for _ in range(5):
        sock.sendall(ws.send(Message(data="x")))
        for event in events():
            if isinstance(event, CloseConnection):
                connection.close()
                if event.code in _GOING_AWAY:
                    return "socket moved"
                raise Lost(f"closed with {event.code}")
            if not isinstance(event, TextMessage):
                raise Lost(f"{event}")
        time.sleep(_PAUSE_S)
    sock.sendall(ws.send(CloseConnection(code=1000)))
    connection.close()
    return "socket"
