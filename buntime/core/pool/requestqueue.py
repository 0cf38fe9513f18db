"""The requests of an app that wait for a worker, and how fast they leave the queue."""

from collections.abc import Hashable

Ticket = Hashable  # identifies one request

RETRY_AFTER_MAX_S = 3600.0


class RequestQueue(dict[Ticket, float]):
    """Ticket -> when it came, in order of arrival. A dict, so that withdrawing is O(1).

    Requests whose clients may have left (`put_last`) wait beside it, and go when nobody else does.
    The dict is only empty when they are gone too, because the first of them then represents the
    others.

    `interval_s` is the average time between two requests that leave the queue, 0 while unknown.
    """

    __slots__ = ("_departed_at_s", "_doubtful", "_interval_s", "_late_s", "_stand_in")

    def __init__(self, timeout_s: float) -> None:
        """`timeout_s` is how long a request may wait."""
        super().__init__()
        self._late_s = timeout_s / 2
        self._interval_s = 0.0
        self._departed_at_s = float("-inf")  # when one left the queue, or it began to fill
        self._doubtful: dict[Ticket, float] = {}
        self._stand_in: Ticket | None = None  # a doubtful one, in the queue while nobody else is

    @property
    def count(self) -> int:
        """The number of all requests that wait."""
        return len(self) + len(self._doubtful)

    def tickets(self) -> list[Ticket]:
        """All requests that wait; those whose clients may have left come last."""
        return [*self, *self._doubtful]

    def waits(self, ticket: Ticket) -> bool:
        return ticket in self or ticket in self._doubtful

    def put_last(self, ticket: Ticket) -> None:
        """The client may have left: all others go first."""
        if ticket not in self or ticket is self._stand_in:
            return
        self._doubtful[ticket] = self.pop(ticket)
        self._fill()

    def withdraw(self, ticket: Ticket) -> None:
        """The request no longer waits."""
        if self._doubtful.pop(ticket, None) is None:
            del self[ticket]
            self._fill()

    def clear(self) -> None:
        """Nobody waits any more."""
        super().clear()
        self._doubtful.clear()
        self._stand_in = None

    def most_dispensable(self, now: float) -> Ticket | None:
        """The request to drop where there are too many; None for the newest."""
        if self._doubtful:
            return next(iter(self._doubtful))
        return self.oldest() if self.is_overloaded(now) else None

    def _fill(self) -> None:
        """Let one of the doubtful requests represent all of them, where nobody else waits."""
        if self:
            return
        self._stand_in = next(iter(self._doubtful), None)
        if self._stand_in is not None:
            self[self._stand_in] = self._doubtful.pop(self._stand_in)

    def oldest(self) -> Ticket:
        return next(iter(self))

    def is_overloaded(self, now: float) -> bool:
        """Has the oldest request used up half of its time?

        Then most will be late, so the newest is served first: its client is still waiting. First
        come, first served would answer each just when its client has given up.
        """
        return bool(self) and now - next(iter(self.values())) > self._late_s

    def add(self, ticket: Ticket, now: float) -> None:
        if not self:
            self._departed_at_s = now
        self[ticket] = now
        if self._stand_in is not None:
            self._doubtful[self._stand_in] = self.pop(self._stand_in)
            self._stand_in = None

    def take_next(self, now: float) -> Ticket:
        """Remove the next request from the queue, and update the queue's speed."""
        ticket = next(iter(self))
        if now - self[ticket] > self._late_s:
            ticket, _ = self.popitem()  # the newest, since the queue is overloaded
        else:
            del self[ticket]
        if self._doubtful or self._stand_in is not None:
            self._fill()
        passed_s = now - self._departed_at_s
        self._departed_at_s = now
        known_s = self._interval_s
        self._interval_s = 0.8 * known_s + 0.2 * passed_s if known_s else passed_s
        return ticket

    def wait_s(self, now: float) -> float:
        """How long a request that came now would have to wait, judging by the queue's speed."""
        if not self:
            return 0.0
        # A boot or a slow request halts the queue.
        halted_s = max(0.0, now - self._departed_at_s - self._interval_s)
        return min(RETRY_AFTER_MAX_S, halted_s + self._interval_s * (len(self) + 1))
