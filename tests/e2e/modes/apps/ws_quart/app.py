"""Every way that a WebSocket can go, in Quart."""

import asyncio

from quart import Quart, jsonify, websocket

app = Quart(__name__)


@app.websocket("/echo")
async def echo():
    while True:
        await websocket.send(await websocket.receive())


@app.websocket("/scope")
async def scope():
    await websocket.accept(headers={"x-room": "blue"}, subprotocol="v2")
    await websocket.send_json(
        {
            "path": websocket.root_path + websocket.path,
            "base": websocket.root_path,
            "q": websocket.args["q"],
            "cookie": websocket.cookies["c"],
            "client": websocket.remote_addr,
            "scheme": websocket.scheme,
            "subprotocols": websocket.requested_subprotocols,
        }
    )


@app.websocket("/close")
async def close():
    await websocket.accept()
    await websocket.close(int(websocket.args["code"]), websocket.args["reason"])


@app.websocket("/deny")
async def deny():
    return "log in first", 401, {"x-why": "no cookie"}


@app.websocket("/reject")
async def reject():
    await websocket.close(1000)


@app.websocket("/fail")
async def fail():
    await websocket.send("soon")
    raise RuntimeError("failed on purpose")


@app.websocket("/fail-early")
async def fail_early():
    raise RuntimeError("failed on purpose")


@app.websocket("/told")
async def told():
    await websocket.send("ready")
    try:
        await websocket.receive()
    except asyncio.CancelledError:  # how Quart tells of it
        print("told")
        raise


@app.websocket("/deaf")
async def deaf():
    await websocket.send("ready")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        print("cancelled")
        raise


@app.get("/page")
async def page():
    return jsonify("page")
