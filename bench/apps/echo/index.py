"""The body that came."""

from buntime import Request, Response


def fetch(request: Request) -> Response:
    return Response(request.bytes())
