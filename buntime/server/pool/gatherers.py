"""Reads the bodies of requests before they get one of the few single-request workers.

core/pool/gathering.py says which requests may go on without the whole body.
"""

from collections.abc import Callable, Hashable

from buntime.core.apps.app import App
from buntime.core.pool.gathering import PAUSE_S, Gathering
from buntime.server.http1.exchange import Exchange
from buntime.server.loop.loop import Loop
from buntime.server.pool import faults
from buntime.server.pool.responders import Waiting

_AGAIN_S = 5.0  # when a client may retry if there is no memory


class Gatherers:
    """The requests whose bodies are waited for; `submit` is for those that have come."""

    def __init__(
        self, loop: Loop, *, slots: Callable[[], int], submit: Callable[[Exchange, App], None]
    ) -> None:
        self._loop = loop
        self._submit = submit
        self._slots = slots
        self._pauses = loop.new_timeouts(PAUSE_S)
        self.gathering = Gathering()

    def __repr__(self) -> str:
        return repr(self.gathering)

    @property
    def is_pressed(self) -> bool:
        """Whether more than half of the memory for such bodies is taken."""
        return self.gathering.is_pressed

    def add(self, exchange: Exchange, app: App) -> None:
        """Submit the request when its body has come, possibly at once."""
        gatherer = Gatherer(exchange, app, self)
        self.gathering.take(gatherer, 0)
        self._pauses.start(gatherer)
        exchange.gather(gatherer, app.manifest.timeout_s)

    # Calls from gatherers

    def on_more(self, gatherer: "Gatherer", is_enough: bool) -> None:
        """More of the body has come."""
        if is_enough:
            self.drop(gatherer)
            self._go_on(gatherer)
        elif self.gathering.take(gatherer, gatherer.exchange.gathered_bytes):
            self._pauses.start(gatherer)
        else:
            gatherer.exchange.fail(faults.overloaded("too many requests wait", _AGAIN_S))

    def on_pause(self, gatherer: "Gatherer") -> None:
        """Nothing has come for a while: go on without the rest, or check again later."""
        now = self._loop.now
        if self.gathering.may_go(self._slots(), _lacks, now):
            self.gathering.let_go(gatherer, now)
            self._go_on(gatherer)
        else:
            self._pauses.start(gatherer)

    def drop(self, gatherer: "Gatherer") -> None:
        """Its body is no longer waited for."""
        self.gathering.drop(gatherer)
        self._pauses.stop(gatherer)

    def _go_on(self, gatherer: "Gatherer") -> None:
        gatherer.exchange.end_gathering()
        self._submit(gatherer.exchange, gatherer.app)


class Gatherer(Waiting):
    """The `Responder` of a request that waits for its own body."""

    __slots__ = ("_gatherers", "app", "exchange")

    def __init__(self, exchange: Exchange, app: App, gatherers: Gatherers) -> None:
        self.exchange = exchange
        self.app = app
        self._gatherers = gatherers

    def on_body(self, data: bytes, ended: bool) -> None:
        """More has come, which is kept; `ended`: enough."""
        self._gatherers.on_more(self, ended)

    def on_detached(self, reason: str) -> None:
        self._gatherers.drop(self)

    def on_deadline(self) -> None:
        """It is the client that is waited for, and has limits of its own."""

    def on_timeout(self) -> None:
        self._gatherers.on_pause(self)


def _lacks(request: Hashable) -> bool:
    assert isinstance(request, Gatherer)
    return not request.exchange.is_ended and request.exchange.lacks_body
