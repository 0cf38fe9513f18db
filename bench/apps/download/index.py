"""100 MiB, in parts of 64 KiB."""

from itertools import repeat

from buntime import Request, Response

PIECE = bytes(64 << 10)
PIECES = 1600


def fetch(_: Request) -> Response:
    headers = {"content-length": str(len(PIECE) * PIECES)}
    return Response(repeat(PIECE, PIECES), headers=headers)
