"""Connects callers of services with the plugins that offer them.

    CALL ── may it be made? ─┬─ the plugin serves: it is called
                             ├─ it is about to: the call waits, at most for its time
                             └─ else away

The caller is the app or plugin that the worker was started for, never what the worker claims.
"""

import math
from collections.abc import Callable

from buntime import wire
from buntime.core.plugins.callcontents import Arguments
from buntime.core.plugins.callmemory import MEMORY_MAX_BYTES, TOO_MUCH, CallMemory
from buntime.core.plugins.services import (
    AWAY,
    BUSY,
    CALLS_MAX,
    DEADLINE_S,
    CallBudget,
    Provider,
    ServiceFault,
    Services,
    read_call,
)
from buntime.core.telemetry.pluginmeters import Failure, Outcome, PluginMeters
from buntime.core.values.protocols import Protocol
from buntime.server.loop.loop import Loop
from buntime.server.loop.timeouts import TimeoutQueue
from buntime.server.plugins.call import ServiceCall
from buntime.server.plugins.failing import tell_of_unasked
from buntime.server.pool.calling import Calling
from buntime.server.pool.worker import Worker
from buntime.server.telemetry.logs import Log

_TAKEN_MAX = 1000  # calls of all callers that one worker has in hand
_WAITING_MAX = 1000  # for plugins to serve
_LEAST_S = 1 / 32
_STEPS_PER_DOUBLING = 8  # time limits: callers may name any, and each one's queue stays for good


class Plugins(Protocol):
    """The plugins, as far as calls need them."""

    @property
    def services(self) -> Services:
        """Who offers which service to whom now."""

    def worker_of(self, name: str) -> Worker | None:
        """The worker of the generation that serves; None while it is away."""

    def wake(self, name: str) -> bool:
        """Start it if nothing has needed it yet; False if it will not serve soon."""

    def follow(self, callback: Callable[[], None]) -> None:
        """Call it when any of these may have changed."""


