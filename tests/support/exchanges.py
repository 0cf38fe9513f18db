"""Exchanges without sockets: stand-ins for their client, their responder, and a whole exchange."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from buntime.core.errors import HttpError
from buntime.core.http1.forwarded import Sender
from buntime.core.http1.head import Head, HeadParser, Limits
from buntime.core.http1.lifecycle import State
from buntime.core.http1.reader import RequestReader
from buntime.core.telemetry.meters import Meters
from buntime.core.telemetry.records import AccessEntry
from buntime.core.values.tally import Tally
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.heldanswers import HeldAnswers
from buntime.server.http1.parties import Kind, Link, Resource
from buntime.server.http1.service import Service
from buntime.server.loop.timeouts import TimeoutQueue


class FakeLoop:
    """Time that stands still, and work that is done immediately."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._queues: dict[float, TimeoutQueue] = {}
        self._own: list[TimeoutQueue] = []
        self.later: list[tuple[float, Any]] = []  # seconds, and what is called then

    def timeouts(self, duration_s: float) -> TimeoutQueue:
        if duration_s not in self._queues:
            self._queues[duration_s] = TimeoutQueue(cast(Any, self), duration_s)
        return self._queues[duration_s]

    def new_timeouts(self, duration_s: float) -> TimeoutQueue:
        self._own.append(TimeoutQueue(cast(Any, self), duration_s))
        return self._own[-1]

    def expire(self) -> None:
        """Run what is due in the queues of `new_timeouts`."""
        for queue in self._own:
            queue.expire(self.now)

    def call_soon(self, callback: Any) -> None:
        callback()

    def go_on_later(self, callback: Any) -> None:
        callback()

    def call_later(self, delay_s: float, callback: Any) -> None:
        self.later.append((delay_s, callback))

    def guard(self, callback: Any) -> bool:
        callback()
        return True

    def run_blocking(self, work: Any, then: Any) -> None:
        try:
            result = work()
        except Exception as exc:
            result = exc
        then(result)


