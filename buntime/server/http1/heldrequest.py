"""A request and who holds it: which part of its body goes there, and how long that may take.

First a queue holds it, then a worker. Where workers are few, a holder that waits for the request's
body comes before both. core/http1/lifecycle.py defines the states.
"""

from collections.abc import Callable

from buntime.core.errors import ClientFault, HttpError
from buntime.core.http1.answer import Answer
from buntime.core.http1.lifecycle import HAND_OVER, RELEASE, TAKE_BACK, State
from buntime.core.http1.window import PIECES_PER_TURN, DownloadWindow, UploadWindow
from buntime.server.http1.parties import Keeper, Link, Responder
from buntime.server.http1.request import ClientRequest
from buntime.server.http1.review import Review
from buntime.server.loop.timeouts import TimeoutQueue
from buntime.wire import UPLOAD_WINDOW

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_ENDED = State.ENDED  # a global costs less than an attribute of a class


class HeldRequest(ClientRequest):
    """A request and its responder, without the answer; `Exchange` makes and ends it."""

    __slots__ = (
        "_deadlines",
        "_download",
        "answer",
        "is_event_stream",
        "link",
        "responder",
        "review",
        "state",
        "tries",
    )

    # May another worker get it, if one dies over it and the method is safe?
    is_repeatable = True

    state: State
    responder: Responder | None
    tries: int
    answer: Answer | None
    link: Link | None
    review: Review | None
    is_event_stream: bool
    _deadlines: TimeoutQueue | None
    _download: DownloadWindow | None

    @property
    def is_ended(self) -> bool:
        return self.state is _ENDED

    @property
    def is_under_review(self) -> bool:
        """Has an answer come that is under review?"""
        return self.review is not None and self.review.has_begun

    # Who answers

    def hand_over(self, responder: Responder, timeout_s: float) -> None:
        """Give the request to a responder; the first one starts the app's timeout."""
        self.state = HAND_OVER[self.state]
        self.responder = responder
        if self._deadlines is None:
            self._deadlines = self._service.loop.timeouts(timeout_s)
            self._deadlines.start(self)

    def limit_time(self, timeout_s: float) -> None:
        """Give it a timeout of its own instead of the app's, starting now."""
        self._deadlines = self._service.loop.timeouts(timeout_s)
        self._deadlines.start(self)

    @property
    def timeout_s(self) -> float:
        """The timeout that applies to it; 0 while nobody holds it."""
        return 0.0 if self._deadlines is None else self._deadlines.duration_s

    def lend(self, responder: Responder) -> None:
        """Let a responder hold it for a moment that does not count against the app's timeout."""
        self.state = HAND_OVER[self.state]
        self.responder = responder

    def gather(self, responder: Responder, timeout_s: float) -> None:
        """Read the body, or enough of it; `on_body` tells the responder when that has come.

        A client that waits for 100 Continue is told to go on.
        """
        self.hand_over(responder, timeout_s)
        self._gather(UPLOAD_WINDOW)

    def gather_for(self, responder: Responder, keeper: Keeper, most_bytes: int) -> None:
        """Read and keep the whole body, or as much of it, without using up the app's timeout.

        `on_body` tells the responder, which holds the request until `end_keeping`. The keeper is
        told when nothing is kept any more.
        """
        self.lend(responder)
        self.keeper = keeper
        self._gather(most_bytes, self.body_max_bytes or most_bytes)

    def end_keeping(self) -> None:
        """Enough has come; the responder still holds the request."""
        if self._upload is not None:
            self._upload.end_gathering()
        self.client.settle()

    def receive(
        self, responder: Responder, max_bytes: int, refuse: Callable[[int], ClientFault]
    ) -> None:
        """Send the body to one of the runtime's own responders, without an app's timeout.

        A body above `max_bytes` gets the fault that `refuse` makes of this number.
        Before `grant_upload`, none of the body goes there and no client is told to go on.
        """
        self.lend(responder)
        self.limit_body(max_bytes)
        self._make_upload().refuse = refuse

    def _gather(self, most_bytes: int, refused_above_bytes: int | None = None) -> None:
        upload = self._make_upload()
        if refused_above_bytes is not None:
            upload.max_bytes = refused_above_bytes
        upload.begin_gathering(most_bytes)
        if self.head.expects_continue:
            self.client.write(_CONTINUE)
        self.pump()
        self.client.settle()

    def end_gathering(self) -> None:
        """Enough has come: another responder may take the request, and the app's timeout starts."""
        self.take_back()
        if self._upload is not None:
            self._upload.end_gathering()
        self.restart_deadline()
        self.client.settle()

    def assign(self, responder: Responder, worker_name: str, number: int) -> tuple[bytes, bytes]:
        """Give the request to a worker, in whose channel it has this number.

        Returns the REQUEST and its payload, the first piece of the body; `pump` hands on more.
        Raises ClientFault as `UploadWindow.open` does: then the previous responder still holds the
        request.
        """
        has_body = not self._reader.body_ended or self.upgrade is not None
        body, ended = self._open_body() if has_body else (b"", True)
        self.state = HAND_OVER[self.state]
        self.responder = responder
        self.worker_name = worker_name
        self.tries += 1
        if self._service.tracer is not None and self.span is None:
            self.span = self._service.tracer.hand_over(self, self.now - self.started_s)
        if self._deadlines is not None:
            self._deadlines.start(self)
        if not ended:
            self.client.settle()  # from now on, wait for the rest
        elif self.keeper is not None:
            self._let_keeper_go()
        return self.to_line(number, body, ended=ended), body

    def take_back(self) -> None:
        """Its responder has not begun and gives it back: another one may get it."""
        self.state = TAKE_BACK[self.state]
        self.responder = None

    def release(self) -> None:
        """Its responder has done its part, and is not to be told anything more."""
        self.state = RELEASE[self.state]
        self.responder = None

    def detach(self, reason: str) -> None:
        """Nobody waits for its responder any more: tell it why, if there is one."""
        responder = self.responder
        if responder is not None:
            self.release()
            responder.on_detached(reason)

    def doubt(self, grace_s: float) -> float | None:
        """The client sends no more and may have left: how much longer to wait for it?

        For `grace_s` since a worker got the request or made progress with it. None if no worker has
        it yet, or the answer waits for the client. What may stay open forever ends at once.
        """
        if self.link is not None or self.is_event_stream:
            return 0.0
        if self.responder is not None:
            self.responder.on_doubted()
        if not self.worker_name or self._deadlines is None or self.client.pending_bytes:
            return None
        return self._deadlines.started_s(self) + grace_s - self.now

    # The request's body

    def grant_upload(self, credit: int) -> bool:
        """The app reads: allow this many more bytes of the body. Returns whether that changed
        anything.
        """
        upload = self._upload
        if upload is None or upload.is_wide_open or self.is_ended:
            return False
        self.restart_deadline()  # the app reads
        self._widen(upload, credit)
        return True

    def on_waits(self, read_bytes: int, credit: int) -> bool:
        """The app has read this many bytes of the body, and waits for more: `credit` more may come.
        Returns whether that is new.
        """
        upload = self._upload
        if upload is None or self.is_ended or not upload.on_waits(read_bytes):
            return False
        self.restart_deadline()
        if credit:
            self._widen(upload, credit)
        if self.responder is not None and upload.is_awaited and self.holds_slot:
            self.responder.on_stalled()
        return True

    def _widen(self, upload: UploadWindow, credit: int) -> None:
        if upload.grant(credit) and self.answer is None:
            self.client.write(_CONTINUE)
        if self.link is not None:
            self.link.on_credit()
        else:
            self.pump()
        self.client.settle()

    def pump(self) -> None:
        """Hand on what has come of the body, as far as credit allows."""
        responder, upload = self.responder, self._upload
        if responder is None or upload is None:
            return
        was_awaited = upload.is_awaited
        try:
            count = upload.hand_on(responder.on_body)
        except ClientFault as fault:
            self.fail(fault)
            return
        if count and was_awaited:
            self.restart_deadline()
        if self.keeper is not None and not upload.is_gathering and not self.gathered_bytes:
            self._let_keeper_go()
        if count == PIECES_PER_TURN and not upload.has_more:
            upload.has_more = True
            self._service.loop.go_on_later(self._pump_on)

    def _pump_on(self) -> None:
        if self._upload is not None:
            self._upload.has_more = False
        self.pump()
        self.client.settle()

    # Time

    def on_timeout(self) -> None:
        """The app's timeout has passed. While the app waits for others, their time limits apply."""
        upload, download = self._upload, self._download
        is_awaited = self.is_under_review or (upload is not None and upload.is_awaited)
        if is_awaited or (download is not None and download.is_full):
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

    def fail(self, error: HttpError) -> None:
        """Answer with an error of the runtime; if an answer has begun, cut it off."""
        raise NotImplementedError
