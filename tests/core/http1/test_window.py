"""How much of an answer may be under way between a worker and a client."""

from buntime.core.http1.window import DownloadWindow
from buntime.wire import DOWNLOAD_WINDOW, DOWNLOAD_WINDOW_MAX, MAX_PAYLOAD


class Line:
    """A worker that sends all it may, and a client that takes `takes` bytes at a time."""

    def __init__(self) -> None:
        self.window = DownloadWindow()
        self.credit = DOWNLOAD_WINDOW
        self.pending_bytes = 0
        self.unreturned_bytes = 0

    def pass_on(self, takes: int) -> None:
        """The worker sends a piece, as far as it may, and the client takes some of what waits."""
        size = min(self.credit, MAX_PAYLOAD)
        self.credit -= size
        self.window.on_sent(size)
        self.pending_bytes += size
        self.unreturned_bytes += size
        self.pending_bytes -= min(self.pending_bytes, takes)
        credit = self.window.on_taken(self.pending_bytes)
        if credit is not None:
            assert credit >= 0
            self.credit += credit
            self.unreturned_bytes = self.pending_bytes

    @property
    def width(self) -> int:
        return self.credit + self.unreturned_bytes


def test_a_client_that_takes_all_gets_a_wide_window() -> None:
    """The window grows while nothing waits for the client, to its bound and no further."""
    line = Line()
    sizes = []
    for _ in range(100):
        line.pass_on(takes=MAX_PAYLOAD)
        sizes.append(line.width)
    assert sizes == sorted(sizes)
    assert sizes[0] > DOWNLOAD_WINDOW
    assert sizes[-1] == DOWNLOAD_WINDOW_MAX


def test_a_slow_client_gets_a_narrow_window() -> None:
    """Who does not take all at once has the first window, and no more waits for it."""
    line = Line()
    for _ in range(100):
        line.pass_on(takes=10_000)
        assert line.width == DOWNLOAD_WINDOW
        assert line.pending_bytes <= DOWNLOAD_WINDOW


def test_a_window_becomes_narrow_again() -> None:
    """A client that was fast and is slow now soon has no more than others waiting for it."""
    line = Line()
    for _ in range(100):
        line.pass_on(takes=MAX_PAYLOAD)
    for _ in range(200):
        line.pass_on(takes=10_000)
    assert line.width == DOWNLOAD_WINDOW
    line.pass_on(takes=DOWNLOAD_WINDOW)
    for _ in range(100):
        line.pass_on(takes=MAX_PAYLOAD)
    assert line.width == DOWNLOAD_WINDOW_MAX


def test_nothing_more_for_a_client_that_takes_nothing() -> None:
    """A worker whose client has stopped reading may send its window, and then waits."""
    line = Line()
    for _ in range(100):
        line.pass_on(takes=0)
    assert (line.credit, line.pending_bytes) == (0, DOWNLOAD_WINDOW)
