"""Messages from a worker that change nothing: some are allowed, a flood is not.

Messages cross: a worker keeps sending about what the runtime has ended until it hears of that.
Those are a few for each request. The rest is small talk, and each such message takes as much of the
loop's time as a useful one; so a worker that does not stop is given up.
"""

from buntime.core.values.bucket import TokenBucket

_MOST = 1000  # messages, and this many more for each request
_MOST_EACH = 16
# BUSY comes ten times a second. A runtime that was stopped finds those of that time at once.
_BUSY_RATE = 20.0
_BUSY_BURST = 5000.0


class SmallTalk:
    """The small talk of one worker."""

    __slots__ = ("_busy", "_count")

    def __init__(self, now: float) -> None:
        self._count = 0
        self._busy = TokenBucket(rate=_BUSY_RATE, burst=_BUSY_BURST, now=now)

    def __repr__(self) -> str:
        return f"SmallTalk({self._count} of {_MOST})"

    def put_up(self, requests: int) -> None:
        """The worker said something that changes nothing, or repeated itself, having had
        `requests`.

        Raises ValueError where that is too much.
        """
        self._count += 1
        if self._count > _MOST + _MOST_EACH * requests:
            raise ValueError("too many messages that change nothing")

    def may_tell(self, now: float) -> bool:
        """May it report how busy it is now, or does it do so too often?"""
        return self._busy.take(1, now) == 1
