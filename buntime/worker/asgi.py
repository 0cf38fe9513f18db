"""Kind asgi: ASGI 3, HTTP as of its specification 2.4, on the loop of `aio`."""

from __future__ import annotations

from buntime.sdk.fields import Headers, unquote
from buntime.sdk.request import ClientGone
from buntime.worker.exchange import ENDED, NEW, SENT
from buntime.worker.lifespan import Lifespan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from buntime.wire import Message
    from buntime.worker.aio import AsyncExchange
    from buntime.worker.lifespan import Application, Event, Scope

# Between http.disconnect and the cancellation of an app that ignores it.
GRACE_S = 1.0
# bytes of a body in one http.request event.
PIECE_BYTES = 65536


class AsgiApp:
    """Adapts an ASGI app to exchanges."""

    def __init__(self, app: Application, *, strips_base: bool = False) -> None:
        self._app = app
        self._strips_base = strips_base
        self.lifespan = Lifespan(app)

    async def handle(self, exchange: AsyncExchange) -> None:
        """Answer one request; returns when the app does, which may be after its response."""
        exchange.cancel_after_s = GRACE_S
        call = Call(exchange)
        scope = scope_of(exchange.head, self.lifespan.state, strips_base=self._strips_base)
        running = self._app(scope, call.receive, call.send)
        if running is None:  # "object NoneType can't be used in 'await' expression" names nothing
            raise TypeError("ASGI: the app returned None where it must be awaited: `async def` it")
        await running
        if exchange.stage is ENDED:
            return
        if exchange.gone:
            raise exchange.departure()
        what = "the end of its response" if exchange.stage is SENT else "a response"
        raise RuntimeError(f"the ASGI app returned before it had sent {what}")


class Call:
    """The `receive` and `send` of one request."""

    def __init__(self, exchange: AsyncExchange) -> None:
        self._exchange = exchange
        self._has_given_body = False
        self._is_done = False  # the app said that there is no more body

    async def receive(self) -> Event:
        """Return the next http.request, or http.disconnect once the client or the body has
        ended."""
        exchange = self._exchange
        if not self._has_given_body:
            try:
                body = await exchange.read(PIECE_BYTES)
            except ClientGone:
                return {"type": "http.disconnect"}
            self._has_given_body = exchange.is_drained
            more = not self._has_given_body
            return {"type": "http.request", "body": body, "more_body": more}
        while not exchange.gone and exchange.stage is not ENDED:
            await exchange.news()
        return {"type": "http.disconnect"}

    async def send(self, event: Event) -> None:
        """Handle an event of the response. Raises OSError when the client is gone."""
        exchange = self._exchange
        if exchange.gone:
            raise exchange.departure()
        if exchange.stage is NEW:
            self._expect(event, "http.response.start")
            exchange.start(int(event["status"]), headers_of(event))
            return
        self._expect(event, "http.response.body")
        if self._is_done:
            raise RuntimeError("ASGI: http.response.body after the one without more_body")
        body = event.get("body", b"")
        if not isinstance(body, bytes):
            if not isinstance(body, (bytearray, memoryview)):
                raise TypeError(f"ASGI: the body must be bytes, not {type(body).__name__}")
            body = bytes(body)
        self._is_done = not event.get("more_body", False)
        await exchange.write(body, end=self._is_done or exchange.ends_with(body))

    def _expect(self, event: Event, wanted: str) -> None:
        kind = event["type"]
        if kind != wanted:
            raise RuntimeError(f"ASGI: expected {wanted}, the app sent {kind}")


def scope_of(head: Message, state: dict[str, Any], *, strips_base: bool = False) -> Scope:
    """Return the scope of a request; its path includes the root_path, as the specification says.

    With `strips_base` the two are separate, as in WSGI.
    """
    target, _, query = head["target"].partition("?")
    if strips_base:
        base = head["base"].rstrip("/")
        target = (target[len(base) :] if target.startswith(base) else target) or "/"
    client, server = head["client"], head["server"]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": head["version"],
        "method": head["method"],
        "scheme": head["scheme"],
        "path": _decoded(target),
        "raw_path": target.encode("latin-1", "replace"),
        "query_string": query.encode("latin-1", "replace"),
        "root_path": _decoded(head["base"].rstrip("/")),
        "headers": [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in head["headers"]
        ],
        "client": tuple(client) if client else None,
        "server": tuple(server) if server else None,
        "state": state.copy(),
        "extensions": {},
    }


def headers_of(event: Event) -> list[tuple[str, str]]:
    """Return the headers of an event as checked pairs of text."""
    pairs = []
    for name, value in event.get("headers") or ():
        if not isinstance(name, bytes) or not isinstance(value, bytes):
            raise TypeError(f"ASGI: the names and values of headers must be bytes: {name!r}")
        pairs.append((name.decode("latin-1"), value.decode("latin-1")))
    return Headers(pairs).items()


def _decoded(path: str) -> str:
    return unquote(path.encode("latin-1", "replace")).decode("utf-8", "replace")
