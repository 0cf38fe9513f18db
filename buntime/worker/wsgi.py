"""Kind wsgi: PEP 3333, on the thread that has the exchange."""

from __future__ import annotations

import io
import sys

from buntime.sdk.fields import Headers, unquote
from buntime.worker.exchange import NEW

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Any, Protocol, Union

    from buntime.wire import Message
    from buntime.worker.sync import SyncExchange

    Environ = dict[str, Any]
    ExcInfo = Union[tuple[type[BaseException], BaseException, TracebackType], None]
    Application = Callable[[Environ, Callable[..., Callable[[bytes], None]]], Iterable[bytes]]

    class Readable(Protocol):
        """What `wsgi.file_wrapper` accepts."""

        def read(self, size: int, /) -> bytes: ...


def wsgi_adapter(
    app: Application, config: dict[str, Any], concurrency: int
) -> Callable[[SyncExchange], None]:
    """Adapt a WSGI app to exchanges."""
    always: Environ = {
        "wsgi.version": (1, 0),
        "wsgi.multithread": concurrency > 1,
        "wsgi.multiprocess": config.get("workers", 1) != 1,
        "wsgi.run_once": not config.get("ttl"),
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.input_terminated": True,  # read() ends where the body ends, whatever its framing
        "SERVER_SOFTWARE": "buntime",
    }

    def handle(exchange: SyncExchange) -> None:
        environ = environ_of(exchange, always)
        if exchange.has_body and "CONTENT_LENGTH" not in environ:
            _run_with_collected(exchange, environ)
        else:
            run(exchange, environ)

    def _run_with_collected(exchange: SyncExchange, environ: Environ) -> None:
        from buntime.worker.collected import collect  # only for chunked bodies

        file, size = collect(exchange)
        environ["wsgi.input"] = file
        environ["CONTENT_LENGTH"] = str(size)
        try:
            run(exchange, environ)
        finally:
            file.close()

    def run(exchange: SyncExchange, environ: Environ) -> None:
        answer = Answer(exchange)
        result = app(environ, answer.start_response)
        if hasattr(result, "__await__"):
            raise TypeError(_taken_for_wsgi(result))
        try:
            if type(result) in (list, tuple):
                answer.send_all(result)
            else:
                for piece in result:
                    answer.write(piece)
                answer.finish()
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    return handle


class Answer:
    """The response of one request, from start_response to the last piece."""

    def __init__(self, exchange: SyncExchange) -> None:
        self._exchange = exchange
        self._status: int | None = None
        self._headers: list[tuple[str, str]] = []

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo = None
    ) -> Callable[[bytes], None]:
        """Set the head; it is sent with the first piece that is not empty."""
        try:
            if exc_info is not None and self._exchange.stage is not NEW:
                raise exc_info[1].with_traceback(exc_info[2])
        finally:
            exc_info, had_error = None, exc_info is not None  # PEP 3333: no circular reference
        if self._status is not None and not had_error:
            raise AssertionError("start_response() was called twice, without exc_info")
        self._status = _status_code(status)
        self._headers = Headers(headers).items()
        return self.write

    def write(self, piece: bytes) -> None:
        """Send a piece at once. An empty one is not sent: it only checks whether anybody is
        there."""
        if not isinstance(piece, bytes):
            raise TypeError(f"WSGI: a piece of the body must be bytes, not {_type(piece)}")
        if piece:
            self._start()
            self._exchange.write(piece, end=self._exchange.ends_with(piece))
        elif self._exchange.is_cancelled():
            raise self._exchange.departure()

    def send_all(self, pieces: Iterable[bytes]) -> None:
        """Send a complete body, in one message if it is small."""
        if self._exchange.stage is NEW:
            for piece in pieces:
                if not isinstance(piece, bytes):
                    raise TypeError(f"WSGI: a piece of the body must be bytes, not {_type(piece)}")
            self._start()
            self._exchange.write(b"".join(pieces), end=True)
            return
        for piece in pieces:  # after some were sent by write()
            self.write(piece)
        self.finish()

    def finish(self) -> None:
        """End the response."""
        self._start()
        self._exchange.write(b"", end=True)

    def _start(self) -> None:
        if self._status is None:
            raise AssertionError("the app gave a body before it called start_response()")
        if self._exchange.stage is NEW:
            self._exchange.start(self._status, self._headers)


