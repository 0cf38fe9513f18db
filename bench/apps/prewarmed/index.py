"""Two bytes, by a function. Each request has a new worker, loaded in advance."""

from buntime import Request, Response


def fetch(_: Request) -> Response:
    return Response(b"ok")
