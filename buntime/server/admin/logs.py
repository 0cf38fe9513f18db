"""`GET /api/logs`: apps' logs in pages, as NDJSON, and as server-sent events.

Threads read, two at a time, so that a search through a gigabyte takes no thread from those that
install packages. What is read goes to the client in pieces; the next piece is read once the client
has taken the one before.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial

from buntime.core.access.rights import may
from buntime.core.admin.logroutes import LINES_DEFAULT
from buntime.core.errors import ClientFault, ServerFault
from buntime.core.telemetry.applines import RUNTIME, LineFilter, seq_of, time_text
from buntime.core.telemetry.linepicks import Bounds
from buntime.core.telemetry.records import Level, Record, format_json
from buntime.core.telemetry.since import parse_since
from buntime.core.values.units import BadValue
from buntime.server.admin.api import Handler
from buntime.server.admin.call import Call
from buntime.server.admin.streaming import EVENTS, NDJSON, Stream
from buntime.server.loop.loop import Loop, Timer
from buntime.server.telemetry.applogs import AppLogs
from buntime.server.telemetry.logreading import LogReader, Page, Question
from buntime.server.telemetry.logtail import LogTail, Piece

FOLLOWERS_MAX = 32
_READERS_MAX = 2
_PAGE = Bounds(1000, 256 * 1024)
_PAGE_MAX_BYTES = 8 * 1024 * 1024  # of an answer in one piece
_TAIL_BYTES = 64 * 1024  # handed to a stream at once
_QUIET_S = 15.0  # after which proxies are shown that the stream is alive

_OWN = "+runtime"  # the name for lines that belong to no app, as in its file

_, _, WARN, _ = Level


class LogPages:
    """Serves this page."""

    def __init__(
        self, loop: Loop, app_logs: AppLogs, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.reader = LogReader(app_logs)
        self.loop = loop
        self.clock = clock
        self.followers: set[_LogStream] = set()
        self._waiting: deque[Callable[[], None]] = deque()
        self._reading = 0

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        return {"logs.list": self._list}

    def read(self, work: Callable[[], Page], then: Callable[[Page | BaseException], None]) -> None:
        """Read a page; `then` gets it, or the exception, on the loop's thread."""
        self._waiting.append(partial(self.loop.run_blocking, work, partial(self._read, then)))
        self._read_on()

    def _read(
        self, then: Callable[[Page | BaseException], None], page: Page | BaseException
    ) -> None:
        self._reading -= 1
        self._read_on()
        then(page)

    def _read_on(self) -> None:
        while self._waiting and self._reading < _READERS_MAX:
            self._reading += 1
            self._waiting.popleft()()

    def _list(self, call: Call) -> None:
        question = _question(call, self.clock())
        after = _place(call)
        if call.accepts(EVENTS) or call.accepts(NDJSON):
            if call.query["follow"] and len(self.followers) >= FOLLOWERS_MAX:
                raise ServerFault(
                    503, "too_many_followers", f"{FOLLOWERS_MAX} clients are already following logs"
                )
            _LogStream(self, call, question, after).begin()
            return
        if call.query["follow"]:
            raise ClientFault(
                400,
                "bad_query",
                f"follow is for streams: send Accept: {EVENTS}, or {NDJSON}",
            )
        bounds = Bounds(call.query["limit"] or LINES_DEFAULT, _PAGE_MAX_BYTES)
        work = partial(self.reader.first, question, after or 0, bounds)
        if after is None and not question.filter.since:
            work = partial(self.reader.last, question, bounds)
        self.read(work, lambda page: call.guard(partial(_answer, call, page)))


