"""The body of a request on its way to a hook: all of it is kept, and goes there under credit."""

from collections.abc import Callable, Iterator

from buntime.wire import MAX_PAYLOAD, UPLOAD_WINDOW, UPLOAD_WINDOW_MAX

BODY_MAX_BYTES = 1024 * 1024  # that hooks get; a larger one is refused


class HookBody:
    """One body for one hook. It stays where it is, for whoever is next."""

    __slots__ = ("_credit_bytes", "_peek", "_read_bytes", "_sent_bytes", "_size_bytes")

    def __init__(self, size_bytes: int, peek: Callable[[int, int], bytes]) -> None:
        """`peek(start, end)` gives that part of it."""
        self._size_bytes = size_bytes
        self._peek = peek
        self._sent_bytes = 0
        self._read_bytes = -1  # by the worker, when it last told that it waits
        self._credit_bytes = UPLOAD_WINDOW

    def __repr__(self) -> str:
        return f"HookBody({self._sent_bytes} of {self._size_bytes} sent)"

    @property
    def has_ended(self) -> bool:
        """Is all of it sent?"""
        return self._sent_bytes == self._size_bytes

    def grant(self, credit_bytes: int) -> bool:
        """The worker takes so much more. Does that change anything?"""
        before = self._credit_bytes
        self._credit_bytes = min(before + credit_bytes, UPLOAD_WINDOW_MAX)
        return not self.has_ended and self._credit_bytes > before

    def on_waits(self, read_bytes: int) -> bool:
        """The worker has read so much, and waits for more. Is that news?"""
        if not self._read_bytes < read_bytes <= self._sent_bytes:
            return False
        self._read_bytes = read_bytes
        return True

    def pieces(self) -> Iterator[bytes]:
        """What may go now, in pieces that fit a message."""
        while self._credit_bytes and not self.has_ended:
            yield self.next_piece()

    def next_piece(self) -> bytes:
        """The piece that goes next, b"" where none may."""
        start = self._sent_bytes
        data = self._peek(start, start + min(MAX_PAYLOAD, self._credit_bytes))
        self._sent_bytes += len(data)
        self._credit_bytes -= len(data)
        return data
