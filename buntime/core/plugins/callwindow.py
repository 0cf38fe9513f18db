"""How much of one call may be on its way in one direction: by ITEM, from caller or provider.

The sender starts with CALL_WINDOW of credit, and gets more as the receiver takes what arrived:

    credit of the sender + credit due + bytes sent and not taken = CALL_WINDOW

So never more than one window per direction is held between the two, whatever either claims. A
sender that exceeds its credit has broken the protocol, and the receiver can grant no more than was
sent to it.
"""

from buntime.wire import CALL_WINDOW

# Credit is passed on in steps of at least this size, however small the grants are. So the sender
# has three quarters of a window even while one step waits here and another in the other worker.
STEP_BYTES = CALL_WINDOW // 8


class CallWindow:
    """One direction of one call."""

    __slots__ = ("_due_bytes", "_left_bytes")

    def __init__(self) -> None:
        self._left_bytes = CALL_WINDOW  # bytes that may still be sent
        self._due_bytes = 0  # bytes granted that the sender has not been told about

    def __repr__(self) -> str:
        return f"CallWindow({self._left_bytes} left, {self._due_bytes} due)"

    def on_sent(self, cost_bytes: int) -> None:
        """The sender has sent this much. Raises ValueError where it exceeded its credit."""
        if cost_bytes > self._left_bytes:
            raise ValueError(f"{cost_bytes - self._left_bytes} bytes beyond its credit")
        self._left_bytes -= cost_bytes

    def on_granted(self, credit_bytes: int) -> bool:
        """The receiver says that it has taken this much. False where it is so little that it counts
        as small talk: no worker reports each byte."""
        untaken_bytes = CALL_WINDOW - self._left_bytes - self._due_bytes
        self._due_bytes += min(credit_bytes, untaken_bytes)
        return min(credit_bytes, untaken_bytes) >= STEP_BYTES

    def take_due(self) -> int:
        """The credit to pass on to the sender; 0 while it is little."""
        due_bytes = self._due_bytes
        if due_bytes < STEP_BYTES:
            return 0
        self._due_bytes = 0
        self._left_bytes += due_bytes
        return due_bytes
