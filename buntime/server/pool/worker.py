"""A worker as the runtime sees it: what it is given, and what it reports.

Each request that it has in hand is an `Assignment`, the responder of its exchange. An exchange that
nobody waits for any more (its client left, its time passed) is let go at once, but the assignment
stays in hand until the worker has closed it: till then the worker's slot is not free.
"""

from functools import partial

from buntime import wire
from buntime.core.errors import ClientFault
from buntime.core.plugins.hookbody import HookBody
from buntime.core.pool import claims
from buntime.core.pool.assignment import Event, State
from buntime.core.pool.smalltalk import SmallTalk
from buntime.core.sandbox.plan import Level
from buntime.core.sites.basehref import with_base
from buntime.server.http1.appfields import confine
from buntime.server.http1.exchange import Exchange
from buntime.server.loop.loop import Loop
from buntime.server.pool import asking, calling, faults
from buntime.server.pool.assignment import Assignment
from buntime.server.pool.channel import Channel, Handler
from buntime.server.pool.process import Process
from buntime.server.pool.sessions import with_cookie
from buntime.server.pool.workerevents import WorkerEvents
from buntime.server.telemetry.logs import Log

_OBEY_S = 1.0  # from CANCEL after a deadline to being retired
# Every request needs these, and a global costs less than an attribute of a class.
_LIVE, _STUCK, _CLOSE = State.LIVE, State.STUCK, Event.CLOSE


