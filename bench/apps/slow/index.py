"""Two bytes, after 50 ms of waiting."""

import asyncio

from buntime import AsyncRequest, Response


async def fetch(_: AsyncRequest) -> Response:
    await asyncio.sleep(0.05)
    return Response(b"ok")
