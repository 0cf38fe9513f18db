"""The number of bytes in the body, read in parts."""

from buntime import Request, Response


def fetch(request: Request) -> Response:
    return Response(str(sum(map(len, request.stream()))))
