"""What all connections of a runtime share: the loop, the limits, the clock, the log."""

import os
from collections.abc import Callable
from time import time

from buntime.core.access.proxyfields import is_forwarding
from buntime.core.apps.app import App
from buntime.core.errors import HttpError
from buntime.core.http1.connection import Due
from buntime.core.http1.forwarded import Address, Headers, Proxies, Sender
from buntime.core.http1.head import Head, HeadParser
from buntime.core.http1.limits import HeadTooLarge, Limits
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import Settings
from buntime.core.telemetry.meters import Meter, Meters
from buntime.core.values.protocols import Protocol
from buntime.sdk.files import http_date
from buntime.server.http1.admission import Admission
from buntime.server.http1.clientlimit import ClientLimit, Counted
from buntime.server.http1.heldanswers import HeldAnswers
from buntime.server.http1.spool import Spools
from buntime.server.loop.loop import Loop
from buntime.server.loop.timeouts import TimeoutQueue
from buntime.server.telemetry.logs import Log
from buntime.server.telemetry.tracer import Tracer

_LINGER_S = 2.0  # how long a refused client may be silent before its connection is closed
# How long a connection without a request stays at shutdown, counted from its last answer. A client
# learns of the end only after some time on the way, and what it sends until then is lost. One that
# sends often sends again within this time, and is told in the answer. 20 that each send twice a
# second, 2 ms away, lose one request in 25 stops, and twice as many without this time.
_DRAIN_GRACE_S = 0.3
# How often a connection that is not read, as nobody wants its bytes, is checked for its end.
_HANGUP_S = 0.5


class Underway(Protocol):
    """A request and its answer, as far as they are counted while they last."""

    @property
    def meter(self) -> Meter: ...
    @property
    def is_ended(self) -> bool: ...
    @property
    def link(self) -> object | None: ...
    @property
    def body_seen_bytes(self) -> int: ...
    @property
    def sent_bytes(self) -> int: ...


class Asked(Protocol):
    """A request, as far as it matters for what is said where there is nothing."""

    @property
    def head(self) -> Head: ...
    @property
    def sender(self) -> Sender: ...
    @property
    def app(self) -> App | None: ...
    @property
    def started_s(self) -> float: ...
    @property
    def is_operators(self) -> bool: ...


class Connected(Protocol):
    """A connection, as far as the service handles all of them together."""

    @property
    def exchange(self) -> Underway | None: ...

    def drain(self) -> None: ...
    def abort(self) -> None: ...


class OfClient(Connected, Counted, Protocol):
    """A connection that a client has made, rather than a request that the runtime itself makes."""


class Service:
    """The half that all connections share."""

    def __init__(
        self,
        loop: Loop,
        live: LiveSettings,
        log: Log,
        meters: Meters,
        tracer: Tracer | None = None,
    ) -> None:
        """`tracer` makes spans of requests, if they are traced."""
        settings = live.now
        self.loop = loop
        self.log = log
        self.is_development = settings.is_development
        self.meters = meters
        self.tracer = tracer
        # One queue for each kind of wait, even if two settings have the same value. A kind needs
        # none if its time limit is kept elsewhere.
        self.timeouts: dict[Due, TimeoutQueue] = {
            due: loop.new_timeouts(0.0) for due in Due if due is not Due.NOTHING
        }
        self.timeouts[Due.SILENCE].change_duration(_LINGER_S)
        self.timeouts[Due.HANGUP].change_duration(_HANGUP_S)
        self.websocket_ping_s = settings.websocket_ping_s  # 0: never
        self.ping_timeouts = (
            loop.new_timeouts(settings.websocket_ping_s) if settings.websocket_ping_s else None
        )
        self.connections: set[Connected] = set()
        self.jobs: set[Connected] = set()  # of apps, under way: requests, and programs
        self.admission = Admission(loop, log, self.timeouts, lambda: len(self.connections))
        self.client_limit = ClientLimit(log)
        self.held_answers = HeldAnswers()
        self.spools = Spools(loop, log)
        self.accepted = 0  # connections since the start
        self.is_draining = False
        # Says what else is to be done about an error that no app gave; "" for nothing.
        self.explain: Callable[[Asked, HttpError], str] | None = None
        # Says what its client can do about a head that was too large and came to this address.
        self.relieve: Callable[[HeadTooLarge, Address | None], HttpError] | None = None
        self.on_room: Callable[[], None] | None = None  # called when a connection has closed
        self._has_warned_of_dropped = False
        self._date_s = 0
        self._date = ""
        self._id_prefix = os.urandom(6).hex()
        self._last_id = 0
        self._adopt(settings)
        live.follow(self._adopt)

    def begin_drain(self) -> None:
        """From now on each answer is the last one of its connection, and idle ones end soon."""
        self.is_draining = True
        for due in (Due.REQUEST, Due.HEAD):
            timeouts = self.timeouts[due]
            timeouts.change_duration(min(timeouts.duration_s, _DRAIN_GRACE_S))

    def _adopt(self, settings: Settings) -> None:
        """These settings apply to new connections, and to all timeouts."""
        self.head_parser = HeadParser(
            Limits(
                request_line_max_bytes=settings.request_line_max_bytes,
                headers_max_bytes=settings.headers_max_bytes,
                header_fields_max=settings.header_fields_max,
            )
        )
        self.proxies = Proxies(settings.trusted_proxies)
        self.admission.connections_max = settings.connections_max
        self.client_limit.adopt(settings.connections_per_address, self.proxies)
        self.websocket_message_max_bytes = settings.websocket_message_max_bytes
        self.spools.max_bytes = settings.spool_max_bytes
        self.timeouts[Due.BODY].change_duration(settings.body_timeout_s)
        self.timeouts[Due.SENT].change_duration(settings.send_timeout_s)
        if not self.is_draining:
            self.timeouts[Due.HEAD].change_duration(settings.head_timeout_s)
            self.timeouts[Due.REQUEST].change_duration(settings.keepalive_timeout_s)

    def date(self) -> str:
        """The Date field's value; made once a second."""
        now_s = int(time())
        if now_s != self._date_s:
            self._date_s = now_s
            self._date = http_date(now_s)
        return self._date

    def request_id(self, head: Head) -> str:
        """The client's X-Request-ID if it sent a usable one, else a new one."""
        if head.request_id:
            return head.request_id
        self._last_id += 1
        return f"{self._id_prefix}-{self._last_id:x}"

    def on_fields_dropped(self, client: str, headers: Headers) -> None:
        """Log this once: it puzzles an operator who put a proxy in front and did not declare it."""
        if not self._has_warned_of_dropped and any(is_forwarding(name) for name, _ in headers):
            self._has_warned_of_dropped = True
            self.log.warn(
                "proxy.untrusted",
                "forwarding headers ignored; if a proxy sends them, set "
                f"RUNTIME_TRUSTED_PROXIES={client}",
                client=client,
            )

    def on_job_ended(self, job: Connected) -> None:
        self.jobs.discard(job)
        if self.on_room is not None:
            self.on_room()

    def on_connection_closed(self, connection: OfClient) -> None:
        self.connections.discard(connection)
        self.client_limit.discard(connection)
        self.admission.doubtful.pop(connection, None)
        if self.on_room is not None:
            self.on_room()
