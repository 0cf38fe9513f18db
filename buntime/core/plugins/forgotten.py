"""Tags that were forgotten lately: what was decided by a look before that does not count any more.

A hook looks a session up, the session ends, `plugin.forget` says so, and then the hook's verdict
comes: kept, or stood on by a WebSocket, it would let in who has been put out.
"""

from collections import OrderedDict
from collections.abc import Iterable

_TAGS_MAX = 10_000
_KEPT_S = 60.0  # longer than hooks take; of those that take longer all tags count as forgotten


class Forgotten:
    """When each tag of each plugin was forgotten last, as far back as `_KEPT_S`."""

    def __init__(self) -> None:
        self._times: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._known_from = float("-inf")  # what was forgotten before that may be unknown

    def __len__(self) -> int:
        return len(self._times)

    def add(self, plugin: str, tag: str, now: float) -> None:
        """The plugin has forgotten the tag."""
        self._times[plugin, tag] = now
        self._times.move_to_end((plugin, tag))
        while self._times:
            time = next(iter(self._times.values()))
            if len(self._times) <= _TAGS_MAX and time >= now - _KEPT_S:
                return
            self._times.popitem(last=False)
            self._known_from = time

    def since(self, plugin: str, tags: Iterable[str], asked_at: float) -> bool:
        """Whether one of the tags was, or may have been, forgotten since a hook was asked."""
        tags = tuple(tags)
        if not tags:
            return False
        if asked_at <= self._known_from:
            return True
        never = float("-inf")
        return any(self._times.get((plugin, tag), never) >= asked_at for tag in tags)
