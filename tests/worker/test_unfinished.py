"""What unfinished messages hold is bounded over all WebSockets of a worker."""

from __future__ import annotations

import random

import pytest

from buntime.worker.unfinished import Unfinished
from tests.support.harness import wait_until
from tests.support.peer import Peer, opened
from tests.support.workshop import Workshop

KB = 1024
ECHO = """
async def websocket(ws):
    async for message in ws:
        await ws.send(str(len(message)))
    print("closed", ws.close_code)
"""
KINDS = ["async", "sync"]


def of_kind(source: str, kind: str) -> str:
    return source if kind == "async" else source.replace("async ", "").replace("await ", "")


def test_alone() -> None:
    """A message that is alone may have any number of bytes."""
    held = Unfinished()
    held.largest_bytes = 10
    assert all(held.may_add(1, 100) for _ in range(100))


def test_an_even_share() -> None:
    """Once the total is too large, a WebSocket above its share gets no more, and others do."""
    held = Unfinished()
    held.largest_bytes = 100
    assert all(held.may_add(key, 100) for key in range(4))
    assert not held.may_add(0, 1)
    assert held.may_add(4, 80)  # a fifth of 400
    assert not held.may_add(4, 1)
    held.drop(0)
    assert held.may_add(4, 20)


def test_dropping() -> None:
    """A message that is complete or given up counts no more, and dropping it twice does no harm."""
    held = Unfinished()
    held.largest_bytes = 100
    for _ in range(3):
        assert held.may_add(1, 300)
        assert held.may_add(2, 100)
        for key in (1, 2, 2, 3):
            held.drop(key)
    assert (held._total, held._held) == (0, {})


def test_the_sum_is_bounded() -> None:
    """Whatever they do, the total stays below twice the bound."""
    held = Unfinished()
    held.largest_bytes = 1000
    chance = random.Random(1)
    for _ in range(20_000):
        key = chance.randrange(300)
        if chance.random() < 0.001:
            held.drop(key)
        held.may_add(key, chance.randrange(1, 50))
        assert held._total <= 2 * 4000 + 50
    assert held._total == sum(held._held.values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker(shop: Workshop, kind: str) -> None:
    """The WebSocket that wants too much is closed with 1013; the others continue."""
    worker = shop.start(of_kind(ECHO, kind), message_max=100 * KB)
    greedy = [opened(worker) for _ in range(5)]
    modest = opened(worker)
    modest.send("hello")
    assert modest.receive() == "5"
    for peer in greedy:
        send_unfinished(peer, 100 * KB)
    assert greedy[-1].closed()[:2] == (1013, "too many large messages at once")
    wait_until(lambda: "unfinished messages take too much" in worker.stderr)
    modest.send("x" * 20 * KB)
    assert modest.receive() == str(20 * KB)


def send_unfinished(peer: Peer, size: int) -> None:
    piece = bytes(10 * KB)
    for _ in range(size // len(piece)):
        while peer.upload_credit < len(piece) + 64:
            peer.wait_for_credit()
        peer.send_piece("bytes", piece, end=False)


@pytest.mark.parametrize("kind", KINDS)
def test_large_messages_that_end(shop: Workshop, kind: str) -> None:
    """Large messages one after another, or a few at once, pass as before."""
    worker = shop.start(of_kind(ECHO, kind), message_max=100 * KB)
    peers = [opened(worker) for _ in range(4)]
    for _ in range(3):
        for peer in peers:
            peer.send(bytes(100 * KB))
            assert peer.receive() == str(100 * KB)