class Worker:
    """The runtime's end of one worker's channel."""

    def __init__(
        self, number: int, loop: Loop, process: Process, events: WorkerEvents["Worker"], log: Log
    ) -> None:
        self.number = number
        self.name = f"w{number}"
        self.process = process
        self.log = log
        self.deadline_s = 0.0  # the app's timeout, once it is adopted
        self.memory_max_bytes = 0  # no limit
        self.leaving_since_s: float | None = None  # retiring, as seen by the pool
        self.app_name = ""
        self.app_version: str | None = None
        self.sandbox: Level | None = None  # once it is adopted
        self.prepared: int | None = None  # by what, if it has a sandbox
        self._loop = loop
        self._events = events
        self._channel = Channel(loop, process.channel, self, _HANDLERS)
        # requests
        self._last_id = 0
        self._in_hand: dict[int, Assignment] = {}
        self._stuck = 0  # of those in hand
        self._closed = (0, "")  # the last that it has closed: its number, and the request's id
        self._talk = SmallTalk(loop.now)
        self.asking = asking.Asking(self._channel)  # of a plugin's worker
        self.calling = calling.Calling(self._channel, process.covers)

    def __repr__(self) -> str:
        return f"Worker({self.name}, {self.app_name or 'spare'}, {len(self._in_hand)} in hand)"

    # Calls from the pool

    def prepare(self, line: bytes, number: int) -> None:
        """Send PREPARE, which was made from the basis with this number."""
        self.prepared = number
        self._channel.post_line(line)

    def join(self, log: Log, name: str, version: str | None) -> None:
        """From now on it is a worker of this app, whether the app can be loaded or not."""
        self.log = log
        self.app_name = name
        self.app_version = version

    def adopt(self, init: wire.Message, *, timeout_s: float) -> None:
        """Send INIT: the worker loads its app."""
        self.deadline_s = timeout_s
        self._channel.post(init)

    def assign(self, exchange: Exchange) -> None:
        """Send the request, with as much of its body as has come and fits the first window."""
        number = self._last_id = self._last_id + 1
        assignment = Assignment(self, self._channel, number, exchange)
        self._in_hand[number] = assignment
        try:
            line, body = exchange.assign(assignment, self.name, number)
        except ClientFault as fault:
            assignment.step(Event.DETACH)
            exchange.take_back()
            exchange.fail(fault)
            # Told a turn later: the scheduler is still waiting for its decisions to be done.
            self._loop.call_soon(lambda: self._pass_over(number))
            return
        self._channel.post_line(line, body)
        exchange.pump()  # more of the body may be there already

    def ask(self, text: str, asker: asking.Asker, body: HookBody | None = None) -> int:
        """Ask its plugin's hooks, see `Asking.ask`; returns the number to `give_up` by."""
        number = self._last_id = self._last_id + 1
        self.asking.ask(number, text, asker, body)
        return number

    def new_number(self) -> int:
        """A number that is new to its channel."""
        self._last_id += 1
        return self._last_id

    def terminate(self, *, after_idle: bool) -> None:
        """Ask it to end: hooks run, what is in hand is finished."""
        if after_idle:
            self._channel.post({"type": wire.IDLE})
        self.calling.leave()
        self._channel.post({"type": wire.TERMINATE})

    def on_boot_timeout(self, seconds: float) -> None:
        """The app was not loaded in time."""
        self._events.on_boot_timeout(self, seconds)

    def on_overdue(self) -> None:
        """It was told to end a moment ago, and is still there."""
        self._events.on_overdue(self)

    # Holder: calls from assignments

    def on_stalled(self, assignment: Assignment, *, is_stalled: bool) -> None:
        self._events.on_stalled(self, assignment.exchange, is_stalled=is_stalled)

    def on_let_go(self, assignment: Assignment) -> None:
        """The worker may take some time to stop, but not for ever."""
        number = assignment.number
        self._loop.call_later(self.deadline_s, lambda: self._check_obeyed(number))

    def on_deadline(self, assignment: Assignment) -> None:
        """The app has made no progress for its timeout: 504, and it has a second to let go."""
        exchange, number = assignment.exchange, assignment.number
        faults.log_timeout(self.log, exchange, self.name)
        exchange.meter.timeouts += 1
        exchange.release()  # rather than detached: the app is told a different reason
        late = assignment.late(self._loop.now)
        self.process.stacks.ask(self.log, late)  # before CANCEL changes them
        assignment.let_go("deadline")
        self._loop.call_later(_OBEY_S, lambda: self._check_obeyed(number, are_stacks_logged=True))
        exchange.fail(faults.late(self.app_name, exchange.timeout_s))

    # The channel

    def on_channel_closed(self, why: str) -> None:
        self._events.on_broken(self, why)

    def on_channel_broken(self, why: str) -> None:
        self._events.on_breach(self, why)

    def drain(self) -> list[Exchange]:
        """The process has died: take what it sent last, then give up what it has in hand."""
        self._channel.drain()
        self.asking.lose()
        self.calling.lose()
        left = [each for each in self._in_hand.values() if each.state is State.LIVE]
        self._in_hand.clear()
        for assignment in left:
            assignment.step(Event.CLOSE)
            assignment.exchange.release()
        return [assignment.exchange for assignment in left]

    def has_only_stuck(self) -> bool:
        return self._stuck > 0 and self._stuck == len(self._in_hand)

    # Messages of the worker

    def _on_up(self, message: wire.Message, payload: bytes) -> None:
        self._talk.put_up(self._last_id)
        self._events.on_up(self)

    def _on_ready(self, message: wire.Message, payload: bytes) -> None:
        self._talk.put_up(self._last_id)
        self._events.on_ready(self, message)

    def _on_response(self, message: wire.Message, payload: bytes) -> None:
        assignment = self._in_hand[message["id"]]
        exchange, end = assignment.exchange, claims.flag(message["end"])
        if assignment.state is _LIVE:
            status, fields, app = message["status"], message["headers"], exchange.app
            if exchange.has_answer:
                raise ValueError("a second RESPONSE, or one behind an ACCEPT")
            if app is not None:
                fields = confine(fields, app, exchange.base, self.log)
                if app.has_affinity:
                    fields = with_cookie(fields, exchange, self.number)
            if end:
                if app is not None and app.injects_base and exchange.head.method != "HEAD":
                    fields, payload = with_base(fields, payload, exchange.base)
                # Forgotten first: it is over for this worker, so nothing needs to be cancelled.
                self._close(assignment)
                exchange.release()
                exchange.respond(status, fields, payload)
                self._events.on_finished(self, exchange)
                return
            exchange.stream(status, fields, payload)
        elif end:
            self._finish(assignment)
        else:
            self._talk.put_up(self._last_id)
            assignment.on_late(len(payload))

    def _on_body(self, message: wire.Message, payload: bytes) -> None:
        number, end = message["id"], claims.flag(message["end"])
        if not payload and not end:
            raise ValueError("an empty BODY that ends nothing")
        assignment = self._in_hand.get(number)
        if assignment is None:
            if not self.asking.take_piece(number, payload, end=end):
                self._talk.put_up(self._last_id)
            return
        exchange = assignment.exchange
        if assignment.state is State.LIVE:
            if exchange.answer is None and (not exchange.is_under_review or exchange.is_opening):
                raise ValueError("a BODY before its RESPONSE")
            exchange.restart_deadline()
            if payload:
                exchange.send(payload)
        else:
            assignment.on_late(len(payload))
        if end:
            if self._close(assignment):
                exchange.release()
                exchange.finish()
            self._events.on_finished(self, exchange)

    def _on_window(self, message: wire.Message, payload: bytes) -> None:
        number, credit = message["id"], claims.whole(message["credit"], 1)
        assignment = self._in_hand.get(number)
        if assignment is None:
            claims.whole(number, -calling.NUMBER_MAX, self._last_id)  # of a call, a hook, or over
            is_news = self.asking.take_credit(number, credit)
            if not is_news and not self.calling.on_window(number, credit):
                self._talk.put_up(self._last_id)
        elif assignment.state is not State.LIVE or not assignment.exchange.grant_upload(credit):
            self._talk.put_up(self._last_id)

    def _on_waits(self, message: wire.Message, payload: bytes) -> None:
        number, assignment = message["id"], self._in_hand.get(message["id"])
        read, credit = claims.whole(message["read"], 0), claims.whole(message["credit"], 0)
        if assignment is None:
            claims.whole(number, 1, self._last_id)  # of a hook, or one that has ended
            is_news = self.asking.take_waits(number, read, credit)
        else:
            is_news = assignment.state is State.LIVE and assignment.exchange.on_waits(read, credit)
        if not is_news:
            self._talk.put_up(self._last_id)

    def _on_accept(self, message: wire.Message, payload: bytes) -> None:
        assignment = self._in_hand[message["id"]]
        exchange = assignment.exchange
        is_open_ended = claims.flag(message["open_ended"])
        if exchange.upgrade is None or exchange.is_open_ended:
            raise ValueError("an ACCEPT of what is not a handshake")
        if assignment.state is State.LIVE:
            if exchange.has_answer:
                raise ValueError("a second ACCEPT, or one behind a RESPONSE")
            # A tenth of the runtime's start, with wsproto: imported by the first WebSocket.
            from buntime.server.websocket.socketlink import SocketLink

            make_link = partial(SocketLink, exchange, exchange.upgrade)
            fields = message["headers"]
            if exchange.app is not None:
                fields = confine(fields, exchange.app, exchange.base, self.log)
                fields = with_cookie(fields, exchange, self.number)
            exchange.accept(make_link, message["subprotocol"], fields)
        else:
            self._talk.put_up(self._last_id)
        if is_open_ended:
            exchange.open_end()
            self._events.on_open_ended(self)

    def _on_busy(self, message: wire.Message, payload: bytes) -> None:
        share = claims.share(message["share"])
        if self._talk.may_tell(self._loop.now):
            self._events.on_busy(self, share)
        else:
            self._talk.put_up(self._last_id)

    def _on_message(self, message: wire.Message, payload: bytes) -> None:
        assignment = self._in_hand[message["id"]]
        exchange, kind, end = assignment.exchange, message["kind"], claims.flag(message["end"])
        link = exchange.link
        if assignment.state is not State.LIVE:
            assignment.on_late(len(payload) + wire.MESSAGE_OVERHEAD)
        elif link is None:
            if not exchange.is_opening:
                raise ValueError("a MESSAGE before its ACCEPT")
            exchange.at_link(lambda link: link.send(kind, payload, end), len(payload))
        elif link.is_closing:
            assignment.on_late(len(payload) + wire.MESSAGE_OVERHEAD)
        else:
            link.send(kind, payload, end)

    def _on_close(self, message: wire.Message, payload: bytes) -> None:
        assignment = self._in_hand[message["id"]]
        exchange, end = assignment.exchange, claims.flag(message["end"])
        if assignment.state is State.LIVE:
            link = exchange.link
            if link is None and not exchange.is_opening:
                raise ValueError("a CLOSE before its ACCEPT")
            code, reason = claims.whole(message["code"], 0), claims.text(message["reason"])
            if end:
                self._close(assignment)
                exchange.release()
                self._events.on_finished(self, exchange)
            elif link is not None and link.is_closing:
                self._talk.put_up(self._last_id)
            exchange.at_link(lambda link: link.close(code, reason), 0)
        elif end:
            self._finish(assignment)
        else:
            self._talk.put_up(self._last_id)

    def _on_error(self, message: wire.Message, payload: bytes) -> None:
        text, stack, advice = claims.error(message)
        if "id" not in message:
            self._talk.put_up(self._last_id)
            self._events.on_boot_error(self, text, stack)
            return
        assignment = self._in_hand[message["id"]]
        exchange = assignment.exchange
        if self._close(assignment):
            exchange.release()
            self._events.on_request_error(self, exchange, text, stack, advice)
        self._events.on_finished(self, exchange)

    def _on_fault(self, message: wire.Message, payload: bytes) -> None:
        self._talk.put_up(self._last_id)
        self._events.on_late_error(self, claims.fault(message, self._closed))

    def _finish(self, assignment: Assignment) -> None:
        self._close(assignment)
        self._events.on_finished(self, assignment.exchange)

    def _close(self, assignment: Assignment) -> bool:
        """The worker is done with this request; returns whether its exchange waits for that."""
        before = assignment.state
        assignment.step(_CLOSE)
        del self._in_hand[assignment.number]
        self._closed = assignment.number, assignment.exchange.id
        if before is _STUCK:
            self._stuck -= 1
        return before is _LIVE

    def streams(self) -> list[Exchange]:
        """Its open WebSockets and event streams, which could keep it for ever."""
        live = [each.exchange for each in self._in_hand.values() if each.state is State.LIVE]
        return [each for each in live if each.link is not None or each.is_event_stream]

    def _pass_over(self, number: int) -> None:
        """A request that was found malformed or too large when it was to be sent."""
        assignment = self._in_hand.get(number)
        if assignment is not None:
            self._finish(assignment)

    def _check_obeyed(self, number: int, *, are_stacks_logged: bool = False) -> None:
        assignment = self._in_hand.get(number)
        if assignment is None or not self._channel.is_open:
            return
        if are_stacks_logged:
            self._give_up(number)
        else:
            late = assignment.late(self._loop.now)
            self.process.stacks.ask(self.log, late, lambda _stack: self._give_up(number))

    def _give_up(self, number: int) -> None:
        assignment = self._in_hand.get(number)
        if assignment is not None and self._channel.is_open:
            assignment.step(Event.OVERDUE)
            self._stuck += 1
            self._events.on_stuck(self, assignment.exchange)


# By type of message. Not per worker: it would refer to itself, and outlive its process.
_HANDLERS: dict[str, Handler[Worker]] = {
    wire.RESPONSE: Worker._on_response,
    wire.BODY: Worker._on_body,
    wire.WINDOW: Worker._on_window,
    wire.WAITS: Worker._on_waits,
    wire.ACCEPT: Worker._on_accept,
    wire.MESSAGE: Worker._on_message,
    wire.CLOSE: Worker._on_close,
    wire.BUSY: Worker._on_busy,
    wire.ERROR: Worker._on_error,
    wire.FAULT: Worker._on_fault,
    wire.UP: Worker._on_up,
    wire.READY: Worker._on_ready,
    **asking.HANDLERS,
    **calling.HANDLERS,
}
