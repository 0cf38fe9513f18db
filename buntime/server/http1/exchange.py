"""One request and its answer: between a client's connection and whoever answers.

The connection owns the socket and the request's bytes; a `Place` (the pool's queue, then a
worker) owns the work. The exchange knows both, keeps the credit of both directions, and ends
exactly once: `_end()` writes the access line and frees the connection for the next request.
"""

from collections.abc import Iterable, Sequence
from time import monotonic, time
from typing import Any, Protocol

from buntime.core.apps.app import App
from buntime.core.errors import ClientFault, HttpError, ServerFault
from buntime.core.http1.answer import Answer, AnswerError, Framing
from buntime.core.http1.errorpage import render_error
from buntime.core.http1.forwarded import Sender
from buntime.core.http1.head import Head
from buntime.core.telemetry.meters import Cut, Meter
from buntime.core.telemetry.records import AccessEntry
from buntime.core.websocket.handshake import Upgrade, accept_response
from buntime.server.http1.service import Service
from buntime.server.loop import TimeoutQueue
from buntime.wire import DOWNLOAD_WINDOW, DOWNLOAD_WINDOW_MAX, MESSAGE_OVERHEAD

_INTERNAL_ERROR = 1011  # RFC 6455 7.4.1: the app failed
_CLIENT_LEFT = 499  # nginx's number for the log: no status was sent
# Credit goes back to the worker in pieces of at least this many bytes, not for each write.
_CREDIT_STEP = DOWNLOAD_WINDOW // 4

Fields = Iterable[tuple[str, str] | list[str]]


class Place(Protocol):
    """Where a request is while it is not answered."""

    def on_body(self, exchange: "Exchange", data: bytes, ended: bool) -> None:
        """A piece of the request's body, within the credit that was given."""

    def on_taken(self, exchange: "Exchange", size_bytes: int) -> None:
        """The client's side has taken so many bytes of the answer's body."""

    def on_detached(self, exchange: "Exchange", reason: str) -> None:
        """Nobody waits for the answer any more: "client" left, it was answered for, or its
        WebSocket has "closed"."""

    def on_deadline(self, exchange: "Exchange") -> None:
        """The app's timeout has passed without progress."""


class Resource(Protocol):
    """What an answer holds until it is sent, such as open files."""

    def close(self) -> None: ...


class Link(Protocol):
    """An open WebSocket, as far as its exchange and connection need it."""

    code: int
    reason: str

    @property
    def wants_data(self) -> bool: ...
    @property
    def is_closing(self) -> bool: ...
    def on_data(self, data: bytes) -> None: ...
    def on_credit(self) -> None: ...
    def on_end(self) -> None: ...
    def send(self, kind: Any, data: bytes, end: bool) -> None: ...
    def close(self, code: int, reason: str) -> None: ...
    def go_away(self, code: int, reason: str = "") -> None: ...


class Client(Protocol):
    """The connection, as far as one of its exchanges needs it."""

    @property
    def service(self) -> Service: ...
    @property
    def peer_text(self) -> str: ...
    @property
    def address(self) -> tuple[str, int] | None: ...
    @property
    def pending_bytes(self) -> int: ...
    @property
    def body_ended(self) -> bool: ...

    def may_keep_alive(self) -> bool: ...
    def take_body(self, exchange: "Exchange", limit: int) -> bytes: ...
    def grant_upload(self, exchange: "Exchange", credit: int) -> None: ...
    def write(self, data: bytes) -> None: ...
    def write_all(self, buffers: Sequence[bytes]) -> None: ...
    def write_file(self, fd: int, offset: int, length: int) -> None: ...
    def release_later(self, resource: Resource) -> None: ...
    def on_exchange_end(self, keep_alive: bool) -> None: ...
    def open_link(self, exchange: "Exchange", link: "Link", head: bytes) -> None: ...
    def on_link_closing(self) -> None: ...
    def on_link_closed(self) -> None: ...
    def abort(self) -> None: ...
    def cut(self) -> None: ...


