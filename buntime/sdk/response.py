"""Response, as an app makes it: a status, headers and a body of bytes or of pieces.

A text response without further headers takes about a microsecond to make. What few responses need
(JSON, files) is loaded by the first that does.
"""

from __future__ import annotations

from buntime.sdk.cookies import cookie_line
from buntime.sdk.fields import URI, Headers, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
    from typing import Any, Self

    from buntime.sdk.events import EventLike

    EventsLike = Iterable[EventLike] | AsyncIterable[EventLike]
    HeadersLike = Headers | Mapping[str, str] | Iterable[tuple[str, str]] | None
    Piece = str | bytes | bytearray | memoryview
    BodyLike = Piece | Iterable[Piece] | AsyncIterable[Piece] | None
    Content = bytes | Iterable[bytes] | AsyncIterable[bytes] | None

PIECE_BYTES = 65536
TEXT = "text/plain; charset=utf-8"
BINARY = "application/octet-stream"
# RFC 9110 15.3.5, 15.3.6 and 15.4.5: these have no body.
WITHOUT_BODY = (204, 205, 304)
_REDIRECTS = (301, 302, 303, 307, 308)
# The encoder, once it was needed: an import statement in each call would cost 0.5 µs.
_json_encoders: list[Callable[[Any], str]] = []


class Response:
    """An answer: `Response("hello")`, `Response.json({"a": 1})`, `Response(None, 204)`.

    `body` may be text (sent as text/plain), bytes or an iterable of either (application/
    octet-stream), in async apps an async iterable too. `content_type` says otherwise, and so does
    one in `headers`, which wins. The attribute `body` holds None, bytes, or an iterable of bytes
    (async where `is_async`).
    """

    __slots__ = ("body", "headers", "is_async", "status")

    def __init__(
        self,
        body: BodyLike = None,
        status: int = 200,
        headers: HeadersLike = None,
        *,
        content_type: str | None = None,
    ) -> None:
        if type(status) is not int or not 200 <= status <= 599:
            status = _checked_status(status)
        self.status = status
        self.headers = Headers(headers)
        self.body: Content
        default_type: str | None = BINARY
        if type(body) is bytes:  # as quickly as it can be
            self.body, self.is_async = body, False
        else:
            self.body, default_type = _content_of(body)
            self.is_async = hasattr(self.body, "__aiter__")
        if status in WITHOUT_BODY and self.body:
            raise ValueError(f"a response of status {status} has no body; pass None")
        if headers is not None and "content-type" in self.headers:
            return
        if content_type is not None:
            self.headers.add("content-type", content_type)
        elif default_type is not None and status not in WITHOUT_BODY:
            self.headers._pairs.append(("content-type", default_type))

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: HeadersLike = None) -> Self:
        """Answer with JSON. What JSON cannot express is a TypeError, NaN a ValueError."""
        content = _json_text(value).encode("ascii")
        return cls(content, status, headers, content_type="application/json")

    @classmethod
    def html(cls, text: str, status: int = 200, headers: HeadersLike = None) -> Self:
        """Answer with an HTML page."""
        return cls(text, status, headers, content_type="text/html; charset=utf-8")

    @classmethod
    def redirect(cls, location: str, status: int = 302, headers: HeadersLike = None) -> Self:
        """Redirect the client; `request.base + "/login"` stays in the app.

        Characters that no URL can contain (spaces, control and non-ASCII characters) are
        percent-encoded.
        """
        if status not in _REDIRECTS:
            raise ValueError(f"status {status!r} does not redirect; use one of {_REDIRECTS}")
        merged = Headers(headers)
        merged.set("location", quote(location, URI))
        return cls(None, status, merged)

    @classmethod
    def file(
        cls,
        path: str | os.PathLike[str],
        status: int = 200,
        headers: HeadersLike = None,
        *,
        content_type: str | None = None,
        filename: str | None = None,
    ) -> Self:
        """Answer with a file, in pieces; the type comes from its name.

        A `filename` makes it a download. Raises OSError if it cannot be opened. In a table of
        routes the file's size is that at the start: for a file that changes, write a handler.
        """
        from buntime.sdk.files import FileBody  # 5 ms, with os

        merged = Headers(headers)
        body = FileBody(path)
        try:
            for name, value in body.headers(content_type, filename):
                if name not in merged:
                    merged.add(name, value)
            return cls(body, status, merged)
        except (TypeError, ValueError):
            body.close()
            raise

    @classmethod
    def events(
        cls,
        source: EventsLike,
        *,
        heartbeat: float | None = 15.0,
        status: int = 200,
        headers: HeadersLike = None,
    ) -> Self:
        """Answer with server-sent events, each sent as it is made: str, dict or `buntime.Event`.

        After `heartbeat` seconds of silence a comment is sent, because proxies take a silent
        connection for dead.
        """
        from buntime.sdk.events import event_stream  # 1 ms

        response = cls(None, status, headers, content_type="text/event-stream")
        for name, value in (("cache-control", "no-cache"), ("x-accel-buffering", "no")):
            if name not in response.headers:
                response.headers.add(name, value)
        response.body = event_stream(source, heartbeat)
        response.is_async = hasattr(response.body, "__aiter__")
        return response

    def set_cookie(
        self,
        name: str,
        value: str,
        max_age: int | None = None,
        path: str | None = "/",
        domain: str | None = None,
        secure: bool = False,
        http_only: bool = True,
        same_site: str | None = "Lax",
    ) -> None:
        """Append a Set-Cookie; `max_age` in seconds, None until the browser is closed.

        `path` is relative to the app's base, unless it is below that already: "/" is the whole app.
        """
        line = cookie_line(
            name,
            value,
            max_age=max_age,
            path=path,
            domain=domain,
            secure=secure,
            http_only=http_only,
            same_site=same_site,
        )
        self.headers.add("set-cookie", line)

    def delete_cookie(
        self, name: str, path: str | None = "/", domain: str | None = None, secure: bool = False
    ) -> None:
        """Make the client forget a cookie; path and domain must be the ones it was set with."""
        self.set_cookie(name, "", max_age=0, path=path, domain=domain, secure=secure)

    def close(self) -> None:
        """Release what the body holds, such as a file or a generator; may be called twice."""
        close = getattr(self.body, "close", None)
        if close is not None:
            close()

    async def aclose(self) -> None:
        """Release what an async body holds, too."""
        aclose = getattr(self.body, "aclose", None)
        if aclose is not None:
            await aclose()
        self.close()

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.headers.get('content-type', '')}>"


