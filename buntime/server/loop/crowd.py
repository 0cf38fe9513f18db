"""The events of those that give way: connections of clients that have many.

They have a selector of their own, which the loop's selector watches. So a turn of the loop sees the
events of all others first, and then takes of these as many as it has time for, in their order.
Without that, a request waited in each of its three turns for whatever a hundred connections of
another client had sent.
"""

import selectors
from collections import deque

Event = tuple[selectors.SelectorKey, int]


class Crowd:
    """Collects the events of those that give way."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self._waiting: deque[Event] = deque()
        self._is_ready = False

    def __repr__(self) -> str:
        return f"Crowd({len(self.selector.get_map())} watched, {len(self._waiting)} wait)"

    def __bool__(self) -> bool:
        """Are there events?"""
        return self._is_ready or bool(self._waiting)

    def fileno(self) -> int:
        return self.selector.fileno()

    def on_ready(self, events: int) -> None:
        """The loop's selector says that this one has events."""
        self._is_ready = True

    def take(self, most: int) -> list[Event]:
        """The next events, those that have waited longest first.

        The selector is asked again only once all that it told of are taken, so nobody comes twice
        before everybody has come once.
        """
        waiting = self._waiting
        if self._is_ready and not waiting:
            waiting.extend(self.selector.select(0))
            self._is_ready = False
        return [waiting.popleft() for _ in range(min(most, len(waiting)))]

    def abort(self) -> None:
        """Stop watching."""
        self.selector.close()
