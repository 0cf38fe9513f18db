"""What the apps of apps/ do, for WSGI and ASGI servers: `bench.peers:wsgi`, `bench.peers:asgi`.

The first segment of the path says which app: /noop/ /wsgi/ /asgi/ /echo/ /slow/ /cpu/ /download/
/upload/.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from itertools import repeat
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from bench.sizes import PIECE, TRANSFER_BYTES

PIECES = TRANSFER_BYTES // len(PIECE)
SLOW_S = 0.05
CPU_S = 0.001

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def wsgi(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    app = environ["PATH_INFO"].strip("/")
    body: Iterable[bytes]
    length = 2
    if app == "download":
        body, length = repeat(PIECE, PIECES), TRANSFER_BYTES
    else:
        answer = b"ok"
        if app == "echo":
            answer = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        elif app == "upload":
            answer = str(sum(map(len, iter(lambda: _read(environ), b"")))).encode()
        elif app == "slow":
            time.sleep(SLOW_S)
        body, length = [answer], len(answer)
    headers = [("content-type", "text/plain"), ("content-length", str(length))]
    start_response("200 OK", headers)
    return body


def _read(environ: WSGIEnvironment) -> bytes:
    piece = environ["wsgi.input"].read(len(PIECE))
    assert isinstance(piece, bytes)
    return piece


async def asgi(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    app = scope["path"].strip("/")
    if app == "download":
        await _send_head(send, TRANSFER_BYTES)
        for number in range(1, PIECES + 1):
            more = number < PIECES
            await send({"type": "http.response.body", "body": PIECE, "more_body": more})
        return
    answer = b"ok"
    if app == "echo":
        answer = b"".join([piece async for piece in _pieces(receive)])
    elif app == "upload":
        answer = str(sum([len(piece) async for piece in _pieces(receive)])).encode()
    elif app == "slow":
        await asyncio.sleep(SLOW_S)
    elif app == "cpu":
        end = time.thread_time() + CPU_S
        while time.thread_time() < end:
            pass
    await _send_head(send, len(answer))
    await send({"type": "http.response.body", "body": answer})


async def _pieces(receive: Receive) -> AsyncIterator[bytes]:
    message: dict[str, Any] = {"more_body": True}
    while message.get("more_body"):
        message = await receive()
        yield message.get("body", b"")


async def _send_head(send: Send, length: int) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(length).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _live(receive: Receive, send: Send) -> None:
    while (await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})
