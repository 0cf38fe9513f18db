"""The REQUEST that a worker gets, encoded by hand: as `wire` would encode it, and readable by
it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime import wire
from buntime.core.http1.forwarded import Sender
from buntime.core.websocket.handshake import Upgrade
from buntime.server.http1.exchange import Exchange
from tests.support.exchanges import FakeClient

TARGETS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)
VALUES = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20
)
SENDERS = st.sampled_from(
    [
        Sender(("192.0.2.1", 1234)),
        Sender(("fe80::1%eth0", 1)),
        Sender(None),
        Sender(("192.0.2.1", 0), "https", "b:1", "/tools", is_forwarded=True),
    ]
)


def expected(exchange: Exchange, number: int, body: bytes, *, ended: bool) -> dict[str, Any]:
    """The message as `wire` describes it."""
    head, sender = exchange.head, exchange.sender
    fields = sender.passed_fields(exchange.headers)
    fields += sender.forwarded_fields(fields)
    fields += [("x-base", exchange.base), ("x-request-id", exchange.id)]
    message: dict[str, Any] = {
        "type": "REQUEST",
        "id": number,
        "method": head.method,
        "target": sender.prefix + head.target,
        "base": exchange.base,
        "scheme": sender.scheme,
        "version": head.version,
        "client": sender.client,
        "server": exchange.client.address,
        "headers": fields,
        "request_id": exchange.id,
        "end": ended,
    }
    if body:
        message["size"] = len(body)
    if exchange.upgrade is not None:
        message |= {"upgrade": "websocket", "subprotocols": exchange.upgrade.subprotocols}
    return message


@given(TARGETS, st.sampled_from(["GET", "!#$%&'*+-.^_`|~0aZ"]), VALUES, VALUES, SENDERS)
def test_it_is_what_wire_would_write(
    target: str, method: str, first: str, second: str, sender: Sender
) -> None:
    """It is the same byte for byte, for any target, method and fields that the parser accepts."""
    client = FakeClient()
    raw = f"{method} /{target.replace('#', '')} HTTP/1.1\r\nHost: a\r\nX-A: {first}\r\nB: {second}"
    exchange = client.request(raw.encode("latin-1") + b"\r\n\r\n")
    exchange.sender = sender
    exchange.base = "/shop@^1"
    for body, ended in ((b"", True), (b"", False), (b"hello", False)):
        line = exchange.to_line(7, body, ended=ended)
        assert line == wire.encode(expected(exchange, 7, body, ended=ended))


@pytest.mark.parametrize("subprotocols", [(), ("chat",), ("a", "b'|~")])
def test_a_websocket_names_its_subprotocols(subprotocols: tuple[str, ...]) -> None:
    """The app chooses from the subprotocols that the client offers."""
    exchange = FakeClient().request(b"GET /chat/ HTTP/1.1\r\nHost: a\r\n\r\n")
    exchange.offer_upgrade(Upgrade("key", subprotocols, None))
    line = exchange.to_line(1, b"", ended=True)
    assert line == wire.encode(expected(exchange, 1, b"", ended=True))
    ((message, payload),) = wire.Decoder().feed(line)
    assert (message["subprotocols"], payload) == ([*subprotocols], b"")


def test_what_is_withheld_is_not_in_it() -> None:
    """The runtime's key reaches no app, even if the same head was encoded with it before."""
    raw = b"GET /shop/ HTTP/1.1\r\nHost: a\r\nX-API-Key: secret\r\n\r\n"
    client = FakeClient()
    assert b"secret" in client.request(raw).to_line(1, b"", ended=True)
    exchange = client.request(raw)
    exchange.withhold(lambda pair: pair[0] == "x-api-key")
    assert b"secret" not in exchange.to_line(2, b"", ended=True)
