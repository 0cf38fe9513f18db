"""What a worker prints: read in bounded pieces, split into lines, and only counted if it is too
much.

An app may print without end, and its children may hold its pipes when it has died. So a turn of the
loop takes one piece of each stream and makes at most `_LINES_PER_TURN` lines of it; the rest waits
for the next turn, and the stream is not read meanwhile. In the long run a worker has a budget of
lines and bytes, and so have all workers of an app together, because a worker that dies is replaced
by one with a fresh budget. Beyond the budgets lines are counted and dropped, the stream is read a
few times a second, and the app's writes wait as they do for any slow reader. What a worker reports
that no request waits for, such as an error after an answer, comes from the same budgets.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable
from typing import IO

from buntime.core.telemetry.linesplitter import LineSplitter
from buntime.server.loop.loop import READ, Loop, Timer, unread_bytes
from buntime.server.pool.allowance import Allowance, worker_allowance

_LINES_PER_TURN = 100
_READ_BYTES = 64 * 1024
_LAST_BYTES_MAX = 256 * 1024  # that are taken of a dead worker's pipe, which it may have enlarged
_PAUSE_S = 0.05  # between two reads of a stream beyond its budget
_TELL_S = 5.0  # between two reports of what was dropped

Line = Callable[[str, str], None]  # (stream, text)
Dropped = Callable[[int, int], None]  # (lines, bytes)


class OutputBudget:
    """What one worker may print, on both of its streams together."""

    def __init__(self, loop: Loop, on_dropped: Dropped) -> None:
        """`on_dropped` gets how many lines and bytes were dropped since its last call."""
        self._loop = loop
        self._on_dropped = on_dropped
        self._own = worker_allowance(loop.now)
        self._shared: Allowance | None = None
        self._dropped_lines = 0
        self._dropped_bytes = 0
        self._telling: Timer | None = None

    def share(self, allowance: Allowance) -> None:
        """From now on the budget of all workers of the app applies as well."""
        self._shared = allowance

    def is_spent(self) -> bool:
        now = self._loop.now
        return self._own.is_spent(now) or (self._shared is not None and self._shared.is_spent(now))

    def take(self, lines: int, size_bytes: int) -> int:
        """Take this many lines and bytes from the budget; returns how many of the lines are
        covered."""
        now = self._loop.now
        covered = self._own.take(lines, size_bytes, now)
        return covered if self._shared is None else self._shared.take(covered, size_bytes, now)

    def covers(self, size_bytes: int) -> bool:
        """Whether an entry of this size, which the worker asks the log for, is covered; else it is
        counted as a line that was dropped."""
        size_bytes += 1  # its line's end
        if not self.is_spent() and self.take(1, size_bytes):
            return True
        self.drop(1, size_bytes)
        return False

    def drop(self, lines: int, size_bytes: int) -> None:
        """Count what is not logged; it is reported soon."""
        self._dropped_lines += lines
        self._dropped_bytes += size_bytes
        if self._telling is None:
            self._telling = self._loop.call_later(_TELL_S, self.tell)

    def tell(self) -> None:
        """Report what was dropped, if anything was."""
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        lines, size_bytes = self._dropped_lines, self._dropped_bytes
        self._dropped_lines = self._dropped_bytes = 0
        if size_bytes:
            self._on_dropped(lines, size_bytes)


class Output:
    """Reads one output stream of a worker into lines."""

    def __init__(
        self, loop: Loop, pipe: IO[bytes], name: str, on_line: Line, budget: OutputBudget
    ) -> None:
        self._loop = loop
        self._pipe = pipe
        self._fd = pipe.fileno()
        self._name = name
        self._on_line = on_line
        self._budget = budget
        self._splitter = LineSplitter()
        # what no lines are made of yet; for what is not covered, its last byte stands
        self._pieces: deque[tuple[bytes, bool]] = deque()
        self._is_open = True
        self._is_watched = True
        self._is_going_on = False  # `_go_on` will be called
        self._on_end: Callable[[], None] | None = None
        os.set_blocking(self._fd, False)
        loop.register(self._fd, READ, self)

    def on_ready(self, events: int) -> None:
        if self._is_watched:  # else it was closed or paused earlier in this turn of the loop
            self._read(_READ_BYTES)

    def finish(self, on_end: Callable[[], None]) -> None:
        """The process is dead: take what is in the pipe now, hand it on, and call `on_end`.

        No more than that, because a process that shares the pipe, such as a child of the worker,
        may write on for ever. The lines are delivered over as many turns as needed; `on_end` may
        come at once.
        """
        self._on_end = on_end
        left = min(unread_bytes(self._fd), _LAST_BYTES_MAX) if self._is_open else 0
        while left > 0 and (taken := self._read(min(left, _READ_BYTES))):
            left -= taken
        self.abort()
        self._end()

    def abort(self) -> None:
        """Stop reading; waiting lines are still delivered."""
        if not self._is_open:
            return
        self._is_open = False
        self._unwatch()
        self._pipe.close()
        self._hand_on()

    def _read(self, size_bytes: int) -> int:
        """Take one piece of the stream; returns its size, 0 if there was none."""
        try:
            data = os.read(self._fd, size_bytes)
        except BlockingIOError:
            return 0
        if data:
            self._keep_covered(data)
            self._hand_on()
        else:
            self.abort()
        return len(data)

    def _keep_covered(self, data: bytes) -> None:
        """Keep what the budget covers of a piece, and count the rest of it."""
        budget, lines = self._budget, data.count(b"\n")
        covered = size = 0
        if not budget.is_spent():
            covered = budget.take(lines, len(data))
            size = len(data) if covered == lines else _size_of_lines(data, covered)
        if size:
            self._pieces.append((data[:size], True))
        if size < len(data):
            budget.drop(lines - covered, len(data) - size)
            self._pieces.append((data[-1:], False))
            self._pause(_PAUSE_S)  # else it would be read again for each token that comes in

    def _hand_on(self) -> None:
        """Deliver a turn's lines. If more are left, nothing is read until they are delivered."""
        if self._is_going_on:
            return
        left = _LINES_PER_TURN
        while self._pieces and left > 0:
            data, is_covered = self._pieces.popleft()
            if not is_covered:
                self._splitter.skip(data)
                continue
            size = _size_of_lines(data, left)
            if size < len(data):
                self._pieces.appendleft((data[size:], True))
            lines = self._splitter.feed(data[:size])
            left -= len(lines)
            self._tell(lines)
        if self._pieces:
            self._pause(0)
        elif not self._is_open:
            self._tell(self._splitter.flush())

    def _tell(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._on_line(self._name, line)

    def _pause(self, seconds: float) -> None:
        self._unwatch()
        if not self._is_going_on:
            self._is_going_on = True
            if seconds:
                self._loop.call_later(seconds, self._go_on)
            else:
                self._loop.go_on_later(self._go_on)

    def _go_on(self) -> None:
        """A pause is over."""
        self._is_going_on = False
        self._hand_on()
        if self._is_open and not self._is_going_on:
            self._is_watched = True
            self._loop.register(self._fd, READ, self)
        self._end()

    def _end(self) -> None:
        if not self._is_open and not self._is_going_on and self._on_end is not None:
            on_end, self._on_end = self._on_end, None
            on_end()

    def _unwatch(self) -> None:
        if self._is_watched:
            self._is_watched = False
            self._loop.unregister(self._fd)


def _size_of_lines(data: bytes, most: int) -> int:
    """How many bytes the first `count` lines take."""
    parts = data.split(b"\n", most)
    return len(data) if len(parts) <= most else len(data) - len(parts[-1])
