"""Request, as an app sees it, and the names that apps and workers import.

`Head` is what a request and the handshake of a WebSocket (`sdk/websocket.py`) share.

A plain value without a socket or channel. A handler is called often and reads little, so nothing is
computed before it is used; what few requests need (forms, JSON) is loaded by the first that does,
which is why imports are in functions.
"""

from __future__ import annotations

from buntime.sdk.cookies import parse_cookies
from buntime.sdk.fields import (
    BadBody,
    Fields,
    File,
    Form,
    Headers,
    Query,
    unquote,
    urlencoded_pairs,
)
from buntime.sdk.response import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncIterator, Iterator
    from functools import cached_property
    from typing import Any, Protocol, Self

    from buntime.sdk.response import HeadersLike

    class Source(Protocol):
        """Where a sync request's body comes from; `read` blocks, and returns b"" at the end."""

        def read(self, limit: int, /) -> bytes: ...

    class AsyncSource(Protocol):
        """Where an async request's body comes from."""

        async def read(self, limit: int, /) -> bytes: ...

    class Waiter(Protocol):
        """Knows whether somebody still waits for the answer."""

        def is_cancelled(self) -> bool: ...
else:

    class cached_property:  # noqa: N801  # stands in for the one of functools, which costs 7 ms
        """A property that is computed once."""

        def __init__(self, function):
            self.function = function
            self.name = function.__name__
            self.__doc__ = function.__doc__

        def __get__(self, instance, owner):
            if instance is None:
                return self
            value = instance.__dict__[self.name] = self.function(instance)
            return value


__all__ = [
    "AsyncRequest",
    "BadBody",
    "ClientGone",
    "Fields",
    "File",
    "Form",
    "Headers",
    "Query",
    "Request",
    "Response",
]

PIECE_BYTES = 65536


class ClientGone(BrokenPipeError):
    """Nobody waits for the answer any more: the client has left, or the deadline has passed.

    Raised by methods that read the request's body, and in a generator that is a response's body.
    """


_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class Head:
    """The head of a request.

    `target` is what the client sent, `base` the part of it under which the app is mounted, `path`
    the decoded rest: `/shop@1/a%20b?q=1` has the base `/shop@1` and the path `/a b`. `client` is
    (host, port), or None behind a unix socket; `id` is the request id of the log. `headers` may be
    anything that Headers accepts, such as `{"Accept": "*/*"}`.
    """

    # Whether the header fields are from the worker: pairs whose names are in lower case.
    _are_checked = False

    def __init__(
        self,
        method: str,
        target: str,
        base: str,
        headers: HeadersLike,
        *,
        scheme: str = "http",
        client: tuple[str, int] | None = None,
        server: tuple[str, int] | None = None,
        id: str = "",  # noqa: A002  # what apps call it
    ) -> None:
        self.method = method
        self.target = target
        self.base = base
        self.scheme = scheme
        self.client = (client[0], client[1]) if client else None
        self.server = (server[0], server[1]) if server else None
        self.id = id
        self._header_pairs: Any = headers

    @cached_property
    def headers(self) -> Headers:
        """The header fields, as the client sent them."""
        if self._are_checked:
            return Headers.trusted(self._header_pairs)
        return Headers(self._header_pairs)

    @cached_property
    def cookies(self) -> dict[str, str]:
        """The cookies by name."""
        return parse_cookies(self.headers.getall("cookie"))

    @cached_property
    def query(self) -> Query:
        """The fields after the `?`; bytes that are not UTF-8 become U+FFFD."""
        raw = self.target.partition("?")[2]
        return Query(urlencoded_pairs(raw.encode("utf-8", "replace"), "replace"))

    @cached_property
    def path(self) -> str:
        """The decoded path without the base; starts with "/". Invalid UTF-8 becomes U+FFFD."""
        raw = self.target.partition("?")[0]
        if raw.startswith(self.base):
            raw = raw[len(self.base) :]
        path = unquote(raw.encode("utf-8", "replace")).decode("utf-8", "replace")
        return path if path.startswith("/") else "/" + path

    @cached_property
    def host(self) -> str:
        """The Host header, else the address of the server; with the port unless it is the
        default."""
        named = self.headers.get("host")
        if named or self.server is None:
            return named or "localhost"
        name, port = self.server
        name = f"[{name}]" if ":" in name else name
        return name if port == _DEFAULT_PORTS.get(self.scheme) else f"{name}:{port}"

    @cached_property
    def url(self) -> str:
        """The whole URL: `http://example.com/shop@1/cart?q=1`."""
        return f"{self.scheme}://{self.host}{self.target}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method} {self.target}>"


