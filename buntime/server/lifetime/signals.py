"""Signals wake the loop, and the loop does what they ask for."""

import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping

from buntime.server.loop import Loop


@contextlib.contextmanager
def signals_on(loop: Loop, calls: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """Make the loop call these functions, each at its signal. The handlers only enqueue.

    Afterwards the signals are ignored: while the process is ending, a late signal would end it with
    another exit code.
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
