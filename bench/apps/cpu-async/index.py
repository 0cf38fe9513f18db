"""Two bytes, after 1 ms of processor time, by an async function."""

from time import thread_time

from buntime import AsyncRequest, Response


async def fetch(_: AsyncRequest) -> Response:
    end = thread_time() + 0.001
    while thread_time() < end:
        pass
    return Response(b"ok")
