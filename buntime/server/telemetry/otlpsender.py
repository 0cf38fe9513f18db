"""Sends spans and log records to a collector, by OTLP over HTTP, on its own thread.

    loop: a span ───────────────┐
    log's writer: a batch ──────┴─> bounded queues ── batches ──> sender thread ──> collector

Guarantees:
- Putting something in never waits. A full queue drops and counts new items.
- A batch is sent when there are BATCH_MAX of a kind, or DELAY_S after the first. A batch that is
  not accepted is tried again as core/telemetry/exporting.py says, while the queue fills.
- A collector that is dead or refuses costs one log line a minute, with the number of items lost.

It imports `http.client` and `ssl`, 40 ms of a start, so it is imported only if there is a
collector.
"""

import gzip
import http.client
import json
import random
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from buntime.core.telemetry.exporting import GIVE_UP_S, Outcome, pause_s
from buntime.core.telemetry.otlp import (
    LOGS_PATH,
    TRACES_PATH,
    EndedSpan,
    Json,
    write_logs,
    write_spans,
)
from buntime.core.telemetry.records import AccessEntry, Record, Tell
from buntime.core.values.tuples import NamedTuple

# As OTEL_BSP_MAX_QUEUE_SIZE and its like have it.
QUEUE_MAX = 2048
BATCH_MAX = 512
_DELAY_S = 2.0
_TELL_S = 60.0
_SMALL_BYTES = 1024  # are not compressed
_ANSWER_MAX_BYTES = 64 * 1024
_CLOSING_S = 2.0  # for the last batches


class Collector(NamedTuple):
    """Where it is, "http://localhost:4318", and the header fields for each request."""

    endpoint: str
    fields: tuple[tuple[str, str], ...] = ()
    timeout_s: float = 10.0


class _Batch(NamedTuple):
    """What is sent in one request, and when that was first tried."""

    data: bytes
    size: int  # spans or records
    since: float  # monotonic


class _Queue:
    """Things of one kind, and the batch that is being sent."""

    def __init__(self, path: str, write: Callable[[list], bytes]) -> None:  # type: ignore[type-arg]
        self.path = path
        self._write = write
        self.waiting: deque[object] = deque()
        self.batch: _Batch | None = None
        self.tries = 0
        self.next_at = 0.0
        self.sent = 0
        self.lost = 0  # by the sender thread: refused, or too old
        self.dropped = 0  # by who puts in: there was no room

    def put(self, thing: object) -> bool:
        """Returns whether there is a whole batch."""
        if len(self.waiting) >= QUEUE_MAX:
            self.dropped += 1
            return False
        self.waiting.append(thing)
        return len(self.waiting) == BATCH_MAX

    def fill(self, now: float) -> _Batch | None:
        """The batch to send, a new one if there is none."""
        if self.batch is None and self.waiting:
            things = [self.waiting.popleft() for _ in range(min(len(self.waiting), BATCH_MAX))]
            self.batch = _Batch(self._write(things), len(things), now)
            self.tries = 0
        return self.batch

    def drop(self) -> None:
        if self.batch is not None:
            self.lost += self.batch.size
            self.batch = None


