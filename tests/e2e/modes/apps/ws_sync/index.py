"""Every way that a WebSocket can go, with threads."""

from buntime import Request, Response, WebSocket, WebSocketClosed


def fetch(request: Request) -> Response:
    return Response.json(request.path[1:])


def websocket(ws: WebSocket) -> Response | None:
    return HANDLERS[ws.path](ws)


def echo(ws):
    for message in ws:
        ws.send(message)


def scope(ws):
    ws.accept("v2", {"x-room": "blue"})
    ws.send_json(
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


def close(ws):
    ws.accept()
    ws.close(int(ws.query["code"]), ws.query["reason"])


def deny(ws):
    return Response("log in first", 401, {"x-why": "no cookie"})


def reject(ws):
    ws.close()


def fail(ws):
    ws.send("soon")
    raise RuntimeError("failed on purpose")


def fail_early(ws):
    raise RuntimeError("failed on purpose")


def told(ws):
    ws.send("ready")
    try:
        ws.receive()
    except WebSocketClosed as closed:
        print("told", closed.code, closed.reason or "-")


HANDLERS = {
    "/echo": echo,
    "/scope": scope,
    "/close": close,
    "/deny": deny,
    "/reject": reject,
    "/fail": fail,
    "/fail-early": fail_early,
    "/told": told,
}
