"""Tags that were forgotten lately: what was decided by a look before that does not count any more.

A hook looks a session up, the session ends, `plugin.forget` says so, and then the hook's verdict
comes: kept, or stood on by a WebSocket, it would let in who has been put out.
"""

from collections import OrderedDict
from collections.abc import Iterable

_TAGS_MAX = 10_000  # of one plugin, so that none that forgets without end does away with others'
_KEPT_S = 60.0  # longer than hooks take; of those that take longer all tags count as forgotten
_NEVER = float("-inf")


class Forgotten:
    """When each tag of each plugin was forgotten last, as far back as `_KEPT_S`."""

    def __init__(self) -> None:
        self._tags: dict[str, _Tags] = {}  # by the plugin

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
    """Those of one plugin."""

    def __init__(self) -> None:
        self.times: OrderedDict[str, float] = OrderedDict()
        self.known_from = _NEVER  # what was forgotten before that may be unknown

    def add(self, tag: str, now: float) -> None:
        self.times[tag] = now
        self.times.move_to_end(tag)
        while self.times:
            time = next(iter(self.times.values()))
            if len(self.times) <= _TAGS_MAX and time >= now - _KEPT_S:
                return
            self.times.popitem(last=False)
            self.known_from = time
