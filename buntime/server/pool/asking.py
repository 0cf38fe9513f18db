"""What a plugin's worker is asked beside its requests: what its hooks say of those of others.

Each HOOK is answered by exactly one VERDICT, also after a CANCEL, or by the worker's end.
"""

from typing import Protocol

from buntime import wire
from buntime.core.pool import claims
from buntime.server.pool.channel import Channel, L


class Asker(Protocol):
    """Who has asked, and waits."""

    def on_verdict(self, message: wire.Message, payload: bytes) -> None:
        """What the hook says; unchecked. Raises ValueError where a worker must not say so."""

    def on_lost(self) -> None:
        """There will be no verdict: the worker has ended."""


class Asking:
    """The questions that one worker has."""

    __slots__ = ("_asked", "_post")

    def __init__(self, channel: Channel[L]) -> None:
        self._post = channel.post
        self._asked: dict[int, Asker | None] = {}  # None: nobody waits for it any more

    def __len__(self) -> int:
        """How many questions it has, with those that nobody waits for."""
        return len(self._asked)

    def ask(self, number: int, message: wire.Message, payload: bytes, asker: Asker) -> None:
        """Send a HOOK; `number` is new to the channel."""
        self._asked[number] = asker
        self._post({**message, "type": wire.HOOK, "id": number}, payload)

    def give_up(self, number: int, reason: str) -> None:
        """Nobody waits for it any more."""
        if self._asked.get(number) is not None:
            self._asked[number] = None
            self._post({"type": wire.CANCEL, "id": number, "reason": reason})

    def take_verdict(self, message: wire.Message, payload: bytes) -> None:
        """Raises KeyError or ValueError where there was no such question."""
        asker = self._asked.pop(claims.whole(message["id"], 1))
        if asker is not None:
            asker.on_verdict(message, payload)

    def lose(self) -> None:
        """The worker has ended."""
        asked, self._asked = self._asked, {}
        for asker in asked.values():
            if asker is not None:
                asker.on_lost()
