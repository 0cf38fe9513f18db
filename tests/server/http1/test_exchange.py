"""One request and its answer, with a client that is no socket."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from buntime.core.http1.forwarded import Sender
from buntime.core.http1.head import Head
from buntime.core.telemetry.meters import Meters
from buntime.server.http1.exchange import Exchange


class Gone:
    """A client whose connection is found broken at the first write."""

    def __init__(self) -> None:
        self.entries: list[object] = []
        self.service = SimpleNamespace(
            loop=SimpleNamespace(now=0.0),
            meters=Meters(),
            log=SimpleNamespace(access=self.entries.append),
            date=lambda: "Thu, 01 Jan 1970 00:00:00 GMT",
        )
        self.exchange = Exchange(cast(Any, self), Head("GET", "/", "1.1"), "id", Sender(None))

    def may_keep_alive(self) -> bool:
        return True

    def write(self, data: bytes) -> None:
        self.exchange.on_client_left()

    def on_exchange_end(self, keep_alive: bool) -> None: ...


def test_a_client_that_is_gone_at_the_answer_is_counted_once() -> None:
    """A whole answer that finds the connection broken ends the exchange no second time."""
    client = Gone()
    client.exchange.respond(200, [], b"hello")
    assert len(client.entries) == 1
    assert client.service.meters.of_none.requests[2] == 1
