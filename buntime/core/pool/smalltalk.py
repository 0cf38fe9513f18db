"""What a worker may say that changes nothing: some of it, not a flood.

Messages cross: a worker goes on with what the runtime has ended before it hears of that. Those are
a few for each request. The rest is talk, and each takes as much of the loop's time as one that is
needed; so a worker that goes on and on is given up.
"""

from buntime.core.values.bucket import TokenBucket

_MOST = 1000  # messages, and so many more for each request
_MOST_EACH = 16
# BUSY comes ten times a second. A runtime that was stopped finds those of that time at once.
_BUSY_RATE = 20.0
_BUSY_BURST = 5000.0


class SmallTalk:
    """Of one worker."""

    __slots__ = ("_busy", "_count")

    def __init__(self, now: float) -> None:
        self._count = 0
        self._busy = TokenBucket(rate=_BUSY_RATE, burst=_BUSY_BURST, now=now)

    def __repr__(self) -> str:
        return f"SmallTalk({self._count} of {_MOST})"

    def put_up(self, requests: int) -> None:
        """It said what changes nothing, or what it need say but once; it had so many requests.

        Raises ValueError where it was too much.
        """
        self._count += 1
        if self._count > _MOST + _MOST_EACH * requests:
            raise ValueError("too many messages that change nothing")

    def may_tell(self, now: float) -> bool:
        """Is it not too often that it tells how busy it is?"""
        return self._busy.take(1, now) == 1
