"""Signals wake the loop, and the loop does what they ask for."""

import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping

from buntime.server.loop import Loop


@contextlib.contextmanager
def signals_on(loop: Loop, calls: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """Have the loop make these calls, each at its signal. The handlers do nothing but enqueue.

    Afterwards the signals are ignored: a late one would end the process with a code of its own,
    when it is ending already.
    """

    def handle(number: int, _: object) -> None:
        loop.call_threadsafe(calls[signal.Signals(number)])

    for number in calls:
        signal.signal(number, handle)
    old_fd = signal.set_wakeup_fd(loop.wakeup_fd, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(old_fd)
        for number in calls:
            signal.signal(number, signal.SIG_IGN)
