"""Divides the time of the one thread between callers.

A caller may have 64 calls under way, and a page of a megabyte takes 60 ms. So a caller that has
used its share of a turn of the loop continues in the next one, and calls of others that arrived
meanwhile run in between: they wait for two or three calls of another caller, however many it has.
"""

from __future__ import annotations

import asyncio
from functools import wraps
from time import perf_counter
from typing import TYPE_CHECKING, Any

from buntime.plugin import plugin

if TYPE_CHECKING:
    from collections.abc import Callable

SHARE_S = 0.005


class Turns:
    """How much of this turn each caller has had."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._used_s: dict[str, float] = {}  # cleared in the next turn, unless empty

    async def wait(self, caller: str) -> None:
        """Wait until the caller has some of its share left."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            self._used_s.clear()
        while self._used_s.get(caller, 0.0) >= SHARE_S:
            await asyncio.sleep(0)

    def spend(self, caller: str, seconds: float) -> None:
        """Count the time that a call of the caller took."""
        if not self._used_s and self._loop is not None:
            self._loop.call_soon(self._used_s.clear)
        self._used_s[caller] = self._used_s.get(caller, 0.0) + seconds


def in_turn(method: Callable[..., Any]) -> Callable[..., Any]:
    """Make a method of a service with `turns` wait for its caller's turn."""

    @wraps(method)
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        caller = plugin.caller or ""
        await self.turns.wait(caller)
        started = perf_counter()
        try:
            return await method(self, *args, **kwargs)
        finally:
            self.turns.spend(caller, perf_counter() - started)

    return call
