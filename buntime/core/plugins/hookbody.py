"""A request's body on its way to a hook: all of it is kept here, and sent by credit."""

from collections.abc import Callable, Iterator

from buntime.wire import MAX_PAYLOAD, UPLOAD_WINDOW, UPLOAD_WINDOW_MAX

BODY_MAX_BYTES = 1024 * 1024  # the most that hooks get; a larger body is refused


class HookBody:
    """One body for one hook. It stays in place for the next hook or the app."""

    __slots__ = ("_credit_bytes", "_peek", "_read_bytes", "_sent_bytes", "_size_bytes")

    def __init__(self, size_bytes: int, peek: Callable[[int, int], bytes]) -> None:
        """`peek(start, end)` returns that part of the body."""
        self._size_bytes = size_bytes
        self._peek = peek
        self._sent_bytes = 0
        self._read_bytes = -1  # by the worker, when it last said that it waits
        self._credit_bytes = UPLOAD_WINDOW

    def __repr__(self) -> str:
        return f"HookBody({self._sent_bytes} of {self._size_bytes} sent)"

    @property
    def has_ended(self) -> bool:
        """Has all of it been sent?"""
        return self._sent_bytes == self._size_bytes

    def grant(self, credit_bytes: int) -> bool:
        """The worker accepts this much more. Does that change anything?"""
        before = self._credit_bytes
        self._credit_bytes = min(before + credit_bytes, UPLOAD_WINDOW_MAX)
        return not self.has_ended and self._credit_bytes > before

    def on_waits(self, read_bytes: int) -> bool:
        """The worker has read this much, and waits for more. Is that new?"""
        if not self._read_bytes < read_bytes <= self._sent_bytes:
            return False
        self._read_bytes = read_bytes
        return True

    def pieces(self) -> Iterator[bytes]:
        """What may be sent now, in pieces that fit a message."""
        while self._credit_bytes and not self.has_ended:
            yield self.next_piece()

    def next_piece(self) -> bytes:
        """The next piece to send; b"" where none may be sent."""
        start = self._sent_bytes
        data = self._peek(start, start + min(MAX_PAYLOAD, self._credit_bytes))
        self._sent_bytes += len(data)
        self._credit_bytes -= len(data)
        return data
