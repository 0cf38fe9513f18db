"""Makes asyncio's timers run when they are due: epoll counts in whole milliseconds.

Its selector rounds up, so that a task wakes half a millisecond late on average, and tasks that
should wake one after the other wake all at once. With this, 50 requests that sleep for 50 ms took
51.8 ms each instead of 53.3. An epoll can be waited for like any other file, and `select` counts in
microseconds; the price is one more system call whenever the loop waits for a timer.
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
    """Change how one of asyncio's own loops waits, if it uses epoll; others are left alone.

    The app's module may have bound objects to the loop, so it is not replaced.
    """
    if sys.platform == "linux" and _HAS_EPOLL:
        selector = getattr(loop, "_selector", None)
        if type(selector) is selectors.EpollSelector and selector.fileno() < _SELECT_MAX:
            selector.__class__ = _PreciseSelector


_HAS_EPOLL = hasattr(selectors, "EpollSelector")  # gevent removes it

if sys.platform == "linux" and _HAS_EPOLL:

    class _PreciseSelector(selectors.EpollSelector):
        """Waits exactly as long as requested."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is not None and timeout > 0:
                select.select((self.fileno(),), (), (), timeout)
                timeout = 0
            return super().select(timeout)