class FileWrapper:
    """`wsgi.file_wrapper`: a file as an iterable of its pieces."""

    def __init__(self, file: Readable, block_size: int = 65536) -> None:
        self._file = file
        self._block_size = block_size
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._file.read(self._block_size):
            yield piece


class RawBody(io.RawIOBase):
    """The body of a request, for io.BufferedReader to read."""

    def __init__(self, exchange: SyncExchange) -> None:
        self._exchange = exchange

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with what is there, at least one byte; 0 at the end."""
        data = self._exchange.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        """Read all that is left, in larger pieces than the base class does."""
        return b"".join(iter(lambda: self._exchange.read(65536), b""))


def environ_of(exchange: SyncExchange, always: Environ) -> Environ:
    """Return the environ of a request: PEP 3333, with the variables of CGI (RFC 3875)."""
    head = exchange.head
    target, _, query = head["target"].partition("?")
    base = head["base"].rstrip("/")
    name, port = head["server"] or _named_server(head)
    environ = {
        **always,
        "REQUEST_METHOD": head["method"],
        "SCRIPT_NAME": _decoded(base),
        "PATH_INFO": _decoded(target[len(base) :] if target.startswith(base) else target),
        "QUERY_STRING": query,
        "REQUEST_URI": head["target"],
        "RAW_URI": head["target"],
        "SERVER_NAME": name,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": "HTTP/" + head["version"],
        "wsgi.url_scheme": head["scheme"],
        "wsgi.input": io.BufferedReader(RawBody(exchange), 65536)
        if exchange.has_body
        else io.BytesIO(),
        "wsgi.errors": sys.stderr,
    }
    if head["client"]:
        environ["REMOTE_ADDR"] = head["client"][0]
        if head["client"][1]:  # 0 if a proxy has not sent it
            environ["REMOTE_PORT"] = str(head["client"][1])
    _add_headers(environ, head["headers"])
    return environ


def _add_headers(environ: Environ, headers: list[list[str]]) -> None:
    for name, value in headers:
        if "_" in name:
            continue  # could be mistaken for another header: x_real_ip for x-real-ip
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        if key in environ:
            separator = "; " if key == "HTTP_COOKIE" else ","
            environ[key] += separator + value
        else:
            environ[key] = value


def _named_server(head: Message) -> tuple[str, str]:
    """Return name and port from the Host header, if the runtime listens on a unix socket."""
    host = next((value for name, value in head["headers"] if name == "host"), "") or "localhost"
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdigit():
        name, port = host, "443" if head["scheme"] == "https" else "80"
    return name, port


def _decoded(path: str) -> str:
    """Decode a path to what PEP 3333 calls a native string: bytes, as if they were latin-1."""
    return unquote(path.encode("latin-1", "replace")).decode("latin-1")


def _status_code(status: Any) -> int:
    code = status[:3] if isinstance(status, str) else ""
    if not (code.isascii() and code.isdigit() and status[3:4] in ("", " ") and code >= "200"):
        raise ValueError(f'a WSGI status is text such as "200 OK", not {status!r}')
    return int(code)


def _taken_for_wsgi(result: Any) -> str:
    close = getattr(result, "close", None)
    if close is not None:
        close()  # or Python warns that it was never awaited
    return (
        f"the app was taken for WSGI but returned a {_type(result)}; "
        "if it is ASGI, define it as `async def app(scope, receive, send)`"
    )


def _type(value: object) -> str:
    return type(value).__name__
