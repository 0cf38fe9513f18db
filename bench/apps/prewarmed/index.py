"""Two bytes, by a function. Each request has a new worker, which is loaded already."""

from buntime import Request, Response


def fetch(_: Request) -> Response:
    return Response(b"ok")
