"""The way of an answer back through the on_response hooks of those plugins that had the request.

The plugin that was asked last about the request sees the answer first. Each one sees what the one
before it has changed. One that answers in the app's place ends the app's answer; the remaining ones
see its own answer.

If the process that had the request has ended since, because the plugin was reloaded, the one that
serves now is asked. A plugin that has been switched off is no longer asked.
"""

from __future__ import annotations

from buntime.core.http1.answer import AnswerError
from buntime.core.http1.section import Fields
from buntime.core.plugins.hookfields import BadVerdict
from buntime.core.plugins.hooktext import Facts
from buntime.core.plugins.plan import ON_RESPONSE, Hook, Plan
from buntime.core.plugins.verdict import Change, Failed, Question, Respond, read_verdict
from buntime.core.telemetry.pluginmeters import Failure, HookMeter, PluginMeters
from buntime.core.values.protocols import Protocol
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.review import Review
from buntime.server.loop.loop import Loop
from buntime.server.plugins.asked import question
from buntime.server.plugins.changing import Changing
from buntime.server.plugins.failing import Outages, failed, give_up, tell, unavailable
from buntime.server.plugins.keepingout import keep_out, keep_out_change
from buntime.server.plugins.pieces import answer_by
from buntime.server.pool.worker import Worker
from buntime.server.telemetry.logs import Log
from buntime.wire import MAX_LINE, Message, to_json

# What a worker reads in one line, with room for what `Asking.ask` adds.
_TEXT_MAX_CHARS = MAX_LINE - 64


class Joined:
    """A plugin that had the request: its hook, and the worker of the generation that had it."""

    __slots__ = ("facts", "fields", "hook", "worker")

    def __init__(self, hook: Hook, worker: Worker, facts: Facts, fields: str) -> None:
        self.hook = hook
        self.worker = worker
        self.facts = facts
        self.fields = fields  # fields of the request as the hook saw them, as JSON


class Plugins(Protocol):
    """The plugins, as far as answers need them."""

    @property
    def plan(self) -> Plan:
        """The plan that holds now: whose hooks are asked about what."""

    def worker_of(self, name: str) -> Worker | None:
        """The worker of the generation that serves; None while it is away."""


class Shared(Protocol):
    """What all ways through hooks share."""

    @property
    def loop(self) -> Loop: ...
    @property
    def log(self) -> Log: ...
    @property
    def meters(self) -> PluginMeters: ...
    @property
    def plugins(self) -> Plugins: ...
    @property
    def changing(self) -> Changing: ...
    @property
    def outages(self) -> Outages: ...


