"""WebSockets and event streams, which stay open on a verdict for as long as it is valid.

Hooks admit them with verdicts that may have tags, or a time `until`. When the plugin forgets a tag,
or the time has come, they must be ended. Those admitted without either stay.
"""

import heapq
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

from buntime.core.plugins.forgotten import Forgotten
from buntime.core.plugins.verdict import Continue
from buntime.core.values.tuples import NamedTuple

S = TypeVar("S", bound=Hashable)


class Footing(NamedTuple):
    """One plugin's verdict on which an open stream depends."""

    plugin: str
    verdict: Continue
    asked_at: float  # when its hook was asked, or the cached verdict was found


class OpenStreams(Generic[S]):
    """The open streams, indexed by what would end them."""

    def __init__(self, forgotten: Forgotten) -> None:
        """`forgotten` is shared with the cache: whatever is forgotten is forgotten for both."""
        self._forgotten = forgotten
        self._tags: dict[S, tuple[tuple[str, str], ...]] = {}  # (plugin, tag)
        self._by_tag: dict[tuple[str, str], set[S]] = {}
        self._until: dict[S, float] = {}
        self._due: list[tuple[float, int, S]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._tags)

    @property
    def due_at(self) -> float | None:
        """When to call `due` next; maybe sooner than necessary."""
        return self._due[0][0] if self._due else None

    def stand(self, stream: S, footings: Iterable[Footing], *, now: float, wall_s: float) -> bool:
        """A stream opens on these verdicts. Returns whether it may; False ends it at once."""
        footings = tuple(footings)
        tags = tuple((each.plugin, tag) for each in footings for tag in each.verdict.tags)
        untils = [
            now + each.verdict.until_s - wall_s
            for each in footings
            if each.verdict.until_s is not None
        ]
        if any(
            self._forgotten.since(each.plugin, each.verdict.tags, each.asked_at)
            for each in footings
        ):
            return False
        if untils and min(untils) <= now:
            return False
        if not tags and not untils:
            return True
        self._tags[stream] = tags
        for tag in tags:
            self._by_tag.setdefault(tag, set()).add(stream)
        if untils:
            self._count += 1
            self._until[stream] = min(untils)
            heapq.heappush(self._due, (min(untils), self._count, stream))
        return True

    def leave(self, stream: S) -> None:
        """A stream has ended for any reason; it need not have been registered."""
        self._until.pop(stream, None)
        for tag in self._tags.pop(stream, ()):
            there = self._by_tag.get(tag)
            if there is not None:
                there.discard(stream)
                if not there:
                    del self._by_tag[tag]
        if len(self._due) > 2 * len(self._until) + 64:
            self._due = [each for each in self._due if self._until.get(each[2]) == each[0]]
            heapq.heapify(self._due)

    def forget(self, plugin: str, tag: str) -> list[S]:
        """The streams that depend on a verdict with the tag. They are removed here, and must be
        ended."""
        found = list(self._by_tag.get((plugin, tag), ()))
        for stream in found:
            self.leave(stream)
        return found

    def due(self, now: float) -> list[S]:
        """The streams whose time is over. They are removed here, and must be ended."""
        found = []
        while self._due and self._due[0][0] <= now:
            time, _, stream = heapq.heappop(self._due)
            if self._until.get(stream) == time:
                self.leave(stream)
                found.append(stream)
        return found
