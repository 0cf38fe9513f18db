"""How much of an answer may be under way between its worker and its client.

The worker has DOWNLOAD_WINDOW of credit to begin with, and gets as much again as the client takes.
A worker that waits for each WINDOW is half as fast. So who takes all at once gets a wider window by
and by, up to DOWNLOAD_WINDOW_MAX, and who does not the narrow one: what waits for a client is
memory. At any time

    credit of the worker + untaken bytes = DOWNLOAD_WINDOW + extra bytes
"""

from buntime.wire import DOWNLOAD_WINDOW, DOWNLOAD_WINDOW_MAX

# Credit goes back to the worker in pieces of at least this many bytes, not for each write.
_CREDIT_STEP = DOWNLOAD_WINDOW // 4
_EXTRA_MAX = DOWNLOAD_WINDOW_MAX - DOWNLOAD_WINDOW


class DownloadWindow:
    """The bytes of one answer that its client has not taken, and what may be beyond them."""

    __slots__ = ("_extra_bytes", "_untaken_bytes")

    def __init__(self) -> None:
        self._untaken_bytes = 0  # for which no credit was returned
        self._extra_bytes = 0  # that may be untaken beyond the first window

    def __repr__(self) -> str:
        return f"DownloadWindow({self._untaken_bytes} untaken, {self._extra_bytes} extra)"

    def on_sent(self, size_bytes: int) -> None:
        """The worker has spent so much credit."""
        self._untaken_bytes += size_bytes

    def on_taken(self, pending_bytes: int) -> int | None:
        """The client has taken all but `pending_bytes`: the credit to return, maybe 0.

        None where it has taken too little since the last time.
        """
        taken = self._untaken_bytes - pending_bytes
        if taken < _CREDIT_STEP:
            return None
        if pending_bytes:
            change = -min(self._extra_bytes, taken)
        else:
            change = min(_CREDIT_STEP, _EXTRA_MAX - self._extra_bytes)
        self._extra_bytes += change
        self._untaken_bytes -= taken
        return taken + change