class Exchange:
    """One request on a connection and the answer to it."""

    __slots__ = (
        "answer",
        "app",
        "base",
        "body_max_bytes",
        "body_seen_bytes",
        "connection",
        "deadlines",
        "expects_continue",
        "extra_credit",
        "head",
        "headers",
        "id",
        "is_ended",
        "is_event_stream",
        "is_open_ended",
        "keep_alive",
        "link",
        "meter",
        "place",
        "sender",
        "sent_bytes",
        "started_s",
        "status",
        "tries",
        "untaken_bytes",
        "upgrade",
        "upload_credit",
        "worker_name",
    )

    def __init__(self, connection: Client, head: Head, request_id: str, sender: Sender) -> None:
        self.connection = connection
        self.head = head
        self.id = request_id
        self.sender = sender
        self.started_s = connection.service.loop.now
        # what the head says, as far as this request changes it
        self.headers = head.headers  # the key's field is taken out
        self.expects_continue = head.expects_continue  # until 100 Continue is sent
        self.keep_alive = head.keep_alive  # not after an error that ends the connection
        # who answers
        self.place: Place | None = None
        self.app: App | None = None
        self.meter: Meter = connection.service.meters.of_none
        self.base = ""  # what names the app in the client's eyes: "/shop@1", "/tools/shop"
        self.worker_name = ""
        self.deadlines: TimeoutQueue | None = None
        self.tries = 0  # workers that were given it
        # the request's body
        self.body_max_bytes = 0  # set by the app's manifest; 0 while nobody reads it
        self.body_seen_bytes = 0
        self.upload_credit = 0
        # the answer
        self.answer: Answer | None = None
        self.status = 0
        self.sent_bytes = 0  # of the body, without framing
        self.extra_credit = 0  # bytes of it that may be untaken beyond the first window
        self.untaken_bytes = 0  # of the answer's body, for which no credit was returned
        self.is_event_stream = False  # may be silent for as long as it likes
        self.is_ended = False
        # a WebSocket
        self.upgrade: Upgrade | None = None  # what the client offers, until the app has answered
        self.link: Link | None = None  # once it is open
        self.is_open_ended = False  # takes no place of its worker any more

    def __repr__(self) -> str:
        return f"Exchange({self.id}, {self.head.method} {self.head.target}, status {self.status})"

    # Answering

    def respond(self, status: int, fields: Fields, body: bytes = b"") -> None:
        """Give a whole answer; a small one leaves in one send."""
        try:
            answer = self._begin(status, fields, len(body))
            pieces = answer.frame(body)
        except AnswerError as exc:
            self._refuse_answer(exc)
            return
        self.sent_bytes = len(body) if pieces else 0
        self.connection.write(answer.head + body if pieces else answer.head)
        if not self.is_ended:  # the write may have found the client gone
            self._end()

    def start(self, status: int, fields: Fields, size: int | None, first: bytes = b"") -> None:
        """Begin an answer whose body, of `size` bytes where that is known, comes in pieces."""
        try:
            answer = self._begin(status, fields, size)
            self._write((answer.head, *answer.frame(first)), len(first))
        except AnswerError as exc:
            self._refuse_answer(exc)
            return
        if answer.framing is Framing.NONE and not self.is_ended:
            self._detach("client")  # a HEAD needs no body, and some have no end
            self._end()

    def send(self, data: bytes) -> None:
        """The next piece of the body."""
        if self.is_ended or self.answer is None:
            return
        try:
            self._write(self.answer.frame(data), len(data))
        except AnswerError as exc:
            self._refuse_answer(exc)

    def send_file(self, fd: int, offset: int, length: int) -> None:
        """The next piece of the body, from a file; the answer's length has been told."""
        if self.answer is not None and not self.is_ended:
            self.answer.left -= length
            self.sent_bytes += length
            self.connection.write_file(fd, offset, length)

    def finish(self) -> None:
        """The body is complete."""
        if self.is_ended or self.answer is None:
            return
        try:
            tail = self.answer.finish()
        except AnswerError as exc:
            self._refuse_answer(exc)
            return
        if tail:
            self.connection.write(tail)
        if not self.is_ended:  # the write may have found the client gone
            self._end()

    def fail(self, error: HttpError) -> None:
        """Answer with an error of the runtime; once an answer has begun, cut it."""
        if self.is_ended:
            return
        if self.link is not None:
            self.link.go_away(_INTERNAL_ERROR)
            return
        self._detach("error")
        if self.answer is not None:
            self.cut()
            return
        if error.closes:
            self.keep_alive = False
        accept = _field(self.head, "accept")
        is_development = self.connection.service.is_development
        fields, body = render_error(error, self.id, accept=accept, shows_detail=is_development)
        self.respond(error.status, fields, body)

    def cut(self) -> None:
        """End the connection in the middle of the body, so that it cannot look whole."""
        if self.link is not None:
            self.link.go_away(_INTERNAL_ERROR)
        elif not self.is_ended:
            self._detach("error")
            self.meter.cuts[Cut.RUNTIME] += 1
            self._close(self.status)
            self.connection.cut()

    def accept(self, link: Link, subprotocol: str | None, fields: Fields) -> None:
        """The app takes the WebSocket: answer the handshake."""
        if self.upgrade is None:
            raise ValueError("ACCEPT of a request that is no WebSocket")
        try:
            head = accept_response(
                self.upgrade,
                subprotocol,
                fields,
                date=self.connection.service.date(),
                request_id=self.id,
            )
        except (AnswerError, ValueError) as exc:
            self._refuse_answer(exc)
            return
        self.status = 101
        self.stop_deadline()
        self.link = link
        self.connection.open_link(self, link, head)

    def carry(self, frame: bytes, size_bytes: int) -> None:
        """Send a frame that costs credit; `size_bytes` is of the message's piece in it."""
        self.sent_bytes += size_bytes
        self.untaken_bytes += size_bytes + MESSAGE_OVERHEAD
        self.connection.write(frame)
        self.on_flushed()

    def let_go(self, reason: str) -> None:
        """The worker has nothing more to do with it."""
        self._detach(reason)

    def break_off(self) -> None:
        """End an event stream from our side: its client will come back."""
        self._detach("client")
        if self.answer is not None and not self.is_ended:
            self.answer.keep_alive = False
            self.finish()

    def fields_for_app(self) -> list[tuple[str, str]]:
        """The request's header fields as an app is to see them."""
        sender, headers = self.sender, self.headers
        fields = sender.passed_fields(headers)
        if not sender.is_forwarded and len(fields) < len(headers):
            self.connection.service.on_fields_dropped(sender.text, headers)
        fields += sender.told_fields(fields)
        fields += (("x-base", self.base), ("x-request-id", self.id))
        return fields

    # The other way: what the connection tells

    def on_client_left(self) -> None:
        """The connection has ended before the answer did."""
        if self.is_ended:
            return
        self._detach("client")
        if self.answer is not None and self.link is None:
            self.meter.cuts[Cut.CLIENT] += 1
        self._close(self.status or _CLIENT_LEFT)

    def on_flushed(self) -> None:
        """The client has taken bytes: give the worker credit for as many."""
        place = self.place
        if place is None:
            return
        taken = self.untaken_bytes - self.connection.pending_bytes
        if taken >= _CREDIT_STEP:
            self.untaken_bytes -= taken
            self.restart_deadline()
            credit = taken + self._widen(taken)
            if credit:
                place.on_taken(self, credit)

    def _widen(self, taken: int) -> int:
        """How much more credit than was taken is given now; less than 0 to get it back.

        A worker that waits for each WINDOW is half as fast. So who takes all at once gets a wider
        window by and by, and who does not the narrow one: what waits for a client is memory.
        """
        if self.connection.pending_bytes:
            change = -min(self.extra_credit, taken)
        else:
            change = min(_CREDIT_STEP, DOWNLOAD_WINDOW_MAX - DOWNLOAD_WINDOW - self.extra_credit)
        self.extra_credit += change
        return change

    def on_timeout(self) -> None:
        """The app's timeout has passed. Where the client is the slow one, its own limits count."""
        connection = self.connection
        client_is_slow = connection.pending_bytes > 0 or (
            self.upload_credit > 0 and not connection.body_ended
        )
        if client_is_slow:
            self.restart_deadline()
        elif self.place is not None:
            self.place.on_deadline(self)

    # Deadlines

    def restart_deadline(self) -> None:
        """There was progress: the app's timeout starts anew."""
        if self.deadlines is not None:
            self.deadlines.start(self)

    def stop_deadline(self) -> None:
        if self.deadlines is not None:
            self.deadlines.stop(self)
            self.deadlines = None

    # How it is done

    def _begin(self, status: int, fields: Fields, size: int | None) -> Answer:
        connection = self.connection
        service = connection.service
        answer = Answer(
            self.head,
            status,
            fields,
            size,
            date=service.date(),
            request_id=self.id,
            keep_alive=self.keep_alive and connection.may_keep_alive(),
        )
        self.answer = answer
        self.status = status
        return answer

    def _write(self, buffers: Sequence[bytes], size_bytes: int) -> None:
        self.sent_bytes += size_bytes
        self.untaken_bytes += size_bytes
        if len(buffers) == 1:
            self.connection.write(buffers[0])
        elif buffers:
            self.connection.write_all(buffers)
        self.on_flushed()

    def _refuse_answer(self, exc: ValueError | AnswerError) -> None:
        """What the app answered cannot be sent: its fault, told to the log and as a 502."""
        self.connection.service.log.error(
            "app.answer_invalid",
            "app gave an answer that cannot be sent",
            error=str(exc),
            request_id=self.id,
            path=self.head.path,
            app=self.app.name if self.app is not None else None,
            version=self.app.version if self.app is not None else None,
            worker=self.worker_name or None,
        )
        if self.answer is not None:
            self.cut()
        else:
            self.fail(ServerFault(502, "bad_answer", "the app gave an answer that cannot be sent"))

    def _detach(self, reason: str) -> None:
        place, self.place = self.place, None
        if place is not None:
            place.on_detached(self, reason)

    def _end(self) -> None:
        """The answer is complete, as far as we are concerned; the client may still be reading."""
        connection = self.connection
        self._close(self.status)
        connection.on_exchange_end(self.answer is not None and self.answer.keep_alive)

    def _close(self, status: int) -> None:
        self.is_ended = True
        self.stop_deadline()
        app = self.app
        now = monotonic()
        seconds = now - self.started_s
        is_timed = self.link is None and not self.is_event_stream
        self.meter.on_end(
            status, now, seconds if is_timed else None, self.body_seen_bytes, self.sent_bytes
        )
        self.connection.service.log.access(
            AccessEntry(
                time=time(),
                request_id=self.id,
                method=self.head.method,
                path=self.head.target,
                app=app.name if app is not None else None,
                version=app.version if app is not None else None,
                worker=self.worker_name or None,
                status=status,
                bytes=self.sent_bytes,
                ms=seconds * 1000,
                client=self.sender.text,
            )
        )


def body_too_large(limit_bytes: int) -> ClientFault:
    return ClientFault(
        413, "body_too_large", f"the body is larger than {limit_bytes} bytes", closes=True
    )


def _field(head: Head, name: str) -> str:
    return next((value for field, value in head.headers if field == name), "")
