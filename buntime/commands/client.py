"""A client of the operators' API, for commands: JSON, lines of it, errors that say what to do.

    api = connect(command, mode)
    for app in api.get("/api/apps")["apps"]: ...
    api.post(f"/api/apps/{name_in_path('@acme/shop')}/recycle")
    for step in api.lines("POST", "/api/apps/shop/rollback"): ...

Answers come from another machine: they are limited in size, and escaped when shown.
"""

import http.client
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode

from buntime import __version__
from buntime.commands.apierrors import (
    ApiError,
    broken_off,
    cut,
    foreign,
    not_json,
    redirected,
    refusal,
    too_large,
)
from buntime.commands.arguments import Command
from buntime.commands.connections import open_connection
from buntime.commands.targets import Target, find_target
from buntime.commands.upload import Upload
from buntime.core.settings.setting import Mode
from buntime.core.values.tuples import NamedTuple

NDJSON = "application/x-ndjson"
_JSON = "application/json"
_READ_S = 60.0
_ANSWER_S = 120.0  # for a whole answer, so that one that trickles ends too
QUIET_S = 900.0  # between two lines of a long operation: compiling packages print nothing
_ANSWER_MAX_BYTES = 32 << 20
_LINE_MAX_BYTES = 4 << 20
_DISCOVERY = "/.well-known/buntime"

Query = str | int | float | bool | None


def connect(command: Command, mode: Mode) -> "Api":
    """The API of the runtime that a command talks to, see `targets`. Nothing is sent yet."""
    return Api(find_target(command, mode, os.environ))


def name_in_path(name: str) -> str:
    """An app's name, with or without its version, as used in a path: "@acme/shop@1.2.0+b"."""
    return quote(name, safe="@/+")


