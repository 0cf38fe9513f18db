"""The heartbeat of event streams: a comment after a silence, so that no proxy ends them.

It runs beside the app's own code, which waits for its next event: by a timer on the loop, or for
sync handlers by one thread, which all streams of the worker share. A stream that is sending a piece
is not silent, and is not interrupted.
"""

from __future__ import annotations

import _thread
from time import monotonic

from buntime.sdk.request import ClientGone
from buntime.worker.exchange import SENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from buntime.worker.aio import AsyncExchange
    from buntime.worker.exchange import Exchange
    from buntime.worker.sync import SyncExchange

HEARTBEAT = b":\n\n"  # an empty comment


def _may_beat(exchange: Exchange) -> bool:
    return exchange.stage is SENT and not exchange.gone and exchange.fits(HEARTBEAT)


class LoopPulse:
    """For a stream on the loop."""

    def __init__(self, exchange: AsyncExchange, interval_s: float) -> None:
        self._exchange = exchange
        self._interval_s = interval_s
        self._is_writing = False
        self._time = exchange.loop.time
        self._last_s = self._time()
        self._timer = exchange.loop.call_later(interval_s, self._beat)

    async def write(self, piece: bytes) -> None:
        """Send a piece."""
        self._is_writing = True
        await self._exchange.write(piece)
        self._is_writing = False
        self._last_s = self._time()

    def stop(self) -> None:
        """Stop sending."""
        self._timer.cancel()

    def _beat(self) -> None:
        exchange = self._exchange
        now = self._time()
        if now >= self._last_s + self._interval_s:
            self._last_s = now
            if not self._is_writing and not exchange.outlet.is_full and _may_beat(exchange):
                exchange.send(HEARTBEAT, end=False)
        self._timer = exchange.loop.call_at(self._last_s + self._interval_s, self._beat)


class ThreadPulse:
    """For a stream whose handler blocks its thread."""

    def __init__(self, exchange: SyncExchange, interval_s: float) -> None:
        self.interval_s = interval_s
        self.last_s = monotonic()
        self._exchange = exchange
        self._writing = _thread.allocate_lock()
        _beats.add(self)

    def write(self, piece: bytes) -> None:
        """Send a piece."""
        with self._writing:
            self._exchange.write(piece)
        self.last_s = monotonic()

    def stop(self) -> None:
        """Stop sending: when this returns, nothing is under way."""
        _beats.remove(self)
        with self._writing:
            return

    def beat(self, now: float) -> None:
        """Send a comment, unless a piece is on its way."""
        self.last_s = now
        if not self._writing.acquire(False):
            return
        try:
            if _may_beat(self._exchange):
                self._exchange.send(HEARTBEAT, end=False)
        except ClientGone:
            return  # a moment ago; its handler learns of it at its next event
        finally:
            self._writing.release()


class _Beats:
    """The thread that sends heartbeats for all streams of a worker; it ends after the last of
    them."""

    def __init__(self) -> None:
        self._mutex = _thread.allocate_lock()
        self._bell = _thread.allocate_lock()
        self._pulses: dict[ThreadPulse, None] = {}
        self._is_running = False

    def add(self, pulse: ThreadPulse) -> None:
        """Send heartbeats for a stream from now on."""
        with self._mutex:
            self._pulses[pulse] = None
            if not self._is_running:
                _thread.start_new_thread(self._run, ())
                self._is_running = True
            elif self._bell.locked():
                self._bell.release()  # its time may be the next

    def remove(self, pulse: ThreadPulse) -> None:
        """Stop sending heartbeats for it."""
        with self._mutex:
            del self._pulses[pulse]

    def _run(self) -> None:
        while True:
            with self._mutex:
                pulses = [*self._pulses]
                self._is_running = bool(pulses)
            if not pulses:
                return
            now = monotonic()
            for pulse in pulses:
                if now >= pulse.last_s + pulse.interval_s:
                    pulse.beat(now)
            next_s = min(pulse.last_s + pulse.interval_s for pulse in pulses)
            self._bell.acquire(True, max(0.0, next_s - monotonic()))


_beats = _Beats()
