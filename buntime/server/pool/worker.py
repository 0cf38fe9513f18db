"""A worker as the runtime sees it: the channel to a process, and the requests it has in hand.

Each is an `Assignment`, the responder of its exchange. An exchange nobody waits for any more (its
client left, its time passed) is detached at once, but its assignment stays in `_in_hand` until the
worker has closed it: till then the worker's slot is not free.
"""

import socket
from collections import deque
from collections.abc import Callable
from typing import Protocol

from buntime import wire
from buntime.core.errors import ClientFault, ServerFault
from buntime.core.sandbox.plan import Level
from buntime.core.sites.basehref import with_base
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.parties import Kind
from buntime.server.loop import READ, WRITE, Loop
from buntime.server.pool.cookiepaths import confine_cookies
from buntime.server.pool.process import Process
from buntime.server.telemetry.logs import Log

_RECEIVE_BYTES = 256 * 1024
_BUFFERS_MAX = 256  # of one sendmsg
_JOIN_BYTES = 16 * 1024  # copying less than this costs less than a vectored write
_OBEY_S = 1.0  # from CANCEL after a deadline to being retired
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class Overseer(Protocol):
    """Who is told of what a worker does: the pool."""

    def on_up(self, worker: "Worker") -> None: ...
    def on_ready(self, worker: "Worker", message: wire.Message) -> None: ...
    def on_boot_error(self, worker: "Worker", message: str, stack: str) -> None: ...
    def on_request_error(
        self, worker: "Worker", exchange: Exchange, message: str, stack: str
    ) -> None: ...
    def on_open_ended(self, worker: "Worker") -> None: ...
    def on_finished(self, worker: "Worker", exchange: Exchange) -> None: ...
    def on_stuck(self, worker: "Worker", exchange: Exchange) -> None: ...
    def on_broken(self, worker: "Worker", why: str) -> None: ...


class Assignment:
    """One request in the hands of one worker: the `Responder` of its exchange."""

    __slots__ = ("exchange", "number", "worker")

    def __init__(self, worker: "Worker", number: int, exchange: Exchange) -> None:
        self.worker = worker
        self.number = number  # in the worker's channel
        self.exchange = exchange

    @property
    def is_live(self) -> bool:
        """Does the exchange still wait for the worker's answer?"""
        return self.exchange.responder is self

    def on_body(self, data: bytes, ended: bool) -> None:
        message = {"type": wire.BODY, "id": self.number, "size": len(data), "end": ended}
        self.worker.post(message, data)

    def on_message(self, kind: Kind, data: bytes, end: bool) -> None:
        told = {"id": self.number, "kind": kind, "size": len(data), "end": end}
        self.worker.post({"type": wire.MESSAGE, **told}, data)

    def on_last_message(self) -> None:
        self._post_close(end=False)

    def on_taken(self, size_bytes: int) -> None:
        self.worker.post({"type": wire.WINDOW, "id": self.number, "credit": size_bytes})

    def on_detached(self, reason: str) -> None:
        self.cancel(reason)
        self.worker.expect_close(self)

    def on_deadline(self) -> None:
        self.worker.on_deadline(self)

    def cancel(self, reason: str) -> None:
        """Tell the worker that nobody waits for this request any more."""
        if self.exchange.link is None:
            self.worker.post({"type": wire.CANCEL, "id": self.number, "reason": reason})
        else:
            self._post_close(end=True)

    def _post_close(self, *, end: bool) -> None:
        link = self.exchange.link
        if link is not None:
            told = {"id": self.number, "code": link.code, "reason": link.reason, "end": end}
            self.worker.post({"type": wire.CLOSE, **told})


