"""One call of a service, between the worker that makes it and the one that is called.

        caller's worker          the runtime           provider's worker
    CALL -7, ITEM...   ──>   under a number of its   ──>   CALL 31, ITEM...
    RESULT -7, ITEM... <──   own, `caller` set       <──   RESULT 31, ITEM...
    WINDOW both ways, as what came is taken; CANCEL of who does not wait any more

Each side ends by itself. The caller's side ends with its answer, its CANCEL, its time or its
worker; the provider's side with its answer or its worker, because until then the method runs.
Payloads pass unchanged.
"""

from collections.abc import Callable

from buntime import wire
from buntime.core.plugins.callcontents import Answer, Arguments, State, cost_of
from buntime.core.plugins.callmemory import TOO_MUCH, CallMemory
from buntime.core.plugins.callwindow import CallWindow
from buntime.core.plugins.services import AWAY, BUSY, LATE, MOVED, ServiceFault
from buntime.core.plugins.services import Call as Asked
from buntime.core.telemetry.pluginmeters import Outcome
from buntime.core.values.protocols import Protocol
from buntime.server.loop.timeouts import TimeoutQueue
from buntime.server.pool.calling import Calling, line_of

_OUTCOMES = {
    LATE: Outcome.LATE,
    AWAY: Outcome.AWAY,
    BUSY: Outcome.BUSY,
    MOVED: Outcome.MOVED,
}


class Ends(Protocol):
    """Counts calls."""

    def on_caller_done(self, call: "ServiceCall") -> None:
        """The caller no longer waits, or has its answer."""

    def on_provider_done(self, call: "ServiceCall") -> None:
        """The provider's side has ended: nothing runs for it any more."""


