"""Every way that a WebSocket can go, in FastAPI."""

import asyncio
from typing import Annotated

from fastapi import Cookie, FastAPI, HTTPException, WebSocket, WebSocketDisconnect

app = FastAPI()


@app.websocket("/echo")
async def websocket(ws: WebSocket):
    await ws.accept()
    while True:
        event = await ws.receive()
        if event["type"] == "websocket.disconnect":
            return
        if event.get("text") is not None:
            await ws.send_text(event["text"])
        else:
            await ws.send_bytes(event["bytes"])


@app.websocket("/scope")
async def scope(ws: WebSocket, q: str, c: Annotated[str, Cookie()]):
    await ws.accept("v2", headers=[(b"x-room", b"blue")])
    await ws.send_json(
        {
            "path": ws.url.path,
            "base": ws.scope["root_path"],
            "q": q,
            "cookie": c,
            "client": ws.client.host,
            "scheme": ws.url.scheme,
            "subprotocols": ws.scope["subprotocols"],
        }
    )


@app.websocket("/close")
async def close(ws: WebSocket, code: int, reason: str):
    await ws.accept()
    await ws.close(code, reason)


@app.websocket("/deny")
async def deny(ws: WebSocket):
    raise HTTPException(401, "log in first", {"x-why": "no cookie"})


@app.websocket("/reject")
async def reject(ws: WebSocket):
    await ws.close()


@app.websocket("/fail")
async def fail(ws: WebSocket):
    await ws.accept()
    await ws.send_text("soon")
    raise RuntimeError("failed on purpose")


@app.websocket("/fail-early")
async def fail_early(ws: WebSocket):
    raise RuntimeError("failed on purpose")


@app.websocket("/told")
async def told(ws: WebSocket):
    await ws.accept()
    await ws.send_text("ready")
    try:
        await ws.receive_text()
    except WebSocketDisconnect as exc:
        print("told", exc.code, exc.reason or "-")


@app.websocket("/deaf")
async def deaf(ws: WebSocket):
    await ws.accept()
    await ws.send_text("ready")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        print("cancelled")
        raise


@app.get("/page")
async def page():
    return "page"
