"""A request that comes from no socket, for tests of what answers requests."""

from __future__ import annotations

import json
from typing import Any

from buntime.core.errors import HttpError
from buntime.core.http1.forwarded import Sender
from buntime.core.http1.head import Head
from buntime.core.telemetry.meters import Meter, Meters


class FakeLoop:
    """Time that stands still, and work that is done at once."""

    def __init__(self) -> None:
        self.now = 1000.0

    def run_blocking(self, work: Any, then: Any) -> None:
        try:
            result = work()
        except Exception as exc:
            result = exc
        then(result)


class FakeService:
    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.meters = Meters()
        self.connections: set[Any] = set()
        self.accepted = 0
        self.is_draining = False


class FakeConnection:
    def __init__(self, service: FakeService, peer: str = "127.0.0.1") -> None:
        self.service = service
        self.peer_text = peer
        self.released: list[Any] = []

    def release_later(self, resource: Any) -> None:
        self.released.append(resource)


class FakeExchange:
    """What a step may use of an `Exchange`, and what came of it."""

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
    ) -> None:
        self.head = Head(
            method, target, "1.1", headers, host, content_length=content_length, upgrade=upgrade
        )
        self.headers = self.head.headers
        self.connection = FakeConnection(service or FakeService(), peer)
        self.sender = Sender((peer, 5000), prefix=prefix)
        self.id = "1"
        self.app: Any = None
        self.meter: Meter = self.connection.service.meters.of_none
        self.base = ""
        self.body_max_bytes = 0
        self.body_seen_bytes = 0
        self.sent_bytes = 0
        self.upgrade: Any = None
        self.link: Any = None
        self.is_ended = False
        # what came of it
        self.status = 0
        self.fields: dict[str, str] = {}
        self.body = b""
        self.error: HttpError | None = None

    def respond(self, status: int, fields: Any, body: bytes = b"") -> None:
        self.status, self.fields, self.body = status, dict(fields), body
        self.is_ended = True

    def fail(self, error: HttpError) -> None:
        self.status, self.error, self.is_ended = error.status, error, True

    @property
    def code(self) -> str:
        assert self.error is not None, f"answered {self.status} without an error"
        return self.error.code

    @property
    def json(self) -> Any:
        return json.loads(self.body)