class Sender:
    """The queues, and the thread."""

    def __init__(
        self,
        collector: Collector,
        of: Json,
        scope: Json,
        *,
        warn: Tell,
        delay_s: float = _DELAY_S,
    ) -> None:
        """`of` and `scope` are the resource and the scope of all that is sent."""
        self._collector = collector
        self._warn = warn
        self._delay_s = delay_s
        self._spans = _Queue(TRACES_PATH, lambda spans: write_spans(spans, of, scope))
        self._logs = _Queue(LOGS_PATH, lambda entries: write_logs(entries, of, scope))
        self._wake = threading.Event()
        self._is_closing = False
        # of the thread
        self._url = urlsplit(collector.endpoint)
        self._connection: http.client.HTTPConnection | None = None
        self._error = ""  # of the last failed try, until it is reported
        self._tell_at = 0.0
        self._lost_reported = 0
        self._thread = threading.Thread(target=self._run, name="otlp-sender", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        queues = (self._spans, self._logs)
        waiting = sum(len(queue.waiting) for queue in queues)
        return f"Sender({self._collector.endpoint}, {waiting} waiting, {self.lost} lost)"

    @property
    def sent(self) -> int:
        """Spans and records that were accepted."""
        return self._spans.sent + self._logs.sent

    @property
    def lost(self) -> int:
        """Spans and records that were not accepted."""
        return sum(queue.lost + queue.dropped for queue in (self._spans, self._logs))

    def put_span(self, span: EndedSpan) -> None:
        """On the loop's thread."""
        if self._spans.put(span):
            self._wake.set()

    def put_logs(self, entries: Sequence[Record | AccessEntry]) -> None:
        """On the log's writer thread."""
        is_batch = [self._logs.put(entry) for entry in entries]
        if any(is_batch):
            self._wake.set()

    def close(self, timeout_s: float) -> None:
        """Try once to send what is left; then end."""
        self._is_closing = True
        self._wake.set()
        self._thread.join(timeout_s)

    # --- on the thread ---

    def _run(self) -> None:
        while not self._is_closing:
            self._wake.wait(self._delay_s)
            self._wake.clear()
            self._send_all()
            self._tell()
        for queue in (self._spans, self._logs):
            queue.next_at = 0.0
        self._send_all()
        self._disconnect()

    def _send_all(self) -> None:
        for queue in (self._spans, self._logs):
            while time.monotonic() >= queue.next_at and queue.fill(time.monotonic()) is not None:
                if not self._send(queue):
                    break

    def _send(self, queue: _Queue) -> bool:
        """Try to send its batch; returns whether the next one may come."""
        batch = queue.batch
        if batch is None:
            return False
        outcome = self._post(queue.path, batch.data)
        queue.tries += 1
        if outcome.is_taken:
            queue.sent += batch.size - outcome.rejected
            queue.lost += outcome.rejected
            queue.batch = None
            if outcome.rejected:
                self._error = outcome.error
            return True
        self._error = outcome.error or f"it answered with {outcome.status}"
        now = time.monotonic()
        pause = pause_s(outcome, queue.tries, now=time.time(), luck=random.random())
        if outcome.is_final or now + pause > batch.since + GIVE_UP_S:
            queue.drop()
        queue.next_at = now if outcome.is_final else now + pause
        return outcome.is_final

    def _post(self, path: str, data: bytes) -> Outcome:
        fields = {"Content-Type": "application/json", "User-Agent": "buntime"}
        fields |= dict(self._collector.fields)
        if len(data) > _SMALL_BYTES:
            data = gzip.compress(data, 1)
            fields["Content-Encoding"] = "gzip"
        try:
            connection = self._connection or self._connect()
            connection.request("POST", f"{self._url.path}{path}", data, fields)
            response = connection.getresponse()
            answer = response.read(_ANSWER_MAX_BYTES)
            if response.will_close or not response.isclosed():
                self._disconnect()
        except (OSError, http.client.HTTPException, ValueError) as exc:
            self._disconnect()
            return Outcome(0, str(exc) or type(exc).__name__)
        rejected, error = _rejected(answer) if response.status < 300 else (0, "")
        return Outcome(response.status, error, response.headers.get("Retry-After"), rejected)

    def _connect(self) -> http.client.HTTPConnection:
        url, timeout_s = self._url, self._collector.timeout_s
        host = url.hostname or ""
        if self._is_closing:
            timeout_s = min(timeout_s, _CLOSING_S)
        if url.scheme == "https":
            context = ssl.create_default_context()
            self._connection = http.client.HTTPSConnection(
                host, url.port, timeout=timeout_s, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(host, url.port, timeout=timeout_s)
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _tell(self) -> None:
        lost = self.lost - self._lost_reported
        if not (self._error or lost) or time.monotonic() < self._tell_at:
            return
        self._tell_at = time.monotonic() + _TELL_S
        self._lost_reported += lost
        error, self._error = self._error, ""
        self._warn(
            "otlp.failed",
            "traces and logs do not reach the collector",
            endpoint=self._collector.endpoint,
            error=error or "it takes less than is sent",
            lost=lost,
        )


def _rejected(answer: bytes) -> tuple[int, str]:
    """How many items of an accepted batch were rejected, and why."""
    try:
        success = json.loads(answer).get("partialSuccess", {})
        counts = [success.get(name, 0) for name in ("rejectedSpans", "rejectedLogRecords")]
        return sum(map(int, counts)), str(success.get("errorMessage", ""))
    except (ValueError, AttributeError, TypeError, RecursionError):
        return 0, ""
