"""Shows a request as the app sees it, in plain ASGI, the interface that FastAPI and others speak.

    curl http://localhost:8000/mirror/some/path?a=1
    curl http://localhost:8000/mirror/ -d "a body" -H "X-Note: seen"

root_path is where the app is mounted; path includes it, as the ASGI specification says.
"""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Another app's page on the same host could read their values here, so only their names are shown.
HIDDEN = {b"authorization", b"cookie", b"x-api-key"}

# Set when the worker starts; a worker serves many requests until its ttl ends.
worker: dict[str, Any] = {"started": None, "requests": 0}


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "http":
        await answer(scope, receive, send)
    else:
        raise NotImplementedError(f"mirror speaks http, not {scope['type']}")


async def lifespan(receive: Receive, send: Send) -> None:
    """Runs once per worker: begins before its first request, and ends after its last."""
    await receive()
    worker["started"] = datetime.now(UTC).isoformat(timespec="seconds")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print(f"mirror ends after {worker['requests']} requests")
    await send({"type": "lifespan.shutdown.complete"})


async def answer(scope: Message, receive: Receive, send: Send) -> None:
    worker["requests"] += 1
    seen = {
        "method": scope["method"],
        "scheme": scope["scheme"],
        "root_path": scope["root_path"],
        "path": scope["path"],
        "query_string": scope["query_string"].decode("latin-1"),
        "http_version": scope["http_version"],
        "client": scope["client"],
        "headers": [shown(name, value) for name, value in scope["headers"]],
        "body_bytes": await count_body(receive),
        "worker": worker,
    }
    body = json.dumps(seen, indent=2).encode() + b"\n"
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def shown(name: bytes, value: bytes) -> tuple[str, str]:
    return name.decode("latin-1"), "(hidden)" if name in HIDDEN else value.decode("latin-1")


async def count_body(receive: Receive) -> int:
    """Read the body piece by piece, and keep only its length."""
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            return size
