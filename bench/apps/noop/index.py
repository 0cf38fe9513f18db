"""Two bytes, by a function. The worker stays."""

from buntime import Request, Response


def fetch(_: Request) -> Response:
    return Response(b"ok")
