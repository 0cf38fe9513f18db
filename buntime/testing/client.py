"""Calls an app: requests, streams and WebSockets, one after the other or from several threads."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from time import monotonic
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urljoin, urlsplit

from buntime.core.errors import ServerFault
from buntime.core.http1.hostfields import LEFT_OUT, SCOPE, scope_below
from buntime.core.http1.setcookie import below, is_for_host, sets_cookie
from buntime.core.sites.basehref import with_base
from buntime.sdk.fields import Headers
from buntime.sdk.request import ClientGone
from buntime.sdk.websocket import WebSocketClosed
from buntime.testing.answer import Answer, Framed
from buntime.testing.content import FileLike, Pairs, body_of, target_of
from buntime.testing.cookies import Cookies
from buntime.testing.errors import Denied
from buntime.testing.front import Front, ParsedRequest
from buntime.testing.inside import Inside
from buntime.testing.link import Box, Link
from buntime.testing.place import Place
from buntime.testing.session import Session
from buntime.testing.sites import Files
from buntime.testing.stream import Stream
from buntime.testing.subject import subject_of

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from buntime.sdk.response import HeadersLike
    from buntime.wire import Message

TIMEOUT_S = 30.0  # the default of an app's own `timeout`
_HOST = "testserver"
_FAILED = ServerFault(500, "app_error", "the app failed on this request")
_REDIRECTS = (301, 302, 303, 307, 308)
_REDIRECTS_MAX = 20
# What a handler raises when it learns that its client has left.
_FAREWELLS = (ClientGone, WebSocketClosed, asyncio.CancelledError, GeneratorExit)


class Client:
    """Calls an app.

    `app`: a folder, as it would be deployed; or a fetch function, a WSGI or ASGI app, a dict of
    routes, a module. It is loaded at the first request, or at the start of `with`; the end of
    `with`, or `close()`, ends it and runs its hooks for that.

    `base` is the path in front of all paths: for a folder `"/" + name` by default, as in the
    runtime, else "". `env` are environment variables for the app. `websocket` goes with a fetch
    function or routes. `host` and `https` are how the app is addressed. What the app raises is
    raised by the call; with `raise_errors=False` the answer is a 500 instead. Waiting ends with a
    TimeoutError after `timeout_s` seconds.
    """

    def __init__(  # noqa: PLR0913  # each by its name, and most tests need none
        self,
        app: str | os.PathLike[str] | Any,
        *,
        base: str | None = None,
        env: Mapping[str, str] | None = None,
        headers: HeadersLike = None,
        websocket: Any = None,
        host: str = _HOST,
        https: bool = False,
        raise_errors: bool = True,
        follow_redirects: bool = False,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._subject = subject_of(app, websocket)
        found = self._subject.app
        self.base = (found.usual_base if found else "") if base is None else base.rstrip("/")
        self.cookies = Cookies()
        self.headers = Headers(headers)
        self._env = dict(env or {})
        self._raises = raise_errors
        self._follows = follow_redirects
        self._timeout_s = timeout_s
        self._end: weakref.finalize[Any, Any] | None = None  # of the app that is loaded
        self._inside: Inside | None = None
        self._link: Link | None = None
        self._place: Place | None = None  # of an app that is loaded
        files = None if found is None else Files(found)
        self._is_site = files is not None and files.is_all
        self._host = host
        self._front = Front(
            self.base,
            files,
            body_max=self._subject.manifest.max_body_size_bytes,
            is_https=https,
        )

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the app; a later request loads it again. Raises what its closing hooks raise."""
        end, self._end = self._end, None
        self._inside = self._link = self._place = None
        if end is not None:
            end()

    def get(self, url: str, **options: Any) -> Answer:
        """See `request`."""
        return self.request("GET", url, **options)

    def head(self, url: str, **options: Any) -> Answer:
        """See `request`."""
        return self.request("HEAD", url, **options)

    def post(self, url: str, **options: Any) -> Answer:
        """See `request`."""
        return self.request("POST", url, **options)

    def put(self, url: str, **options: Any) -> Answer:
        """See `request`."""
        return self.request("PUT", url, **options)

    def patch(self, url: str, **options: Any) -> Answer:
        """See `request`."""
        return self.request("PATCH", url, **options)

    def delete(self, url: str, **options: Any) -> Answer:
        """See `request`."""
        return self.request("DELETE", url, **options)

    def options(self, url: str, **options: Any) -> Answer:
        """See `request`."""
        return self.request("OPTIONS", url, **options)

    def request(  # noqa: PLR0913  # each by its name
        self,
        method: str,
        url: str,
        *,
        params: Pairs | None = None,
        headers: HeadersLike = None,
        content: bytes | str | None = None,
        json: Any = None,
        data: Pairs | None = None,
        files: Mapping[str, FileLike] | None = None,
        follow_redirects: bool | None = None,
    ) -> Answer:
        """Send a request to the app, and return its whole answer.

        `url` is a path below `base`, or a whole URL. `params` are added to its query. One of:
        `content` (bytes, or text as UTF-8), `json`, `data` (fields of a form), `files` (with or
        without `data`; bytes, or (name, bytes), or (name, bytes, content type)).
        """
        given = Headers(headers)
        body = body_of(given, content=content, json_=json, data=data, files=files)
        target = target_of(url, params, self.base)
        answer = self._ask(method, target, given, body)
        if not (self._follows if follow_redirects is None else follow_redirects):
            return answer
        for _ in range(_REDIRECTS_MAX):
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or location is None:
                return answer
            if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
                method, body = "GET", None
                given.remove("content-type")
            target = _joined(target, location)
            answer = self._ask(method, target, given, body)
        raise ValueError(f"{method} {url}: more than {_REDIRECTS_MAX} redirects, last to {target}")

    def stream(
        self,
        method: str,
        url: str,
        *,
        params: Pairs | None = None,
        headers: HeadersLike = None,
        content: bytes | str | None = None,
    ) -> Stream:
        """Send a request, and take the answer piece by piece: `with client.stream("GET",
        "/events")`.

        At the end of the block the client disconnects, and the app is told.
        """
        given = Headers(headers)
        body = body_of(given, content=content, json_=None, data=None, files=None)
        target = target_of(url, params, self.base)
        sent = self._send(method, target, given, body)
        if isinstance(sent, Answer):
            raise TypeError(
                f"{method} {url} is answered by the runtime as a whole; use client.request"
            )
        return Stream(self, sent)

    def websocket(
        self,
        url: str,
        *,
        params: Pairs | None = None,
        headers: HeadersLike = None,
        subprotocols: Iterable[str] = (),
    ) -> Session:
        """Open a WebSocket: `with client.websocket("/chat") as ws: ws.send("hi")`.

        Raises Denied if the app answers with a response.
        """
        given = Headers(headers)
        for name, value in (
            *(("connection", "upgrade"), ("upgrade", "websocket")),
            *(("sec-websocket-version", "13"), ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==")),
        ):
            given.set(name, value)
        offered = list(subprotocols)
        if offered:
            given.set("sec-websocket-protocol", ", ".join(offered))
        target = target_of(url, params, self.base)
        sent = self._send("GET", target, given, None)
        if isinstance(sent, Answer):
            raise Denied(sent)
        return Session(self, sent)

    # ---- for streams and sessions

    @property
    def deadline(self) -> float:
        """The deadline for waiting that begins now, in monotonic seconds."""
        return monotonic() + self._timeout_s

    def finish(self, box: Box) -> None:
        """The request is finished. Raises what the app has raised meanwhile."""
        failure = self._forget(box)
        if failure is not None and self._raises:
            raise failure

    def leave(self, box: Box) -> None:
        """The client has left a request. Raises what the app raised, unless only because of
        that."""
        failure = self._forget(box)
        if failure is not None and self._raises and not isinstance(failure, _FAREWELLS):
            raise failure

    def fail(self, box: Box, message: Message) -> Answer:
        """The app has failed: its exception, or the answer that a client would get."""
        self.finish(box)
        return box.request.answered(_FAILED)

    def framed(self, message: Message, payload: bytes, box: Box) -> tuple[Framed, bytes]:
        """The answer that RESPONSE begins, and its first piece; its cookies are kept."""
        found, request = self._subject.app, box.request
        fields = self._confined(message["headers"])
        if self.base and request.target.partition("?")[0] == self.base:
            fields = [pair for pair in fields if pair[0].lower() != SCOPE]
            fields.append([SCOPE, scope_below(self.base)])
        is_page = message["end"] and request.head.method != "HEAD"
        if is_page and found is not None and found.injects_base:
            fields, payload = with_base(fields, payload, self.base)
        size = len(payload) if message["end"] else None
        made = request.framed(message["status"], fields, size)
        self._take_cookies(made.answer, request)
        return made, payload

    def opened(self, message: Message, box: Box) -> Headers:
        """The fields with which ACCEPT opens a WebSocket; its cookies are kept."""
        made = box.request.framed(204, self._confined(message["headers"]), None)
        self._take_cookies(made.answer, box.request)
        return made.answer.headers

    # ---- the request

    def _forget(self, box: Box) -> BaseException | None:
        if self._link is not None:
            self._link.drop(box)
        return None if self._inside is None else self._inside.failures.pop(box.number, None)

    def _take_cookies(self, answer: Answer, request: ParsedRequest) -> None:
        for line in answer.headers.getall("set-cookie"):
            self.cookies.take(line, request.target)

    def _start(self) -> Link | None:
        if self._link is not None or self._is_site:
            if self._place is not None:
                self._place.enter()  # another client may have taken it
            return self._link
        surroundings = contextlib.ExitStack()
        self._place = surroundings.enter_context(self._subject.surroundings(self._env, self.base))
        inside = Inside(self._subject.init, self._subject.find)
        try:
            inside.start(self._timeout_s)
        except BaseException:
            surroundings.close()
            raise
        self._inside, self._link = inside, Link(inside.end)
        # Also for a client that nobody closes.
        self._end = weakref.finalize(self, _stop, inside, self._link, surroundings, self._timeout_s)
        return self._link

    def _ask(self, method: str, target: str, given: Headers, body: bytes | None) -> Answer:
        sent = self._send(method, target, given, body)
        if isinstance(sent, Answer):
            return sent
        with Stream(self, sent) as stream:
            return stream.whole()

    def _send(self, method: str, target: str, given: Headers, body: bytes | None) -> Box | Answer:
        """A request that the app has received; or the answer, if the app is not asked."""
        headers = self._headers(target, given, body)
        link = self._start()
        request, found = self._front.take(method, target, headers, len(body or b""))
        if isinstance(found, Answer):
            self._take_cookies(found, request)
            return found
        assert link is not None, "a static site is asked by itself"
        box = link.box(request)
        box.begin(found, body or b"", self.deadline)
        return box

    def _headers(self, target: str, given: Headers, body: bytes | None) -> Headers:
        headers = Headers({"host": self._host, "accept": "*/*", "user-agent": "buntime-testing"})
        for more in (self.headers, given):  # later values replace all earlier ones
            for name in more:
                headers.remove(name)
            for name, value in more.items():
                headers.add(name, value)
        if body is not None:
            headers.set("content-length", str(len(body)))
        line = self.cookies.line_for(target)
        if line and "cookie" not in headers:
            headers.set("cookie", line)
        return headers

    def _confined(self, fields: list[Any]) -> list[Any]:
        """What an app at a path tells browsers stays with the app, as in the runtime."""
        if not self.base:
            return fields
        scope = [SCOPE, scope_below(self.base)]
        own = [pair for pair in fields if pair[0].lower() not in LEFT_OUT]
        return [scope if pair[0].lower() == SCOPE else self._below_base(pair) for pair in own]

    def _below_base(self, field: Any) -> Any:
        app = self._subject.app
        if app is not None and app.manifest.cookie_path == "as-is":
            return field
        name, value = field
        if not sets_cookie(field) or is_for_host(value):
            return field
        return [name, below(value, self.base, () if app is None else (f"/{app.name}",))]


def _stop(inside: Inside, link: Link, surroundings: contextlib.ExitStack, timeout_s: float) -> None:
    with surroundings:
        inside.stop(link, timeout_s)


def _joined(target: str, location: str) -> str:
    """The target that a Location leads to, seen from `target`."""
    parts = urlsplit(urljoin(f"http://{_HOST}{target}", location))
    return parts.path + (f"?{parts.query}" if parts.query else "")
