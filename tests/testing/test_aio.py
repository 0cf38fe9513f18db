"""`buntime.testing.AsyncClient`: the same calls, awaited."""

import asyncio
from collections.abc import AsyncIterator

from buntime import AsyncRequest, Response
from buntime.sdk.websocket import AsyncWebSocket
from buntime.testing import AsyncClient


async def fetch(request: AsyncRequest) -> Response:
    if request.path == "/events":
        return Response(_pieces(), headers={"content-type": "text/event-stream"})
    return Response.json({"method": request.method, "body": await request.text()})


async def _pieces() -> AsyncIterator[bytes]:
    yield b"event: hi\ndata: a\ndata: b\n\n"
    await asyncio.sleep(3600)


async def websocket(ws: AsyncWebSocket) -> None:
    async for message in ws:
        await ws.send(message)


def test_all_of_it() -> None:
    """Parallel requests, an endless stream, and a WebSocket."""

    async def run() -> None:
        async with AsyncClient(fetch, websocket=websocket) as client:
            methods = ("get", "post", "put", "patch", "delete", "options")
            answers = await asyncio.gather(*(getattr(client, each)("/") for each in methods))
            assert [each.json()["method"].lower() for each in answers] == [*methods]
            assert (await client.head("/")).body == b""
            async with client.stream("GET", "/events") as stream:
                event = await anext(stream.events())
                assert (event.event, event.data) == ("hi", "a\nb")
            async with client.websocket("/") as ws:
                await ws.send_json([1])
                assert await ws.receive_json() == [1]
                await ws.send("x")
                assert await anext(aiter(ws)) == "x"

    asyncio.run(run())
