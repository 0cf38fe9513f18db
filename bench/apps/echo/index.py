"""Answers with the request's body."""

from buntime import Request, Response


def fetch(request: Request) -> Response:
    return Response(request.bytes())
