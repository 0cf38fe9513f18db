"""Every way that a WebSocket can go, in Starlette."""

import asyncio

from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect


async def echo(ws):
    await ws.accept()
    while True:
        event = await ws.receive()
        if event["type"] == "websocket.disconnect":
            return
        if "text" in event:
            await ws.send_text(event["text"])
        else:
            await ws.send_bytes(event["bytes"])


async def scope(ws):
    await ws.accept("v2", headers=[(b"x-room", b"blue")])
    await ws.send_json(
        {
            "path": ws.url.path,
            "base": ws.scope["root_path"],
            "q": ws.query_params["q"],
            "cookie": ws.cookies["c"],
            "client": ws.client.host,
            "scheme": ws.url.scheme,
            "subprotocols": ws.scope["subprotocols"],
        }
    )
    await ws.close()


async def close(ws):
    await ws.accept()
    await ws.close(int(ws.query_params["code"]), ws.query_params["reason"])


async def deny(ws):
    response = PlainTextResponse("log in first", 401, {"x-why": "no cookie"})
    await ws.send_denial_response(response)


async def reject(ws):
    await ws.close()


async def fail(ws):
    await ws.accept()
    await ws.send_text("soon")
    raise RuntimeError("failed on purpose")


async def fail_early(ws):
    raise RuntimeError("failed on purpose")


async def told(ws):
    await ws.accept()
    await ws.send_text("ready")
    try:
        await ws.receive_text()
    except WebSocketDisconnect as exc:
        print("told", exc.code, exc.reason or "-")


async def deaf(ws):
    await ws.accept()
    await ws.send_text("ready")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        print("cancelled")
        raise


async def page(request):
    return JSONResponse("page")


app = Starlette(
    routes=[
        Route("/page", page),
        *[
            WebSocketRoute("/" + handler.__name__.replace("_", "-"), handler)
            for handler in (echo, scope, close, deny, reject, fail, fail_early, told, deaf)
        ],
    ]
)
