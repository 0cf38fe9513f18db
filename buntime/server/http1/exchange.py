"""One request and its answer: between a client's connection and whoever answers.

The connection owns the socket and the request's bytes; a `Responder` (the pool's queue, then a
worker) owns the work. The exchange knows both, keeps the credit of both directions, and ends
exactly once. core/http1/lifecycle.py has its states. Its fields are written here alone; others
read them.
"""

from collections.abc import Callable, Iterable, Sequence
from time import monotonic, time

from buntime.core.apps.app import App
from buntime.core.errors import ClientFault, HttpError, ServerFault
from buntime.core.http1.answer import Answer, AnswerError, Framing
from buntime.core.http1.errorpage import render_error
from buntime.core.http1.forwarded import Sender
from buntime.core.http1.head import Head
from buntime.core.http1.lifecycle import Event, State, after
from buntime.core.http1.window import DownloadWindow
from buntime.core.telemetry.meters import Cut, Meter
from buntime.core.telemetry.records import AccessEntry
from buntime.core.websocket.handshake import Upgrade, accept_response
from buntime.sdk import closecodes
from buntime.server.http1.parties import Client, Kind, Link, Resource, Responder
from buntime.server.loop import TimeoutQueue
from buntime.wire import (
    MAX_PAYLOAD,
    MESSAGE_OVERHEAD,
    REQUEST,
    UPLOAD_WINDOW,
    Message,
)

_CLIENT_LEFT = 499  # nginx's number for the log: no status was sent
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

Fields = Iterable[tuple[str, str] | list[str]]


