"""Spares: interpreters that have started and wait for an app, so that a request need not wait.

They are kept by key, forever or while apps use them that need a worker for each request. If
interpreters die as they start, the next try is after 1 s, 2 s, and so on.
"""

import sys
from collections.abc import Hashable, Iterator

from buntime.core.pool.census import Census
from buntime.core.pool.decisions import Spawn
from buntime.core.pool.workforce import WorkerState, backoff_s

SPARES_KEPT_S = 300.0  # after the last request that could have used one


class _Need:
    """How much spares of one key are needed, and how they fare."""

    __slots__ = ("failures", "retry_at_s", "used_at_s")

    def __init__(self, used_at_s: float) -> None:
        self.used_at_s = used_at_s
        self.failures = 0  # interpreters that died as they started, in a row
        self.retry_at_s = float("-inf")


class Spares:
    """The keys to keep spares for, and the start of each interpreter."""

    def __init__(self, census: Census) -> None:
        self._census = census
        self._needs: dict[Hashable, _Need] = {}
        self._last_id = 0

    def keep(self, key: Hashable) -> None:
        """Keep spares of this key forever."""
        self._needs[key] = _Need(used_at_s=float("inf"))

    def use(self, key: Hashable, now: float) -> None:
        """A request could have used a spare of this key."""
        need = self._needs.get(key)
        if need is None:
            self._needs[key] = _Need(used_at_s=now)
        elif need.used_at_s < now:  # not one that is kept forever
            need.used_at_s = now

    def take(self, key: Hashable) -> tuple[WorkerState, list[Spawn]]:
        """The oldest spare of this key, or a new process if there is none."""
        spares = self._census.spares.get(key)
        return (next(iter(spares)), []) if spares else self._spawn(key)

    def has_started(self, key: Hashable) -> None:
        """An interpreter of this key has started."""
        need = self._needs.get(key)
        if need is not None:
            need.failures = 0

    def has_not_started(self, key: Hashable, now: float) -> None:
        """An interpreter of this key has died as it started."""
        need = self._needs.get(key)
        if need is not None:
            need.failures += 1
            need.retry_at_s = now + backoff_s(need.failures)

    def refill(self, now: float, most: int = sys.maxsize) -> Iterator[Spawn]:
        """Start the missing spares, as far as boots that nobody waits for are allowed, and no more
        than `most`."""
        census = self._census
        if census.is_closing:
            return
        for key, need in self._needs.items():
            if now < need.retry_at_s:
                continue
            while len(census.spares.get(key, ())) < census.limits.spare_workers:
                if not most or not census.may_boot():
                    return
                most -= 1
                yield from self._spawn(key)[1]

    def drop_unused(self, now: float) -> list[WorkerState]:
        """Forget the keys that no app has used for long; returns their spares, which may end."""
        unused = [key for key, need in self._needs.items() if now - need.used_at_s > SPARES_KEPT_S]
        for key in unused:
            del self._needs[key]
        return [worker for key in unused for worker in self._census.spares.get(key, ())]

    def new_number(self) -> int:
        """A number that no worker has had."""
        self._last_id += 1
        return self._last_id

    def _spawn(self, key: Hashable) -> tuple[WorkerState, list[Spawn]]:
        worker = WorkerState(self.new_number(), key)
        self._census.add(worker)
        return worker, [Spawn(worker.id, key)]
