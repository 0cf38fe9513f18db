"""How the runtime's own pages answer: JSON that nobody keeps."""

import json

from buntime.server.http1.exchange import Exchange

_JSON = ("content-type", "application/json")
_FRESH = ("cache-control", "no-store")


def respond(exchange: Exchange, told: object, status: int = 200) -> None:
    """Answer with `told` as JSON."""
    exchange.respond(status, [_JSON, _FRESH], json.dumps(told).encode("ascii") + b"\n")
