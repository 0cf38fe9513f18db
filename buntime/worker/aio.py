"""The engine of async apps: exchanges as tasks of one asyncio loop, which also reads and writes.

Everything here runs on the loop's thread, and the socket never blocks.
"""

from __future__ import annotations

import asyncio
import os
import warnings

from buntime.worker.engine import Engine
from buntime.worker.exchange import ENDED, SENT, Exchange
from buntime.worker.hooks import await_hook
from buntime.worker.outlet import Outlet
from buntime.worker.precision import make_precise
from buntime.worker.report import complain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any, Protocol

    from buntime.wire import Message, Received
    from buntime.worker.channel import Channel
    from buntime.worker.engine import Sockets

    Handle = Callable[["AsyncExchange"], Awaitable[None]]
    from buntime.worker.exchange import Send

    Hook = Callable[[], Any]

    class Mailbox(Protocol):
        """Reads instead of this engine if an app calls services: see asynccalls.py."""

        def open(self) -> None: ...
        def serve(self) -> None: ...
        def close(self) -> None: ...


class AsyncExchange(Exchange):
    """An exchange whose handler is a task."""

    loop: asyncio.AbstractEventLoop
    outlet: Outlet
    task: asyncio.Task[None] | None = None
    cancel_after_s = 0.0  # how long the handler may continue when nobody waits any more
    _waiters: tuple[asyncio.Future[None], ...] = ()

    def spare_s(self) -> float:
        """Return how much longer it may take, if its handler is known to be ending."""
        return 0.0

    async def read(self, limit: int) -> bytes:
        """Return up to `limit` bytes of the request's body, b"" at its end."""
        while (data := self.take(limit)) is None:
            await self.news()
        return data

    async def write(self, body: bytes, *, end: bool = False) -> None:
        """Send a piece of the response's body; waits for credit, and while too much is unsent."""
        if self.fits(body):
            self.send(body, end=end)
        else:
            for _ in self.flow(body, end=end):
                await self.news()
        if not body and not end and self.stage is SENT:
            await asyncio.sleep(0)  # or an app that sends nothing would not learn of it
        if not end and self.outlet.is_full:
            await self.outlet.drain()

    def _end(self) -> None:
        super()._end()
        self.tell()

    async def news(self) -> None:
        """Wait until something came for this exchange."""
        waiter = self.loop.create_future()
        # Without those whose task was cancelled: polling with a timeout would pile them up.
        self._waiters = (*[each for each in self._waiters if not each.done()], waiter)
        await waiter

    def tell(self) -> None:
        """Wake those that wait for news."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters = ()


class AsyncEngine(Engine[AsyncExchange]):
    """Runs `handle` as a task for each request."""

    def __init__(
        self,
        channel: Channel,
        handle: Handle,
        sockets: Sockets[Any] | None,
        *,
        start: Hook | None,
        stop: Hook | None,
        on_idle: Hook | None,
        on_terminate: Hook | None,
    ) -> None:
        self.loop = _event_loop()
        make_precise(self.loop)
        self.outlet = Outlet(channel, self.loop)
        super().__init__(channel, self.outlet.send, sockets)
        self.mailbox: Mailbox | None = None  # where the app may call services
        self._handle = handle
        self._start = start
        self._stop = stop
        self._on_idle_hook = on_idle
        self._on_terminate_hook = on_terminate
        self._tasks: set[asyncio.Task[None]] = set()
        self._terminated = self.loop.create_future()

    def run(self, received: list[Received], ready: Callable[[Send], None]) -> None:
        """Start the app, call `ready`, and serve until TERMINATE has come and everything is done.

        Raises what the app raises when it starts.
        """
        main = self.loop.create_task(self._main(received, ready))
        while True:
            try:
                return self.loop.run_until_complete(main)
            except (SystemExit, KeyboardInterrupt) as exc:
                # asyncio lets these through from any task of the app; they must end only that task.
                if main.done():
                    raise
                complain("a task of the app raised", exc)

    async def _main(self, received: list[Received], ready: Callable[[Send], None]) -> None:
        if self.mailbox is not None:
            self.mailbox.open()
        if self._start is not None:
            await self._start()
        ready(self.send)
        descriptor = self.channel.descriptor
        os.set_blocking(descriptor, False)
        if self.mailbox is None:
            self.loop.add_reader(descriptor, self._read)
            self.take_in(received)
        else:
            self.mailbox.serve()
        await self._terminated
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self.mailbox is None:
            self.loop.remove_reader(descriptor)
            await self._wind_up()
        else:
            await self._wind_up()
            self.mailbox.close()

    async def _wind_up(self) -> None:
        if self._on_terminate_hook is not None:
            await await_hook("on_terminate", self._on_terminate_hook)
        if self._stop is not None:
            await await_hook("the lifespan shutdown", self._stop)
        await self.clear_loop()
        await self.outlet.drain(0)

    async def clear_loop(self) -> None:
        """End what the app has left running, because the loop is its own."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        for result in await asyncio.gather(*others, return_exceptions=True):
            if isinstance(result, Exception):
                complain("a task of the app failed when it was cancelled", result)
        await self.loop.shutdown_asyncgens()

    def _read(self) -> None:
        self.take_in(self.channel.receive())

    def begin(self, head: Message, payload: bytes) -> None:
        """Start a request's task."""
        cls = AsyncExchange
        if self.sockets is not None and "upgrade" in head:
            cls = self.sockets.exchange_class
        exchange = cls(head, payload, self.send, self.exchanges.pop)
        exchange.loop = self.loop
        exchange.outlet = self.outlet
        self.exchanges[exchange.id] = exchange
        exchange.task = self.loop.create_task(self._answer(exchange))
        self._tasks.add(exchange.task)

    def tell(self, exchange: AsyncExchange) -> None:
        """Wake the handler, if it waits."""
        exchange.tell()

    def cancel(self, exchange: AsyncExchange) -> None:
        """Wake the handler so that it notices, and cancel its task, at once or after its grace."""
        exchange.tell()
        if exchange.cancel_after_s:
            self.loop.call_later(exchange.cancel_after_s, self._give_up, exchange)
        else:
            self._give_up(exchange)

    def idle(self) -> None:
        """Run the app's on_idle beside other work."""
        if self._on_idle_hook is not None:
            task = self.loop.create_task(await_hook("on_idle", self._on_idle_hook))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Finish, once all tasks are done."""
        if not self._terminated.done():
            self._terminated.set_result(None)

    def _give_up(self, exchange: AsyncExchange) -> None:
        if exchange.stage is ENDED or exchange.task is None:
            return
        spare_s = exchange.spare_s()
        if spare_s:
            self.loop.call_later(spare_s, self._give_up, exchange)
            return
        exchange.task.add_done_callback(lambda _: self._see_to_the_end(exchange))
        exchange.task.cancel()

    def _see_to_the_end(self, exchange: AsyncExchange) -> None:
        """End an exchange whose task was cancelled before it had begun."""
        if exchange.stage is not ENDED:
            exchange.fail(exchange.departure())
            self._forget(exchange)

    async def _answer(self, exchange: AsyncExchange) -> None:
        try:
            if exchange.is_socket and self.sockets is not None:
                await self.sockets.handle(exchange)
            else:
                await self._handle(exchange)
            if exchange.stage is not ENDED:
                raise RuntimeError("the handler returned before it had ended its response")
        except BaseException as exc:  # noqa: BLE001  # the edge of a request; SystemExit ends only it
            is_ours = exchange.gone and isinstance(exc, asyncio.CancelledError)
            self.fail(exchange, exchange.departure() if is_ours else exc)
        finally:
            self._forget(exchange)

    def _forget(self, exchange: AsyncExchange) -> None:
        # Not by a callback of the task, which would cost another turn of the loop.
        if exchange.task is not None:
            self._tasks.discard(exchange.task)


def _event_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that the app's module may have bound objects to, else a new one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: there is no current loop
        try:
            loop = asyncio.get_event_loop()
        except RuntimeError:  # 3.14
            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
    return loop
