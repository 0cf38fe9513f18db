"""The runtime's end of a worker's channel, with a test at the other end of it."""

from __future__ import annotations

import contextlib
import socket
from typing import Any, cast

from buntime.core.pool.claims import LateFault
from buntime.server.http1.exchange import Exchange
from buntime.server.loop.loop import Loop
from buntime.server.pool.worker import Worker
from buntime.wire import Decoder, Message, encode
from tests.support.apps import make_app
from tests.support.exchanges import FakeClient, FakeResponder, FakeService
from tests.support.fakes import FakeProcess, FakeSink, make_log

GET = b"GET /shop/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
UPGRADE = (
    b"GET /shop/ HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
HEAD_OF_CHUNKED = b"POST /shop/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


class Told:
    """What a worker reported to the pool."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def names(self) -> list[str]:
        return [name for name, _ in self.events]

    def on_up(self, worker: Worker) -> None:
        self.events.append(("up", None))

    def on_ready(self, worker: Worker, message: Message) -> None:
        self.events.append(("ready", message))

    def on_boot_error(self, worker: Worker, message: str, stack: str) -> None:
        self.events.append(("boot error", (message, stack)))

    def on_boot_timeout(self, worker: Worker, seconds: float) -> None:
        self.events.append(("boot timeout", seconds))

    def on_request_error(
        self, worker: Worker, exchange: Exchange, message: str, stack: str, advice: str
    ) -> None:
        self.events.append(("request error", message))
        exchange.detach("error")

    def on_late_error(self, worker: Worker, fault: LateFault) -> None:
        self.events.append(("late error", fault))

    def on_open_ended(self, worker: Worker) -> None:
        self.events.append(("open-ended", None))

    def on_stalled(self, worker: Worker, exchange: Exchange, *, is_stalled: bool) -> None:
        self.events.append(("stalled", is_stalled))

    def on_overdue(self, worker: Worker) -> None:
        self.events.append(("overdue", None))

    def on_busy(self, worker: Worker, share: float) -> None:
        self.events.append(("busy", share))

    def on_finished(self, worker: Worker, exchange: Exchange) -> None:
        self.events.append(("finished", exchange))

    def on_stuck(self, worker: Worker, exchange: Exchange) -> None:
        self.events.append(("stuck", exchange))

    def on_broken(self, worker: Worker, why: str) -> None:
        self.events.append(("broken", why))

    def on_breach(self, worker: Worker, why: str) -> None:
        self.events.append(("broken", why))


class FarEnd:
    """A worker that a test plays; `worker` is the runtime's side of it."""

    def __init__(self, number: int = 1, beside: FarEnd | None = None) -> None:
        """With `beside`, it shares that one's loop."""
        self.errors: list[BaseException] = [] if beside is None else beside.errors
        self._owns_loop = beside is None
        self.loop = Loop(self.errors.append) if beside is None else beside.loop
        self.sock, ours = socket.socketpair()
        ours.setblocking(False)
        self.sock.setblocking(False)
        self.told = Told()
        self.sink = FakeSink()
        self.process = FakeProcess(channel=ours)
        self.worker = Worker(
            number, self.loop, cast(Any, self.process), self.told, make_log(self.sink)
        )
        self.worker.deadline_s = 0.01
        self.service = FakeService()
        self.service.loop = cast(Any, self.loop)
        self._decoder = Decoder()

    def close(self) -> None:
        self.worker.drain()
        self.sock.close()
        if self._owns_loop:
            self.loop.close()

    def assign(
        self, raw: bytes = GET, *, client: FakeClient | None = None, **manifest: Any
    ) -> Exchange:
        """Give the worker a request that the pool had queued."""
        client = client or FakeClient(self.service)
        exchange = client.request(raw)
        exchange.route_to(make_app(**manifest), base="/shop")
        exchange.limit_body(1024 * 1024)
        if raw is UPGRADE:
            _offer(exchange)
        exchange.hand_over(FakeResponder(exchange), 30.0)
        self.worker.assign(exchange)
        return exchange

    def say(self, type_: str, payload: bytes = b"", /, **fields: Any) -> None:
        """Send a message as the worker, and have the runtime read it."""
        self.say_raw(message(type_, payload, **fields))

    def say_raw(self, data: bytes) -> None:
        """Send this, and have the runtime read it. Raises BlockingIOError if it does not."""
        left = memoryview(data)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while len(left) > (sent := self.sock.send(left)):
                left = left[sent:]
                self.loop.run_once(0.5)
        self.loop.run_once(0.5)

    def hear(self) -> list[tuple[str, Message, bytes]]:
        """What the runtime has sent: type, message, payload."""
        self.loop.run_once(0.0)
        data = b""
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while piece := self.sock.recv(1 << 20):
                data += piece
                self.loop.run_once(0.0)
        return [(each["type"], each, payload) for each, payload in self._decoder.feed(data)]

    def kinds(self) -> list[str]:
        return [kind for kind, _, _ in self.hear()]

    @property
    def why(self) -> str:
        """Why the runtime gave up the worker; "" if it did not."""
        return next((str(value) for name, value in self.told.events if name == "broken"), "")


def message(type_: str, payload: bytes = b"", /, **fields: Any) -> bytes:
    """A message as bytes."""
    size = {"size": len(payload)} if payload else {}
    return encode({"type": type_, **fields, **size}) + payload


def client_of(exchange: Exchange) -> FakeClient:
    return cast(FakeClient, exchange.client)


def _offer(exchange: Exchange) -> None:
    from buntime.core.websocket.handshake import check_upgrade

    exchange.offer_upgrade(check_upgrade(exchange.head, exchange.head.upgrade))