def _checked_status(status: Any) -> int:
    """Accept an int of any class, such as HTTPStatus.OK, from 200 to 599."""
    if not isinstance(status, int) or isinstance(status, bool) or not 200 <= status <= 599:
        raise ValueError(f"the status of a response is an int from 200 to 599, not {status!r}")
    return int(status)


def _json_text(value: Any) -> str:
    if not _json_encoders:
        from buntime.sdk.jsontext import json_text  # 14 ms

        _json_encoders.append(json_text)
    return _json_encoders[0](value)


def _content_of(body: Any) -> tuple[Content, str | None]:
    """Return the body as it is sent, and its default content type."""
    if isinstance(body, str):
        return body.encode(), TEXT
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body), BINARY
    if body is None:
        return None, None
    if hasattr(body, "__aiter__"):
        return AsyncPieces(body), BINARY
    if isinstance(body, (list, tuple)):
        return b"".join(map(_piece, body)), BINARY
    if hasattr(body, "__iter__") and not isinstance(body, dict):
        return Pieces(body), BINARY
    hint = "use Response.json" if isinstance(body, (dict, int, float)) else ""
    hint = "await it first" if hasattr(body, "__await__") else hint
    raise TypeError(
        "the body of a Response is str, bytes, an iterable or async iterable of them, or None, "
        f"not {type(body).__name__}" + (hint and "; " + hint)
    )


def _piece(piece: Any) -> bytes:
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, str):
        return piece.encode()
    if isinstance(piece, (bytearray, memoryview)):
        return bytes(piece)
    raise TypeError(
        f"the body of a Response gave a piece of type {type(piece).__name__}; "
        "each piece must be str or bytes"
    )


class Pieces:
    """An iterable of str or bytes, or an open file, as an iterable of bytes."""

    __slots__ = ("_source",)

    def __init__(self, source: Any) -> None:
        self._source = source

    def __iter__(self) -> Iterator[bytes]:
        read = getattr(self._source, "read", None)
        # A file yields lines, which would make small pieces.
        pieces = self._source if read is None else iter(lambda: read(PIECE_BYTES) or None, None)
        return map(_piece, pieces)

    def close(self) -> None:
        """Close what the pieces come from, where it can be closed."""
        close = getattr(self._source, "close", None)
        if close is not None:
            close()


class AsyncPieces:
    """An async iterable of str or bytes as one of bytes."""

    __slots__ = ("_source",)

    def __init__(self, source: Any) -> None:
        self._source = source

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._source:
            yield _piece(piece)

    async def aclose(self) -> None:
        """Close what the pieces come from, where it can be closed."""
        aclose = getattr(self._source, "aclose", None)
        if aclose is not None:
            await aclose()
