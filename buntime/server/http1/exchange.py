"""One request and its answer: between a client's connection and whoever answers.

The connection owns the socket and the request's bytes; a `Responder` (the pool's queue, then a
worker) owns the work. The exchange knows both, keeps the credit of both directions, and ends
exactly once. core/http1/lifecycle.py defines its states. Other modules only read its fields.
"""

from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic

from buntime.core.errors import HttpError, ServerFault
from buntime.core.http1.answer import Answer, AnswerError, Framing, is_event_stream
from buntime.core.http1.forwarded import Sender
from buntime.core.http1.head import Head
from buntime.core.http1.lifecycle import ACCEPT, BEGIN, END, State
from buntime.core.http1.window import DownloadWindow
from buntime.core.telemetry.meters import Cut
from buntime.core.websocket.handshake import split_subprotocol, with_subprotocol
from buntime.sdk import closecodes
from buntime.server.http1.heldrequest import HeldRequest
from buntime.server.http1.parties import Client, Kind, Link, Resource, Responder
from buntime.server.http1.request import Fields
from buntime.server.http1.review import Begin, Review
from buntime.server.loop.timeouts import TimeoutQueue
from buntime.wire import MESSAGE_OVERHEAD

_CLIENT_LEFT = 499  # nginx's number, for the log: no status was sent
# Every request needs these, and a global costs less than an attribute of a class.
_WAITING = State.WAITING
_ENDED = State.ENDED


