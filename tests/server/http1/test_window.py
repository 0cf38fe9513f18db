"""How much of an answer may be under way between a worker and a client."""

from types import SimpleNamespace
from typing import Any, cast

from buntime.core.http1.head import Head
from buntime.server.http1.exchange import Exchange
from buntime.wire import DOWNLOAD_WINDOW, DOWNLOAD_WINDOW_MAX, MAX_PAYLOAD


class Line:
    """A worker that sends all it may, and a client that takes `takes` bytes at a time."""

    def __init__(self) -> None:
        service = SimpleNamespace(
            loop=SimpleNamespace(now=0.0), meters=SimpleNamespace(of_none=None)
        )
        self.connection = SimpleNamespace(service=service, pending_bytes=0)
        self.exchange = Exchange(
            cast(Any, self.connection), Head("GET", "/", "1.1"), "id", sender=cast(Any, None)
        )
        self.exchange.place = cast(Any, self)
        self.credit = DOWNLOAD_WINDOW

    def on_taken(self, exchange: Exchange, size_bytes: int) -> None:
        assert size_bytes > 0
        self.credit += size_bytes

    def pass_on(self, takes: int) -> None:
        """The worker sends a piece, as far as it may, and the client takes some of what waits."""
        size = min(self.credit, MAX_PAYLOAD)
        self.credit -= size
        self.exchange.untaken_bytes += size
        self.connection.pending_bytes += size
        self.connection.pending_bytes -= min(self.connection.pending_bytes, takes)
        self.exchange.on_flushed()

    @property
    def window(self) -> int:
        return self.credit + self.exchange.untaken_bytes


def test_a_client_that_takes_all_gets_a_wide_window() -> None:
    """The window grows while nothing waits for the client, to its bound and no further."""
    line = Line()
    sizes = []
    for _ in range(100):
        line.pass_on(takes=MAX_PAYLOAD)
        sizes.append(line.window)
    assert sizes == sorted(sizes)
    assert sizes[0] > DOWNLOAD_WINDOW
    assert sizes[-1] == DOWNLOAD_WINDOW_MAX


def test_a_slow_client_gets_a_narrow_window() -> None:
    """Who does not take all at once has the first window, and no more waits for it."""
    line = Line()
    for _ in range(100):
        line.pass_on(takes=10_000)
        assert line.window == DOWNLOAD_WINDOW
        assert line.connection.pending_bytes <= DOWNLOAD_WINDOW


def test_a_window_becomes_narrow_again() -> None:
    """A client that was fast and is slow now soon has no more than others waiting for it."""
    line = Line()
    for _ in range(100):
        line.pass_on(takes=MAX_PAYLOAD)
    for _ in range(200):
        line.pass_on(takes=10_000)
    assert line.window == DOWNLOAD_WINDOW
    line.pass_on(takes=DOWNLOAD_WINDOW)
    for _ in range(100):
        line.pass_on(takes=MAX_PAYLOAD)
    assert line.window == DOWNLOAD_WINDOW_MAX


def test_nothing_more_for_a_client_that_takes_nothing() -> None:
    """A worker whose client has stopped reading may send its window, and then waits."""
    line = Line()
    for _ in range(100):
        line.pass_on(takes=0)
    assert (line.credit, line.connection.pending_bytes) == (0, DOWNLOAD_WINDOW)