class Answers:
    """The reviewer of one request's answer."""

    __slots__ = (
        "_asked_s",
        "_cookies",
        "_exchange",
        "_fields",
        "_joined",
        "_pending",
        "_shared",
        "_status",
        "_waits_for",
    )

    def __init__(self, shared: Shared, exchange: Exchange, joined: list[Joined]) -> None:
        self._shared = shared
        self._exchange = exchange
        self._joined = joined
        self._cookies: list[tuple[str, str]] = []
        self._status = 0
        self._fields: Fields = ()
        self._pending: tuple[Joined, int] | None = None  # and the number of the HOOK
        self._asked_s = 0.0  # when
        self._waits_for: Joined | None = None  # its plugin changes

    def join(self, hook: Hook, worker: Worker, facts: Facts, fields: str) -> None:
        """Add a plugin, to be asked before those that joined earlier."""
        self._joined.append(Joined(hook, worker, facts, fields))

    def set_cookies(self, values: tuple[str, ...]) -> None:
        """Add cookies that a plugin wants to set to the answer."""
        self._cookies += [("set-cookie", value) for value in values]

    # Reviewer

    def on_answer(self, status: int, fields: list[tuple[str, str]]) -> None:
        self._status = status
        self._fields = (*fields, *self._cookies)
        self._ask_next()

    def on_dropped(self) -> None:
        self._give_up("client")

    # Asker

    def on_verdict(self, message: Message, payload: bytes) -> None:
        joined, number = self._take()
        expected = Question(ON_RESPONSE, joined.hook.stage, seen=Change(self._status, self._fields))
        try:
            verdict = read_verdict(message, expected)
        except BadVerdict as exc:
            self._fail(joined, Failure.BAD, str(exc))
            return
        if isinstance(verdict, Failed):
            self._fail(joined, Failure.RAISED, verdict.error, verdict.traceback)
        elif isinstance(verdict, Respond):
            self._count("respond", joined)
            keep_out(self._exchange, joined.hook)
            self._replace(joined, number, verdict, payload)
        else:
            self._count("change" if isinstance(verdict, Change) else "continue", joined)
            if isinstance(verdict, Change):
                keep_out_change(self._exchange, joined.hook, self._fields, verdict.headers)
                self._status, self._fields = verdict.status, verdict.headers
            self._ask_next()

    def on_lost(self) -> None:
        joined, _ = self._take()
        self._fail(joined, Failure.DIED, "its process has ended")

    # Waiter

    def on_changed(self) -> None:
        joined = self._stop_waiting()
        if joined is not None:
            self._joined.append(joined)
            self._ask_next()

    # Expiring

    def on_timeout(self) -> None:
        waited_for = self._stop_waiting()
        if waited_for is not None:
            why = f"it did not start in {waited_for.hook.timeout_s:g} s"
            self._meter(waited_for).on_failure(Failure.AWAY, why, self._shared.loop.now)
            if self._passes_over(waited_for, why):
                self._ask_next()
        elif self._pending is not None:
            joined, number = self._pending
            now = self._shared.loop.now
            give_up(self._shared.log, joined.hook, joined.worker, number, now)
            self._pending = None
            self._fail(joined, Failure.LATE, f"it did not answer in {joined.hook.timeout_s:g} s")

    # How it is done

    def _ask_next(self) -> None:
        shared = self._shared
        while self._joined:
            joined = self._joined.pop()
            hook = shared.plugins.plan.now(joined.hook)
            if hook is None or not (hook.has_response or hook.closed):
                continue
            worker = shared.plugins.worker_of(hook.plugin)
            why = "its process has ended" if worker is None else worker.asking.why_not
            if worker is not None and not why:
                joined.worker = worker
                self._ask(joined)
                return
            if shared.changing.wait(self, hook.plugin):
                shared.loop.timeouts(hook.timeout_s).start(self)
                self._waits_for = joined
                return
            self._meter(joined).on_failure(Failure.AWAY, why, shared.loop.now)
            if not self._passes_over(joined, why):
                return
        self._exchange.reviewed(self._status, self._fields)

    def _ask(self, joined: Joined) -> None:
        timeout_s = joined.hook.timeout_s
        head = to_json({"status": self._status, "headers": self._fields}).decode("ascii")
        text = question(
            ON_RESPONSE,
            self._exchange,
            joined.facts,
            joined.fields,
            round(timeout_s * 1000),
            response=f'"response":{head},',
        )
        if len(text) > _TEXT_MAX_CHARS:
            self._exchange.refuse_answer(
                AnswerError(f"its headers, {len(head)} bytes as JSON, are too large for plugins")
            )
            return
        self._shared.loop.timeouts(timeout_s).start(self)
        self._asked_s = self._shared.loop.now
        self._pending = joined, joined.worker.ask(text, self)

    def _take(self) -> tuple[Joined, int]:
        if self._pending is None:
            raise AssertionError("a verdict that nobody has asked for")
        pending, self._pending = self._pending, None
        self._shared.loop.timeouts(pending[0].hook.timeout_s).stop(self)
        return pending

    def _give_up(self, reason: str) -> None:
        if self._pending is not None:
            joined, number = self._take()
            joined.worker.asking.give_up(number, reason)
        if self._stop_waiting() is not None:
            self._joined.clear()

    def _stop_waiting(self) -> Joined | None:
        joined, self._waits_for = self._waits_for, None
        if joined is not None:
            self._shared.changing.leave(self)
            self._shared.loop.timeouts(joined.hook.timeout_s).stop(self)
        return joined

    def _meter(self, joined: Joined) -> HookMeter:
        return self._shared.meters.of(joined.hook.plugin).hook(ON_RESPONSE)

    def _count(self, verdict: str, joined: Joined) -> None:
        self._meter(joined).on_verdict(verdict, self._shared.loop.now - self._asked_s)

    def _fail(self, joined: Joined, kind: Failure, why: str, stack: str = "") -> None:
        self._meter(joined).on_failure(kind, why, self._shared.loop.now, self._asked_s)
        if self._passes_over(joined, why, stack):
            self._ask_next()

    def _passes_over(self, joined: Joined, why: str, stack: str = "") -> bool:
        """Whether the answer goes on; False if it was replaced by an error."""
        why = f"{why}; the app had already answered"
        tell(self._shared.log, joined.hook, ON_RESPONSE, self._exchange, why, stack=stack)
        if joined.hook.ignores:
            return True
        worker = self._shared.plugins.worker_of(joined.hook.plugin)
        is_away = worker is None or worker.asking.why_not
        plugin = joined.hook.plugin
        self._exchange.fail(unavailable(plugin) if is_away else failed(plugin, why, stack))
        return False

    def _replace(self, joined: Joined, number: int, verdict: Respond, payload: bytes) -> None:
        rest = Answers(self._shared, self._exchange, self._joined)
        self._exchange.replace(Review(rest))
        answer_by(self._exchange, joined.worker, number, verdict, payload)