class ServiceCall:
    """One call that may be made. See `pool.calling.Call` for what its methods raise."""

    __slots__ = (
        "_answer",
        "_arguments",
        "_ends",
        "_fields",
        "_for_caller",
        "_for_provider",
        "_has_begun",
        "_held",
        "_held_bytes",
        "_memory",
        "_payload",
        "_timeouts",
        "caller",
        "caller_number",
        "made_s",
        "maker",
        "outcome",
        "plugin",
        "provider",
        "provider_number",
    )

    def __init__(
        self,
        ends: Ends,
        memory: CallMemory,
        maker: Calling,
        number: int,
        request: Asked,
        plugin: str,
        arguments: Arguments,
        *,
        made_s: float,
    ) -> None:
        self._ends = ends
        self._memory = memory
        self._arguments = arguments
        self._answer = Answer()
        self._for_provider = CallWindow()  # pieces of arguments
        self._for_caller = CallWindow()  # those of results
        self._timeouts: TimeoutQueue | None = None  # while its time passes
        self.plugin = plugin
        self.made_s = made_s
        self.outcome = Outcome.GIVEN_UP  # until something else came of it
        # who makes it
        self.maker: Calling | None = maker  # None once it has its answer, or waits no more
        self.caller = maker.caller.name
        self.caller_number = number
        self._has_begun = False  # with its answer, for the caller
        # who is called
        self.provider: Calling | None = None  # None before, and once it has ended it
        self.provider_number = 0
        # before: the arguments of the call
        self._payload = b""
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._fields: wire.Message = {
            "service": request.service,
            "method": request.method,
            "caller": self.caller,
            "timeout_ms": round(request.timeout_s * 1000) or 1,
            **arguments.fields,
        }

    def __repr__(self) -> str:
        return f"ServiceCall({self.caller} to {self.plugin}, {self._answer.state.name})"

    @property
    def is_wanted(self) -> bool:
        """Does the caller wait for it?"""
        return self.maker is not None

    def start_time(self, timeouts: TimeoutQueue) -> None:
        """From now on its time passes."""
        self._timeouts = timeouts
        timeouts.start(self)

    def wait(self, payload: bytes) -> None:
        """Hold what has come until `open`. Raises ValueError if it could not be sent."""
        line = line_of({**self._fields, "type": wire.CALL, "id": self.caller_number}, payload)
        self._payload = payload
        self._hold(len(line) + len(payload))

    def open(self, provider: Calling, number: int, payload: bytes | None = None) -> None:
        """Call this worker. Raises ValueError if the arguments cannot be sent."""
        if payload is None:
            payload, self._payload = self._payload, b""
        fields, self._fields = self._fields, {}
        provider.take(number, self, fields, payload)
        self.provider, self.provider_number = provider, number
        self._hold(-self._held_bytes)
        held, self._held = self._held, []
        for piece in held:
            provider.post(number, {"type": wire.ITEM}, piece)

    def fail(self, code: str, message: str) -> None:
        """The caller gets this instead of the result that it waits for."""
        self.outcome = _OUTCOMES[code]
        maker = self._let_caller_go()
        if maker is not None:
            error = ServiceFault(code, message).dump()
            maker.post(self.caller_number, self._broken_off(error))

    # Of who calls

    def on_argument(self, payload: bytes) -> None:
        self._arguments.take(len(payload))
        self._for_provider.on_sent(cost_of(len(payload)))
        if not self._has_room():
            self._run_out()
        elif self.provider is None:
            self._held.append(payload)
            self._hold(len(payload))
        else:
            self.provider.post(self.provider_number, {"type": wire.ITEM}, payload)

    def on_caller_grant(self, credit_bytes: int) -> bool:
        is_news = self._for_caller.on_granted(credit_bytes)
        _once_read(self.maker, self._tell_provider)
        return is_news

    def on_cancel(self) -> None:
        self._let_caller_go()
        self._cancel("caller")

    def on_caller_lost(self) -> None:
        self.on_cancel()

    def on_timeout(self) -> None:
        """Its time has passed without a complete answer."""
        self._timeouts = None
        if self.provider is None:
            self.fail(AWAY, f"{self.plugin} does not serve, and did not start in time")
        else:
            self.fail(LATE, f"{self.plugin} did not answer in time")
            self._cancel("deadline")

    # Of who is called

    def on_result(self, message: wire.Message, payload: bytes) -> None:
        fields = self._answer.begin(message, len(payload))
        if self._answer.state is State.STREAM:
            self._stop_time()
        self._pass_on({"type": wire.RESULT, **fields}, payload)

    def on_item(self, message: wire.Message, payload: bytes) -> None:
        self._for_caller.on_sent(cost_of(len(payload)))
        fields = self._answer.go_on(message, len(payload))
        self._pass_on({"type": wire.ITEM, **fields}, payload)

    def on_provider_grant(self, credit_bytes: int) -> bool:
        is_news = self._for_provider.on_granted(credit_bytes)
        _once_read(self.provider, self._tell_caller)
        return is_news

    def on_provider_leaving(self) -> None:
        if self._answer.state is State.STREAM and self.maker is not None:
            self.fail(MOVED, f"{self.plugin} is stopping or restarting")
            self._cancel("moved")

    def on_provider_lost(self) -> None:
        self.provider = None
        self._ends.on_provider_done(self)
        self.fail(AWAY, f"{self.plugin} has ended")

    # How it is done

    def _pass_on(self, message: wire.Message, payload: bytes) -> None:
        """Pass what the provider sends to the caller, if it waits; the last message ends the
        call."""
        maker = self.maker
        if maker is not None and not maker.has_room:
            self._run_out()
        elif maker is not None:
            maker.post(self.caller_number, message, payload)
            self._has_begun = True
        if self._answer.state is State.ENDED:
            self.outcome = Outcome.ERROR if "error" in message else Outcome.OK
            if self.provider is not None:
                del self.provider.taken[self.provider_number]
                self.provider = None
            self._ends.on_provider_done(self)
            self._let_caller_go()

    def _has_room(self) -> bool:
        """Is there room for more of its arguments, should they have to wait?"""
        if self.provider is None:
            return not self._memory.is_full
        return self.provider.has_room

    def _run_out(self) -> None:
        """There is no memory for more of it."""
        self.fail(BUSY, TOO_MUCH)
        if self._answer.state is not State.ENDED:
            self._cancel("caller")

    def _hold(self, by_bytes: int) -> None:
        self._held_bytes += by_bytes
        self._memory.change(by_bytes)

    def _broken_off(self, error: dict[str, str]) -> wire.Message:
        if self._has_begun:
            return {"type": wire.ITEM, "end": True, "error": error}
        return {"type": wire.RESULT, "ok": False, "error": error}

    def _let_caller_go(self) -> Calling | None:
        maker, self.maker = self.maker, None
        if maker is not None:
            maker.made.pop(self.caller_number, None)
            self._stop_time()
            self._hold(-self._held_bytes)
            self._held.clear()
            self._payload = b""
            self._ends.on_caller_done(self)
        return maker

    def _stop_time(self) -> None:
        if self._timeouts is not None:
            self._timeouts.stop(self)
            self._timeouts = None

    def _cancel(self, reason: str) -> None:
        if self.provider is not None:
            self.provider.post(self.provider_number, {"type": wire.CANCEL, "reason": reason})

    def _tell_provider(self) -> None:
        _pass_credit(self.provider, self.provider_number, self._for_caller)

    def _tell_caller(self) -> None:
        _pass_credit(self.maker, self.caller_number, self._for_provider)


def _once_read(granter: Calling | None, tell: Callable[[], None]) -> None:
    """Pass credit on only once the side that grants it has received what was sent to it: a side may
    grant credit without reading, and the data would pile up here."""
    if granter is not None:
        if granter.channel.is_backed_up:
            granter.channel.call_when_sent(tell)
        else:
            tell()


def _pass_credit(sender: Calling | None, number: int, window: CallWindow) -> None:
    credit = window.take_due()
    if credit and sender is not None:
        sender.post(number, {"type": wire.WINDOW, "credit": credit})