class FakeService:
    """What all connections share, with a clock that stands still."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.is_draining = False
        self.is_development = False
        self.meters = Meters()
        self.tracer: Any = None
        self.explain: Any = None
        self.entries: list[AccessEntry] = []
        self.errors: list[str] = []  # their event codes
        self.log = SimpleNamespace(
            access=self.entries.append, error=self._log_error, losses=lambda: {"queue": 0.0}
        )
        self.connections: set[Any] = set()
        self.jobs: set[Any] = set()
        self.accepted = 0
        self.admission = SimpleNamespace(is_crowded=False, displaced=Tally(every_s=60.0))
        self.held_answers = HeldAnswers()
        self.client_limit = SimpleNamespace(refused=Tally(every_s=60.0))
        self.head_parser = HeadParser(Limits())

    def request_id(self, head: Head) -> str:
        return "id"

    def date(self) -> str:
        return "Thu, 01 Jan 1970 00:00:00 GMT"

    def on_fields_dropped(self, client: str, headers: object) -> None:
        """Nobody is notified."""

    def _log_error(self, event: str, message: str, **fields: object) -> None:
        self.errors.append(event)


class FakeClient:
    """A connection that keeps what is written, until `takes` says that the kernel took it.

    With `is_gone` the next write finds the connection broken.
    """

    def __init__(self, service: FakeService | None = None, peer: str = "10.0.0.1") -> None:
        self.fake_service = service or FakeService()
        self.service = cast(Service, self.fake_service)
        self.reader = RequestReader(self.fake_service.head_parser)
        self.peer_text = peer
        self.peer = (peer, 5000)
        self.address: tuple[str, int] | None = ("10.0.0.2", 80)
        self.pending_bytes = 0
        self.spooled_bytes = 0
        self.spools = 0
        self.kernel_bytes = 0  # sent, but not received by the client
        self.holds = False  # does written data stay pending?
        self.is_gone = False
        self.written = b""
        self.ended: list[bool] = []  # keep_alive of each `on_exchange_end`
        self.cuts = 0
        self.link: Link | None = None
        self.released: list[Resource] = []
        self.exchange: Exchange | None = None

    def request(self, raw: bytes) -> Exchange:
        """The exchange of a request, of which these bytes have arrived."""
        self.reader.receive(raw)
        head = self.reader.next_head()
        assert head is not None
        return self.begin(head)

    def begin(self, head: Head) -> Exchange:
        self.exchange = Exchange(self, head, "id", Sender(("10.0.0.1", 5000)))
        return self.exchange

    @property
    def untaken_bytes(self) -> int:
        return self.pending_bytes + self.kernel_bytes

    def write(self, data: bytes) -> None:
        if self.is_gone:
            self.abort()
            return
        self.written += data
        if self.holds:
            self.pending_bytes += len(data)

    def write_all(self, buffers: Sequence[bytes]) -> None:
        self.write(b"".join(buffers))

    def catch_up(self) -> bool:
        """There is no socket on which something could wait."""
        return False

    def spool(self) -> None:
        self.spools += 1

    def write_file(self, fd: int, offset: int, length: int) -> None:
        self.write(b"\0" * length)

    def release_later(self, resource: Resource) -> None:
        self.released.append(resource)
        resource.close()

    def open_link(self, link: Link, head: bytes) -> None:
        self.link = link
        self.write(head)

    def settle(self) -> None:
        """There is no socket to watch."""

    def on_link_closed(self) -> None:
        """A real connection would end here."""

    def on_exchange_end(self, keep_alive: bool) -> None:
        self.exchange = None
        self.ended.append(keep_alive)

    def cut(self) -> None:
        self.cuts += 1
        self.abort()

    def abort(self) -> None:
        link, self.link = self.link, None
        if link is not None:
            link.on_end()
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.on_client_left()


class FakeResponder:
    """Keeps what it is told; once it is detached, nothing more may come."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.body = b""
        self.taken = 0
        self.detached: list[str] = []
        self.deadlines = 0
        self.stalls = 0
        self.doubts = 0

    def on_body(self, data: bytes, ended: bool) -> None:
        self._check()
        self.body += data

    def on_message(self, kind: Kind, data: bytes, end: bool) -> None:
        self._check()
        self.body += data

    def on_last_message(self) -> None:
        self._check()

    def on_taken(self, size_bytes: int) -> None:
        self._check()
        self.taken += size_bytes

    def on_stalled(self) -> None:
        self._check()
        self.stalls += 1

    def on_doubted(self) -> None:
        self._check()
        self.doubts += 1

    def on_detached(self, reason: str) -> None:
        assert self.exchange.responder is None
        self.detached.append(reason)

    def on_deadline(self) -> None:
        self._check()
        self.deadlines += 1

    def _check(self) -> None:
        assert self.exchange.responder is self
        assert not self.detached


class FakeExchange(Exchange):
    """An exchange that keeps its answer as it was given."""

    def __init__(
        self,
        target: str,
        method: str = "GET",
        headers: tuple[tuple[str, str], ...] = (),
        *,
        service: FakeService | None = None,
        host: str = "localhost",
        peer: str = "127.0.0.1",
        prefix: str = "",
        content_length: int = 0,
        upgrade: str = "",
        scheme: str = "http",
        is_secure: bool = False,
    ) -> None:
        head = Head(
            method,
            target,
            "1.1",
            headers,
            host,
            content_length=content_length,
            upgrade=upgrade,
            is_secure=is_secure,
        )
        sender = Sender((peer, 5000), scheme, prefix=prefix)
        super().__init__(FakeClient(service, peer), head, "1", sender)
        # the outcome
        self.fields: dict[str, str] = {}
        self.body = b""
        self.error: HttpError | None = None

    def respond(self, status: int, fields: Any, body: bytes = b"") -> None:
        self.status, self.fields, self.body = status, dict(fields), body
        self.state = State.ENDED

    def fail(self, error: HttpError) -> None:
        self.status, self.error, self.state = error.status, error, State.ENDED

    @property
    def code(self) -> str:
        assert self.error is not None, f"answered {self.status} without an error"
        return self.error.code

    @property
    def json(self) -> Any:
        return json.loads(self.body)
