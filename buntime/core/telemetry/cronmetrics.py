"""Metrics of apps' jobs and processes, besides those of their requests."""

from collections.abc import Iterable, Mapping

from buntime.core.telemetry.families import Family, Kind, Scope, Value, values_to_json
from buntime.core.values.tuples import NamedTuple

RAN = ("ok", "failed", "timeout", "cut")
RESULTS = (*RAN, "overlap", "missed")

JOB_RUNS = Family(
    "buntime_cron_runs_total",
    Kind.COUNTER,
    Scope.JOB,
    "times that a job was due, or was asked for, by outcome",
    label="result",
)
JOB_RUNNING = Family("buntime_cron_running", Kind.GAUGE, Scope.JOB, "runs of the job under way")
JOB_LAST_GOOD = Family(
    "buntime_cron_last_success_seconds",
    Kind.GAUGE,
    Scope.JOB,
    "when the last successful run was due, in seconds since 1970; 0 if none is known",
)
JOB_LAST_TOOK = Family(
    "buntime_cron_last_run_seconds", Kind.GAUGE, Scope.JOB, "how long the last run took"
)
JOB_NEXT = Family(
    "buntime_cron_next_run_seconds",
    Kind.GAUGE,
    Scope.JOB,
    "when it is due next, in seconds since 1970; 0 if that is not known",
)

PROCESS_UP = Family("buntime_process_up", Kind.GAUGE, Scope.PROCESS, "1 while it runs, else 0")
PROCESS_STARTS = Family(
    "buntime_process_starts_total", Kind.COUNTER, Scope.PROCESS, "times that it was started"
)

CRON_FAMILIES = (
    *(JOB_RUNS, JOB_RUNNING, JOB_LAST_GOOD, JOB_LAST_TOOK, JOB_NEXT),
    *(PROCESS_UP, PROCESS_STARTS),
)


class JobRow(NamedTuple):
    """The values of one job of an app."""

    app: str
    job: str
    values: Mapping[Family, Value]


class ProcessRow(NamedTuple):
    """The values of one process of an app."""

    app: str
    process: str
    values: Mapping[Family, Value]


def processes_to_json(rows: Iterable[ProcessRow]) -> dict[str, object]:
    """The values by app and process: "shop:worker"."""
    return {f"{row.app}:{row.process}": values_to_json(row.values) for row in rows}


def jobs_to_json(rows: Iterable[JobRow]) -> dict[str, object]:
    """The values by app and job: "shop:clean"."""
    return {f"{row.app}:{row.job}": values_to_json(row.values) for row in rows}
