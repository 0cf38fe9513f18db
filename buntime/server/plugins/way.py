"""The way of a request through the hooks of plugins, one after the other.

    begin ──> closed, away: 503, or passed over
          ──> its process ends for another one: the request waits, at most `hookTimeout`
          ──> a plugin that is started for the first time: the same, at most 10 s
          ──> HOOK ──> VERDICT    continue: the next one; respond: the plugin answers
                                  failed, bad, late: 502, or passed over (`onError: ignore`)

While a hook has the request its body waits, and the app's time has not begun. For hooks that look
at bodies the whole body is read first, see `bodies`. The plugins that it passed see its answer on
the way back, see `answers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import time

from buntime.core.access.rules import Rule
from buntime.core.errors import HttpError
from buntime.core.plugins.hookfields import BadVerdict
from buntime.core.plugins.hooktext import Facts, Seen
from buntime.core.plugins.identity import take_out
from buntime.core.plugins.plan import ON_REQUEST, Hook
from buntime.core.plugins.verdict import (
    PASS,
    Continue,
    Failed,
    Question,
    Respond,
    applied,
    has_room,
    is_pass,
    read_verdict,
)
from buntime.core.plugins.verdictcache import VerdictCache
from buntime.core.telemetry.pluginmeters import Failure
from buntime.core.values.protocols import Protocol
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.review import Review
from buntime.server.plugins.answers import Answers
from buntime.server.plugins.answers import Plugins as PluginsOfAnswers
from buntime.server.plugins.answers import Shared as SharedOfAnswers
from buntime.server.plugins.asked import describe, question
from buntime.server.plugins.bodies import (
    TOO_LARGE,
    Bodies,
    body_for,
    is_too_large,
    sees_body,
    too_large,
)
from buntime.server.plugins.failing import failed, give_up, tell, unavailable
from buntime.server.plugins.footings import Footings
from buntime.server.plugins.keepingout import keep_out
from buntime.server.plugins.parts import Part, Parts
from buntime.server.plugins.pieces import answer_by
from buntime.server.plugins.sites import PluginSite
from buntime.server.pool import faults
from buntime.server.pool.responders import Waiting
from buntime.server.pool.worker import Worker
from buntime.wire import Message

_AGAIN_S = 5.0  # when a client may retry if there is no memory


class Plugins(PluginsOfAnswers, Protocol):
    """The plugins, as far as requests need them."""

    @property
    def cookies(self) -> Mapping[str, frozenset[str]]:
        """The cookies that are a plugin's own, by its name."""

    def is_changing(self, name: str) -> bool:
        """Will it serve in a moment? Then requests for it wait."""

    def wake(self, name: str) -> bool:
        """Start it if nothing has needed it yet; False if it will not serve soon."""

    @property
    def rules(self) -> Sequence[Rule]:
        """The operators' rules on who may reach which app."""

    def at_base(self, segment: str) -> PluginSite | None:
        """What a plugin has at "/" and this segment, or at `SIGN_IN`."""

    def follow(self, callback: Callable[[], None]) -> None:
        """Call it when any of these may have changed."""


class Shared(SharedOfAnswers, Protocol):
    """What all ways share, beyond what answers need."""

    @property
    def plugins(self) -> Plugins: ...
    @property
    def parts(self) -> Parts: ...
    @property
    def api_prefix(self) -> str: ...
    @property
    def bodies(self) -> Bodies: ...
    @property
    def kept(self) -> VerdictCache: ...
    @property
    def footings(self) -> Footings: ...


