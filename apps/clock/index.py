"""Sends the time once a second: an async app that streams its answer.

    curl -N http://localhost:8000/clock/
    curl -N http://localhost:8000/clock/?count=3
    curl -N http://localhost:8000/clock/events

Browsers get a page that listens to /clock/events. One worker serves many such clients at once,
because a sleeping coroutine takes no thread.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from buntime import Request, Response

PAGE = (Path(__file__).parent / "page.html").read_text("utf-8")
MAX_COUNT = 3600


async def fetch(request: Request) -> Response:
    try:
        count = int(request.query.get("count", "60"))
    except ValueError:
        return Response("count must be a number\n", status=400)
    count = min(count, MAX_COUNT)
    if request.path == "/events":
        return Response.events(ticks(count))
    if request.path != "/":
        return Response("there is / and /events\n", status=404)
    if "text/html" in request.headers.get("accept", ""):
        return Response.html(PAGE.replace("{{base}}", escape(request.base + "/")))
    lines = (f"{time}\n" async for time in ticks(count))
    headers = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store"}
    return Response(lines, headers=headers)


async def ticks(count: int) -> AsyncIterator[str]:
    """Yield the time `count` times, one second apart; ends early if the client leaves."""
    for tick in range(count):
        if tick:
            await asyncio.sleep(1)
        yield datetime.now(UTC).isoformat(timespec="seconds")
