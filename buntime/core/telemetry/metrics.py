"""The metrics of the runtime: names, meanings, and values at one moment.

`FAMILIES` is the list, in the order of `/metrics` and of docs/metrics.md.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from buntime.core.pool.lifecycle import State
from buntime.core.telemetry.cronmetrics import CRON_FAMILIES, JobRow, ProcessRow
from buntime.core.telemetry.families import Family, Kind, Scope, Value, by_label, values_to_json
from buntime.core.telemetry.meters import Meter
from buntime.core.telemetry.pluginmetrics import PLUGIN_FAMILIES, PluginRow
from buntime.core.values.tuples import NamedTuple

# The states of an app's worker; a spare has no app, and a worker that is gone does not exist.
_STATES_OF_APP = tuple(state.value for state in State if state not in (State.SPARE, State.GONE))


REQUESTS = Family(
    "buntime_requests_total",
    Kind.COUNTER,
    Scope.APP,
    "requests that have ended, by the class of their status",
    label="status",
)
DURATION = Family(
    "buntime_request_duration_seconds",
    Kind.HISTOGRAM,
    Scope.APP,
    "from a request's head to the end of its answer, without WebSockets and event streams",
)
IN_PROGRESS = Family(
    "buntime_requests_in_progress",
    Kind.GAUGE,
    Scope.APP,
    "requests that have begun and not ended, including WebSockets",
)
WEBSOCKETS = Family("buntime_websockets_open", Kind.GAUGE, Scope.APP, "open WebSockets")
RECEIVED = Family(
    "buntime_received_bytes_total",
    Kind.COUNTER,
    Scope.APP,
    "bytes of requests' bodies and WebSockets' messages",
)
SENT = Family(
    "buntime_sent_bytes_total",
    Kind.COUNTER,
    Scope.APP,
    "bytes of answers' bodies and WebSockets' messages",
)
CUTS = Family(
    "buntime_answers_cut_total",
    Kind.COUNTER,
    Scope.APP,
    "answers that were cut off, by who cut them off",
    label="by",
)
SLOW = Family(
    "buntime_slow_clients_total",
    Kind.COUNTER,
    Scope.APP,
    "clients cut off because they were too slow while others found no room, by what was slow",
    label="with",
)
QUEUE = Family(
    "buntime_queue_requests", Kind.GAUGE, Scope.WORKERS, "requests that wait for a worker"
)
QUEUE_WAIT = Family(
    "buntime_queue_wait_seconds",
    Kind.HISTOGRAM,
    Scope.WORKERS,
    "from a request's head until it is given to a worker",
)
DROPS = Family(
    "buntime_queue_dropped_total",
    Kind.COUNTER,
    Scope.WORKERS,
    "requests that were never given to a worker, by reason",
    label="reason",
)
RETRIES = Family(
    "buntime_request_retries_total",
    Kind.COUNTER,
    Scope.WORKERS,
    "requests tried once more, after the death of the worker that had them",
)
TIMEOUTS = Family(
    "buntime_request_timeouts_total",
    Kind.COUNTER,
    Scope.WORKERS,
    "requests for which the app took longer than its `timeout`",
)
WORKERS = Family(
    "buntime_workers", Kind.GAUGE, Scope.WORKERS, "worker processes, by state", label="state"
)
MEMORY = Family(
    "buntime_worker_memory_bytes",
    Kind.GAUGE,
    Scope.WORKERS,
    "resident memory of all workers of the app together",
)
BOOTS = Family(
    "buntime_worker_boots_total",
    Kind.COUNTER,
    Scope.WORKERS,
    "times that a worker loaded the app or failed to, by outcome",
    label="outcome",
)
BOOT_SECONDS = Family(
    "buntime_worker_boot_seconds",
    Kind.HISTOGRAM,
    Scope.WORKERS,
    "how long workers took to load the app",
)
DEATHS = Family(
    "buntime_worker_deaths_total",
    Kind.COUNTER,
    Scope.WORKERS,
    "worker processes that have ended, by cause",
    label="cause",
)
STARTS = Family(
    "buntime_worker_starts_total", Kind.COUNTER, Scope.RUNTIME, "worker processes started"
)
EVICTIONS = Family(
    "buntime_worker_evictions_total",
    Kind.COUNTER,
    Scope.RUNTIME,
    "idle workers ended because the pool was full and another app needed one",
)
CONNECTIONS = Family(
    "buntime_connections_open",
    Kind.GAUGE,
    Scope.RUNTIME,
    "open connections of clients, including idle ones and WebSockets",
)
ACCEPTED = Family(
    "buntime_connections_accepted_total",
    Kind.COUNTER,
    Scope.RUNTIME,
    "connections of clients that were accepted",
)
DISPLACED = Family(
    "buntime_connections_displaced_total",
    Kind.COUNTER,
    Scope.RUNTIME,
    "connections that were idle, or whose clients read nothing, closed for new ones at the limit",
)
REFUSED = Family(
    "buntime_connections_refused_total",
    Kind.COUNTER,
    Scope.RUNTIME,
    "connections of clients that had too many, answered 429",
)

LOG_LOST = Family(
    "buntime_log_lost_total",
    Kind.COUNTER,
    Scope.RUNTIME,
    "lines of the log that were lost, by destination",
    label="to",
)

FAMILIES = (
    REQUESTS, DURATION, IN_PROGRESS, WEBSOCKETS, RECEIVED, SENT, CUTS, SLOW,
    QUEUE, QUEUE_WAIT, DROPS, RETRIES, TIMEOUTS,
    WORKERS, MEMORY, BOOTS, BOOT_SECONDS, DEATHS,
    *PLUGIN_FAMILIES, *CRON_FAMILIES,
    STARTS, EVICTIONS, CONNECTIONS, ACCEPTED, DISPLACED, REFUSED, LOG_LOST,
)  # fmt: skip


@dataclass(slots=True)
class Live:
    """What is going on in one app at this moment: not counted, but looked up."""

    requests: int = 0
    websockets: int = 0
    received_bytes: int = 0  # by the requests in progress
    sent_bytes: int = 0
    queued: int = 0
    workers: Counter[str] = field(default_factory=Counter)  # by State.value


class Row(NamedTuple):
    """The values of one version of one app; name and version are "" for what belongs to no app."""

    name: str
    version: str
    values: dict[Family, Value]


class Snapshot(NamedTuple):
    """All values at one moment."""

    rows: Sequence[Row]
    whole: Mapping[Family, Value]  # for Scope.RUNTIME
    plugins: Sequence[PluginRow] = ()
    jobs: Sequence[JobRow] = ()
    processes: Sequence[ProcessRow] = ()

    def values(self) -> Iterator[tuple[list[str], Mapping[Family, Value]]]:
        """Groups of values, each with the values of its scope's labels."""
        yield [], self.whole
        for row in self.rows:
            yield [row.name, row.version], row.values
        for plugin in self.plugins:
            yield [plugin.name], plugin.values
            for hook, values in plugin.hooks.items():
                yield [plugin.name, hook], values
        for row_of_job in self.jobs:
            yield [row_of_job.app, row_of_job.job], row_of_job.values
        for process in self.processes:
            yield [process.app, process.process], process.values