class Exchange(HeldRequest):
    """One request on a connection and the answer to it."""

    __slots__ = (
        "is_open_ended",
        "keep_alive",
        "sent_bytes",
        "status",
    )

    def __init__(self, client: Client, head: Head, request_id: str, sender: Sender) -> None:
        super().__init__(client, head, request_id, sender)
        self.state = _WAITING
        # who answers
        self.responder: Responder | None = None  # in the states of HELD
        self.tries = 0  # how many workers were given the request
        self._deadlines: TimeoutQueue | None = None
        # the answer
        self.keep_alive = head.keep_alive  # False after an error that ends the connection
        self.answer: Answer | None = None
        self.status = 0
        self.sent_bytes = 0  # of the body, without framing
        self._download: DownloadWindow | None = None  # if the body comes in pieces from a responder
        self.is_event_stream = False  # may be silent for as long as it likes
        self.review: Review | None = None  # if plugins look at the answer before it is sent
        # a WebSocket
        self.link: Link | None = None  # once it is open
        self.is_open_ended = False  # it no longer takes a slot of its worker

    def __repr__(self) -> str:
        head = self.head
        return f"Exchange({self.id}, {head.method} {head.target}, {self.state.name}, {self.status})"

    # Answering

    def respond(self, status: int, fields: Fields, body: bytes = b"") -> None:
        """Give a whole answer; a small one leaves in one send."""
        if self.review is not None:
            self._hold(self.review, status, fields, partial(self.respond, body=body))
            return
        try:
            answer = self._begin(status, fields, len(body))
        except AnswerError as exc:
            self.refuse_answer(exc)
            return
        self.sent_bytes = answer.left  # the body's length; 0 for a HEAD, where nothing follows
        self.client.write(answer.head + body if answer.left else answer.head)
        if self.state is not _ENDED:  # the write may have found that the client is gone
            self._end()

    def start(self, status: int, fields: Fields, size: int | None, first: bytes = b"") -> None:
        """Begin an answer whose body comes in pieces; `size` is its length in bytes, if known."""
        if self.review is not None:
            self._hold(self.review, status, fields, partial(self.start, size=size, first=first))
            return
        try:
            answer = self._begin(status, fields, size)
            pieces = answer.frame(first)
            self._write((answer.head, *pieces), len(first) if pieces else 0)
        except AnswerError as exc:
            self.refuse_answer(exc)
            return
        if answer.framing is Framing.NONE and not self.is_ended:
            self.detach("client")  # a HEAD needs no body, and some bodies never end
            self._end()

    def stream(self, status: int, fields: Fields, first: bytes) -> None:
        """Begin a responder's answer that comes in pieces, each of which restarts its time limit.

        An event stream may be silent for as long as it likes.
        """
        self._download = DownloadWindow()
        if self.review is not None:
            self._download.on_sent(len(first))
            self._hold(self.review, status, fields, partial(self.stream, first=first))
            return
        self.start(status, fields, None, first)
        if self.responder is None:  # the head could not be sent, or needs no body
            return
        if is_event_stream(fields):
            self._open_stream()
        else:
            self.restart_deadline()

    def stand_open(self) -> None:
        """This answer never ends by itself: it ends with the runtime, as event streams do."""
        if not self.is_event_stream:
            self._open_stream()

    def _open_stream(self) -> None:
        self.is_event_stream = True
        self._stop_deadline()
        if self.footing is not None and not self.footing.on_open():
            self.break_off()

    def send(self, data: bytes) -> None:
        """Send the next piece of the body. Raises ValueError if a responder lacks credit for it."""
        if self.answer is None or self.state is _ENDED:
            if self.review is not None and self._download is not None:
                self._download.on_sent(len(data))
                self.review.keep(partial(self.send, data))
            return
        try:
            self._write(self.answer.frame(data), len(data))
        except AnswerError as exc:
            self.refuse_answer(exc)

    def send_file(self, fd: int, offset: int, length: int) -> None:
        """Send the next piece of the body from a file; the answer's length is already declared."""
        if self.review is not None:
            self.review.keep(partial(self.send_file, fd, offset, length))
        elif self.answer is not None and not self.is_ended:
            self.answer.left -= length
            self.sent_bytes += length
            self.client.write_file(fd, offset, length)

    def release_later(self, resource: Resource) -> None:
        """Close `resource` when everything written so far is sent, or never will be."""
        if self.review is not None:
            self.review.keep(partial(self.release_later, resource), resource)
        else:
            self.client.release_later(resource)

    def finish(self) -> None:
        """The body is complete."""
        if self.answer is None or self.state is _ENDED:
            if self.review is not None:
                self.review.keep(self.finish)
            return
        try:
            tail = self.answer.finish()
        except AnswerError as exc:
            self.refuse_answer(exc)
            return
        if tail:
            self.client.write(tail)
        if not self.is_ended:  # the write may have found that the client is gone
            self._end()

    def fail(self, error: HttpError) -> None:
        """Answer with an error of the runtime; if an answer has begun, cut it off."""
        if self.is_ended:
            return
        if self.link is not None:
            self.link.go_away(closecodes.INTERNAL_ERROR)
            return
        self.detach("error")
        if self.answer is not None:
            self.cut()
            return
        if self.is_under_review:
            self._drop_review()
        self.keep_alive = self.keep_alive and not error.closes
        self.respond(error.status, *self._render(error))

    def cut(self) -> None:
        """End the connection in the middle of the body, so that the body cannot look complete."""
        if self.link is not None:
            self.link.go_away(closecodes.INTERNAL_ERROR)
        elif not self.is_ended:
            self.detach("error")
            self.meter.cuts[Cut.RUNTIME] += 1
            self._close(self.status)
            self.client.cut()

    def end_open(self, code: int) -> None:
        """End a WebSocket, with this close code, or an event stream from our side."""
        if self.link is not None:
            self.link.go_away(code)
        elif self.is_event_stream:
            self.break_off()

    def break_off(self) -> None:
        """End an event stream from our side: its client will reconnect."""
        self.detach("client")
        if self.answer is not None and not self.is_ended:
            self.answer.keep_alive = False
            self.finish()

    # An answer that plugins look at before it leaves

    @property
    def has_answer(self) -> bool:
        """Has an answer come, or a WebSocket's opening?"""
        if self.answer is not None or self.link is not None:
            return True
        return self.review is not None and self.review.has_begun

    def have_reviewed(self, review: Review) -> None:
        """Have the answer looked at before it leaves."""
        self.review = review

    def reviewed(self, status: int, fields: Fields) -> None:
        """The reviewed answer may leave, with this status and these fields."""
        review, self.review = self.review, None
        if review is None or self.is_ended:
            raise AssertionError(f"no review of {self!r}")
        self.restart_deadline()
        review.release(status, fields, self.refuse_answer)

    def replace(self, review: Review | None) -> None:
        """Another answer will replace the one under review; `review` is for the new one."""
        self.detach("error")
        self._drop_review()
        self.review = review

    def _hold(self, review: Review, status: int, fields: Fields, begin: Begin) -> None:
        try:
            review.begin(status, fields, begin)
        except AnswerError as exc:
            self.refuse_answer(exc)

    def _drop_review(self) -> None:
        review, self.review = self.review, None
        if review is not None:
            review.drop()

    # A WebSocket

    def accept(
        self, make_link: Callable[[], Link], subprotocol: str | None, fields: Fields
    ) -> None:
        """The app accepts the WebSocket: answer the handshake; make the link once that is sent."""
        try:
            head = self._shake_hands(subprotocol, fields)
        except (AnswerError, ValueError) as exc:
            self.refuse_answer(exc)
            return
        self._download = DownloadWindow()
        if (review := self.review) is not None:
            review.is_opening = True
            seen = with_subprotocol(fields, subprotocol)
            self._hold(
                review, 101, seen, lambda _, got: self.accept(make_link, *split_subprotocol(got))
            )
            return
        self.state = ACCEPT[self.state]
        self.status = 101
        self._stop_deadline()
        link = self.link = make_link()
        self.client.open_link(link, head)  # this may find that the client is gone
        if not self.is_ended and self.footing is not None and not self.footing.on_open():
            link.go_away(closecodes.POLICY)

    @property
    def is_opening(self) -> bool:
        """Is the head that opens the WebSocket under review?"""
        return self.review is not None and self.review.is_opening

    def at_link(self, act: Callable[[Link], None], size_bytes: int) -> None:
        """Do this with the WebSocket: now, or after the review of the head that opens it.

        What waits costs credit. Raises ValueError if there is none.
        """
        if self.link is not None:
            act(self.link)
        elif self.review is not None and self._download is not None:
            self._download.on_sent(size_bytes + MESSAGE_OVERHEAD)
            self.review.keep(lambda: None if self.link is None else act(self.link))

    def open_end(self) -> None:
        """The app has returned from the handshake: the WebSocket takes no slot of its worker."""
        self.is_open_ended = True

    def take_message(self, kind: Kind, data: bytes, end: bool) -> None:
        """Hand on a piece of a message from the client; it costs credit."""
        if self._upload is not None:
            self._upload.on_message(len(data))
        if self.responder is not None:
            self.responder.on_message(kind, data, end)

    def carry(self, frame: bytes, size_bytes: int) -> None:
        """Send a frame, as `send` does; `size_bytes` is the size of the message's piece in it."""
        if self._download is not None:
            self._download.on_sent(size_bytes + MESSAGE_OVERHEAD)
        self.sent_bytes += size_bytes
        self.client.write(frame)
        self.on_flushed()

    # What the connection reports

    def on_client_left(self) -> None:
        """The connection has ended before the answer did."""
        if self.is_ended:
            return
        self.detach("client")
        self._drop_review()
        if self.answer is not None and self.link is None:
            self.meter.cuts[Cut.CLIENT] += 1
        self._close(self.status or _CLIENT_LEFT)

    def on_flushed(self) -> None:
        """The client has taken bytes: give the worker that much credit."""
        responder, window = self.responder, self._download
        if responder is None or window is None or self.review is not None:
            return
        was_full = window.is_full
        credit = window.on_taken(self.client.pending_bytes, self.client.spooled_bytes)
        if credit:
            if was_full:
                self.restart_deadline()
            responder.on_taken(credit)
        elif was_full and self.link is None and self.holds_slot:
            self._hold_more(responder, window)

    # How it is done

    def _hold_more(self, responder: Responder, window: DownloadWindow) -> None:
        """The worker waits only for its client, and others may wait for the worker's slot."""
        has_end = not self.is_event_stream
        credit = window.widen() if has_end and self._service.held_answers.take(self.client) else 0
        if credit:
            responder.on_taken(credit)
        else:
            responder.on_stalled()

    def _begin(self, status: int, fields: Fields, size: int | None) -> Answer:
        service = self._service
        # No request may follow if this one's body was left unread.
        if not self._reader.body_ended and self.responder is None:
            self.discard_body()
        is_last = service.is_draining or service.admission.is_crowded
        keep_alive = self.keep_alive and self._reader.body_ended and not is_last
        date, head = service.date(), self.head
        # Without keywords: they would cost each request 1,000 instructions.
        answer = Answer(head, status, fields, size, date, self.id, keep_alive)
        self.state = BEGIN[self.state]
        self.answer = answer
        self.status = status
        return answer

    def _write(self, buffers: Sequence[bytes], size_bytes: int) -> None:
        if self._download is not None:
            self._download.on_sent(size_bytes)
        self.sent_bytes += size_bytes
        if len(buffers) == 1:
            self.client.write(buffers[0])
        elif buffers:
            self.client.write_all(buffers)
        self.on_flushed()

    def refuse_answer(self, exc: Exception) -> None:
        """The app's answer cannot be sent, which is its fault: log that, and answer with a 502."""
        self._log_bad_answer(str(exc))
        if self.answer is not None:
            self.cut()
        else:
            self.fail(ServerFault(502, "bad_answer", "the app gave an answer that cannot be sent"))

    def _end(self) -> None:
        """The answer is complete on our side; the client may still be reading."""
        self._close(self.status)
        self.client.on_exchange_end(self.answer is not None and self.answer.keep_alive)

    def _close(self, status: int) -> None:
        self.state = END[self.state]
        self._stop_deadline()
        if self.footing is not None:
            self.footing.on_end()
        if self.keeper is not None:
            self._let_keeper_go()
        now = monotonic()
        seconds = now - self.started_s
        timed_s = seconds if self.link is None and not self.is_event_stream else None
        self.meter.on_end(status, now, timed_s, self.body_seen_bytes, self.sent_bytes)
        self._log_access(status, self.sent_bytes, seconds)
