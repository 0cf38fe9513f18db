"""Two bytes, after 1 ms of processor time."""

from time import thread_time

from buntime import Request, Response


def fetch(_: Request) -> Response:
    end = thread_time() + 0.001
    while thread_time() < end:
        pass
    return Response(b"ok")