class _LogStream:
    """One streamed answer: first the lines there were, page by page, then new ones as they come."""

    def __init__(self, pages: LogPages, call: Call, question: Question, after: int | None) -> None:
        self._pages = pages
        self._call = call
        self._question = question
        self._follows = bool(call.query["follow"])
        self._is_events = call.accepts(EVENTS)
        # its position
        self._after = after or 0
        self._begins_at_end = after is None and (
            not question.filter.since or (self._follows and call.query["limit"] is not None)
        )
        limit = call.query["limit"]
        self._left: int | None = None if self._follows else limit  # lines still wanted
        self._end = Bounds(limit or LINES_DEFAULT, _PAGE_MAX_BYTES)
        self._is_reading = False
        self._is_live = False
        # if it follows
        self._tail: LogTail | None = None
        self._timer: Timer | None = None
        self._stream: Stream

    def begin(self) -> None:
        call, loop = self._call, self._pages.loop
        media = EVENTS if self._is_events else NDJSON
        self._stream = stream = call.stream(media, is_endless=self._follows)
        if stream.is_over:
            return
        stream.on_room, stream.on_end = self._go_on, self._end_all
        if self._follows:
            self._pages.followers.add(self)
            self._tail = LogTail(
                self._question.sees,
                self._question.filter.compiled(),
                lambda: loop.call_threadsafe(self._go_on),
            )
            self._timer = loop.call_later(_QUIET_S, self._tell_alive)
        self._go_on()

    def _go_on(self) -> None:
        """Send the next piece, as far as the client has room for it."""
        if self._stream.is_over or self._is_reading or not self._stream.has_room:
            return
        if self._is_live:
            self._send_new()
            return
        self._is_reading = True
        reader, question = self._pages.reader, self._question
        if self._begins_at_end:
            work = partial(reader.last, question, self._end)
        else:
            lines = _PAGE.lines if self._left is None else min(self._left, _PAGE.lines)
            bounds = Bounds(lines, _PAGE.size_bytes)
            work = partial(reader.first, question, self._after, bounds, self._tail)
        self._pages.read(work, self._take)

    def _take(self, page: Page | BaseException) -> None:
        self._is_reading = False
        if self._stream.is_over:
            self._end_all()  # it may have begun to follow by now
            return
        if isinstance(page, BaseException):
            self._stream.cut()
            raise page  # a bug, for the log
        begins_at_end, self._begins_at_end = self._begins_at_end, False
        self._after, self._is_live = page.last, page.is_followed
        if self._left is not None:
            self._left -= len(page.lines)
        if page.lines:
            self._send(page.lines)
        is_last = page.is_end if not begins_at_end else True
        if not self._follows and (is_last or self._left == 0):
            self._stream.finish()
        else:
            self._go_on()

    def _send_new(self) -> None:
        tail = self._tail
        while tail is not None and self._stream.has_room:
            pieces = tail.take(_TAIL_BYTES)
            if not pieces:
                return
            self._send(pieces)

    def _send(self, pieces: list[bytes] | list[Piece]) -> None:
        form = _event if self._is_events else bytes
        self._stream.send(
            b"".join(
                form(piece if isinstance(piece, bytes) else self._lost(piece)) for piece in pieces
            )
        )

    def _lost(self, count: int) -> bytes:
        """A line in place of those that were lost; it has no number."""
        text = "lines are missing here: they came faster than they were read"
        record = Record(self._pages.clock(), WARN, "log.skipped", text, {"lines": count})
        return format_json(record).encode("ascii") + b"\n"

    def _tell_alive(self) -> None:
        self._timer = self._pages.loop.call_later(_QUIET_S, self._tell_alive)
        if self._stream.has_room:
            self._stream.send(b":\n\n" if self._is_events else b"\n")

    def _end_all(self) -> None:
        self._pages.followers.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        tail, self._tail = self._tail, None
        if tail is not None and not self._is_reading:
            forget = partial(self._pages.reader.forget, tail)
            # The writer uses this lock too, so the loop must not wait for it.
            self._pages.loop.run_blocking(forget, lambda _: None)
        elif tail is not None:
            self._tail = tail  # `_take` will forget it


def _answer(call: Call, page: Page | BaseException) -> None:
    """A page as one object; its lines are JSON already."""
    if isinstance(page, BaseException):
        raise page
    following = "null" if page.is_end else f'"{page.last}"'
    lines = b",\n".join(line.rstrip() for line in page.lines)
    body = b'{"lines":[%b],"next":%b,"last":"%d"}\n' % (lines, following.encode(), page.last)
    call.respond(200, [("content-type", "application/json"), ("cache-control", "no-store")], body)


def _event(line: bytes) -> bytes:
    seq = seq_of(line)
    return b"id: %d\ndata: %b\n" % (seq, line) if seq else b"data: %b\n" % line


def _question(call: Call, now: float) -> Question:
    query = call.query
    since = b""
    if query["since"]:
        try:
            since = time_text(parse_since(query["since"], now))
        except BadValue as exc:
            raise ClientFault(400, "bad_query", f"the query parameter since: {exc}") from None
    level = Level.named(query["level"] or "debug")
    wanted = LineFilter(level, query["request"] or "", since, query["version"] or "")
    app = RUNTIME if query["app"] == _OWN else query["app"]
    # Lines of the runtime and of plugins are only for callers with this right for every app.
    sees_all = call.may(call.route.verb)
    caller, verb = call.caller, call.route.verb

    def sees(name: str) -> bool:
        if app is not None and name != app:
            return False
        is_own = name == RUNTIME or name.startswith("plugin:")
        return sees_all if is_own else may(caller, verb, name)

    return Question(sees, wanted, app)


def _place(call: Call) -> int | None:
    """The number to continue after; what an `EventSource` has seen takes precedence."""
    cursor = call.header("last-event-id") or call.query["cursor"]
    if not cursor:
        return None
    if not cursor.isdecimal() or not cursor.isascii() or len(cursor) > 18:
        raise ClientFault(
            400,
            "bad_cursor",
            "the cursor is not a place in the log; take `next` or `last` of a page",
        )
    return int(cursor)
