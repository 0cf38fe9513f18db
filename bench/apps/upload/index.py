"""How many bytes came, read in pieces."""

from buntime import Request, Response


def fetch(request: Request) -> Response:
    return Response(str(sum(map(len, request.stream()))))
