"""Tags that were forgotten recently: decisions based on an earlier look no longer count.

A hook looks up a session, the session ends, `plugin.forget` says so, and only then the hook's
verdict arrives. If it were cached, or a WebSocket relied on it, somebody who was signed out would
get in.
"""

from collections import OrderedDict
from collections.abc import Iterable

_TAGS_MAX = 10_000  # per plugin, so that one that keeps forgetting does not push out others
_KEPT_S = 60.0  # longer than hooks take; for slower ones every tag counts as forgotten
_NEVER = float("-inf")


class Forgotten:
    """When each tag of each plugin was last forgotten, as far back as `_KEPT_S`."""

    def __init__(self) -> None:
        self._tags: dict[str, _Tags] = {}  # by plugin

    def __len__(self) -> int:
        return sum(len(tags.times) for tags in self._tags.values())

    def add(self, plugin: str, tag: str, now: float) -> None:
        """The plugin has forgotten the tag."""
        tags = self._tags.get(plugin)
        if tags is None:
            tags = self._tags[plugin] = _Tags()
        tags.add(tag, now)

    def since(self, plugin: str, tags: Iterable[str], asked_at: float) -> bool:
        """Whether one of the tags was, or may have been, forgotten since a hook was asked."""
        known, tags = self._tags.get(plugin), tuple(tags)
        if not tags or known is None:
            return False
        if asked_at <= known.known_from:
            return True
        return any(known.times.get(tag, _NEVER) >= asked_at for tag in tags)


class _Tags:
    """The tags of one plugin."""

    def __init__(self) -> None:
        self.times: OrderedDict[str, float] = OrderedDict()
        self.known_from = _NEVER  # anything forgotten before that may be unknown

    def add(self, tag: str, now: float) -> None:
        self.times[tag] = now
        self.times.move_to_end(tag)
        while self.times:
            time = next(iter(self.times.values()))
            if len(self.times) <= _TAGS_MAX and time >= now - _KEPT_S:
                return
            self.times.popitem(last=False)
            self.known_from = time
