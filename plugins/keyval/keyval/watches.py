"""Watchers of keys and waiters for queues: whoever makes a change notifies them.

A watch holds the keys that have changed since its last item, not the values: a slow watcher gets
the newest value of each, and what it misses takes no memory. If more keys have changed than it may
hold, it is told so, and must read again.

Only their iterators hold watches, so when a caller is gone its watch is gone too.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from keyval.errors import full
from keyval.limits import MISSABLE_KEYS
from keyval.values import loaded

if TYPE_CHECKING:
    from keyval.queues import Queues
    from keyval.store import Change, Store

MISSED = "missed"
# How long a hint waits at most: the clock may be changed, and messages are then ready earlier.
_LOOK_S = 60.0


class Stream:
    """The items of a method that yields; it exists as long as somebody holds it."""

    def __init__(self, space: str) -> None:
        self.space = space
        self.news = asyncio.Event()

    def __aiter__(self) -> Stream:
        return self

    async def aclose(self) -> None:
        self.space = ""  # nobody's


class Watch(Stream):
    """Yields [key, value, version, expires] of changed keys, with value None for deleted ones."""

    def __init__(self, store: Store, space: str, start: bytes, end: bytes) -> None:
        super().__init__(space)
        self._store = store
        self._start = start
        self._end = end
        self._changed: dict[bytes, None] = {}  # in the order of their changes
        self._has_missed = False

    def notice(self, change: Change) -> None:
        for key in change.keys:
            if not self._start <= key < self._end:
                continue
            self._changed.pop(key, None)
            self._changed[key] = None
            self.news.set()
            if len(self._changed) > MISSABLE_KEYS:
                self._changed.clear()
                self._has_missed = True

    async def __anext__(self) -> Any:
        while True:
            if self._has_missed:
                self._has_missed = False
                return MISSED
            if self._changed:
                key = next(iter(self._changed))
                del self._changed[key]
                entry = self._store.get(self.space, key)
                if entry is None:
                    return [key, None, 0, None]
                return [key, loaded(entry.kind, entry.data), entry.version, entry.expires]
            self.news.clear()
            await self.news.wait()


class Hints(Stream):
    """Yields True when a message of a queue is ready for a caller that found nothing.

    One at first, and one each time that somebody has found the queue empty: a caller that takes all
    messages before the next hint is not notified of each one as well.
    """

    def __init__(self, queues: Queues, space: str, queue: str) -> None:
        super().__init__(space)
        self._queues = queues
        self._queue = queue
        self._is_hungry = True

    def notice(self, change: Change) -> None:
        if self._queue in change.queues:
            self.news.set()

    def on_empty(self, queue: str) -> None:
        """Somebody has found nothing in a queue of this space."""
        if self._queue == queue:
            self._is_hungry = True
            self.news.set()

    async def __anext__(self) -> bool:
        while True:
            wait_s = None
            if self._is_hungry:
                wait_s = self._queues.next_ready_s(self.space, self._queue)
                if wait_s == 0.0:
                    self._is_hungry = False
                    return True
            self.news.clear()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.news.wait(), min(wait_s or _LOOK_S, _LOOK_S))


class Watchers:
    """All watchers and waiters; limited per space."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._streams: WeakSet[Watch | Hints] = WeakSet()

    def add(self, stream: Watch | Hints) -> None:
        """Add one. Raises `full`."""
        count = sum(each.space == stream.space for each in self._streams)
        if count >= self._most:
            raise full(
                f"{stream.space} watches and waits {count} times already; end some, "
                "or raise `watches`"
            )
        self._streams.add(stream)

    def on_change(self, space: str, change: Change) -> None:
        for stream in [each for each in self._streams if each.space == space]:
            stream.notice(change)

    def on_empty(self, space: str, queue: str) -> None:
        """Somebody has found nothing in a queue."""
        for stream in self._streams:
            if stream.space == space and isinstance(stream, Hints):
                stream.on_empty(queue)
