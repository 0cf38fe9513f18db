"""Kinds fetch and routes of async apps: async handlers on the loop, sync ones in threads."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from buntime.sdk.request import AsyncRequest, BadBody
from buntime.worker.fetch import bad_body, checked, request_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable
    from concurrent.futures import Future
    from typing import Any

    from buntime.sdk.request import Response
    from buntime.worker.aio import AsyncExchange
    from buntime.worker.fetch import Finder, Handler


class BlockingBody:
    """The body of a request for a sync handler in a thread beside the loop."""

    def __init__(self, exchange: AsyncExchange) -> None:
        self._exchange = exchange

    def read(self, limit: int) -> bytes:
        """Return up to `limit` bytes, b"" at the end."""
        exchange = self._exchange
        return asyncio.run_coroutine_threadsafe(exchange.read(limit), exchange.loop).result()


class AsyncFetch:
    """Adapts handlers to exchanges, for an async app."""

    def __init__(self, find: Finder, threads: Threads) -> None:
        self._find = find
        self._threads = threads

    async def handle(self, exchange: AsyncExchange) -> None:
        """Answer one request."""
        handler, params = self._find(exchange.head)
        try:
            response = checked(await self._call(handler, exchange, params), handler)
        except BadBody as exc:
            response = bad_body(exc, exchange.head)
        await respond(exchange, response, self._threads)

    async def _call(
        self, handler: Handler, exchange: AsyncExchange, params: dict[str, str] | None
    ) -> Any:
        if handler.needs_loop:
            body = exchange if exchange.has_body else None
            request = request_of(exchange, body, params, AsyncRequest)
            return await self._threads.call_for_loop(handler, request)
        blocking = BlockingBody(exchange) if exchange.has_body else None
        return await self._threads.call(handler.call, request_of(exchange, blocking, params))


async def respond(exchange: AsyncExchange, response: Response, threads: Threads) -> None:
    """Send a response."""
    body: Any = response.body
    if body is None or isinstance(body, bytes):
        exchange.start(response.status, response.headers.items())
        await exchange.write(body or b"", end=True)
        return
    pieces = body if response.is_async else PiecesOfThread(body, threads)
    try:
        exchange.start(response.status, response.headers.items())
        if exchange.sends_head_first():
            await exchange.write(b"", end=exchange.is_head_only)
        if not exchange.is_head_only:
            await _stream(exchange, pieces, getattr(body, "heartbeat_s", 0))
        await exchange.write(b"", end=True)
    finally:
        if response.is_async:
            await response.aclose()
        else:
            await pieces.close()


async def _stream(
    exchange: AsyncExchange, pieces: AsyncIterable[bytes], heartbeat_s: float
) -> None:
    if not heartbeat_s:
        async for piece in pieces:
            await exchange.write(piece, end=exchange.ends_with(piece))
        return
    from buntime.worker.eventkeepalive import LoopPulse  # 1 ms, for an app with events

    pulse = LoopPulse(exchange, heartbeat_s)
    try:
        async for piece in pieces:
            await pulse.write(piece)
    finally:
        pulse.stop()


class PiecesOfThread:
    """The pieces of an iterable that blocks, each produced in a thread.

    `end` marks its end: a value that can never be a piece.
    """

    def __init__(self, body: Any, threads: Threads, end: object = None) -> None:
        self._body = body
        self._threads = threads
        self._end = end
        self._made: Future[Any] | None = None

    async def __aiter__(self) -> AsyncIterator[Any]:
        pieces = iter(self._body)
        while True:
            self._made = self._threads.submit(next, pieces, self._end)
            piece = await asyncio.wrap_future(self._made)
            self._made = None
            if piece is self._end:
                return
            yield piece

    async def close(self) -> None:
        """Close the iterable, in a thread; if it is producing a piece, after that."""
        close = getattr(self._body, "close", None)
        if close is None:
            return
        if self._made is None or self._made.done():
            await self._threads.call(close)
        else:
            self._made.add_done_callback(lambda _: close())


class Threads:
    """Threads for blocking code.

    Our own, so that an app that fills asyncio's default ones does not block itself.
    """

    def __init__(self, most: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(most, thread_name_prefix=name)

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Call a function in a thread, in a copy of this task's context."""
        return self._executor.submit(copy_context().run, _call, function, args)

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function in a thread, and wait for its result."""
        return await asyncio.wrap_future(self.submit(function, *args))

    async def call_for_loop(self, handler: Handler, argument: Any) -> Any:
        """Call a handler that is async, or that a decorator made from an async one."""
        if handler.is_async:
            return await handler.call(argument)
        # A decorator's function may also run the async one to its end, which must not happen here.
        result = await self.call(handler.call, argument)
        return await result if hasattr(result, "__await__") else result


def _call(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    try:
        return function(*args)
    except StopIteration as exc:  # a Future cannot carry it, and would never be done
        raise RuntimeError("the handler raised StopIteration") from exc
