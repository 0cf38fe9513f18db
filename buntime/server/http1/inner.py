"""A request that the runtime itself makes to an app: a health check, or a job.

From the pool on, it is treated as any other: it goes to a worker, with the app's timeout, and into
the access log, as from "runtime". Its answer is read to the end and thrown away, except for the
status.
"""

from collections.abc import Callable, Sequence

from buntime.core.apps.app import App
from buntime.core.http1.forwarded import Sender
from buntime.core.http1.head import Head
from buntime.core.http1.reader import RequestReader
from buntime.sdk import closecodes
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.parties import Link, Resource
from buntime.server.http1.service import Service

PEER = "runtime"


class InnerClient:
    """The connection of one such request, which has no socket."""

    def __init__(self, service: Service, then: Callable[[int], None]) -> None:
        """`then` gets the status of the answer, or 0 if it was cut off."""
        self.service = service
        self.reader = RequestReader(service.head_parser)
        self.peer_text = PEER
        self.peer = None
        self.address: tuple[str, int] | None = None
        self.pending_bytes = self.untaken_bytes = self.spooled_bytes = 0
        self.exchange: Exchange | None = None
        self._then: Callable[[int], None] | None = then

    def __repr__(self) -> str:
        return f"InnerClient({self.exchange!r})"

    def leave(self) -> None:
        """Nobody waits for the answer any more; `then` is not called."""
        self._then = None
        if self.exchange is not None and not self.exchange.is_ended:
            self.exchange.on_client_left()

    # Client

    def write(self, data: bytes) -> None:
        """The answer, which nobody reads."""

    def write_all(self, buffers: Sequence[bytes]) -> None: ...

    def catch_up(self) -> bool:
        """There is no socket on which something could wait."""
        return False

    def spool(self) -> None: ...

    def write_file(self, fd: int, offset: int, length: int) -> None: ...

    def release_later(self, resource: Resource) -> None:
        resource.close()

    def open_link(self, link: Link, head: bytes) -> None:
        link.go_away(closecodes.POLICY)

    def settle(self) -> None: ...

    def on_link_closed(self) -> None:
        self._end(0)

    def on_exchange_end(self, keep_alive: bool) -> None:
        self._end(self.exchange.status if self.exchange is not None else 0)

    def cut(self) -> None:
        self._end(0)

    def abort(self) -> None:
        self._end(0)

    def _end(self, status: int) -> None:
        then, self._then = self._then, None
        if then is not None:
            self.service.loop.call_soon(lambda: then(status))


def inner_request(
    service: Service,
    app: App,
    target: str,
    *,
    then: Callable[[int], None],
    method: str = "GET",
    fields: tuple[tuple[str, str], ...] = (),
) -> tuple[InnerClient, Exchange]:
    """Make a request for the app, without a body, to give to the pool.

    `target` is a path below the app's base, with its query: "/healthz". `fields` have names in
    lower case.
    """
    host = app.manifest.hosts[0] if app.manifest.hosts else "localhost"
    base = app.usual_base
    head = Head(
        method,
        f"{base}{target}",
        "1.1",
        (("host", host), ("user-agent", "buntime"), *fields),
        host,
    )
    client = InnerClient(service, then)
    exchange = Exchange(client, head, service.request_id(head), Sender((PEER, 0)))
    client.exchange = exchange
    exchange.route_to(app, base=base, spec=app.version)
    return client, exchange
