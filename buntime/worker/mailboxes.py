"""Readers of the channel for waiting calls: the callers themselves, threads, or an event loop.

The reader holds `Unattended.reading`: when one mailbox replaces another, a thread may still be
about to read for the previous one.
"""

from __future__ import annotations

import _thread
import posix  # for `os`, see main.py

from buntime.worker.call import ring
from buntime.worker.waiting import POLLIN, wait_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from buntime.wire import Message, Received
    from buntime.worker.call import Call, Caller
    from buntime.worker.sync import SyncEngine

# How long a thread reads, or waits for another that does, before it checks whether that changed:
# the engine's start may have to wait this long for a thread that calls from an app's import.
PATIENCE_MS = 50


class Unattended:
    """Before the engine reads, and after: one of the waiters reads for all of them."""

    def __init__(self, calls: Caller, received: list[Received]) -> None:
        self._calls = calls
        self._received = received
        self._is_over = False
        calls.unattended = calls.mailbox = self
        self.reading = _thread.allocate_lock()

    def begin_again(self) -> None:
        """The engine has read to its end; messages for it are dropped."""
        self._is_over = True
        posix.set_blocking(self._calls.channel.descriptor, True)

    def send(self, message: Message, payload: bytes | memoryview = b"") -> None:
        """Send a message at once."""
        self._calls.channel.send(message, payload)

    def tell(self, call: Call) -> None:
        """Wake who waits for a call."""
        call.news += 1
        ring(call)

    def wait(self, call: Call, seen: int) -> None:
        """Read, if nobody else does."""
        if not self.reading.acquire(False):
            call.alarm.acquire(True, PATIENCE_MS / 1000)
            return
        try:
            if self._calls.mailbox is self and call.news == seen:
                self._read()
        finally:
            self.reading.release()
        self._calls.wake_all()

    def _read(self) -> None:
        if not wait_for(self._calls.channel.descriptor, POLLIN, PATIENCE_MS):
            return
        for head, payload in self._calls.channel.receive():
            if not self._calls.take(head, payload) and not self._is_over:
                self._received.append((head, payload))


class OfThreads:
    """While the engine of threads runs: see followers.py, which says who reads."""

    def __init__(self, calls: Caller, engine: SyncEngine) -> None:
        self._calls = calls
        self._threads = engine.threads

    def send(self, message: Message, payload: bytes | memoryview = b"") -> None:
        """Send a message at once."""
        self._calls.channel.send(message, payload)

    def tell(self, call: Call) -> None:
        """Wake who waits for a call."""
        self._threads.tell(call)
        ring(call)

    def wait(self, call: Call, seen: int) -> None:
        """Wait as a handler does for its body: read if this thread leads, or if nobody reads."""
        threads = self._threads
        call.bell = threads.bells.get(_thread.get_ident())
        threads.wait(call, seen)
        if threads.is_over and self._calls.mailbox is self:
            self._calls.leave_unattended()


def serve(engine: SyncEngine, calls: Caller, received: list[Received]) -> None:
    """Run an engine of threads, whose leader also reads for calls."""
    with calls.unattended.reading:
        calls.attend(engine, OfThreads(calls, engine))
        engine.threads.read_under(calls.unattended.reading)
        engine.threads.claim_lead()
        early = [*received]
    calls.wake_all()
    engine.run(early)
    calls.leave_unattended()
