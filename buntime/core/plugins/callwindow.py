"""How much of one call may be under way in one direction: by ITEM, from caller or provider.

Who sends has CALL_WINDOW of credit to begin with, and gets more as the other side takes what came:

    credit of who sends + credit due + what was sent and is not taken = CALL_WINDOW

So no more than a window of each direction is ever held between the two, whatever either claims: who
sends beyond its credit has broken the protocol, and of what the other grants no more counts than
was sent to it.
"""

from buntime.wire import CALL_WINDOW

# Credit is told in pieces of at least so many bytes, however small the grants are. Who sends has
# three quarters of a window even while as much waits here, and as much again in the other worker.
STEP_BYTES = CALL_WINDOW // 8


class CallWindow:
    """One direction of one call."""

    __slots__ = ("_due_bytes", "_left_bytes")

    def __init__(self) -> None:
        self._left_bytes = CALL_WINDOW  # that may be sent
        self._due_bytes = 0  # granted, which who sends does not know yet

    def __repr__(self) -> str:
        return f"CallWindow({self._left_bytes} left, {self._due_bytes} due)"

    def on_sent(self, cost_bytes: int) -> None:
        """So much was sent. Raises ValueError where it was beyond the credit."""
        if cost_bytes > self._left_bytes:
            raise ValueError(f"{cost_bytes - self._left_bytes} bytes beyond its credit")
        self._left_bytes -= cost_bytes

    def on_granted(self, credit_bytes: int) -> bool:
        """So much was taken, the other side says; False where it was so little that it counts as
        talk: no worker tells of each byte."""
        untaken_bytes = CALL_WINDOW - self._left_bytes - self._due_bytes
        self._due_bytes += min(credit_bytes, untaken_bytes)
        return min(credit_bytes, untaken_bytes) >= STEP_BYTES

    def take_due(self) -> int:
        """The credit to tell who sends of, 0 while it is little."""
        due_bytes = self._due_bytes
        if due_bytes < STEP_BYTES:
            return 0
        self._due_bytes = 0
        self._left_bytes += due_bytes
        return due_bytes
