"""The engine of sync plugins: hooks, notices and calls as jobs in separate lanes."""

from __future__ import annotations

from buntime.sdk.pluginlog import Log
from buntime.sdk.request import Response
from buntime.sdk.services import ServiceError
from buntime.wire import CALL, HOOK, ITEM, NOTICE, VERDICT
from buntime.worker.exchange import Exchange
from buntime.worker.fetch import respond
from buntime.worker.followers import Job
from buntime.worker.invocation import Invocation, head_of, refusal
from buntime.worker.lanes import CALLS, HOOKS, NOTICES, LanedFollowers
from buntime.worker.notices import Waiting
from buntime.worker.plugin import NOTICES as NAMES_OF_NOTICES
from buntime.worker.plugin import Function
from buntime.worker.sync import SyncEngine, SyncExchange
from buntime.worker.verdicts import Question, as_verdicts, failure_of, hook_of, write_pass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from buntime.wire import Message, Received
    from buntime.worker.channel import Channel
    from buntime.worker.load import App
    from buntime.worker.plugin import Plugin

PIECE_BYTES = 65536


class SyncQuestion(SyncExchange):
    """A HOOK, on a thread."""

    lane = HOOKS

    def __init__(
        self,
        message: Message,
        payload: bytes,
        question: Question,
        engine: SyncPluginEngine,
    ) -> None:
        Exchange.__init__(
            self, question.head(message), payload, engine.send_as_verdict, engine.exchanges.pop
        )
        self.threads = engine.threads
        self._question = question
        self._engine = engine

    def perform(self) -> None:
        """Ask the hook, and send what it says."""
        try:
            if self.gone:
                raise self.departure()
            body = b""
            if self._pieces or not self.is_complete:
                body = b"".join(iter(lambda: self.read(PIECE_BYTES), b""))
            question = self._question
            hook = question.hook or hook_of(question)
            result = finished(hook, question.arguments(body, self))
            if question.is_pass(result):
                self._engine.channel.send_line(write_pass(self.id))
                self._end()
                return
            verdict = question.verdict(result)
            if isinstance(verdict, Response):
                respond(self, verdict)
            else:
                self._engine.send({"type": VERDICT, "id": self.id, **verdict}, b"")
                self._end()
        except BaseException as exc:  # noqa: BLE001  # the edge of a hook; SystemExit ends only it
            self.fail(exc)


class SyncInvocation(Invocation, SyncExchange):
    """A CALL, on a thread."""

    lane = CALLS

    def perform(self, lanes: LanedFollowers) -> None:
        """Call the method, and send what it returns or yields."""
        try:
            seen = self.news
            while (arguments := self.arguments()) is None:
                self.threads.wait(self, seen)
                seen = self.news
            result = finished(self.method(), *arguments)
            if hasattr(result, "__next__") or hasattr(result, "__anext__"):
                self._stream(result, lanes)
            else:
                self._run(self.flow_result(result))
        except BaseException as exc:  # noqa: BLE001  # the edge of a call; SystemExit ends only it
            self.fail(exc)

    def _stream(self, result: Any, lanes: LanedFollowers) -> None:
        try:
            if not lanes.begin_stream(self):
                raise ServiceError("busy", "this plugin has too many streams open")
            self.begin_stream()
            for item in result if hasattr(result, "__next__") else _items(result):
                self._run(self.flow_item(item))
            self.end_stream()
        finally:
            close = getattr(result, "close", None) or getattr(result, "aclose", None)
            if close is not None:
                finished(Function(close, "close"), ())

    def _run(self, flow: Iterator[None]) -> None:
        seen = self.news
        for _ in flow:
            self.threads.wait(self, seen)
            seen = self.news


class NoticeJob(Job):
    """The waiting notices, one after the other."""

    lane = NOTICES

    def perform(self, engine: SyncPluginEngine) -> None:
        """Tell the plugin of each, until there are no more."""
        while not engine.is_closing:
            message = engine.notices.take()
            if message is None:
                return
            engine.tell_of(message)


