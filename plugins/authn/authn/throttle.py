"""Slows down guesses: by the address that they come from, and by the user name.

After a few wrong guesses each further try has to wait, twice as long each time, up to some minutes.
A name tolerates more of them than an address, so that nobody can quickly lock out somebody else;
and the wait is never longer than `WAIT_MAX_S`, however many there are.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

FREE_OF_ADDRESS, FREE_OF_NAME = 5, 20
WAIT_MAX_S = 300.0
_FORGET_S = 900.0  # after the last wrong one
_KEPT_MAX = 20_000


class Throttle:
    """Counts wrong guesses. Used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wrong: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()

    def wait_s(self, address: str, name: str, now: float) -> float:
        """How long it takes until a guess is looked at; 0.0 for at once."""
        with self._lock:
            return max(
                self._wait(("address", address), FREE_OF_ADDRESS, now),
                self._wait(("name", name), FREE_OF_NAME, now),
            )

    def on_wrong(self, address: str, name: str, now: float) -> None:
        with self._lock:
            for key in (("address", address), ("name", name)):
                count, last = self._wrong.pop(key, (0, now))
                self._wrong[key] = (1 if now - last > _FORGET_S else count + 1, now)
            while len(self._wrong) > _KEPT_MAX:
                self._wrong.popitem(last=False)

    def on_right(self, address: str, name: str) -> None:
        """The right password was given: the counts of the address and the name are reset."""
        with self._lock:
            self._wrong.pop(("address", address), None)
            self._wrong.pop(("name", name), None)

    def _wait(self, key: tuple[str, str], free: int, now: float) -> float:
        count, last = self._wrong.get(key, (0, now))
        if count < free or now - last > _FORGET_S:
            return 0.0
        wait = min(2.0 ** (count - free), WAIT_MAX_S)
        return max(0.0, last + wait - now)
