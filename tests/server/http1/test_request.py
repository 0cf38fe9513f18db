"""The REQUEST that a worker gets, encoded by hand: as `wire` would encode it, and readable by
it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime import wire
from buntime.core.http1 import handover
from buntime.core.http1.forwarded import Sender
from buntime.core.plugins.identity import identity_fields
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
    """It is the same byte for byte, for any target, method and fields that the parser accepts; and
    when they come again, it is read as the same."""
    client = FakeClient()
    raw = f"{method} /{target.replace('#', '')} HTTP/1.1\r\nHost: a\r\nX-A: {first}\r\nB: {second}"
    exchange = client.request(raw.encode("latin-1") + b"\r\n\r\n")
    exchange.sender = sender
    exchange.base = "/shop@^1"
    assert exchange.to_line(7, b"", ended=True) == wire.encode(
        expected(exchange, 7, b"", ended=True)
    )
    decoder = wire.Decoder()
    for body, ended in ((b"", True), (b"", False), (b"hello", False)):
        message = expected(exchange, 7, body, ended=ended)
        line = exchange.to_line(7, body, ended=ended)
        assert b"}{" in line
        assert decoder.feed(line + body) == [(json.loads(wire.encode(message)), body)]


@pytest.mark.parametrize("subprotocols", [(), ("chat",), ("a", "b'|~")])
def test_a_websocket_names_its_subprotocols(subprotocols: tuple[str, ...]) -> None:
    """The app chooses from the subprotocols that the client offers."""
    exchange = FakeClient().request(b"GET /chat/ HTTP/1.1\r\nHost: a\r\n\r\n")
    exchange.offer_upgrade(Upgrade("key", subprotocols, None))
    line = exchange.to_line(1, b"", ended=True)
    assert line == wire.encode(expected(exchange, 1, b"", ended=True))
    ((message, payload),) = wire.Decoder().feed(line)
    assert (message["subprotocols"], payload) == ([*subprotocols], b"")


def read(exchange: Exchange, decoder: wire.Decoder) -> dict[str, Any]:
    """The REQUEST of an exchange, as the worker reads it."""
    ((message, _),) = decoder.feed(exchange.to_line(1, b"", ended=True))
    assert message["headers"][-1] == ["x-request-id", exchange.id]
    return message


CHANGES: dict[str, Callable[[Exchange], object]] = {
    "identity": lambda exchange: exchange.identify({"user": "ann"}),
    "fields": lambda exchange: exchange.show((("x-other", "1"),)),
    "base": lambda exchange: setattr(exchange, "base", "/shop@1"),
    "server": lambda exchange: setattr(exchange.client, "address", ("10.0.0.9", 443)),
    "client": lambda exchange: setattr(exchange, "sender", Sender(("10.0.0.2", 5000))),
    "port": lambda exchange: setattr(exchange, "sender", Sender(("10.0.0.1", 5001))),
    "unix": lambda exchange: setattr(exchange, "sender", Sender(None)),
    "scheme": lambda exchange: setattr(exchange, "sender", Sender(("10.0.0.1", 5000), "https")),
    "proxy": lambda exchange: setattr(
        exchange, "sender", Sender(("10.0.0.1", 5000), "http", "b", "/x", is_forwarded=True)
    ),
    "rewritten": lambda exchange: exchange.rewrite(
        exchange.head._replace(headers=(("x-new", "1"),), target="/shop/other")
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_comes_again_in_other_circumstances(change: Callable[[Exchange], object]) -> None:
    """A request whose head has come before is told with its own base, addresses and fields."""
    client, decoder = FakeClient(), wire.Decoder()
    raw = b"GET /shop/ HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n\r\n"
    before = [read(client.request(raw), decoder) for _ in range(3)]
    assert before[0] == before[1] == before[2]
    for _ in range(3):
        exchange = client.request(raw)
        change(exchange)
        wanted = json.loads(wire.encode(expected(exchange, 1, b"", ended=True)))
        if exchange.identity is not None:
            wanted["headers"][-2:-2] = [[*pair] for pair in identity_fields(exchange.identity)]
        assert read(exchange, decoder) == wanted


@pytest.mark.parametrize("second", [b"GET /shop/?x=2 HTTP/1.1", b"POST /shop/ HTTP/1.1"])
def test_the_fields_come_again_on_another_line(second: bytes) -> None:
    """The line of a request is its own."""
    client, decoder = FakeClient(), wire.Decoder()
    for line in (b"GET /shop/ HTTP/1.1", second) * 3:
        exchange = client.request(line + b"\r\nHost: a\r\n\r\n")
        wanted = json.loads(wire.encode(expected(exchange, 1, b"", ended=True)))
        assert read(exchange, decoder) == wanted


def test_long_fields_are_told_in_one_piece() -> None:
    """Nothing is kept of them."""
    client = FakeClient()
    raw = b"GET /shop/ HTTP/1.1\r\nHost: a\r\nX-A: %s\r\n\r\n" % (b"x" * 3000)
    for _ in range(3):
        exchange = client.request(raw)
        line = exchange.to_line(1, b"", ended=True)
        assert line == wire.encode(expected(exchange, 1, b"", ended=True))


def test_so_many_are_remembered() -> None:
    """What many requests repeat is kept for a bounded number of them."""
    client = FakeClient()
    for number in range(600):
        exchange = client.request(b"GET / HTTP/1.1\r\nHost: a%d\r\n\r\n" % number)
        exchange.to_line(1, b"", ended=True)
    assert len(handover._repeated) == 512


def test_what_is_withheld_is_not_in_it() -> None:
    """The runtime's key reaches no app, even if the same head was encoded with it before."""
    raw = b"GET /shop/ HTTP/1.1\r\nHost: a\r\nX-API-Key: secret\r\n\r\n"
    client = FakeClient()
    for _ in range(3):
        assert b"secret" in client.request(raw).to_line(1, b"", ended=True)
    exchange = client.request(raw)
    exchange.withhold(lambda pair: pair[0] == "x-api-key")
    assert b"secret" not in exchange.to_line(2, b"", ended=True)