class SyncPluginEngine(SyncEngine):
    """Serves a plugin on threads."""

    def __init__(self, channel: Channel, app: App, plugin: Plugin) -> None:
        slots = app.concurrency
        super().__init__(channel, app.handle, app.sockets, app.on_idle, slots, is_once=False)
        self._plugin = plugin
        self.send_as_verdict = as_verdicts(self.send)
        self.notices = Waiting()
        limits = (slots, slots, slots, 1)
        self._lanes = LanedFollowers(self._read, self._perform, limits, self.waits_for())
        self.threads = self._lanes
        self.dispatch[HOOK] = self._on_hook
        self.dispatch[NOTICE] = self._on_notice
        self.dispatch[CALL] = self._on_call
        self.dispatch[ITEM] = self._on_item

    def start(self) -> None:
        """Run on_init. Raises what it raises."""
        hook = self._plugin.hooks.get("on_init")
        if hook is not None:
            finished(hook, ())
        self._plugin.find_services()

    def run(self, received: list[Received]) -> None:
        """Serve until TERMINATE has come and all is done."""
        super().run(received)
        hook = self._plugin.hooks.get("on_shutdown")
        if hook is not None and not self._plugin.has_shut_down:
            self._run_unasked("on_shutdown", hook)

    def _perform(self, job: Job) -> None:
        if isinstance(job, SyncQuestion):
            assert self._copy_context is not None
            self._copy_context().run(job.perform)
        elif isinstance(job, NoticeJob):
            job.perform(self)
        elif isinstance(job, SyncInvocation):
            assert self._copy_context is not None
            self._copy_context().run(job.perform, self._lanes)
        else:
            super()._perform(job)

    def _on_hook(self, head: Message, payload: bytes) -> None:
        if self.is_closing:
            self.send(leaving(head), b"")
            return
        exchange = SyncQuestion(head, payload, Question(head, self._plugin), self)
        self.exchanges[exchange.id] = exchange
        self.threads.put(exchange)

    def _on_call(self, head: Message, payload: bytes) -> None:
        if self.is_closing:
            self.send(refusal(head, "away", "this plugin is stopping"), b"")
            return
        call = SyncInvocation(head_of(head), b"", self.send, self.exchanges.pop)
        call.prepare(head, payload, self._plugin)
        call.caller = head.get("caller") or ""
        call.threads = self.threads
        self.exchanges[call.id] = call
        self.threads.put(call)

    def _on_item(self, head: Message, payload: bytes) -> None:
        call = self.exchanges.get(head["id"])
        if isinstance(call, SyncInvocation):
            call.on_item(payload)
            self.tell(call)

    def _on_notice(self, head: Message, _payload: bytes) -> None:
        name = head["notice"]
        if name not in self._plugin.hooks or name not in NAMES_OF_NOTICES or self.is_closing:
            return
        if self.notices.put(head):
            self.threads.put(NoticeJob())

    def tell_of(self, message: Message) -> None:
        """Call the hook of a NOTICE."""
        assert self._copy_context is not None
        tell_of_dropped(message)
        name = message["notice"]
        hook = self._plugin.hooks[name]
        self._copy_context().run(self._run_unasked, name, hook, message["data"])

    def _run_unasked(self, name: str, hook: Function, *args: Any) -> None:
        """Run a hook that nobody waits for; the runtime is told if it fails."""
        try:
            finished(hook, args)
        except BaseException as exc:  # noqa: BLE001  # the edge of a hook; SystemExit ends only it
            self.send(failure_of(name, exc), b"")


def finished(function: Function, args: Sequence[Any], kwargs: dict[str, Any] | None = None) -> Any:
    """Run a function of a sync plugin to its end; an async one on the loop of a separate thread."""
    result = function.call(*args, **(kwargs or {}))
    if result is not None and hasattr(result, "__await__"):
        from buntime.worker.loopthread import run_there  # brings asyncio, 62 ms

        return run_there(result)
    return result


def _items(stream: Any) -> Iterator[Any]:
    from buntime.worker.loopthread import run_there  # see above

    while True:
        try:
            yield run_there(stream.__anext__())
        except StopAsyncIteration:
            return


def leaving(head: Message) -> Message:
    """Return the VERDICT for a HOOK that came too late."""
    error = "this worker is leaving; the hook came after its TERMINATE"
    message = {"type": VERDICT, "id": head["id"], "action": "failed"}
    return {**message, "error": error, "traceback": ""}


def tell_of_dropped(message: Message) -> None:
    """Say how many notices the plugin has missed before this one."""
    dropped = message.get("dropped")
    if dropped:
        Log().warning("%d notices were dropped before this one: too many at once", dropped)
