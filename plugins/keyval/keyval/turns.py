"""Shares of the one thread that does everything.

A caller may have 64 calls under way, and a page of a megabyte takes 60 ms. So who has had its share
of a turn of the loop goes on in the next one, and calls of others that have come meanwhile are
between: they wait for two or three calls of somebody else, however many those are.
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
        self._used_s: dict[str, float] = {}  # emptied in the next turn, where there is something

    async def wait(self, caller: str) -> None:
        """Until the caller has something left of a turn."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            self._used_s.clear()
        while self._used_s.get(caller, 0.0) >= SHARE_S:
            await asyncio.sleep(0)

    def spend(self, caller: str, seconds: float) -> None:
        """Count what a call of it took."""
        if not self._used_s and self._loop is not None:
            self._loop.call_soon(self._used_s.clear)
        self._used_s[caller] = self._used_s.get(caller, 0.0) + seconds


def in_turn(method: Callable[..., Any]) -> Callable[..., Any]:
    """Have a method of a service with `turns` wait for its caller's turn."""

    @wraps(method)
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        caller = plugin.caller or ""
        await self.turns.wait(caller)
        begun = perf_counter()
        try:
            return await method(self, *args, **kwargs)
        finally:
            self.turns.spend(caller, perf_counter() - begun)

    return call