class Request(Head):
    """A request to the app, for a sync handler.

    `Head` has the parts of the head; `params` is filled by a route such as `/users/:id`.
    A test makes one by hand: `Request("POST", "/todos", headers={"X-User": "ann"}, body=b"...")`.
    """

    _waiter: Waiter | None = None  # if there is one

    def __init__(  # noqa: PLR0913  # called in one place, from one message of the channel
        self,
        method: str = "GET",
        target: str = "/",
        base: str = "",
        headers: HeadersLike = (),
        *,
        scheme: str = "http",
        client: tuple[str, int] | None = None,
        server: tuple[str, int] | None = None,
        id: str = "",  # noqa: A002  # what apps call it
        body: Source | AsyncSource | builtins.bytes | None = None,
    ) -> None:
        Head.__init__(
            self, method, target, base, headers, scheme=scheme, client=client, server=server, id=id
        )
        self.params: dict[str, str] = {}
        self._source: Any = body
        self._is_taken = False
        self._content = b"" if body is None else body if type(body) is bytes else None

    @classmethod
    def _received(cls, head: Any, body: Any, waiter: Waiter) -> Self:
        """The request that a message of the channel tells of; `body` is its source, if it has one.

        The same as a call of the class, which takes twice as long with so many keywords.
        """
        request = cls.__new__(cls)
        request.method = head["method"]
        request.target = head["target"]
        request.base = head["base"]
        request.scheme = head["scheme"]
        client, server = head["client"], head["server"]
        request.client = (client[0], client[1]) if client else None
        request.server = (server[0], server[1]) if server else None
        request.id = head["request_id"]
        request._header_pairs = head["headers"]
        request._are_checked = True
        request.params = {}
        request._source = body
        request._is_taken = False
        request._content = b"" if body is None else None
        request._waiter = waiter
        return request

    @property
    def last_event_id(self) -> str | None:
        """The id of the last event received, if an EventSource reconnects."""
        value = self.headers.get("last-event-id")
        if value is None or value.isascii():
            return value
        # Browsers send UTF-8, and the channel carries each byte as a character.
        return value.encode("latin-1", "replace").decode("utf-8", "replace")

    def is_cancelled(self) -> bool:
        """Return whether nobody waits any more: the client has left or the deadline has passed.

        For a sync handler that works long before it answers. An async one is cancelled
        automatically.
        """
        return self._waiter is not None and self._waiter.is_cancelled()

    def _take(self) -> None:
        """Claim the source. A failed read keeps it claimed: the rest would look like the whole
        body."""
        if self._is_taken:
            raise RuntimeError(
                "the request's body was already read by stream(), or reading it failed; "
                "call bytes(), text(), json() or form() first, each may follow the other"
            )
        self._is_taken = True

    def bytes(self) -> builtins.bytes:
        """Read the whole body. It is kept: bytes(), text(), json() and form() may all be called."""
        if self._content is None:
            self._content = b"".join(self.stream())
        return self._content

    def text(self) -> str:
        """Read the body as text by its charset, UTF-8 by default. Raises BadBody."""
        return _text(self.bytes(), self.headers)

    def json(self) -> Any:
        """Read the body as JSON. Raises BadBody, which becomes a 400."""
        return _json(self.bytes())

    def form(self) -> Form:
        """Read the body as a form, of either content type. Raises BadForm, which becomes a 400."""
        return _form(self.bytes(), self.headers)

    def stream(self) -> Iterator[builtins.bytes]:
        """Read the body in pieces as they come; it is not kept, so this works once."""
        if self._content is not None:
            return iter([self._content] if self._content else [])
        self._take()
        return self._pieces()

    def _pieces(self) -> Iterator[builtins.bytes]:
        while piece := self._source.read(PIECE_BYTES):
            yield piece


class AsyncRequest(Request):
    """A request to the app, for an async handler: methods that read the body are awaited."""

    # The handler's kind decides which of the two classes it gets; nothing takes either of them.
    async def bytes(self) -> builtins.bytes:  # type: ignore[override]  # async by intent
        """Read the whole body; it is kept."""
        if self._content is None:
            self._content = b"".join([piece async for piece in self.stream()])
        return self._content

    async def text(self) -> str:  # type: ignore[override]  # async by intent
        """Read the body as text."""
        return _text(await self.bytes(), self.headers)

    async def json(self) -> Any:
        """Read the body as JSON."""
        return _json(await self.bytes())

    async def form(self) -> Form:  # type: ignore[override]  # async by intent
        """Read the body as a form."""
        return _form(await self.bytes(), self.headers)

    def stream(self) -> AsyncIterator[builtins.bytes]:  # type: ignore[override]  # async by intent
        """Read the body in pieces: `async for piece in request.stream()`."""
        if self._content is None:
            self._take()
        return self._async_pieces()

    async def _async_pieces(self) -> AsyncIterator[builtins.bytes]:
        if self._content is not None:
            if self._content:
                yield self._content
            return
        while piece := await self._source.read(PIECE_BYTES):
            yield piece


def _text(content: bytes, headers: Headers) -> str:
    from buntime.sdk.forms import decode_text  # 2 ms

    return decode_text(content, headers.get("content-type", ""))


def _form(content: bytes, headers: Headers) -> Form:
    from buntime.sdk.forms import parse_form  # 2 ms

    return parse_form(content, headers.get("content-type", ""))


def _json(content: bytes) -> Any:
    from buntime.sdk.jsontext import json_value  # 14 ms, unless the channel has loaded json

    return json_value(content, "the request's body")