class Calls:
    """All calls under way. The `Switchboard` of the pool's workers."""

    def __init__(
        self,
        loop: Loop,
        log: Log,
        plugins: Plugins,
        *,
        meters: PluginMeters,
        forget: Callable[[str, str], None],
        memory_max_bytes: int = MEMORY_MAX_BYTES,
    ) -> None:
        """`forget` drops kept verdicts of a plugin that have a tag."""
        self._loop = loop
        self._log = log
        self._meters = meters
        self._plugins = plugins
        self._forget = forget
        self.memory = CallMemory(memory_max_bytes)
        self._budget = CallBudget()
        # Calls that callers have given up but plugins have not, counted for both. New calls may
        # begin once the caller's budget has released these, so up to as many again may be under
        # way.
        self._left = CallBudget(2 * CALLS_MAX)
        self._waiting: dict[ServiceCall, None] = {}  # for a plugin to serve, in their order
        self._waiting_max = _WAITING_MAX
        self._called: dict[str, Calling] = {}  # by plugin, the caller that was served last
        plugins.follow(self._on_change)

    def __repr__(self) -> str:
        return f"Calls({self._budget!r}, {len(self._waiting)} wait)"

    # Switchboard

    def on_call(self, calling: Calling, number: int, message: wire.Message, payload: bytes) -> None:
        arguments = Arguments(message)
        caller = calling.caller
        try:
            request = read_call(message)
            provider = self._plugins.services.provider_for(
                caller.name, caller.uses, request.service
            )
            worker = self._find(calling, provider)
            self._budget.begin(caller.name)
        except ServiceFault as fault:
            calling.post(number, {"type": wire.RESULT, "ok": False, "error": fault.dump()})
            return
        call = ServiceCall(
            self,
            self.memory,
            calling,
            number,
            request,
            provider.plugin,
            arguments,
            made_s=self._loop.now,
        )
        calling.made[number] = call
        call.start_time(self._timeouts(request.timeout_s))
        if worker is None:
            call.wait(payload)
            self._waiting[call] = None
        else:
            self._called[provider.plugin] = worker.calling
            call.open(worker.calling, worker.new_number(), payload)

    def on_forget(self, plugin: str, tag: str) -> None:
        self._forget(plugin, tag)

    def on_hook_failed(
        self, plugin: str, hook: str, why: str, stack: str, *, is_logged: bool
    ) -> None:
        self._meters.of(plugin).hook(hook).on_failure(Failure.RAISED, why, self._loop.now)
        if is_logged:
            tell_of_unasked(self._log.child(plugin=plugin), hook, why, stack)

    # Ends

    def on_caller_done(self, call: ServiceCall) -> None:
        self._budget.end(call.caller)
        self._meters.of(call.plugin).on_call(call.outcome, self._loop.now - call.made_s)
        self._waiting.pop(call, None)
        if call.provider is not None:
            self._left.begin(_both(call.caller, call.plugin))

    def on_provider_done(self, call: ServiceCall) -> None:
        if not call.is_wanted:
            self._left.end(_both(call.caller, call.plugin))

    # How it is done

    def _find(self, calling: Calling, provider: Provider) -> Worker | None:
        """The same as `_look_for`, counted where it is refused."""
        try:
            return self._look_for(calling, provider)
        except ServiceFault as fault:
            outcome = Outcome.AWAY if fault.code == AWAY else Outcome.BUSY
            self._meters.of(provider.plugin).on_call(outcome, 0.0)
            raise

    def _look_for(self, calling: Calling, provider: Provider) -> Worker | None:
        """The worker to call; None if the plugin is about to serve. Raises ServiceFault."""
        name = provider.plugin
        worker = self._plugins.worker_of(name)
        if worker is None:
            if not self._plugins.wake(name):
                raise ServiceFault(AWAY, f"{name}, which offers {provider.service}, does not serve")
            if len(self._waiting) >= self._waiting_max:
                raise ServiceFault(BUSY, f"{self._waiting_max} calls already wait for plugins")
        elif len(worker.calling.taken) >= _TAKEN_MAX:
            raise ServiceFault(BUSY, f"{name} already handles {_TAKEN_MAX} calls")
        if self.memory.is_full if worker is None else not worker.calling.has_room:
            raise ServiceFault(BUSY, TOO_MUCH)
        if not calling.may_make_more:
            raise ServiceFault(BUSY, "the results of earlier calls have not been read")
        if self._left.count(_both(calling.caller.name, name)) >= CALLS_MAX:
            raise ServiceFault(BUSY, f"{name} still runs {CALLS_MAX} calls that were given up")
        return worker

    def _on_change(self) -> None:
        """A plugin may serve now, or have failed, or another generation of it serves."""
        for plugin, calling in self._called.items():
            worker = self._plugins.worker_of(plugin)
            if worker is not None and worker.calling is not calling:
                self._called[plugin] = worker.calling
                calling.leave()
        for call in tuple(self._waiting):
            worker = self._plugins.worker_of(call.plugin)
            if worker is not None:
                del self._waiting[call]
                call.open(worker.calling, worker.new_number())
            elif not self._plugins.wake(call.plugin):
                call.fail(AWAY, f"{call.plugin} could not be started")

    def _timeouts(self, timeout_s: float) -> TimeoutQueue:
        return self._loop.timeouts(step_of(timeout_s))


def step_of(timeout_s: float) -> float:
    """The time limit to use: the default exactly, others rounded up by at most a tenth.

    >>> step_of(5.0), step_of(1.0), step_of(0.001)
    (5.0, 1.0, 0.03125)
    """
    if timeout_s == DEADLINE_S:
        return timeout_s
    steps = math.ceil(math.log2(max(timeout_s, _LEAST_S)) * _STEPS_PER_DOUBLING)
    return float(2 ** (steps / _STEPS_PER_DOUBLING))


def _both(caller: str, plugin: str) -> str:
    return f"{caller} {plugin}"
