"""Answers that are held for clients that take them slowly, so that their workers can end.

A worker that takes one request at a time has a slot that others may wait for. If its client does
not take the answer as fast as it comes, the worker may send DOWNLOAD_WINDOW_MAX of it ahead, which
is enough for most answers. That bounds one connection; this module bounds all of them together.
What is larger may wait on disk, see `spool`.
"""

from buntime.core.http1.leastrate import is_short
from buntime.core.values.protocols import Protocol
from buntime.wire import DOWNLOAD_WINDOW, DOWNLOAD_WINDOW_MAX

_EACH_BYTES = DOWNLOAD_WINDOW_MAX - DOWNLOAD_WINDOW
MEMORY_MAX_BYTES = 64 * 1024 * 1024  # for all connections


class Holding(Protocol):
    """A connection and what its client has not taken."""

    @property
    def pending_bytes(self) -> int: ...


class HeldAnswers:
    """The connections that hold more than the first window, until their clients have taken all."""

    def __init__(self) -> None:
        self._clients: dict[Holding, None] = {}

    def __repr__(self) -> str:
        return f"HeldAnswers({len(self._clients)} clients)"

    def __contains__(self, client: Holding) -> bool:
        return client in self._clients

    def take(self, client: Holding) -> bool:
        """Hold more for this client; False if it holds more already, or the memory is used up.

        The memory is given back once nothing waits for the client any more.
        """
        if client in self._clients:
            return False
        if (len(self._clients) + 1) * _EACH_BYTES > MEMORY_MAX_BYTES:
            self._forget()
            if (len(self._clients) + 1) * _EACH_BYTES > MEMORY_MAX_BYTES:
                return False
        self._clients[client] = None
        return True

    def is_pressed(self) -> bool:
        """Is more than half of the memory used? Checks each connection that holds some."""
        self._forget()
        return is_short(len(self._clients) * _EACH_BYTES, MEMORY_MAX_BYTES)

    def _forget(self) -> None:
        self._clients = {each: None for each in self._clients if each.pending_bytes}
