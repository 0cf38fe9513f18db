"""Signals wake the loop, and the loop does what they ask for."""

import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping

from buntime.server.loop.loop import Loop
from buntime.server.telemetry.logs import Log


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


def passed_over(log: Log) -> dict[signal.Signals, Callable[[], None]]:
    """Calls for signals that tools for other servers send: without one they end the process."""

    def tell(number: signal.Signals) -> Callable[[], None]:
        words = "a signal means nothing to the runtime; SIGHUP reloads, SIGTERM ends it"
        return lambda: log.warn("runtime.signal_ignored", words, signal=number.name)

    return {number: tell(number) for number in (signal.SIGUSR1, signal.SIGUSR2)}
