"""The runtime's log: the loop drops records into a queue, one thread formats and writes them.

    loop, pool threads ── put ──> bounded queue ── batch ──> writer thread ──> stdout, file,
                                                                               logs of apps

Guarantees:
- Logging never waits and never raises. A log that cannot keep up loses the newest records, and says
  in the log how many.
- Records come out in the order in which they were put in.
- A caller pays for the level check, an append and a check of a flag, not for formatting or a system
  call: 0.3 µs for an access entry (CPython 3.11). It wakes the writer, which costs 50 µs, only if
  that sleeps. After a write the writer checks again POLL_S later by itself, and goes to sleep if
  nothing came in between: above 1/POLL_S records a second nobody pays for waking it.
- The writer holds the interpreter lock for a batch at most, 0.35 ms for 128 access lines, then
  releases it to write. It writes about 100,000 lines a second.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Literal

from buntime.core.errors import UsageError
from buntime.core.telemetry.records import (
    OUTPUT,
    PLUGIN_OUTPUT,
    AccessEntry,
    Level,
    Record,
    split_level,
)
from buntime.core.values.enums import Enum
from buntime.server.telemetry.applogs import AppLogs
from buntime.server.telemetry.logfile import LineOutput, LogFile, LogStream
from buntime.server.telemetry.logforms import Entry, Form, format_lines, joined

# Two seconds of access lines at 10,000 requests a second; some 12 MB.
QUEUE_RECORDS = 20_000
# What apps print may take half of the queue: an app that floods the log loses its own lines.
QUEUE_APP_RECORDS = QUEUE_RECORDS // 2
# Text of all queued records except access lines: 10,000 of an app's longest lines took 160 MB.
QUEUE_CHARS = 8 * 1024 * 1024
BATCH_RECORDS = 128
BATCH_CHARS = 128 * 1024
POLL_S = 0.01
# A log that is too slow for a long time says so this often.
TELL_DROPPED_S = 1.0

DEBUG, INFO, WARN, ERROR = Level


class Log:
    """What code writes to: `log.warn("worker.died", "worker died", worker="w3")`.

    The first word is the event's code: docs/logging.md has a table of them.

    `fields` are written with every record. Values are formatted later, on another thread: pass
    values that no longer change.
    """

    __slots__ = ("_fields", "_sink")

    def __init__(self, sink: "LogSink", fields: Mapping[str, object] | None = None) -> None:
        self._sink = sink
        self._fields: dict[str, object] = dict(fields or {})

    def child(self, /, **fields: object) -> "Log":
        """A log whose records also have these fields: `log.child(app="shop", version="1.0.0")`."""
        return Log(self._sink, self._fields | fields)

    def debug(self, event: str, message: str, /, **fields: object) -> None:
        """Details that help to follow the runtime's decisions."""
        if self._sink.level <= DEBUG:
            self._put(DEBUG, event, message, fields)

    def info(self, event: str, message: str, /, **fields: object) -> None:
        """Normal events."""
        if self._sink.level <= INFO:
            self._put(INFO, event, message, fields)

    def warn(self, event: str, message: str, /, **fields: object) -> None:
        """Something that somebody should look at some day."""
        if self._sink.level <= WARN:
            self._put(WARN, event, message, fields)

    def error(self, event: str, message: str, /, **fields: object) -> None:
        """A failure; a trace goes into the field `stack`."""
        if self._sink.level <= ERROR:
            self._put(ERROR, event, message, fields)

    def access(self, entry: AccessEntry) -> None:
        """A request that was answered; the fields of this log are not written with it."""
        if self._sink.level <= INFO:
            self._sink.put_access(entry)

    def app_output(
        self,
        app: str,
        version: str | None,
        worker: str,
        stream: Literal["stdout", "stderr"],
        line: str,
    ) -> None:
        """A line that an app printed: level info for stdout, warn for stderr."""
        level = INFO if stream == "stdout" else WARN
        if self._sink.level <= level:
            fields = {"app": app, "version": version, "worker": worker, "stream": stream}
            record = Record(self._sink.clock(), level, OUTPUT, line, fields)
            self._sink.put(record, limit_records=QUEUE_APP_RECORDS)

    def plugin_output(
        self, plugin: str, worker: str, stream: Literal["stdout", "stderr"], line: str
    ) -> None:
        """The same for a plugin, whose `plugin.log` gives each line a level."""
        level, text = split_level(line, INFO if stream == "stdout" else WARN)
        if self._sink.level <= level:
            fields = {"plugin": plugin, "worker": worker, "stream": stream}
            record = Record(self._sink.clock(), level, PLUGIN_OUTPUT, text, fields)
            self._sink.put(record, limit_records=QUEUE_APP_RECORDS)

    def losses(self) -> dict[str, float]:
        """How many lines did not get where they should, see `LogSink.losses`."""
        return self._sink.losses()

    def _put(self, level: Level, event: str, message: str, fields: dict[str, object]) -> None:
        if self._fields:
            fields = self._fields | fields
        self._sink.put(Record(self._sink.clock(), level, event, message, fields))