class Worker:
    """The runtime's end of one worker's channel."""

    def __init__(
        self, number: int, loop: Loop, process: Process, overseer: Overseer, log: Log
    ) -> None:
        self.number = number
        self.name = f"w{number}"
        self.process = process
        self.log = log
        self.deadline_s = 0.0  # the app's timeout, once it is adopted
        self.memory_max_bytes = 0  # no limit
        self.leaving_since_s: float | None = None  # retiring, as the pool has seen it
        self.app_name = ""
        self.app_version: str | None = None
        self.sandbox: Level | None = None  # once it is adopted
        self.is_up = False
        self.is_loaded = False
        self.boot_error = ""  # why it cannot load its app: message and stack
        self._loop = loop
        self._overseer = overseer
        self._decoder = wire.Decoder()
        self._sock: socket.socket | None = process.channel
        self._events = READ
        # output of this turn, and what the kernel did not take of earlier ones
        self._turn: list[bytes] = []
        self._backlog: deque[memoryview] = deque()
        # requests
        self._last_id = 0
        self._in_hand: dict[int, Assignment] = {}
        self._stuck: set[int] = set()
        loop.register(process.channel, READ, self)

    def __repr__(self) -> str:
        return f"Worker({self.name}, {self.app_name or 'spare'}, {len(self._in_hand)} in hand)"

    # What the pool tells it

    def adopt(
        self, init: wire.Message, *, name: str, version: str | None, timeout_s: float
    ) -> None:
        """Send INIT: the worker loads this app."""
        self.app_name = name
        self.app_version = version
        self.deadline_s = timeout_s
        self.post(init)

    def assign(self, exchange: Exchange) -> None:
        """Send the request, with as much of its body as has come and fits the first window."""
        self._last_id += 1
        number = self._last_id
        self._in_hand[number] = assignment = Assignment(self, number, exchange)
        try:
            message, body = exchange.assign(assignment, self.name, number)
        except ClientFault as fault:
            exchange.take_back()
            exchange.fail(fault)
            # Told a turn later: the scheduler is still waiting for its decisions to be done.
            self._loop.call_soon(lambda: self._pass_over(number))
            return
        self.post(message, body)
        if len(body) == wire.MAX_PAYLOAD:
            exchange.pump()  # more may be there already

    def terminate(self, *, after_idle: bool) -> None:
        """Ask it to end: hooks run, what is in hand is finished."""
        if after_idle:
            self.post({"type": wire.IDLE})
        self.post({"type": wire.TERMINATE})

    # What an assignment tells it

    def expect_close(self, assignment: Assignment) -> None:
        """Nobody waits for this request: the worker may take its time, but not for ever."""
        number = assignment.number
        self._loop.call_later(self.deadline_s, lambda: self._check_obeyed(number))

    def on_deadline(self, assignment: Assignment) -> None:
        """The app has made no progress for its timeout: 504, and it has a second to let go."""
        exchange, number = assignment.exchange, assignment.number
        self.log.warn(
            "app.timeout",
            "app did not answer in time",
            request_id=exchange.id,
            method=exchange.head.method,
            path=exchange.head.path,
            worker=self.name,
            timeout_s=self.deadline_s,
        )
        exchange.meter.timeouts += 1
        exchange.release()  # not detached, as the app is to hear why
        self.process.stacks.ask(self.log, self._late(exchange))  # before CANCEL changes them
        assignment.cancel("deadline")
        self._loop.call_later(_OBEY_S, lambda: self._check_obeyed(number, are_stacks_told=True))
        exchange.fail(
            ServerFault(504, "app_timeout", f"the app did not answer in {self.deadline_s:g} s")
        )

    def post(self, message: wire.Message, payload: bytes = b"") -> None:
        """Send with all that this turn of the loop has for the worker."""
        turn = self._turn
        if not turn:
            self._loop.flush_later(self)
        turn.append(wire.encode(message))
        if payload:
            turn.append(payload)

    # The channel

    def on_ready(self, events: int) -> None:
        if events & READ:
            self._receive()
        if events & WRITE and self._sock is not None:
            self.flush()

    def abort(self) -> None:
        """Close the channel; the worker notices its end and dies."""
        sock, self._sock = self._sock, None
        if sock is not None:
            self._loop.unregister(sock)
            sock.close()

    def flush(self) -> None:
        """Send the lines of this turn in one go."""
        turn, self._turn = self._turn, []
        sock = self._sock
        if sock is None:
            return
        try:
            if not self._backlog and turn:
                total = sum(map(len, turn))
                if total <= _JOIN_BYTES:
                    data = turn[0] if len(turn) == 1 else b"".join(turn)
                    sent = sock.send(data)
                    if sent < total:
                        self._backlog.append(memoryview(data)[sent:])
                    turn = []
            self._backlog.extend(map(memoryview, turn))
            while self._backlog:
                buffers = [self._backlog[i] for i in range(min(len(self._backlog), _BUFFERS_MAX))]
                self._drop_sent(sock.sendmsg(buffers))
        except BlockingIOError:
            if not self._backlog:
                self._backlog.extend(map(memoryview, turn))
        except OSError:
            return  # the worker is going; its end is told by the channel or the process
        events = READ | WRITE if self._backlog else READ
        if events != self._events:
            self._events = events
            self._loop.modify(sock, events, self)

    def drain(self) -> list[Exchange]:
        """The process has died: take what it sent last, then give up what it has in hand."""
        while self._sock is not None and self._receive():
            pass
        self.abort()
        left = [each.exchange for each in self._in_hand.values() if each.is_live]
        self._in_hand.clear()
        return left

    def can_try_again(self, exchange: Exchange) -> bool:
        """May another worker get this request, after this one died over it?"""
        return (
            exchange.answer is None
            and exchange.link is None
            and exchange.tries < 2
            and exchange.head.method in _SAFE_METHODS
            and not exchange.head.has_body
        )

    def has_only_stuck(self) -> bool:
        return bool(self._stuck) and not self._in_hand.keys() - self._stuck

    def _drop_sent(self, sent: int) -> None:
        while sent:
            first = self._backlog[0]
            if sent < len(first):
                self._backlog[0] = first[sent:]
                return
            sent -= len(first)
            self._backlog.popleft()

    def _receive(self) -> bool:
        """Read once; False when there was nothing to read."""
        if self._sock is None:
            return False
        try:
            data = self._sock.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.abort()
            self._overseer.on_broken(self, "it closed its channel")
            return False
        try:
            for message, payload in self._decoder.feed(data):
                handler = _HANDLERS.get(message["type"])
                if handler is None:
                    raise wire.WireError(f"no message of a worker: {message['type']!r}")
                handler(self, message, payload)
        except (wire.WireError, KeyError, TypeError, ValueError) as exc:
            self.abort()
            self._overseer.on_broken(self, f"it sent garbage: {exc!r}")
            return False
        return True

    # Messages of the worker

    def _on_up(self, message: wire.Message, payload: bytes) -> None:
        if self.is_up:
            raise ValueError("a second UP")
        self.is_up = True
        self._overseer.on_up(self)

    def _on_ready(self, message: wire.Message, payload: bytes) -> None:
        if self.is_loaded:
            raise ValueError("a second READY")
        self.is_loaded = True
        self._overseer.on_ready(self, message)

    def _on_response(self, message: wire.Message, payload: bytes) -> None:
        assignment = self._in_hand[message["id"]]
        exchange = assignment.exchange
        if assignment.is_live:
            status, fields = message["status"], message["headers"]
            if exchange.answer is not None:
                raise ValueError("a second RESPONSE")
            app = exchange.app
            if app is not None:
                fields = confine_cookies(fields, app, exchange.base, self.log)
            if message["end"]:
                if app is not None and app.injects_base and exchange.head.method != "HEAD":
                    fields, payload = with_base(fields, payload, exchange.base)
                # Forgotten first: the exchange is over for this worker, nothing is to cancel.
                self._close(assignment)
                exchange.release()
                exchange.respond(status, fields, payload)
                self._overseer.on_finished(self, exchange)
                return
            exchange.stream(status, fields, payload)
        elif message["end"]:
            self._finish(assignment)

    def _on_body(self, message: wire.Message, payload: bytes) -> None:
        assignment = self._in_hand[message["id"]]
        exchange = assignment.exchange
        if assignment.is_live:
            if exchange.answer is None:
                raise ValueError("a BODY before its RESPONSE")
            exchange.restart_deadline()
            if payload:
                exchange.send(payload)
        if message["end"]:
            self._close(assignment)
            if assignment.is_live:
                exchange.release()
                exchange.finish()
            self._overseer.on_finished(self, exchange)

    def _on_window(self, message: wire.Message, payload: bytes) -> None:
        assignment = self._in_hand.get(message["id"])
        credit = message["credit"]
        if type(credit) is not int or credit < 0:
            raise ValueError(f"a credit of {credit!r}")
        if assignment is not None and assignment.is_live:
            assignment.exchange.grant_upload(credit)

    def _on_accept(self, message: wire.Message, payload: bytes) -> None:
        assignment = self._in_hand[message["id"]]
        exchange = assignment.exchange
        if assignment.is_live:
            if exchange.upgrade is None or exchange.link is not None:
                raise ValueError("an ACCEPT of what is no handshake")
            # A tenth of the runtime's start, with wsproto: imported by the first WebSocket.
            from buntime.server.websocket.socketlink import SocketLink

            link = SocketLink(exchange, exchange.upgrade)
            fields = message["headers"]
            if exchange.app is not None:
                fields = confine_cookies(fields, exchange.app, exchange.base, self.log)
            exchange.accept(link, message["subprotocol"], fields)
        if message["open_ended"]:
            exchange.open_end()
            self._overseer.on_open_ended(self)

    def _on_message(self, message: wire.Message, payload: bytes) -> None:
        assignment = self._in_hand[message["id"]]
        if assignment.is_live:
            link = assignment.exchange.link
            if link is None:
                raise ValueError("a MESSAGE before its ACCEPT")
            link.send(message["kind"], payload, message["end"])

    def _on_close(self, message: wire.Message, payload: bytes) -> None:
        assignment = self._in_hand[message["id"]]
        exchange = assignment.exchange
        if assignment.is_live:
            link = exchange.link
            if link is None:
                raise ValueError("a CLOSE before its ACCEPT")
            if message["end"]:
                exchange.release()
                self._finish(assignment)
            link.close(message["code"], message["reason"])
        elif message["end"]:
            self._finish(assignment)

    def _on_error(self, message: wire.Message, payload: bytes) -> None:
        text, stack = str(message["message"]), str(message["stack"])
        if "id" not in message:
            self._overseer.on_boot_error(self, text, stack)
            return
        assignment = self._in_hand[message["id"]]
        exchange = assignment.exchange
        self._close(assignment)
        if assignment.is_live:
            exchange.release()
            self._overseer.on_request_error(self, exchange, text, stack)
        self._overseer.on_finished(self, exchange)

    def _finish(self, assignment: Assignment) -> None:
        self._close(assignment)
        self._overseer.on_finished(self, assignment.exchange)

    def _close(self, assignment: Assignment) -> None:
        """The worker is done with this request."""
        del self._in_hand[assignment.number]
        self._stuck.discard(assignment.number)

    def end_streams(self, code: int) -> None:
        """Close the WebSockets and event streams, which would keep it for ever."""
        for assignment in tuple(self._in_hand.values()):
            exchange = assignment.exchange
            if not assignment.is_live:
                continue
            if exchange.link is not None:
                exchange.link.go_away(code)
            elif exchange.is_event_stream:
                exchange.break_off()

    def _pass_over(self, number: int) -> None:
        """A request that was found malformed or too large when it was to be sent."""
        assignment = self._in_hand.pop(number, None)
        if assignment is not None:
            self._overseer.on_finished(self, assignment.exchange)

    def _check_obeyed(self, number: int, *, are_stacks_told: bool = False) -> None:
        assignment = self._in_hand.get(number)
        if assignment is None or number in self._stuck or self._sock is None:
            return
        if are_stacks_told:
            self._give_up(number)
        else:
            late = self._late(assignment.exchange)
            self.process.stacks.ask(self.log, late, lambda: self._give_up(number))

    def _give_up(self, number: int) -> None:
        assignment = self._in_hand.get(number)
        if assignment is not None and number not in self._stuck and self._sock is not None:
            self._stuck.add(number)
            self._overseer.on_stuck(self, assignment.exchange)

    def _late(self, exchange: Exchange) -> dict[str, object]:
        """What the log says of a request that took too long."""
        return {
            "request_id": exchange.id,
            "method": exchange.head.method,
            "path": exchange.head.path,
            "seconds": round(self._loop.now - exchange.started_s, 1),
        }


# By type of message. Not of each worker: it would hold itself, and outlive its process.
_HANDLERS: dict[str, Callable[[Worker, wire.Message, bytes], None]] = {
    wire.RESPONSE: Worker._on_response,
    wire.BODY: Worker._on_body,
    wire.WINDOW: Worker._on_window,
    wire.ACCEPT: Worker._on_accept,
    wire.MESSAGE: Worker._on_message,
    wire.CLOSE: Worker._on_close,
    wire.ERROR: Worker._on_error,
    wire.UP: Worker._on_up,
    wire.READY: Worker._on_ready,
}
