"""The output of an async worker: what the kernel does not take waits, and so do writers."""

from __future__ import annotations

import _thread
import posix  # for `os`, see main.py

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections import deque

    from buntime.wire import Message
    from buntime.worker.channel import Channel
else:
    from _collections import deque

HIGH_WATER_BYTES = 128 * 1024  # of messages not yet taken by the kernel; above, writers wait


class Outlet:
    """The way out: sends at once what the kernel takes, and the rest when it takes more."""

    def __init__(self, channel: Channel, loop: asyncio.AbstractEventLoop) -> None:
        self._channel = channel
        self._descriptor = channel.descriptor
        self._loop = loop
        self._unsent: deque[bytes | memoryview] = deque()
        self._unsent_bytes = 0
        self._drained: list[asyncio.Future[None]] = []

    @property
    def is_full(self) -> bool:
        """Whether writers should wait."""
        return self._unsent_bytes > HIGH_WATER_BYTES

    @property
    def is_empty(self) -> bool:
        """Whether the kernel has all."""
        return not self._unsent

    def send(self, message: Message, payload: bytes | memoryview = b"") -> None:
        """Send a message after those that are still unsent."""
        for data in self._channel.prepare(message, payload):
            if not self._unsent:
                rest = self._try(data)
                if not rest:
                    continue
                data = rest
                self._watch()
            self._unsent.append(data)
            self._unsent_bytes += len(data)

    async def drain(self, below: int = HIGH_WATER_BYTES) -> None:
        """Wait until no more than `below` bytes are unsent."""
        while self._unsent_bytes > below:
            waiter = self._loop.create_future()
            self._drained.append(waiter)
            await waiter

    def _watch(self) -> None:
        """Call `go_on` when the kernel takes more."""
        self._loop.add_writer(self._descriptor, self.go_on)

    def _try(self, data: bytes | memoryview) -> bytes | memoryview:
        """Send what the kernel takes; returns the rest."""
        try:
            sent = posix.write(self._descriptor, data)
        except BlockingIOError:
            sent = 0
        except OSError as exc:
            self._channel.quit(f"cannot write to the channel to the runtime: {exc}")
        return b"" if sent == len(data) else memoryview(data)[sent:]

    def go_on(self) -> None:
        """Send more, called when the kernel takes more."""
        self._send_unsent()
        if not self._unsent:
            self._loop.remove_writer(self._descriptor)
        for waiter in self._drained:
            if not waiter.done():
                waiter.set_result(None)
        self._drained.clear()

    def _send_unsent(self) -> None:
        while self._unsent:
            data = self._unsent.popleft()
            rest = self._try(data)
            self._unsent_bytes -= len(data) - len(rest)
            if rest:
                self._unsent.appendleft(rest)
                return


class SharedOutlet(Outlet):
    """The same if other threads send too, whether or not the loop is blocked."""

    def __init__(self, channel: Channel, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(channel, loop)
        self._sending = _thread.allocate_lock()
        self._thread = _thread.get_ident()

    def send(self, message: Message, payload: bytes | memoryview = b"") -> None:
        """Send a message after those that are still unsent, on any thread."""
        with self._sending:
            super().send(message, payload)

    def go_on(self) -> None:
        """Send more, on the loop's thread."""
        with self._sending:
            super().go_on()

    def go_on_beside(self) -> None:
        """Send more on another thread; the loop, which still watches, sends the rest."""
        with self._sending:
            self._send_unsent()

    def _watch(self) -> None:
        if _thread.get_ident() == self._thread:
            super()._watch()
        else:
            self._loop.call_soon_threadsafe(super()._watch)
