"""The engine of async plugins: hooks and calls as tasks, sync ones in threads."""

from __future__ import annotations

import asyncio
from functools import partial

from buntime.sdk.request import Response
from buntime.wire import CALL, HOOK, ITEM, NOTICE, VERDICT
from buntime.worker.aio import AsyncEngine, AsyncExchange
from buntime.worker.aiofetch import PiecesOfThread, Threads, respond
from buntime.worker.invocation import Invocation, head_of, refusal
from buntime.worker.lanes import STREAMS_MAX
from buntime.worker.notices import Waiting
from buntime.worker.plugin import NOTICES
from buntime.worker.plugsync import leaving, tell_of_dropped
from buntime.worker.verdicts import Question, as_verdicts, failure_of, hook_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from buntime.wire import Message
    from buntime.worker.channel import Channel
    from buntime.worker.exchange import Send
    from buntime.worker.load import App
    from buntime.worker.plugin import Function, Plugin

PIECE_BYTES = 65536
_END = object()
MOST_THREADS = 32  # for sync hooks, and again for sync methods


class AsyncQuestion(AsyncExchange):
    """A HOOK, as a task."""

    def __init__(
        self,
        message: Message,
        payload: bytes,
        question: Question,
        send: Send,
        forget: Callable[[int], Any],
    ) -> None:
        super().__init__(question.head(message), payload, as_verdicts(send), forget)
        self._question = question
        self._send_verdict = send

    async def perform(self, threads: Threads) -> None:
        """Ask the hook, and send what it says."""
        try:
            body = b""
            while piece := await self.read(PIECE_BYTES):
                body += piece
            hook = hook_of(self._question)
            result = await called(hook, self._question.arguments(body, self), threads)
            verdict = self._question.verdict(result)
            if isinstance(verdict, Response):
                await respond(self, verdict, threads)
            else:
                self._send_verdict({"type": VERDICT, "id": self.id, **verdict}, b"")
                self._end()
        except BaseException as exc:  # noqa: BLE001  # the edge of a hook; SystemExit ends only it
            is_ours = self.gone and isinstance(exc, asyncio.CancelledError)
            self.fail(self.departure() if is_ours else exc)


class AsyncInvocation(Invocation, AsyncExchange):
    """A CALL, as a task."""

    async def perform(self, threads: Threads, stream_threads: Threads) -> None:
        """Call the method, and send what it returns or yields."""
        try:
            while (arguments := self.arguments()) is None:
                await self.news()
            args, kwargs = arguments
            result = await called(self.method(), args, threads, kwargs)
            if hasattr(result, "__anext__"):
                await self._stream(result, result)
            elif hasattr(result, "__next__"):
                await self._stream(result, PiecesOfThread(result, stream_threads, _END))
            else:
                await self._run(self.flow_result(result))
        except BaseException as exc:  # noqa: BLE001  # the edge of a call; SystemExit ends only it
            is_ours = self.gone and isinstance(exc, asyncio.CancelledError)
            self.fail(self.departure() if is_ours else exc)

    async def _stream(self, result: Any, items: Any) -> None:
        self.begin_stream()
        try:
            async for item in items:
                await self._run(self.flow_item(item))
            self.end_stream()
        finally:
            close = items.close if items is not result else getattr(result, "aclose", None)
            if close is not None:
                await close()

    async def _run(self, flow: Iterator[None]) -> None:
        for _ in flow:
            await self.news()
        if self.outlet.is_full:
            await self.outlet.drain()


class AsyncPluginEngine(AsyncEngine):
    """Serves a plugin on an event loop."""

    def __init__(self, channel: Channel, app: App, plugin: Plugin) -> None:
        super().__init__(
            channel,
            app.handle,
            app.sockets,
            start=self._begin,
            stop=app.stop,
            on_idle=app.on_idle,
            on_terminate=app.on_terminate,
        )
        self._plugin = plugin
        self._start_app = app.start
        self._hook_threads = Threads(min(app.concurrency, MOST_THREADS), "hook")
        self._call_threads = Threads(min(app.concurrency, MOST_THREADS), "call")
        self._stream_threads = Threads(STREAMS_MAX, "stream")
        self._notice_threads = Threads(1, "notice")
        self._notices = Waiting()
        self.dispatch[HOOK] = self._on_hook
        self.dispatch[NOTICE] = self._on_notice
        self.dispatch[CALL] = self._on_call
        self.dispatch[ITEM] = self._on_item

    async def _begin(self) -> None:
        hook = self._plugin.hooks.get("on_init")
        if hook is not None:
            await called(hook, (), self._hook_threads)
        self._plugin.find_services()
        if self._start_app is not None:
            await self._start_app()

    async def _wind_up(self) -> None:
        hook = self._plugin.hooks.get("on_shutdown")
        if hook is not None and not self._plugin.has_shut_down:
            await self._run_unasked("on_shutdown", hook, (), self._hook_threads)
        await super()._wind_up()

    def _on_hook(self, head: Message, payload: bytes) -> None:
        if self.is_closing:
            self.send(leaving(head), b"")
            return
        question = Question(head, self._plugin)
        exchange = AsyncQuestion(head, payload, question, self.send, self.exchanges.pop)
        self.adopt(exchange, exchange.perform(self._hook_threads))

    def _on_call(self, head: Message, payload: bytes) -> None:
        if self.is_closing:
            self.send(refusal(head, "away", "this plugin is stopping"), b"")
            return
        call = AsyncInvocation(head_of(head), b"", self.send, self.exchanges.pop)
        call.prepare(head, payload, self._plugin)
        self.adopt(call, call.perform(self._call_threads, self._stream_threads))

    def _on_item(self, head: Message, payload: bytes) -> None:
        call = self.exchanges.get(head["id"])
        if isinstance(call, AsyncInvocation):
            call.on_item(payload)
            self.tell(call)

    def adopt(self, exchange: AsyncExchange, performing: Any) -> None:
        """Run an exchange as a task, which shutdown waits for."""
        exchange.loop = self.loop
        exchange.outlet = self.outlet
        self.exchanges[exchange.id] = exchange
        exchange.task = self.loop.create_task(performing)
        self._tasks.add(exchange.task)
        exchange.task.add_done_callback(self._tasks.discard)

    def _on_notice(self, head: Message, _payload: bytes) -> None:
        if head["notice"] not in NOTICES or head["notice"] not in self._plugin.hooks:
            return
        if self.is_closing:
            return
        if self._notices.put(head):
            task = self.loop.create_task(self._tell_of_notices())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _tell_of_notices(self) -> None:
        while not self.is_closing:
            message = self._notices.take()
            if message is None:
                return
            name = message["notice"]
            tell_of_dropped(message)
            args, threads = (message["data"],), self._notice_threads
            await self._run_unasked(name, self._plugin.hooks[name], args, threads)

    async def _run_unasked(
        self, name: str, hook: Function, args: Sequence[Any], threads: Threads
    ) -> None:
        """Run a hook that nobody waits for; the runtime is told if it fails."""
        try:
            await called(hook, args, threads)
        except BaseException as exc:  # noqa: BLE001  # the edge of a hook; SystemExit ends only it
            self.send(failure_of(name, exc), b"")


async def called(
    function: Function, args: Sequence[Any], threads: Threads, kwargs: dict[str, Any] | None = None
) -> Any:
    """Call a hook or method: an async one here, a sync one in a thread."""
    call = partial(function.call, *args, **(kwargs or {}))
    if function.is_async:
        return await call()
    result = await threads.call(call)
    return await result if hasattr(result, "__await__") else result
