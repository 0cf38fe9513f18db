"""Two bytes, by a function. Each request has a new worker, because there is no manifest."""

from buntime import Request, Response


def fetch(_: Request) -> Response:
    return Response(b"ok")