class _Act(Enum):
    FLUSH = "flush"
    REOPEN = "reopen"
    CLOSE = "close"


class _Mark:
    """An order to the writer, carried out when everything queued before it is written."""

    __slots__ = ("act", "done")

    def __init__(self, act: _Act) -> None:
        self.act = act
        self.done = threading.Event()


class LogSink:
    """The queue, the writer thread, and where it writes: a stream, a file, or both.

    `format` is "json" or "pretty"; pretty lines are in colour on a terminal, unless the environment
    has NO_COLOR; if the systemd journal reads the stream (`is_journal`) they have priorities and no
    time. With `stream_fd` None there is only the file. `clock` returns seconds since the epoch.
    Raises UsageError if the file cannot be opened.
    """

    def __init__(
        self,
        level: Level,
        *,
        format: str = "json",  # noqa: A002  # named as the setting is
        stream_fd: int | None = 1,
        is_journal: bool = False,
        file: str | None = None,
        file_size_bytes: int = 50 * 1024 * 1024,
        file_count: int = 5,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if format not in ("json", "pretty"):
            raise UsageError(f"log format {format!r} is unknown; use json or pretty")
        self.level = level
        self.clock = clock
        self.dropped_records = 0
        self.collector_lost: Callable[[], int] = lambda: 0  # spans and records

        # of all threads: single appends, pops and reads of these are atomic
        self._queue: deque[Entry | _Mark] = deque()
        self._limit_records = QUEUE_RECORDS
        self._is_asleep = False
        self._wake = threading.Event()
        # guards the sums: `dropped_records` and `_queued_chars`; nothing waits while it is held
        self._lock = threading.Lock()
        self._queued_chars = 0

        # of the writer thread
        self._stream = None if stream_fd is None else LogStream(stream_fd)
        self._file = LogFile(file, size_bytes=file_size_bytes, count=file_count) if file else None
        self._outputs: list[tuple[LineOutput, Form]] = []
        plain = Form(format)
        if self._stream is not None:
            is_pretty = plain is Form.PRETTY
            has_colour = self._stream.is_terminal() and not os.environ.get("NO_COLOR")
            special = Form.JOURNAL if is_journal else Form.COLOURED if has_colour else plain
            self._outputs.append((self._stream, special if is_pretty else plain))
        if self._file is not None:
            self._outputs.append((self._file, plain))
        self._app_logs: AppLogs | None = None
        self._export: Callable[[list[Entry]], None] | None = None
        self._forms = {form for _, form in self._outputs}
        self._reported_records = 0
        self._tell_at = 0.0
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        state = "open" if self._thread.is_alive() else "closed"
        return f"LogSink({state}, {self.queued_records} queued, {self.dropped_records} dropped)"

    @property
    def queued_records(self) -> int:
        """Records that the writer has not taken yet."""
        return len(self._queue)

    @property
    def lost_lines(self) -> int:
        """Lines that could not be written: to a full disk, into a closed pipe."""
        return sum(output.lost_lines for output in (self._stream, self._file) if output)

    def losses(self) -> dict[str, float]:
        """How many lines were lost, by destination: the writer, its outputs, apps' files, a
        collector of traces and logs.
        """
        return {
            "queue": self.dropped_records,
            "output": self.lost_lines,
            "apps": self._app_logs.lost_lines if self._app_logs else 0,
            "collector": self.collector_lost(),
        }

    # --- on any thread ---

    def put_access(self, entry: AccessEntry) -> None:
        """Queue an access entry, without a lock: the only call that happens at every request."""
        if len(self._queue) >= self._limit_records:
            with self._lock:
                self.dropped_records += 1
            return
        self._queue.append(entry)
        if self._is_asleep:
            self._wake_writer()

    def put(self, record: Record, *, limit_records: int = QUEUE_RECORDS) -> None:
        """Queue a record, unless there are `limit_records` or QUEUE_CHARS of text already."""
        chars = _chars(record)
        with self._lock:
            if (
                len(self._queue) >= min(limit_records, self._limit_records)
                or self._queued_chars + chars > QUEUE_CHARS
            ):
                self.dropped_records += 1
                return
            self._queued_chars += chars
            self._queue.append(record)
        if self._is_asleep:
            self._wake_writer()

    def keep(self, app_logs: AppLogs) -> None:
        """From now on, also keep what is logged by app."""
        self._forms = self._forms | {Form.JSON}
        self._app_logs = app_logs

    def export(self, put: Callable[[list[Entry]], None]) -> None:
        """From now on, pass what is logged to `put`, on the writer thread; it must not wait."""
        self._export = put

    def reopen(self) -> None:
        """Reopen the file, after it was renamed; returns at once."""
        self._order(_Act.REOPEN)

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything queued was written (or lost); False if it took longer."""
        return not self._thread.is_alive() or self._order(_Act.FLUSH).done.wait(timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Write what is queued and end the writer; False if it took longer.

        What is logged from now on is dropped.
        """
        self._limit_records = 0
        if self._thread.is_alive():
            self._order(_Act.CLOSE)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _order(self, act: _Act) -> _Mark:
        mark = _Mark(act)
        self._queue.append(mark)
        self._wake_writer()
        return mark

    def _wake_writer(self) -> None:
        # The flag first: callers that come in between need not wake it again. The writer clears the
        # event before it looks into the queue, so no record stays there unseen.
        self._is_asleep = False
        self._wake.set()

    # --- on the writer thread ---

    def _run(self) -> None:
        mark = None
        while mark is None or mark.act is not _Act.CLOSE:
            batch, mark = self._take()
            if batch:
                self._write(batch)
            self._tell_dropped(at_once=mark is not None)
            if mark:
                self._obey(mark)
            elif not batch:
                self._sleep()
            elif len(self._queue) < BATCH_RECORDS:  # let some gather
                self._wake.wait(POLL_S)
                self._wake.clear()

    def _take(self) -> tuple[list[Entry], _Mark | None]:
        """The next batch, and the mark that ended it."""
        batch: list[Entry] = []
        mark, chars = None, 0
        while self._queue and len(batch) < BATCH_RECORDS and chars < BATCH_CHARS:
            entry = self._queue.popleft()
            if isinstance(entry, _Mark):
                mark = entry
                break
            if type(entry) is Record:
                chars += _chars(entry)
            batch.append(entry)
        if chars:
            with self._lock:
                self._queued_chars -= chars
        return batch, mark

    def _write(self, batch: list[Entry]) -> None:
        """Write a batch everywhere; if lines were lost before, report how many."""
        app_logs = self._app_logs  # before the forms, which are there first
        lines = {form: self._lines(batch, form) for form in self._forms}
        for output, form in self._outputs:
            if output.write(joined(lines[form])) and output.reported_lines < output.lost_lines:
                self._tell_lost(output, form)
        if app_logs is not None:
            record = app_logs.take(batch, lines[Form.JSON])
            if record is not None:
                self._write([record])
        if self._export is not None:
            self._export(batch)

    def _tell_lost(self, output: LineOutput, form: Form) -> None:
        lost = output.lost_lines - output.reported_lines
        record = Record(
            self.clock(), WARN, "log.lost", f"lost {lost} log lines that could not be written", {}
        )
        if output.write(joined(self._lines([record], form))):
            output.reported_lines += lost

    def _tell_dropped(self, *, at_once: bool) -> None:
        """Report dropped records; while more keep coming, once in TELL_DROPPED_S."""
        dropped = self.dropped_records - self._reported_records
        now = time.monotonic()
        if dropped and (at_once or not self._queue or now >= self._tell_at):
            self._reported_records += dropped
            self._tell_at = now + TELL_DROPPED_S
            text = f"dropped {dropped} log records that came faster than they could be written"
            self._write([Record(self.clock(), WARN, "log.dropped", text, {})])

    def _obey(self, mark: _Mark) -> None:
        if self._file and mark.act is _Act.REOPEN:
            self._file.reopen()
        elif mark.act is _Act.CLOSE:
            if self._file:
                self._file.close()
            if self._app_logs:
                self._app_logs.close()
        mark.done.set()

    def _lines(self, batch: list[Entry], form: Form) -> list[str]:
        return format_lines(batch, form, self.clock)

    def _sleep(self) -> None:
        self._is_asleep = True
        if not self._queue:  # a record put before the flag was up has woken nobody
            self._wake.wait()
        self._is_asleep = False
        self._wake.clear()


def _chars(record: Record) -> int:
    texts = [value for value in record.fields.values() if isinstance(value, str)]
    return len(record.message) + sum(map(len, texts))
