"""The same for tests that are coroutines: waiting calls are awaited, and the test's loop goes
on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from buntime.sdk.websocket import WebSocketClosed
from buntime.testing.client import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from types import TracebackType
    from typing import TypeVar

    from buntime.sdk.fields import Headers
    from buntime.testing.answer import Answer
    from buntime.testing.cookies import Cookies
    from buntime.testing.session import Session
    from buntime.testing.stream import SentEvent, Stream

    T = TypeVar("T")

_END: Any = object()


class AsyncClient:
    """A `Client` whose calls are awaited; it takes the same arguments."""

    def __init__(self, app: Any, **options: Any) -> None:
        self._client = Client(app, **options)

    @property
    def base(self) -> str:
        """The path in front of all paths."""
        return self._client.base

    @property
    def cookies(self) -> Cookies:
        """The cookies that the app has set."""
        return self._client.cookies

    @property
    def headers(self) -> Headers:
        """Header fields that are sent with each request."""
        return self._client.headers

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._client.__enter__)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the app."""
        await asyncio.to_thread(self._client.close)

    async def request(self, method: str, url: str, **options: Any) -> Answer:
        """See `Client.request`."""
        return await asyncio.to_thread(self._client.request, method, url, **options)

    async def get(self, url: str, **options: Any) -> Answer:
        """See `Client.request`."""
        return await self.request("GET", url, **options)

    async def head(self, url: str, **options: Any) -> Answer:
        """See `Client.request`."""
        return await self.request("HEAD", url, **options)

    async def post(self, url: str, **options: Any) -> Answer:
        """See `Client.request`."""
        return await self.request("POST", url, **options)

    async def put(self, url: str, **options: Any) -> Answer:
        """See `Client.request`."""
        return await self.request("PUT", url, **options)

    async def patch(self, url: str, **options: Any) -> Answer:
        """See `Client.request`."""
        return await self.request("PATCH", url, **options)

    async def delete(self, url: str, **options: Any) -> Answer:
        """See `Client.request`."""
        return await self.request("DELETE", url, **options)

    async def options(self, url: str, **options: Any) -> Answer:
        """See `Client.request`."""
        return await self.request("OPTIONS", url, **options)

    def stream(self, method: str, url: str, **options: Any) -> AsyncStream:
        """See `Client.stream`: `async with client.stream("GET", "/events") as stream`."""
        return AsyncStream(self._client, method, url, options)

    def websocket(self, url: str, **options: Any) -> AsyncSession:
        """See `Client.websocket`: `async with client.websocket("/chat") as ws`."""
        return AsyncSession(self._client, url, options)


class AsyncStream:
    """A `Stream` whose pieces are awaited; `async with` begins it."""

    def __init__(self, client: Client, method: str, url: str, options: dict[str, Any]) -> None:
        self._client = client
        self._request = (method, url, options)
        self._stream: Stream | None = None

    async def __aenter__(self) -> Self:
        method, url, options = self._request
        self._stream = await asyncio.to_thread(self._client.stream, method, url, **options)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self._open_stream.close)

    @property
    def status(self) -> int:
        """The status code."""
        return self._open_stream.status

    @property
    def headers(self) -> Headers:
        """The header fields."""
        return self._open_stream.headers

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _awaited(iter(self._open_stream))

    def lines(self) -> AsyncIterator[str]:
        """See `Stream.lines`."""
        return _awaited(self._open_stream.lines())

    def events(self) -> AsyncIterator[SentEvent]:
        """See `Stream.events`."""
        return _awaited(self._open_stream.events())

    @property
    def _open_stream(self) -> Stream:
        if self._stream is None:
            raise RuntimeError("a stream begins with `async with client.stream(…) as stream`")
        return self._stream


class AsyncSession:
    """A `Session` whose messages are awaited; `async with` opens it."""

    def __init__(self, client: Client, url: str, options: dict[str, Any]) -> None:
        self._client = client
        self._request = (url, options)
        self._session: Session | None = None

    async def __aenter__(self) -> Self:
        url, options = self._request
        self._session = await asyncio.to_thread(self._client.websocket, url, **options)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the app has chosen."""
        return self._open.subprotocol

    async def send(self, message: str | bytes) -> None:
        """See `Session.send`."""
        await asyncio.to_thread(self._open.send, message)

    async def send_json(self, value: Any) -> None:
        """See `Session.send_json`."""
        await asyncio.to_thread(self._open.send_json, value)

    async def receive(self) -> str | bytes:
        """See `Session.receive`."""
        return await asyncio.to_thread(self._open.receive)

    async def receive_json(self) -> Any:
        """See `Session.receive_json`."""
        return await asyncio.to_thread(self._open.receive_json)

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        while True:
            try:
                yield await self.receive()
            except WebSocketClosed:
                return

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """See `Session.close`."""
        await asyncio.to_thread(self._open.close, code, reason)

    @property
    def _open(self) -> Session:
        if self._session is None:
            raise RuntimeError("a WebSocket opens with `async with client.websocket(…) as ws`")
        return self._session


async def _awaited(pieces: Iterator[T]) -> AsyncIterator[T]:
    while (piece := await asyncio.to_thread(next, pieces, _END)) is not _END:
        yield piece
