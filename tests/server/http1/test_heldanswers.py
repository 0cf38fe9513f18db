"""Memory for answers that clients do not take, and who has a share of it."""

from __future__ import annotations

from buntime.server.http1.heldanswers import HeldAnswers

MOST = 170  # 64 MiB in shares of 384 KiB


class Client:
    def __init__(self, pending_bytes: int = 1) -> None:
        self.pending_bytes = pending_bytes


def test_each_client_gets_its_share_once() -> None:
    """A client that has its share gets no second one."""
    held, client = HeldAnswers(), Client()
    assert held.take(client)
    assert not held.take(client)
    assert client in held
    assert repr(held) == "HeldAnswers(1 clients)"


def test_all_together_are_bounded() -> None:
    """The total is bounded, until one client has taken all that waited for it."""
    held, clients = HeldAnswers(), [Client() for _ in range(MOST)]
    assert all(map(held.take, clients))
    assert not held.take(Client())
    clients[3].pending_bytes = 0
    assert held.take(Client())
    assert not held.take(Client())


def test_more_than_half_is_a_shortage() -> None:
    """It is a shortage if more than half is held by clients that still have something waiting."""
    held, clients = HeldAnswers(), [Client() for _ in range(MOST // 2 + 1)]
    assert all(map(held.take, clients))
    assert held.is_pressed()
    clients[0].pending_bytes = 0
    assert not held.is_pressed()
    assert clients[0] not in held