class Exchange:
    """One request on a connection and the answer to it."""

    __slots__ = (
        "_awaits_continue",
        "_deadlines",
        "_reader",
        "_service",
        "_window",
        "answer",
        "app",
        "base",
        "body_max_bytes",
        "body_seen_bytes",
        "client",
        "head",
        "headers",
        "id",
        "is_event_stream",
        "is_open_ended",
        "keep_alive",
        "link",
        "meter",
        "responder",
        "sender",
        "sent_bytes",
        "started_s",
        "state",
        "status",
        "tries",
        "upgrade",
        "upload_credit",
        "worker_name",
    )

    def __init__(self, client: Client, head: Head, request_id: str, sender: Sender) -> None:
        self.client = client
        self._service = service = client.service
        self._reader = client.reader
        self.head = head
        self.id = request_id
        self.sender = sender
        self.started_s = service.loop.now
        self.state = State.WAITING
        # what the head says, as far as this request changes it
        self.headers = head.headers  # without the runtime's key
        self.keep_alive = head.keep_alive  # not after an error that ends the connection
        self._awaits_continue = head.expects_continue
        # who answers
        self.responder: Responder | None = None  # in the states of HELD
        self.app: App | None = None
        self.meter: Meter = service.meters.of_none
        self.base = ""  # what names the app in the client's eyes: "/shop@1", "/tools/shop"
        self.worker_name = ""  # the last that had it
        self.tries = 0  # workers that were given it
        self._deadlines: TimeoutQueue | None = None
        # the request's body
        self.body_max_bytes = 0  # set by the app's manifest; 0 while nobody reads it
        self.body_seen_bytes = 0
        self.upload_credit = 0
        # the answer
        self.answer: Answer | None = None
        self.status = 0
        self.sent_bytes = 0  # of the body, without framing
        self._window: DownloadWindow | None = None  # where it comes in pieces from a responder
        self.is_event_stream = False  # may be silent for as long as it likes
        # a WebSocket
        self.upgrade: Upgrade | None = None  # what the client offers
        self.link: Link | None = None  # once it is open
        self.is_open_ended = False  # takes no slot of its worker any more

    def __repr__(self) -> str:
        head = self.head
        return f"Exchange({self.id}, {head.method} {head.target}, {self.state.name}, {self.status})"

    @property
    def is_ended(self) -> bool:
        return self.state is State.ENDED

    @property
    def now(self) -> float:
        """The loop's time, in monotonic seconds."""
        return self._service.loop.now

    @property
    def is_draining(self) -> bool:
        """Does the runtime shut down?"""
        return self._service.is_draining

    # Who answers

    def route_to(self, app: App, *, base: str) -> None:
        """This app answers, at `base`."""
        self.app = app
        self.meter = self._service.meters.of(app)
        self.base = base

    def limit_body(self, max_bytes: int) -> None:
        """Refuse a body that turns out to be larger."""
        self.body_max_bytes = max_bytes

    def offer_upgrade(self, upgrade: Upgrade) -> None:
        """The client offers a WebSocket."""
        self.upgrade = upgrade

    def withhold(self, is_secret: Callable[[tuple[str, str]], bool]) -> None:
        """Take these fields of the request away from whoever answers."""
        self.headers = tuple(pair for pair in self.headers if not is_secret(pair))

    def hand_over(self, responder: Responder, timeout_s: float) -> None:
        """Give the request to a responder; the first one starts the app's timeout."""
        self.state = after(self.state, Event.HAND_OVER)
        self.responder = responder
        if self._deadlines is None:
            self._deadlines = self._service.loop.timeouts(timeout_s)
            self._deadlines.start(self)

    def assign(self, responder: Responder, worker_name: str, number: int) -> tuple[Message, bytes]:
        """Give the request to a worker, in whose channel it has this number.

        Returns the REQUEST and its payload, the first piece of the body; `pump` hands on more.
        Raises ClientFault where the body is malformed, or larger than the app takes: then the
        responder before has it still.
        """
        body = self._take_body(MAX_PAYLOAD)
        self.state = after(self.state, Event.HAND_OVER)
        self.responder = responder
        self.worker_name = worker_name
        self.tries += 1
        self.restart_deadline()
        head, sender, upgrade = self.head, self.sender, self.upgrade
        ended = self._reader.body_ended
        message: Message = {
            "type": REQUEST,
            "id": number,
            "method": head.method,
            "target": sender.prefix + head.target,
            "base": self.base,
            "scheme": sender.scheme,
            "version": head.version,
            "client": sender.client,
            "server": self.client.address,
            "headers": self._fields_for_app(),
            "request_id": self.id,
            "end": ended,
        }
        if body:
            message["size"] = len(body)
        if upgrade is not None:
            message["upgrade"] = "websocket"
            message["subprotocols"] = upgrade.subprotocols
            self.upload_credit = UPLOAD_WINDOW
        if not ended:
            # With Expect, nothing may come before the app's first read; WINDOW tells of that.
            self.upload_credit = 0 if self._awaits_continue else UPLOAD_WINDOW - len(body)
        return message, body

    def take_back(self) -> None:
        """Its responder has not begun, and gives it back: another one may get it."""
        self.state = after(self.state, Event.TAKE_BACK)
        self.responder = None

    def release(self) -> None:
        """Its responder has done its part, and wants to hear nothing more."""
        self.state = after(self.state, Event.RELEASE)
        self.responder = None

    def detach(self, reason: str) -> None:
        """Nobody waits for its responder any more, if there is one: tell it why."""
        responder = self.responder
        if responder is not None:
            self.release()
            responder.on_detached(reason)

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
        self.client.write(answer.head + body if pieces else answer.head)
        if self.state is not State.ENDED:  # the write may have found the client gone
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
            self.detach("client")  # a HEAD needs no body, and some have no end
            self._end()

    def stream(self, status: int, fields: Sequence[list[str]], first: bytes) -> None:
        """Begin a responder's answer that comes in pieces, each of which restarts its time.

        An event stream may be silent for as long as it likes.
        """
        self._window = DownloadWindow()
        self.start(status, fields, None, first)
        if self.responder is None:  # it could not be sent, or needs no body
            return
        for name, value in fields:
            if name.lower() == "content-type" and value.lower().startswith("text/event-stream"):
                self.is_event_stream = True
                self._stop_deadline()
                return
        self.restart_deadline()

    def send(self, data: bytes) -> None:
        """The next piece of the body."""
        if self.answer is None or self.is_ended:
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
            self.client.write_file(fd, offset, length)

    def release_later(self, resource: Resource) -> None:
        """Close `resource` when all that was written up to now is sent, or never will be."""
        self.client.release_later(resource)

    def finish(self) -> None:
        """The body is complete."""
        if self.answer is None or self.is_ended:
            return
        try:
            tail = self.answer.finish()
        except AnswerError as exc:
            self._refuse_answer(exc)
            return
        if tail:
            self.client.write(tail)
        if not self.is_ended:  # the write may have found the client gone
            self._end()

    def fail(self, error: HttpError) -> None:
        """Answer with an error of the runtime; once an answer has begun, cut it."""
        if self.is_ended:
            return
        if self.link is not None:
            self.link.go_away(closecodes.INTERNAL_ERROR)
            return
        self.detach("error")
        if self.answer is not None:
            self.cut()
            return
        if error.closes:
            self.keep_alive = False
        accept = next((value for name, value in self.head.headers if name == "accept"), "")
        is_development = self._service.is_development
        fields, body = render_error(error, self.id, accept=accept, shows_detail=is_development)
        self.respond(error.status, fields, body)

    def cut(self) -> None:
        """End the connection in the middle of the body, so that it cannot look whole."""
        if self.link is not None:
            self.link.go_away(closecodes.INTERNAL_ERROR)
        elif not self.is_ended:
            self.detach("error")
            self.meter.cuts[Cut.RUNTIME] += 1
            self._close(self.status)
            self.client.cut()

    def break_off(self) -> None:
        """End an event stream from our side: its client will come back."""
        self.detach("client")
        if self.answer is not None and not self.is_ended:
            self.answer.keep_alive = False
            self.finish()

    # A WebSocket

    def accept(self, link: Link, subprotocol: str | None, fields: Fields) -> None:
        """The app takes the WebSocket: answer the handshake."""
        if self.upgrade is None:
            raise ValueError("ACCEPT of a request that is no WebSocket")
        date = self._service.date()
        try:
            head = accept_response(self.upgrade, subprotocol, fields, date=date, request_id=self.id)
        except (AnswerError, ValueError) as exc:
            self._refuse_answer(exc)
            return
        self.state = after(self.state, Event.ACCEPT)
        self.status = 101
        self._stop_deadline()
        self.link = link
        self._window = DownloadWindow()
        self.client.open_link(link, head)

    def open_end(self) -> None:
        """The app has returned from the handshake: the WebSocket takes no slot of its worker."""
        self.is_open_ended = True

    def take_message(self, kind: Kind, data: bytes, end: bool) -> None:
        """Hand on a piece of a message of the client; it costs credit."""
        self.upload_credit -= len(data) + MESSAGE_OVERHEAD
        self.body_seen_bytes += len(data)
        if self.responder is not None:
            self.responder.on_message(kind, data, end)

    def carry(self, frame: bytes, size_bytes: int) -> None:
        """Send a frame that costs credit; `size_bytes` is of the message's piece in it."""
        self.sent_bytes += size_bytes
        if self._window is not None:
            self._window.on_sent(size_bytes + MESSAGE_OVERHEAD)
        self.client.write(frame)
        self.on_flushed()

    # The request's body

    def grant_upload(self, credit: int) -> None:
        """The app reads: so many more bytes of the body may go to it."""
        if self.is_ended:
            return
        if self._awaits_continue:
            self._awaits_continue = False
            if self.answer is None and not self._reader.body_ended:
                self.client.write(_CONTINUE)
        self.upload_credit += credit
        if self.link is not None:
            self.link.on_credit()
        else:
            self.pump()
        self.client.settle()

    def pump(self) -> None:
        """Hand on what has come of the body, as far as credit goes."""
        responder, reader = self.responder, self._reader
        if responder is None:
            return
        try:
            while self.upload_credit and not reader.body_ended:
                data = self._take_body(min(self.upload_credit, MAX_PAYLOAD))
                if not data and not reader.body_ended:
                    return
                self.upload_credit -= len(data)
                self.restart_deadline()
                responder.on_body(data, reader.body_ended)
        except ClientFault as fault:
            self.fail(fault)

    def _take_body(self, limit: int) -> bytes:
        """Up to `limit` bytes of the body that have come.

        Raises ClientFault where it is malformed, or larger than the app takes.
        """
        data = self._reader.read_body(limit)
        self.body_seen_bytes += len(data)
        if self.body_seen_bytes > self.body_max_bytes:
            raise body_too_large(self.body_max_bytes)
        return data

    # What the connection tells

    def on_client_left(self) -> None:
        """The connection has ended before the answer did."""
        if self.is_ended:
            return
        self.detach("client")
        if self.answer is not None and self.link is None:
            self.meter.cuts[Cut.CLIENT] += 1
        self._close(self.status or _CLIENT_LEFT)

    def on_flushed(self) -> None:
        """The client has taken bytes: give the worker credit for as many."""
        responder, window = self.responder, self._window
        if responder is None or window is None:
            return
        credit = window.on_taken(self.client.pending_bytes)
        if credit is not None:
            self.restart_deadline()
            if credit:
                responder.on_taken(credit)

    # Time

    def on_timeout(self) -> None:
        """The app's timeout has passed. Where the client is the slow one, its own limits count."""
        client_is_slow = self.client.pending_bytes > 0 or (
            self.upload_credit > 0 and not self._reader.body_ended
        )
        if client_is_slow:
            self.restart_deadline()
        elif self.responder is not None:
            self.responder.on_deadline()

    def restart_deadline(self) -> None:
        """There was progress: the app's timeout starts anew."""
        if self._deadlines is not None:
            self._deadlines.start(self)

    def _stop_deadline(self) -> None:
        if self._deadlines is not None:
            self._deadlines.stop(self)
            self._deadlines = None

    # How it is done

    def _fields_for_app(self) -> list[tuple[str, str]]:
        """The request's header fields as an app is to see them."""
        sender, headers = self.sender, self.headers
        fields = sender.passed_fields(headers)
        if not sender.is_forwarded and len(fields) < len(headers):
            self._service.on_fields_dropped(sender.text, headers)
        fields += sender.told_fields(fields)
        fields += (("x-base", self.base), ("x-request-id", self.id))
        return fields

    def _begin(self, status: int, fields: Fields, size: int | None) -> Answer:
        service = self._service
        # No further request may follow where this one's body was left unread.
        keep_alive = self.keep_alive and self._reader.body_ended and not service.is_draining
        answer = Answer(
            self.head,
            status,
            fields,
            size,
            date=service.date(),
            request_id=self.id,
            keep_alive=keep_alive,
        )
        self.state = after(self.state, Event.BEGIN)
        self.answer = answer
        self.status = status
        return answer

    def _write(self, buffers: Sequence[bytes], size_bytes: int) -> None:
        self.sent_bytes += size_bytes
        if self._window is not None:
            self._window.on_sent(size_bytes)
        if len(buffers) == 1:
            self.client.write(buffers[0])
        elif buffers:
            self.client.write_all(buffers)
        self.on_flushed()

    def _refuse_answer(self, exc: ValueError | AnswerError) -> None:
        """What the app answered cannot be sent: its fault, told to the log and as a 502."""
        app = self.app
        self._service.log.error(
            "app.answer_invalid",
            "app gave an answer that cannot be sent",
            error=str(exc),
            request_id=self.id,
            path=self.head.path,
            app=app.name if app is not None else None,
            version=app.version if app is not None else None,
            worker=self.worker_name or None,
        )
        if self.answer is not None:
            self.cut()
        else:
            self.fail(ServerFault(502, "bad_answer", "the app gave an answer that cannot be sent"))

    def _end(self) -> None:
        """The answer is complete, as far as we are concerned; the client may still be reading."""
        self._close(self.status)
        self.client.on_exchange_end(self.answer is not None and self.answer.keep_alive)

    def _close(self, status: int) -> None:
        self.state = after(self.state, Event.END)
        self._stop_deadline()
        app = self.app
        now = monotonic()
        seconds = now - self.started_s
        is_timed = self.link is None and not self.is_event_stream
        self.meter.on_end(
            status, now, seconds if is_timed else None, self.body_seen_bytes, self.sent_bytes
        )
        self._service.log.access(
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
