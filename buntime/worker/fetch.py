"""Kinds fetch and routes: a handler takes a Request and returns a Response.

A sync app's handlers and the bodies they return run on the thread that has the exchange.
`aiofetch` is the same for async apps.
"""

from __future__ import annotations

from buntime.sdk.request import BadBody, Request, Response
from buntime.worker.callables import is_async, shape_of, wraps_async
from buntime.worker.report import BootError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from buntime.wire import Message
    from buntime.worker.exchange import Exchange
    from buntime.worker.sync import SyncExchange

    class Finder(Protocol):
        """Finds the handler of a request."""

        def __call__(self, head: Message) -> tuple[Handler, dict[str, str] | None]: ...


class Handler:
    """A function of the app that answers requests, and what is known about it."""

    __slots__ = ("call", "is_async", "label", "may_await")

    def __init__(
        self, call: Callable[[Any], Any], label: str, argument: str = "the request"
    ) -> None:
        """Wrap a function; `label` names it in errors: `fetch`, `routes["/todos"]["GET"]`."""
        self.call = call
        self.label = label
        self.is_async = is_async(call)
        # A plain function around an async one: what it returns is known only after the call.
        self.may_await = not self.is_async and wraps_async(call)
        shape = shape_of(call)
        if shape is not None and not shape.takes(1):
            takes = f"{shape.required} or more" if shape.required != len(shape.names) else None
            raise BootError(
                f"{label} must take one argument, {argument}; "
                f"it takes {takes or shape.required}: ({', '.join(shape.names)})"
            )

    @property
    def needs_loop(self) -> bool:
        """Whether it makes its app an async one."""
        return self.is_async or self.may_await


def only(handler: Handler) -> Finder:
    """Return a finder that finds one handler for everything."""
    found = (handler, None)
    return lambda head: found


def fetch_adapter(find: Finder) -> Callable[[SyncExchange], None]:
    """Adapt handlers to exchanges, for a sync app."""

    def handle(exchange: SyncExchange) -> None:
        handler, params = find(exchange.head)
        try:
            request = request_of(exchange, exchange if exchange.has_body else None, params)
            response = checked(handler.call(request), handler)
        except BadBody as exc:
            response = bad_body(exc, exchange.head)
        respond(exchange, response)

    return handle


def respond(exchange: SyncExchange, response: Response) -> None:
    """Send a response."""
    body: Any = response.body
    if body is None or isinstance(body, bytes):
        exchange.start(response.status, response.headers.items())
        exchange.write(body or b"", end=True)
        return
    try:
        if response.is_async:
            raise TypeError("a Response of a sync handler cannot have an async iterable as body")
        exchange.start(response.status, response.headers.items())
        if exchange.sends_head_first():
            exchange.write(b"", end=exchange.is_head_only)
        if not exchange.is_head_only:
            _stream(exchange, body)
        exchange.write(b"", end=True)
    finally:
        response.close()


def _stream(exchange: SyncExchange, body: Any) -> None:
    heartbeat_s = getattr(body, "heartbeat_s", 0)
    if not heartbeat_s:
        for piece in body:
            exchange.write(piece, end=exchange.ends_with(piece))
        return
    from buntime.worker.eventkeepalive import ThreadPulse  # 1 ms, for an app with events

    pulse = ThreadPulse(exchange, heartbeat_s)
    try:
        for piece in body:
            pulse.write(piece)
    finally:
        pulse.stop()


def request_of(
    exchange: Exchange, body: Any, params: dict[str, str] | None, cls: type[Request] = Request
) -> Request:
    """Make the Request of a handler, of the class for its kind."""
    request = cls._received(exchange.head, body, exchange)
    if params:
        request.params = params
    return request


def checked(response: Any, handler: Handler) -> Response:
    """Return what a handler returned, if it is a Response."""
    if isinstance(response, Response):
        return response
    if hasattr(response, "__await__"):
        close = getattr(response, "close", None)
        if close is not None:
            close()  # or Python warns that it was never awaited
        kind = type(response).__name__
        if handler.is_async:
            raise TypeError(f"{handler.label} returned a {kind}; await it, to return its result")
        raise TypeError(
            f"{handler.label} is a plain function but returned a {kind}; define it with `async def`"
        )
    raise TypeError(
        f"{handler.label} returned {_what(response)}; it must return a buntime.Response, "
        "such as Response('text'), Response.json(value) or Response.html(page)"
    )


def bad_body(exc: BadBody, head: Message) -> Response:
    """Answer a request whose body is not what its type says."""
    return error_response(400, "bad_body", str(exc), head)


def error_response(status: int, code: str, message: str, head: Message) -> Response:
    """Answer as the runtime does: `{"error": {"code", "message", "requestId"}}`."""
    error = {"code": code, "message": message, "requestId": head["request_id"]}
    return Response.json({"error": error}, status)


def _what(value: object) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"
