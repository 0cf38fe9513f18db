"""What is kept of a worker that has ended: see `core.telemetry.autopsies`."""

import time

from buntime.core.pool.workforce import WorkerState
from buntime.core.telemetry.autopsies import Autopsies, Autopsy
from buntime.core.telemetry.meters import Cause
from buntime.core.values.tuples import NamedTuple
from buntime.server.pool.deployment import Deployment
from buntime.server.pool.worker import Worker

_WORDS = {
    Cause.STUCK: "a request exceeded its timeout and did not stop",
    Cause.UNRESPONSIVE: "it did not end when told to",
    Cause.IDLE: "it had no request for longer than idleTimeout",
}
_HAVE_STACKS = frozenset({Cause.STUCK, Cause.UNRESPONSIVE, Cause.MEMORY})


class End(NamedTuple):
    """How its process ended: "killed by SIGKILL", and how many requests it had in hand."""

    cause: Cause
    how: str
    lost: int
    now: float


def note_autopsy(
    autopsies: Autopsies, worker: Worker, record: WorkerState, deployment: Deployment, end: End
) -> None:
    """Keep it, unless it is one of those that occur with each request."""
    reported = autopsies.take_why(worker.name, end.cause)
    if end.cause is Cause.ENDED and record.app is not None and record.app.is_ephemeral:
        return
    why, _, stack = _of_boot(record, end) or (reported or _words(record, end), "", "")
    if end.cause in _HAVE_STACKS:
        stack = worker.process.stacks.last
    autopsies.note(
        deployment.app.key,
        Autopsy(
            worker=worker.name,
            pid=worker.process.pid,
            at=time.time(),
            cause=end.cause,
            why=why,
            age_s=end.now - record.born_s,
            served=record.served,
            lost=end.lost,
            stack=stack,
        ),
    )


def _of_boot(record: WorkerState, end: End) -> tuple[str, str, str] | None:
    """The error of an app that could not be loaded: its message, and the stack."""
    if end.cause in (Cause.BOOT, Cause.BOOT_TIMEOUT) and record.boot.error:
        return record.boot.error.partition("\n")
    return None


def _words(record: WorkerState, end: End) -> str:
    if end.cause is not Cause.ENDED:
        return _WORDS.get(end.cause, end.how)
    if record.served and record.served >= record.requests_max:
        return f"it served {record.served} requests, so that maxRequests was reached"
    app = record.app
    if app is not None and end.now - record.born_s >= app.policy.ttl_s:
        return "it was older than ttl"
    if app is not None and app.is_dropped:
        return "other code of its app has taken its place"
    return "it was no longer needed"
