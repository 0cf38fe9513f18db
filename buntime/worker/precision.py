"""Has the timers of asyncio run when they are due: epoll counts in whole milliseconds.

Its selector rounds up, so that a task wakes half a millisecond late on average, and tasks that
should wake one after the other do so in a crowd. Of 50 requests that sleep for 50 ms each took
51.8 ms instead of 53.3. An epoll is a file to wait for like others, and `select` counts in
microseconds; the price is a system call more whenever the loop waits for a timer.
"""

from __future__ import annotations

import select
import selectors
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio

_SELECT_MAX = 1024  # FD_SETSIZE: select takes descriptors below it


def make_precise(loop: asyncio.AbstractEventLoop) -> None:
    """Change how a loop of asyncio's own waits, if that is by epoll; others are left alone.

    It may be the loop that the app's module has bound its objects to, so it is not replaced.
    """
    if sys.platform == "linux" and _HAS_EPOLL:
        selector = getattr(loop, "_selector", None)
        if type(selector) is selectors.EpollSelector and selector.fileno() < _SELECT_MAX:
            selector.__class__ = _PreciseSelector


_HAS_EPOLL = hasattr(selectors, "EpollSelector")  # gevent takes it away

if sys.platform == "linux" and _HAS_EPOLL:

    class _PreciseSelector(selectors.EpollSelector):
        """Waits for as long as it is told."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is not None and timeout > 0:
                select.select((self.fileno(),), (), (), timeout)
                timeout = 0
            return super().select(timeout)
