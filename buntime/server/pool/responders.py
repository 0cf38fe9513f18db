"""What has a request before a worker does: the queue of its app, or the check of its
interpreter."""

from collections.abc import Callable
from typing import NoReturn

from buntime.core.pool.workforce import AppState
from buntime.core.telemetry.meters import Drop
from buntime.core.values.protocols import Protocol
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.parties import Kind
from buntime.server.pool import faults


class Queues(Protocol):
    """Keeps the queues: the pool."""

    def withdraw(self, state: AppState, exchange: Exchange) -> None: ...
    def put_last(self, state: AppState, exchange: Exchange) -> None: ...
    def wait_s(self, state: AppState) -> float: ...
    def ask_boot(self, state: AppState, then: Callable[[str], None]) -> bool: ...


class Waiting:
    """The worker's side of a request that no worker has: nothing comes from there."""

    __slots__ = ()

    def on_body(self, data: bytes, ended: bool) -> None:
        raise AssertionError("a request that waits has no credit for a body")

    def on_message(self, kind: Kind, data: bytes, end: bool) -> NoReturn:
        raise AssertionError("a request that waits is not a WebSocket yet")

    def on_last_message(self) -> NoReturn:
        raise AssertionError("a request that waits is not a WebSocket yet")

    def on_taken(self, size_bytes: int) -> NoReturn:
        raise AssertionError("a request that waits has no answer")

    def on_stalled(self) -> NoReturn:
        raise AssertionError("a request that waits has no slot")

    def on_doubted(self) -> None:
        """This does no harm: nobody waits behind it."""


class Queued(Waiting):
    """It waits for a worker."""

    __slots__ = ("_exchange", "_queues", "_state")

    def __init__(self, exchange: Exchange, queues: Queues, state: AppState) -> None:
        self._exchange = exchange
        self._queues = queues
        self._state = state

    def on_doubted(self) -> None:
        self._queues.put_last(self._state, self._exchange)

    def on_detached(self, reason: str) -> None:
        if reason == "client":
            self._exchange.meter.drops[Drop.CLIENT_LEFT] += 1
        self._queues.withdraw(self._state, self._exchange)

    def on_deadline(self) -> None:
        """No worker has come: all are busy, or the app does not finish loading."""
        self._exchange.restart_deadline()  # should it be answered after all
        if self._queues.ask_boot(self._state, self._fail_boot):
            return
        self._exchange.meter.drops[Drop.TIMEOUT] += 1
        wait_s = self._queues.wait_s(self._state)
        self._exchange.fail(faults.overloaded("no worker was free in time", wait_s))

    def _fail_boot(self, detail: str) -> None:
        if self._exchange.responder is self:
            self._exchange.meter.drops[Drop.TIMEOUT] += 1
            self._exchange.fail(faults.still_loading(detail, self._queues.wait_s(self._state)))


class InPreparation(Waiting):
    """Its app is being looked at for the first time."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def on_detached(self, reason: str) -> None:
        """Nothing to forget: when the app has been looked at, ended requests are skipped."""

    def on_deadline(self) -> None:
        self._exchange.fail(faults.overloaded("the app is still being prepared", 5.0))
