"""An open WebSocket between a client and a worker: when its client is given up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from buntime.core.http1.lifecycle import State
from tests.support.farend import UPGRADE, FarEnd, client_of

PING_S = 1.0
PONG = b"\x8a\x80\0\0\0\0"  # masked with zeros


@pytest.fixture
def far() -> Iterator[FarEnd]:
    made = FarEnd()
    service: Any = made.service
    service.websocket_message_max_bytes = 1 << 20
    service.websocket_ping_s = PING_S
    service.ping_timeouts = made.loop.new_timeouts(PING_S)
    yield made
    made.close()
    assert made.errors == []


def test_a_pong_that_nobody_has_read(far: FarEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client whose pongs wait to be handled stays; one that sends none goes."""
    exchange = far.assign(UPGRADE)
    far.say("ACCEPT", id=1, subprotocol=None, headers=[], open_ended=False)
    client = client_of(exchange)
    link: Any = client.link

    def catch_up() -> bool:
        link.on_data(PONG)
        return True

    def wait_long() -> None:
        for _ in range(5):
            far.loop.now += 2 * PING_S
            if exchange.state is State.OPEN:
                link.on_timeout()

    with monkeypatch.context() as patched:
        patched.setattr(client, "catch_up", catch_up)
        wait_long()
        assert exchange.state is State.OPEN
    wait_long()
    assert exchange.state is not State.OPEN


def test_a_client_that_is_gone_at_the_ping(far: FarEnd) -> None:
    """It is given up, and not pinged again."""
    exchange = far.assign(UPGRADE)
    far.say("ACCEPT", id=1, subprotocol=None, headers=[], open_ended=False)
    client = client_of(exchange)
    link: Any = client.link
    client.is_gone = True
    far.loop.now += 2 * PING_S
    link.on_timeout()
    assert exchange.is_ended
    assert len(far.service.ping_timeouts) == 0
