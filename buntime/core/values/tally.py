"""Counts something that may happen often, and reports it seldom."""


class Tally:
    """A number that only grows, and how much of it has not been reported.

    >>> tally = Tally(every_s=60.0)
    >>> tally.add(now=5.0), tally.add(now=6.0), tally.add(now=7.0), tally.add(now=66.0), tally.total
    (1, 0, 0, 3, 4)
    """

    __slots__ = ("_every_s", "_reported", "_reported_s", "total")

    def __init__(self, *, every_s: float) -> None:
        """The first event is reported at once, later ones at intervals of at least `every_s`."""
        self.total = 0
        self._every_s = every_s
        self._reported = 0
        self._reported_s: float | None = None

    def __repr__(self) -> str:
        return f"Tally({self.total}, {self.total - self._reported} unreported)"

    def add(self, now: float) -> int:
        """It has happened once more; returns how many to report now, 0 if it is too early."""
        self.total += 1
        if self._reported_s is not None and now - self._reported_s < self._every_s:
            return 0
        unreported, self._reported, self._reported_s = self.total - self._reported, self.total, now
        return unreported