class Way(Waiting):
    """One request's way; it is the responder while a hook is asked."""

    __slots__ = (
        "_asked_s",
        "_exchange",
        "_facts",
        "_hooks",
        "_next",
        "_pending",
        "_seen",
        "_shared",
        "_then",
        "_waits_for",
    )

    def __init__(
        self,
        shared: Shared,
        exchange: Exchange,
        hooks: Sequence[Hook],
        facts: Facts,
        then: Callable[[], None],
    ) -> None:
        self._shared = shared
        self._exchange = exchange
        self._hooks = hooks
        self._facts = facts
        self._then = then
        self._next = 0
        self._asked_s = 0.0  # when
        self._pending: tuple[Part, Worker, int] | None = None  # and the number of the HOOK
        self._seen: Seen | None = None  # by that one
        self._waits_for: Part | None = None  # its plugin changes

    def advance(self) -> bool:
        """Ask the next one; False if none is left."""
        while self._next < len(self._hooks):
            part = self._shared.parts.of(self._hooks[self._next])
            self._next += 1
            if part is None:
                continue  # switched off since the request came
            hook = part.hook
            worker = None if hook.closed or hook.away else self._worker_of(hook)
            if worker is None:
                if self._waits(part):
                    return True
                continue
            is_with_body = sees_body(hook, self._exchange) if hook.body else False
            if is_with_body:
                if is_too_large(self._exchange):
                    self._pass_over(hook, TOO_LARGE, too_large(hook.plugin))
                    continue
                if self._exchange.lacks_body:
                    self._next -= 1
                    self._shared.bodies.collect(self._exchange, self)
                    return True
            if hook.has_request and (is_with_body or not self._is_kept(part, worker)):
                self._ask(part, worker)
                return True
            if hook.has_response:
                self._join(part, worker)
        # If plugins identify the client, a proxy's word no longer counts. All hooks are of a stage.
        if self._hooks and self._hooks[0].stage == "identity":
            self._exchange.show(take_out(self._exchange.headers, from_proxy=False).fields)
        return False

    # Asker

    def on_verdict(self, message: Message, payload: bytes) -> None:
        part, worker, number = self._take()
        try:
            verdict = PASS if is_pass(message) else read_verdict(message, self._question(part))
        except BadVerdict as exc:
            self._fail(part, Failure.BAD, str(exc))
            return
        if isinstance(verdict, Continue):
            self._count("continue", part)
            if verdict is not PASS:
                self._keep(part, worker, verdict)
                self._apply(part.hook, verdict, self._asked_s)
            if part.hook.has_response:
                self._join(part, worker)
            self._go_on()
        elif isinstance(verdict, Respond):
            self._count("respond", part)
            self._exchange.take_back()
            self._exchange.discard_body()
            keep_out(self._exchange, part.hook)
            answer_by(self._exchange, worker, number, verdict, payload)
        elif isinstance(verdict, Failed):
            self._fail(part, Failure.RAISED, verdict.error, verdict.traceback)

    def _question(self, part: Part) -> Question:
        has_identity = self._exchange.identity is not None
        reserved = None if self._facts.is_all_apps else self._shared.api_prefix
        head = self._exchange.head
        return Question(ON_REQUEST, part.hook.stage, has_identity, reserved, head=head)

    def on_lost(self) -> None:
        part, why = self._take()[0], "its process has ended"
        part.meter.on_failure(Failure.DIED, why, self._shared.loop.now, self._asked_s)
        self._miss(part.hook, why)

    # Waiter

    def on_changed(self) -> None:
        if self._waits_for is not None:
            self._waits_for.patience.stop(self)
            self._waits_for = None
            self._go_on()

    # Expiring

    def on_timeout(self) -> None:
        waited_for, self._waits_for = self._waits_for, None
        if waited_for is not None:
            self._shared.changing.leave(self)
            self._next += 1
            why = f"it did not start in {waited_for.patience.duration_s:g} s"
            waited_for.meter.on_failure(Failure.AWAY, why, self._shared.loop.now)
            self._miss(waited_for.hook, why)
        elif self._pending is not None:
            part, worker, number = self._take()
            hook = part.hook
            worker.process.stacks.ask(
                worker.log, {"plugin": hook.plugin, "request_id": self._exchange.id}
            )
            give_up(self._shared.log, hook, worker, number, self._shared.loop.now)
            self._fail(part, Failure.LATE, f"it did not answer in {hook.timeout_s:g} s")

    # Responder

    def on_body(self, data: bytes, ended: bool) -> None:
        """More of the body has come, and is kept; `ended`: all of it, or too much."""
        exchange = self._exchange
        if not self._shared.bodies.count(exchange):
            exchange.fail(faults.overloaded("too many requests wait", _AGAIN_S))
        elif ended:
            exchange.end_keeping()
            self._go_on()

    def on_detached(self, reason: str) -> None:
        if self._pending is not None:
            _, worker, number = self._take()
            worker.asking.give_up(number, reason)
        if self._waits_for is not None:
            self._waits_for.patience.stop(self)
            self._shared.changing.leave(self)
            self._waits_for = None

    def on_deadline(self) -> None:
        raise AssertionError("no time of the app's passes while a hook is asked")

    # How it is done

    def _worker_of(self, hook: Hook) -> Worker | None:
        worker = self._shared.plugins.worker_of(hook.plugin)
        return worker if worker is not None and not worker.asking.why_not else None

    def _waits(self, part: Part) -> bool:
        """Whether the request waits for the plugin, which is changing; else it skips the hook, or
        raises the error if it may not."""
        hook = part.hook
        if hook.is_shut or not self._shared.changing.wait(self, hook.plugin):
            why = hook.closed or hook.away or "it does not serve, or takes no more questions"
            part.meter.on_failure(Failure.AWAY, why, self._shared.loop.now)
            if self._needs(hook):
                raise unavailable(hook.plugin, hook.closed or hook.away)
            self._shared.outages.note(hook, self._exchange, why)
            return False
        self._next -= 1
        self._hold()
        part.patience.start(self)
        self._waits_for = part
        return True

    def _miss(self, hook: Hook, why: str) -> None:
        """The plugin is away."""
        tell(self._shared.log, hook, hook.missed, self._exchange, why)
        if self._needs(hook):
            self._exchange.fail(unavailable(hook.plugin, why))
        else:
            self._go_on()

    def _needs(self, hook: Hook) -> bool:
        """Whether the request must not go on without this hook."""
        return hook.is_needed(is_public=self._facts.is_public)

    def _pass_over(self, hook: Hook, why: str, error: HttpError) -> None:
        """The hook cannot be asked. Raises the error if the request must not go on without it."""
        if self._needs(hook):
            raise error
        tell(self._shared.log, hook, ON_REQUEST, self._exchange, why)

    def _hold(self) -> None:
        if self._exchange.responder is not self:
            self._exchange.lend(self)

    def _ask(self, part: Part, worker: Worker) -> None:
        hook, exchange = part.hook, self._exchange
        seen = part.see(exchange)
        self._hold()
        text = question(ON_REQUEST, exchange, self._facts, seen.text, part.timeout_ms)
        part.timeouts.start(self)
        self._asked_s = self._shared.loop.now
        body = body_for(hook, exchange) if hook.body else None
        self._pending, self._seen = (part, worker, worker.ask(text, self, body)), seen

    def _take(self) -> tuple[Part, Worker, int]:
        pending, self._pending = self._pending, None
        if pending is None:
            raise AssertionError("a verdict that nobody has asked for")
        pending[0].timeouts.stop(self)
        return pending

    def _is_kept(self, part: Part, worker: Worker) -> bool:
        """Whether a kept verdict on such a request still holds; then it is applied."""
        cache, now, facts = self._shared.kept, self._shared.loop.now, self._facts
        found = None
        if cache.size_bytes:
            found = part.recollection.find(cache, part, self._exchange, facts, worker.number, now)
        changes = () if found is None else found.verdict.changes
        if found is None or (changes and not has_room(self._exchange.head, changes)):
            part.kept.kept_misses += 1
            return False
        part.kept.kept_hits += 1
        if not found.changes_nothing:
            self._apply(part.hook, found.verdict, now)
        return True

    def _keep(self, part: Part, worker: Worker, verdict: Continue) -> None:
        """Keep a verdict that says for how long it holds, unless the hook has seen the body."""
        seen = self._seen
        if verdict.cache_s and seen is not None and not sees_body(part.hook, self._exchange):
            self._shared.kept.put(
                describe(part.hook, self._exchange, self._facts, worker.number, seen),
                verdict,
                asked_at=self._asked_s,
                now=self._shared.loop.now,
                wall_s=time(),
            )

    def _apply(self, hook: Hook, verdict: Continue, asked_s: float) -> None:
        """Change the request as the hook wants."""
        exchange = self._exchange
        self._shared.footings.note(exchange, hook.plugin, verdict, asked_s)
        if verdict.changes or verdict.path is not None:
            exchange.rewrite(applied(exchange.head._replace(headers=exchange.headers), verdict))
        if verdict.path is not None:
            self._facts = self._facts._replace(path=exchange.head.path)
        if verdict.identity is not None:
            exchange.identify(verdict.identity)
        if verdict.app is not None:
            exchange.choose(verdict.app)
        if verdict.cookies:
            self._answers().set_cookies(verdict.cookies)

    def _join(self, part: Part, worker: Worker) -> None:
        seen = part.see(self._exchange)
        self._answers().join(part.hook, worker, self._facts, seen.text)

    def _answers(self) -> Answers:
        review = self._exchange.review
        if review is not None and isinstance(review.reviewer, Answers):
            return review.reviewer
        answers = Answers(self._shared, self._exchange, [])
        self._exchange.have_reviewed(Review(answers))
        return answers

    def _count(self, verdict: str, part: Part) -> None:
        part.meter.on_verdict(verdict, self._shared.loop.now - self._asked_s)

    def _fail(self, part: Part, kind: Failure, why: str, stack: str = "") -> None:
        part.meter.on_failure(kind, why, self._shared.loop.now, self._asked_s)
        tell(self._shared.log, part.hook, ON_REQUEST, self._exchange, why, stack=stack)
        if self._needs(part.hook):
            self._exchange.fail(failed(part.hook.plugin, why, stack))
        else:
            self._go_on()

    def _go_on(self) -> None:
        try:
            if self.advance():
                return
        except HttpError as error:
            self._exchange.fail(error)
            return
        self._exchange.take_back()
        self._then()
