"""Every way that a WebSocket can go, with nothing but `buntime`."""

import asyncio

from buntime import AsyncWebSocket, Request, Response, WebSocketClosed


async def fetch(request: Request) -> Response:
    return Response.json(request.path[1:])


async def websocket(ws: AsyncWebSocket) -> Response | None:
    return await HANDLERS[ws.path](ws)


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def scope(ws):
    await ws.accept("v2", {"x-room": "blue"})
    await ws.send_json(
        {
            "path": ws.base + ws.path,
            "base": ws.base,
            "q": ws.query["q"],
            "cookie": ws.cookies["c"],
            "client": ws.client[0],
            "scheme": ws.scheme,
            "subprotocols": ws.subprotocols,
        }
    )


async def close(ws):
    await ws.accept()
    await ws.close(int(ws.query["code"]), ws.query["reason"])


async def deny(ws):
    return Response("log in first", 401, {"x-why": "no cookie"})


async def reject(ws):
    await ws.close()


async def fail(ws):
    await ws.send("soon")
    raise RuntimeError("failed on purpose")


async def fail_early(ws):
    raise RuntimeError("failed on purpose")


async def told(ws):
    await ws.send("ready")
    try:
        await ws.receive()
    except WebSocketClosed as closed:
        print("told", closed.code, closed.reason or "-")


async def deaf(ws):
    await ws.send("ready")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        print("cancelled")
        raise


HANDLERS = {
    "/echo": echo,
    "/scope": scope,
    "/close": close,
    "/deny": deny,
    "/reject": reject,
    "/fail": fail,
    "/fail-early": fail_early,
    "/told": told,
    "/deaf": deaf,
}