def row_of(meter: Meter, live: Live) -> Row:
    """The values of one app. A static site has none about workers."""
    values: dict[Family, Value] = {
        REQUESTS: {f"{digit}xx": meter.requests[digit] for digit in range(1, 6)},
        DURATION: meter.duration.copy(),
        IN_PROGRESS: live.requests,
        WEBSOCKETS: live.websockets,
        RECEIVED: meter.received_bytes + live.received_bytes,
        SENT: meter.sent_bytes + live.sent_bytes,
        CUTS: by_label(meter.cuts),
        SLOW: by_label(meter.slow),
    }
    if meter.has_workers:
        states = _STATES_OF_APP if meter.name else (State.SPARE.value, State.ENDING.value)
        values |= {
            QUEUE: live.queued,
            QUEUE_WAIT: meter.queue_wait.copy(),
            DROPS: by_label(meter.drops),
            RETRIES: meter.retries,
            TIMEOUTS: meter.timeouts,
            WORKERS: {state: live.workers[state] for state in states},
            MEMORY: 0,  # to be measured
            BOOTS: {"loaded": meter.boots_loaded, "failed": meter.boots_failed},
            BOOT_SECONDS: meter.boot_seconds.copy(),
            DEATHS: by_label(meter.deaths),
        }
    return Row(meter.name, meter.version or "", values)


def rows_to_json(rows: Iterable[Row]) -> dict[str, object]:
    """By app key, "shop@1.2.0"; "" for what belongs to no app."""
    return {
        f"{row.name}@{row.version}" if row.version else row.name: values_to_json(row.values)
        for row in rows
    }
