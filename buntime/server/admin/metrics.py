"""Collects the current numbers and answers with them, as text for Prometheus and as JSON.

Counters and current activity are read on the loop in one go, so that they are consistent. Slow work
comes after, in a thread: each worker's memory is read from /proc (20 us), the library is imported
at the first scrape (60 ms), and writing 100 apps takes 0.1 s.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence

from buntime import __version__
from buntime.core.errors import ServerFault
from buntime.core.telemetry.cronmetrics import JobRow, ProcessRow, jobs_to_json, processes_to_json
from buntime.core.telemetry.families import Family, Value, values_to_json
from buntime.core.telemetry.metrics import (
    ACCEPTED,
    CONNECTIONS,
    DISPLACED,
    EVICTIONS,
    LOG_LOST,
    MEMORY,
    REFUSED,
    STARTS,
    Snapshot,
    row_of,
    rows_to_json,
)
from buntime.core.telemetry.pluginmetrics import PluginRow, plugins_to_json
from buntime.server.admin.api import Handler
from buntime.server.admin.call import Call
from buntime.server.admin.census import take_census
from buntime.server.http1.service import Service
from buntime.server.pool.process import Process
from buntime.server.pool.report import PoolReport

_INFO = {"version": __version__, "python": sys.version.partition(" ")[0]}
_FRESH = ("cache-control", "no-store")

Written = tuple[str, bytes]  # content type and body


class Metrics:
    """The runtime's numbers."""

    def __init__(
        self,
        service: Service,
        report: PoolReport,
        plugins: Callable[[], Sequence[PluginRow]] = tuple,
        jobs: Callable[[], Sequence[JobRow]] = tuple,
        apps_processes: Callable[[], Sequence[ProcessRow]] = tuple,
    ) -> None:
        """`plugins` gives the values of all plugins, and so on."""
        self._jobs = jobs
        self._apps_processes = apps_processes
        self._plugins = plugins
        self._service = service
        self._report = report

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        return {"metrics.text": self.answer_text, "workers.metrics": self.answer_json}

    def answer_text(self, call: Call) -> None:
        """Answer a scrape, a little later."""
        accept = call.header("accept") or ""
        snapshot, processes = self._take()

        def write() -> Written:
            # Only at the first scrape: 60 ms that a start saves.
            from buntime.server.admin.exposition import write as write_text

            _add_memory(snapshot, processes)
            return write_text(snapshot, accept, _INFO)

        self._answer_later(call, write)

    def answer_json(self, call: Call) -> None:
        """Answer with the fixed names, and with everything that a scrape shows."""
        counters = self._report.counters()
        snapshot, processes = self._take()

        def write() -> Written:
            _add_memory(snapshot, processes)
            body = {
                **counters,
                "runtime": values_to_json(snapshot.whole),
                "apps": rows_to_json(snapshot.rows),
                "plugins": plugins_to_json(snapshot.plugins),
                "jobs": jobs_to_json(snapshot.jobs),
                "processes": processes_to_json(snapshot.processes),
            }
            return "application/json", json.dumps(body).encode("ascii") + b"\n"

        self._answer_later(call, write)

    def _answer_later(self, call: Call, write: Callable[[], Written]) -> None:
        def answer(written: Written | BaseException) -> None:
            if isinstance(written, BaseException):
                call.fail(ServerFault(500, "internal", "the metrics could not be written"))
                raise written  # a bug, for the log
            content_type, body = written
            call.respond(200, [("content-type", content_type), _FRESH], body)

        self._service.loop.run_blocking(write, answer)

    def _take(self) -> tuple[Snapshot, list[list[Process]]]:
        """Everything but memory, and the processes of each row. On the loop."""
        live, processes = take_census(self._service, self._report)
        meters = list(self._service.meters)
        rows = [row_of(meter, live[meter]) for meter in meters]
        whole: dict[Family, Value] = {
            STARTS: self._report.stats.worker_created,
            EVICTIONS: self._report.evictions,
            CONNECTIONS: len(self._service.connections),
            ACCEPTED: self._service.accepted,
            DISPLACED: self._service.admission.displaced.total,
            REFUSED: self._service.client_limit.refused.total,
            LOG_LOST: self._service.log.losses(),
        }
        return Snapshot(rows, whole, self._plugins(), self._jobs(), self._apps_processes()), [
            processes[meter] for meter in meters
        ]


# In a thread


def _add_memory(snapshot: Snapshot, processes: list[list[Process]]) -> None:
    for row, group in zip(snapshot.rows, processes, strict=True):
        if MEMORY in row.values:
            row.values[MEMORY] = sum(process.resident_bytes() for process in group)
