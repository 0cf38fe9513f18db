"""New lines for a follower, kept until it takes them.

    the log's writer thread ── put ──> [ at most KEPT_BYTES ] ── take ──> the loop

There is no lock between the two: each counter is changed by one side only. If there is no room, new
lines are lost and counted; `take` returns the count in place of the lines.
"""

from collections import deque
from collections.abc import Callable, Sequence

KEPT_BYTES = 2 * 1024 * 1024

# A line, or how many were lost between the one before and the one behind.
Piece = bytes | int


class LogTail:
    """The wanted lines of the apps that a follower may see."""

    def __init__(
        self,
        sees: Callable[[str], bool],
        wants: Callable[[bytes], bool],
        wake: Callable[[], None],
        *,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        """`wake` is called on the writer thread when there is something to take."""
        self._sees = sees
        self._wants = wants
        self._wake = wake
        self._kept_bytes = kept_bytes
        self._pieces: deque[Piece] = deque()  # lines, and what `_lost` was where there is a gap
        # of the writer thread
        self._seen: dict[str, bool] = {}
        self._put_bytes = 0
        self._lost = 0
        self._lost_marked = 0
        # of the loop
        self._taken_bytes = 0
        self._lost_reported = 0
        self._is_woken = False  # set by the writer thread, cleared by the loop

    def __repr__(self) -> str:
        kept = self._put_bytes - self._taken_bytes
        return f"LogTail({len(self._pieces)} pieces, {kept} bytes, {self._lost} lost)"

    # --- on the writer thread ---

    def put(self, lines: Sequence[tuple[bytes, str]]) -> None:
        """Lines in the order of their numbers, each with its app."""
        seen, wants = self._seen, self._wants
        for line, app in lines:
            sees = seen.get(app)
            if sees is None:
                sees = seen[app] = self._sees(app)
            if sees and wants(line):
                self._put(line)

    def wake(self) -> None:
        if (self._pieces or self._lost != self._lost_reported) and not self._is_woken:
            self._is_woken = True
            self._wake()

    def _put(self, line: bytes) -> None:
        if self._put_bytes - self._taken_bytes + len(line) > self._kept_bytes:
            self._lost += 1
            return
        if self._lost != self._lost_marked:
            self._lost_marked = self._lost
            self._pieces.append(self._lost)
        self._put_bytes += len(line)
        self._pieces.append(line)

    # --- on the loop ---

    def take(self, size_bytes: int) -> list[Piece]:
        """The next lines, at most slightly more than this many bytes; [] if there is nothing."""
        self._is_woken = False  # what comes from now on wakes
        taken: list[Piece] = []
        left = size_bytes
        pieces = self._pieces
        while pieces and left > 0:
            piece = pieces.popleft()
            if isinstance(piece, int):
                if piece > self._lost_reported:
                    taken.append(piece - self._lost_reported)
                    self._lost_reported = piece
                continue
            left -= len(piece)
            self._taken_bytes += len(piece)
            taken.append(piece)
        if not pieces and left > 0:
            lost = self._lost  # it may rise meanwhile
            if lost != self._lost_reported and not pieces:
                taken.append(lost - self._lost_reported)
                self._lost_reported = lost
        return taken
