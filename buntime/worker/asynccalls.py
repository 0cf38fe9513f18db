"""Calls that are awaited, and the mailbox of an async engine.

On the engine's loop a call is a few futures. On any other loop, such as that of an app that calls
`asyncio.run` in a handler, a thread waits instead, because the channel is not read there.
"""

from __future__ import annotations

import _thread
import asyncio
import os
from contextvars import copy_context

from buntime.worker.call import ring
from buntime.worker.callstreams import Stream
from buntime.worker.outlet import SharedOutlet
from buntime.worker.waiting import POLLIN, POLLOUT, wait_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator
    from typing import Any

    from buntime.sdk.services import Request
    from buntime.wire import Message, Received
    from buntime.worker.aio import AsyncEngine
    from buntime.worker.call import Call, Caller

# How long a thread leaves the reading to the loop.
PATIENCE_S = 0.1


class Awaited:
    """A call: `await` it for its result, or take the items of its stream with `async for`."""

    def __init__(self, calls: Caller, request: Request) -> None:
        self._calls = calls
        self._request = request

    def __await__(self) -> Generator[Any, None, Any]:
        return self._result().__await__()

    async def __aiter__(self) -> AsyncIterator[Any]:
        stream = await self._result()
        if not isinstance(stream, (StreamHere, StreamBeside)):
            name = f"{self._request.service}.{self._request.method}"
            raise TypeError(f"{name} gives one {type(stream).__name__}, not a stream; await it")
        try:
            async for item in stream:
                yield item
        finally:
            await stream.aclose()

    async def _result(self) -> Any:
        calls, request = self._calls, self._request
        loop = asyncio.get_running_loop()
        if getattr(calls.mailbox, "loop", None) is not loop:
            context = copy_context()
            value = await loop.run_in_executor(None, context.run, calls.call, request)
            return StreamBeside(value) if isinstance(value, Stream) else value
        call = calls.begin()
        try:
            seen = call.news  # before each check, see Calls.call
            for _ in calls.flow(call, request):
                await _news(call, seen)
                seen = call.news
            while not call.is_answered:
                await _news(call, seen)
                seen = call.news
        except BaseException:  # such as CancelledError
            calls.cancel(call)
            raise
        return StreamHere(calls, call) if call.is_stream else call.result()


class StreamHere(Stream):
    """The items of a call, on the engine's loop."""

    def __aiter__(self) -> StreamHere:
        return self

    async def __anext__(self) -> Any:
        while True:
            seen = self._call.news
            try:
                taken = self._call.next_item()
            except StopIteration:
                raise StopAsyncIteration from None
            if taken is not None:
                self._calls.take_back(self._call, taken[1])
                return taken[0]
            await _news(self._call, seen)

    async def aclose(self) -> None:
        """Let the plugin know that nobody takes more."""
        self.close()


class StreamBeside:
    """The items of a call, on a loop that does not read the channel."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __aiter__(self) -> StreamBeside:
        return self

    async def __anext__(self) -> Any:
        loop = asyncio.get_running_loop()
        taken = await loop.run_in_executor(None, lambda: [*_first(self._stream)])
        if not taken:
            raise StopAsyncIteration
        return taken[0]

    async def aclose(self) -> None:
        """Let the plugin know that nobody takes more."""
        self._stream.close()


def _first(stream: Stream) -> list[Any]:
    for item in stream:
        return [item]
    return []


async def _news(call: Call, seen: int) -> None:
    """Wait until there may be more news of a call than `seen`."""
    loop = asyncio.get_running_loop()
    thread = _thread.get_ident()
    future = loop.create_future()

    def wake() -> None:
        if not future.done():
            future.set_result(None)

    def notice() -> None:
        if _thread.get_ident() == thread:
            wake()
        else:
            loop.call_soon_threadsafe(wake)

    call.waiters.append(notice)
    try:
        if call.news == seen:
            await future
    finally:
        call.waiters.remove(notice)


class OfLoop:
    """While an async engine runs: its loop reads, also while the app still starts.

    If the loop is blocked, because its code waits for a thread that calls a service, that thread
    reads instead. So the reader holds `_reading`, and `_held` with it.
    """

    def __init__(self, calls: Caller, engine: AsyncEngine, received: list[Received]) -> None:
        self._outlet = SharedOutlet(engine.channel, engine.loop)
        engine.outlet = self._outlet
        engine.send = self._outlet.send
        self.loop = engine.loop
        self._calls = calls
        self._engine = engine
        self._descriptor = engine.channel.descriptor
        self._thread = _thread.get_ident()
        self._held = received  # messages that are not for calls, and must wait
        self._is_early = True
        self._reading = calls.unattended.reading

    # ---- the engine's

    def open(self) -> None:
        """Read for the calls of an app that starts."""
        with self._calls.unattended.reading:
            os.set_blocking(self._descriptor, False)
            self._calls.attend(self._engine, self)
        self.loop.add_reader(self._descriptor, self._read)
        self._calls.wake_all()

    def serve(self) -> None:
        """Deliver what came before the app was ready, and everything from now on."""
        self._is_early = False
        self._hand_on()

    def close(self) -> None:
        """Stop reading."""
        self.loop.remove_reader(self._descriptor)

    def _read(self) -> None:
        self._take()
        if not self._is_early:
            self._hand_on()

    def _take(self) -> None:
        with self._reading:
            for head, payload in self._engine.channel.receive():
                if not self._calls.take(head, payload):
                    self._held.append((head, payload))

    def _hand_on(self) -> None:
        with self._reading:
            held = [*self._held]
            self._held.clear()
        self._engine.take_in(held)

    # ---- as a Mailbox

    def send(self, message: Message, payload: bytes | memoryview = b"") -> None:
        """Send a message."""
        self._outlet.send(message, payload)

    def tell(self, call: Call) -> None:
        """Wake the callers that wait for a call."""
        call.news += 1
        ring(call)

    def wait(self, call: Call, seen: int) -> None:
        """Wait for the loop; if the loop itself waits, read instead."""
        if _thread.get_ident() == self._thread:
            while call.news == seen:
                self._poll(None, self._outlet.go_on)
            if not self._is_early:
                self.loop.call_soon(self._hand_on)
        elif not call.alarm.acquire(True, PATIENCE_S):
            self._poll(0, self._outlet.go_on_beside)
            if self._held and not self._is_early:
                self.loop.call_soon_threadsafe(self._hand_on)

    def _poll(self, patience_ms: int | None, go_on: Callable[[], None]) -> None:
        """Read what there is, and send what the kernel takes, waiting for either."""
        wanted = POLLIN if self._outlet.is_empty else POLLIN | POLLOUT
        events = wait_for(self._descriptor, wanted, patience_ms)
        if events & POLLOUT:
            go_on()
        if events & ~POLLOUT:
            self._take()


def leave_unattended(engine: AsyncEngine, calls: Caller) -> None:
    """The loop has ended: send what is left, and let calling threads read for themselves."""
    calls.leave_unattended()
    engine.loop.run_until_complete(engine.outlet.drain(0))
