"""A token bucket: an amount at once, and a rate in the long run."""


class TokenBucket:
    """Holds up to `burst` tokens and gains `rate` of them a second; it starts full.

    >>> bucket = TokenBucket(rate=10.0, burst=100.0, now=0.0)
    >>> bucket.take(150, now=0.0), bucket.take(1, now=0.0), bucket.take(100, now=5.0)
    (100, 0, 50)
    """

    __slots__ = ("_at_s", "_burst", "_rate", "_tokens")

    def __init__(self, *, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at_s = now

    def __repr__(self) -> str:
        return f"TokenBucket({self._tokens:.0f} of {self._burst:.0f}, {self._rate:g}/s)"

    def take(self, wanted: int, now: float) -> int:
        """Take up to `wanted` tokens; returns how many were taken, as a whole number."""
        self._refill(now)
        taken = min(wanted, int(self._tokens))
        self._tokens -= taken
        return taken

    def spend(self, amount: int, now: float) -> None:
        """Take `amount` tokens, even if there are fewer: then there are none for a while.

        The debt is at most one burst, so that one expense does not last forever.
        """
        self._refill(now)
        self._tokens = max(self._tokens - amount, -self._burst)

    def has(self, now: float) -> bool:
        """Is there a whole token left?"""
        self._refill(now)
        return self._tokens >= 1

    def is_full(self, now: float) -> bool:
        """Is the full burst available?"""
        self._refill(now)
        return self._tokens >= self._burst

    def wait_s(self, now: float) -> float:
        """Seconds until there is a whole token."""
        self._refill(now)
        return max(0.0, (1 - self._tokens) / self._rate)

    def _refill(self, now: float) -> None:
        passed_s = now - self._at_s
        if passed_s > 0:
            self._at_s = now
            self._tokens = min(self._burst, self._tokens + passed_s * self._rate)
