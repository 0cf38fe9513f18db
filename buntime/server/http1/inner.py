"""A request that the runtime itself makes to an app: a job, or the `check` of a deploy.

From the pool on, it is treated as any other: it goes to a worker, with the app's timeout, and into
the access log. Its answer is read to the end and thrown away, except for the status.
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

_CUT = 0  # instead of a status


class InnerClient:
    """The client of one such request. It has no socket, and takes each byte of the answer at once.

    Whoever makes one sets its `exchange`.
    """

    peer_text = "runtime"
    peer = None
    address: tuple[str, int] | None = None
    pending_bytes = untaken_bytes = spooled_bytes = 0
    exchange: Exchange

    def __init__(self, service: Service, on_end: Callable[[int], None]) -> None:
        """`on_end` gets the answer's status, 0 for a cut one, once, in a later turn."""
        self.service = service
        self.reader = RequestReader(service.head_parser)
        self._on_end: Callable[[int], None] | None = on_end

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.exchange!r})"

    # Client

    def write(self, data: bytes) -> None:
        """Nobody reads the answer."""

    def write_all(self, buffers: Sequence[bytes]) -> None:
        """The same."""

    def write_file(self, fd: int, offset: int, length: int) -> None:
        """The same; a worker's answer has none."""

    def catch_up(self) -> bool:
        """There is no socket on which something could wait."""
        return False

    def spool(self) -> None:
        """Nothing waits."""

    def release_later(self, resource: Resource) -> None:
        resource.close()

    def open_link(self, link: Link, head: bytes) -> None:
        """No such request asks for a WebSocket."""
        link.go_away(closecodes.POLICY)

    def settle(self) -> None:
        """Nothing more comes."""

    def on_link_closed(self) -> None:
        self._end(_CUT)

    def on_exchange_end(self, keep_alive: bool) -> None:
        self._end(self.exchange.status)

    def cut(self) -> None:
        self._end(_CUT)

    def abort(self) -> None:
        """Its answer is not waited for any more."""
        self.exchange.on_client_left()
        self._end(_CUT)

    def _end(self, status: int) -> None:
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            self.service.loop.call_soon(lambda: on_end(status))


def check_request(
    service: Service, app: App, target: str, *, then: Callable[[int], None]
) -> Exchange:
    """Make the request of a deploy's `check`, to give to the pool; `then` gets the status.

    `target` is a path below the app's base, with its query: "/healthz".
    """
    host, base = inner_host(app), app.usual_base
    fields = (("host", host), ("user-agent", "buntime"))
    head = Head("GET", f"{base}{target}", "1.1", fields, host)
    client = InnerClient(service, then)
    exchange = Exchange(client, head, service.request_id(head), Sender((client.peer_text, 0)))
    client.exchange = exchange
    exchange.route_to(app, base=base, spec=app.version)
    return exchange


def inner_host(app: App) -> str:
    """What Host says in such a request: the app's first host, or "localhost".

    `*.example.com` is no host, so it becomes `example.com`.
    """
    return next((each.removeprefix("*.") for each in app.manifest.hosts), "localhost")