class Api:
    """Talks to one runtime. Paths are as in the docs, "/api/apps/shop".

    Each method raises ApiError, with what to do in its message.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self._connection: http.client.HTTPConnection | None = None
        self._base: str | None = None  # path of the API, "/hosting/api", once it is known
        self._if_match = ""

    def __repr__(self) -> str:
        return f"Api({self.target.name})"

    def get(self, path: str, /, **query: Query) -> Any:
        """The JSON of an answer, None if it is empty."""
        return self.ask("GET", path, **query)

    def tagged(self, path: str, /, **query: Query) -> tuple[Any, str]:
        """Like `get`, with its ETag, "" if it has none: for `matching`."""
        response = self._send("GET", self.url_of(path, **query), None, accept=_JSON, read_s=_READ_S)
        data = self._read(response)
        self.close()
        self._check(response, data, path)
        return self._json(data), response.headers.get("ETag", "")

    def matching(self, tag: str) -> "Api":
        """Make the next write fail (412) if what it changes has another ETag by then."""
        self._if_match = tag
        return self

    def post(self, path: str, value: object = None, /, **query: Query) -> Any:
        """The same for an action; `value` is sent as JSON, unless it is None."""
        return self.ask("POST", path, value, **query)

    def put(self, path: str, value: object = None, /, **query: Query) -> Any:
        """As `post`."""
        return self.ask("PUT", path, value, **query)

    def delete(self, path: str, /, **query: Query) -> Any:
        """As `post`."""
        return self.ask("DELETE", path, **query)

    def ask(self, method: str, path: str, value: object = None, /, **query: Query) -> Any:
        """One request, and the JSON of its answer."""
        url = self.url_of(path, **query)
        response = self._send(method, url, value, accept=_JSON, read_s=_READ_S)
        data = self._read(response)
        self.close()
        self._check(response, data, path)
        return self._json(data) if data else None

    def lines(
        self,
        method: str,
        path: str,
        value: object = None,
        /,
        *,
        quiet_s: float = QUIET_S,
        **query: Query,
    ) -> Iterator[dict[str, Any]]:
        """Each line of JSON, as it comes; for an answer in one piece, that one.

        `quiet_s` is how long the connection may be silent.
        """
        url = self.url_of(path, **query)
        response = self._send(method, url, value, accept=NDJSON, read_s=quiet_s)
        return self.lines_of(response, path)

    def download(self, path: str, out: BinaryIO, *, media: str, **query: Query) -> None:
        """Write an answer of this media type, of any size, to `out`, as it comes."""
        url = self.url_of(path, **query)
        response = self._send("GET", url, None, accept=media, read_s=QUIET_S)
        try:
            if response.status != 200:
                self._check(response, self._read(response), path)
                raise foreign(self.target, response.status, path)
            try:
                while piece := self._piece(lambda: response.read(1 << 18)):
                    out.write(piece)
            except ApiError as exc:
                if isinstance(exc.__cause__, TimeoutError):
                    raise
                raise broken_off(self.target) from exc
        finally:
            response.close()
            self.close()

    def put_stream(
        self,
        path: str,
        file: BinaryIO,
        headers: Mapping[str, str],
        *,
        on_sent: Callable[[int], None] = lambda _: None,
        **query: Query,
    ) -> "Streamed":
        """Send a file; `headers` has its Content-Length. Its answer comes as `lines` gives it.

        `on_sent` gets how many bytes have been sent so far.
        """
        url = self.url_of(path, **query)
        self.close()
        upload = Upload(self.target, QUIET_S)
        response = upload.send(url, file, {**self.fields(NDJSON), **headers}, on_sent)
        self._connection = upload.connection
        return Streamed(response.headers.get("Location", ""), self.lines_of(response, path))

    def lines_of(self, response: http.client.HTTPResponse, path: str) -> Iterator[dict[str, Any]]:
        """The same for a response that has arrived."""
        try:
            if not response.headers.get_content_type().endswith("ndjson"):
                data = self._read(response)
                self._check(response, data, path)
                yield self._json(data)
                return
            while line := self._line(response):
                if not line.isspace():
                    yield self._json(line)
        finally:
            response.close()
            self.close()  # nobody needs the rest of it

    def url_of(self, path: str, /, **query: Query) -> str:
        """The target of a request: "/api/apps" -> "/hosting/api/apps"."""
        if self._base is None:
            self._base = self._discover()
        given = {name: _text(value) for name, value in query.items() if value is not None}
        return self._base + path.removeprefix("/api") + (f"?{urlencode(given)}" if given else "")

    def fields(self, accept: str) -> dict[str, str]:
        """The header fields of every request, with the key."""
        key = {"X-API-Key": self.target.key} if self.target.key else {}
        return {"Accept": accept, "User-Agent": f"buntime/{__version__}", **key}

    def close(self) -> None:
        """End the connection. The same one is used to find the API and for the request after it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # Requests

    def _discover(self) -> str:
        """Where the API is; asked without the key, because it is not known yet who answers."""
        path = self.target.path
        response = self._exchange("GET", path + _DISCOVERY, None, {"Accept": _JSON}, _READ_S)
        api = _api_in(self._read(response))
        if response.status != 200 or api is None:
            self.close()
            self._check_redirect(response)
            raise foreign(self.target, response.status, path + _DISCOVERY)
        # A proxy that removes a prefix may not tell the runtime about it.
        return api if not path or api.startswith(f"{path}/") else path + api

    def _send(
        self, method: str, url: str, value: object, *, accept: str, read_s: float
    ) -> http.client.HTTPResponse:
        fields = self.fields(accept)
        if self._if_match and method != "GET":
            fields["If-Match"], self._if_match = self._if_match, ""
        body = None if value is None else json.dumps(value).encode()
        if body is not None:
            fields["Content-Type"] = _JSON
        return self._exchange(method, url, body, fields, read_s)

    def _exchange(
        self, method: str, url: str, body: bytes | None, fields: Mapping[str, str], read_s: float
    ) -> http.client.HTTPResponse:
        connection = self._connection or open_connection(self.target, read_s)
        self._connection = connection
        try:
            if connection.sock is not None:
                connection.sock.settimeout(read_s)
            connection.request(method, url, body, dict(fields))
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as exc:
            self.close()
            raise cut(self.target, exc) from exc

    # Answers

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        """All of it, within bounds of size and time."""
        deadline, pieces, size = time.monotonic() + _ANSWER_S, list[bytes](), 0
        while size <= _ANSWER_MAX_BYTES:
            piece = self._piece(lambda: response.read1(1 << 16))
            if not piece:
                if response.length:  # it should have been longer
                    self.close()
                    raise cut(self.target, EOFError())
                response.close()  # the connection can have another request
                return b"".join(pieces)
            if time.monotonic() > deadline:
                self.close()
                raise cut(self.target, TimeoutError())
            pieces.append(piece)
            size += len(piece)
        self.close()
        raise too_large(self.target, _ANSWER_MAX_BYTES)

    def _line(self, response: http.client.HTTPResponse) -> bytes:
        line = self._piece(lambda: response.readline(_LINE_MAX_BYTES))
        if line and not line.endswith(b"\n"):
            raise cut(self.target, EOFError())
        return line

    def _piece(self, read: Callable[[], bytes]) -> bytes:
        try:
            return read()
        except (OSError, http.client.HTTPException, ValueError) as exc:
            self.close()
            raise cut(self.target, exc) from exc

    def _json(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as exc:
            raise not_json(self.target) from exc

    def _check(self, response: http.client.HTTPResponse, data: bytes, path: str) -> None:
        self._check_redirect(response)
        if response.status >= 400:
            request_id = response.headers.get("X-Request-Id", "")
            raise refusal(self.target, response.status, data, request_id=request_id, what=path)

    def _check_redirect(self, response: http.client.HTTPResponse) -> None:
        if 300 <= response.status < 400:
            place = response.headers.get("Location", "another place").split(_DISCOVERY)[0]
            raise redirected(self.target, response.status, place)


class Streamed(NamedTuple):
    """What follows an upload: `location` is where its state can be requested later, "" if
    nowhere."""

    location: str
    lines: Iterator[dict[str, Any]]


def _api_in(data: bytes) -> str | None:
    """Where the API is, according to what a Buntime says about itself; None if it is not one."""
    try:
        home = json.loads(data)
        api = home["api"] if home["name"] == "buntime" else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(api, str) or not api.startswith("/") or api.startswith("//"):
        return None
    return api.rstrip("/") if api.isprintable() and " " not in api else None


def _text(value: Query) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


__all__ = ["NDJSON", "QUIET_S", "Api", "ApiError", "connect", "name_in_path"]
