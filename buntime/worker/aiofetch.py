"""Kinds fetch and routes of async apps: async handlers on the loop, sync ones in threads."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from buntime.message import AsyncRequest, BadBody
from buntime.worker.fetch import bad_body, checked, request_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from buntime.message import Response
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

    def __init__(self, find: Finder, threads: int) -> None:
        self._find = find
        # Of its own, so that an app which fills asyncio's default one does not stop itself.
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="handler")

    async def handle(self, exchange: AsyncExchange) -> None:
        """Answer one request."""
        handler, params = self._find(exchange.head)
        try:
            response = checked(await self._call(handler, exchange, params), handler)
        except BadBody as exc:
            response = bad_body(exc, exchange.head)
        await self._respond(exchange, response)

    async def _call(
        self, handler: Handler, exchange: AsyncExchange, params: dict[str, str] | None
    ) -> Any:
        if handler.needs_loop:
            body = exchange if exchange.has_body else None
            request = request_of(exchange.head, body, params, AsyncRequest)
            if handler.is_async:
                return await handler.call(request)
            # A decorator's function may also run the async one to its end: not on this thread.
            result = await self._in_thread(handler.call, request)
            return await result if hasattr(result, "__await__") else result
        blocking = BlockingBody(exchange) if exchange.has_body else None
        return await self._in_thread(handler.call, request_of(exchange.head, blocking, params))

    async def _respond(self, exchange: AsyncExchange, response: Response) -> None:
        body = response.body
        if body is None or isinstance(body, bytes):
            exchange.start(response.status, response.headers.items())
            await exchange.write(body or b"", end=True)
            return
        try:
            exchange.start(response.status, response.headers.items())
            if exchange.sends_head_first():
                await exchange.write(b"", end=exchange.is_head_only)
            if not exchange.is_head_only:
                await self._stream(exchange, body)
            await exchange.write(b"", end=True)
        finally:
            await response.aclose()

    async def _stream(self, exchange: AsyncExchange, body: Any) -> None:
        if hasattr(body, "__aiter__"):
            async for piece in body:
                await exchange.write(piece, end=exchange.ends_with(piece))
            return
        pieces = iter(body)
        while (piece := await self._in_thread(next, pieces, None)) is not None:
            await exchange.write(piece, end=exchange.ends_with(piece))

    async def _in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function in a thread, in a copy of this task's context."""
        loop = asyncio.get_running_loop()
        run = copy_context().run
        return await loop.run_in_executor(self._threads, run, _call, function, args)


def _call(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    try:
        return function(*args)
    except StopIteration as exc:  # a Future cannot carry it, and would never be done
        raise RuntimeError("the handler raised StopIteration") from exc
