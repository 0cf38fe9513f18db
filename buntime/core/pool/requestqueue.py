"""The requests of an app that wait for a worker, and how fast they leave the queue."""

from collections.abc import Hashable

Ticket = Hashable  # stands for one request

RETRY_AFTER_MAX_S = 3600.0


class RequestQueue(dict[Ticket, float]):
    """Ticket -> when it came, in order of arrival. A dict, to withdraw in O(1).

    `interval_s` is the average time between two requests that leave the queue, 0 while unknown.
    """

    __slots__ = ("_departed_at_s", "_interval_s", "_late_s")

    def __init__(self, timeout_s: float) -> None:
        """`timeout_s` is how long a request may wait."""
        super().__init__()
        self._late_s = timeout_s / 2
        self._interval_s = 0.0
        self._departed_at_s = float("-inf")  # when one left the queue, or it began to fill

    def oldest(self) -> Ticket:
        return next(iter(self))

    def is_overloaded(self, now: float) -> bool:
        """Has the oldest request used up half of its time?

        Then most will be late, and the newest is served first, as it still has a client that
        waits: first come, first served would answer each just when its client has given up.
        """
        return bool(self) and now - next(iter(self.values())) > self._late_s

    def add(self, ticket: Ticket, now: float) -> None:
        if not self:
            self._departed_at_s = now
        self[ticket] = now

    def take_next(self, now: float) -> Ticket:
        """Take the next request out of the queue, and learn how fast the queue moves."""
        ticket = next(iter(self))
        if now - self[ticket] > self._late_s:
            ticket, _ = self.popitem()  # as it is overloaded
        else:
            del self[ticket]
        passed_s = now - self._departed_at_s
        self._departed_at_s = now
        known_s = self._interval_s
        self._interval_s = 0.8 * known_s + 0.2 * passed_s if known_s else passed_s
        return ticket

    def wait_s(self, now: float) -> float:
        """How long a request that came now would wait, as far as the queue's speed tells."""
        if not self:
            return 0.0
        # A boot or a slow request halts the queue.
        halted_s = max(0.0, now - self._departed_at_s - self._interval_s)
        return min(RETRY_AFTER_MAX_S, halted_s + self._interval_s * (len(self) + 1))
