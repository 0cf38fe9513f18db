"""Calls the hooks for a plugin's own life: on_server_start, on_shutdown."""

from collections.abc import Callable

from buntime.core.telemetry.pluginmeters import Failure, HookMeter
from buntime.server.loop.loop import Loop
from buntime.server.plugins.failing import tell_of_unasked
from buntime.server.pool.worker import Worker
from buntime.server.telemetry.logs import Log
from buntime.wire import Message

_TEXT_MAX_CHARS = 16 * 1024
_STACK_MAX_CHARS = 64 * 1024


def _do_nothing() -> None:
    pass


class LifeHook:
    """One such call; `then` is called once, when it is answered or nobody waits any more."""

    def __init__(
        self,
        loop: Loop,
        log: Log,
        meter: HookMeter,
        hook: str,
        timeout_s: float,
        then: Callable[[], None] = _do_nothing,
    ) -> None:
        self._loop = loop
        self._log = log
        self._meter = meter
        self._hook = hook
        self._timeout_s = timeout_s
        self._then: Callable[[], None] | None = then

    def ask(self, worker: Worker) -> None:
        """Ask it."""
        self._asked_s = self._loop.now
        timeout_ms = round(self._timeout_s * 1000)
        number = worker.ask(f'"hook":"{self._hook}","timeout_ms":{timeout_ms}}}', self)
        self._timer = self._loop.call_later(self._timeout_s, lambda: self._late(worker, number))

    # Asker

    def on_verdict(self, message: Message, payload: bytes) -> None:
        action = message.get("action")
        if action not in ("done", "failed"):
            raise ValueError("the verdict of a lifecycle hook is neither done nor failed")
        if action == "failed":
            why = str(message.get("error"))[:_TEXT_MAX_CHARS]
            stack = str(message.get("traceback") or "")[:_STACK_MAX_CHARS]
            tell_of_unasked(self._log, self._hook, why, stack)
            self._count(Failure.RAISED, why)
        elif self._then is not None:
            self._meter.on_verdict("done", self._loop.now - self._asked_s)
        self._end()

    def on_lost(self) -> None:
        self._count(Failure.DIED, "its process has ended")
        self._end()

    def _late(self, worker: Worker, number: int) -> None:
        if self._then is not None:
            worker.asking.give_up(number, "deadline")
            why = f"it took longer than {self._timeout_s:g} s"
            tell_of_unasked(self._log, self._hook, why)
            self._count(Failure.LATE, why)
            self._end()

    def _count(self, failure: Failure, why: str) -> None:
        if self._then is not None:
            self._meter.on_failure(failure, why, self._loop.now, self._asked_s)

    def _end(self) -> None:
        then, self._then = self._then, None
        self._timer.cancel()
        if then is not None:
            then()
