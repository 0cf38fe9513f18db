"""The request of a job: made here, answered by a worker like any other, and read by nobody.

It starts at the pool, where a client's request ends its way: the checks for clients do not concern
it. It has `X-Buntime-Cron`, which is removed from clients' requests (core/http1/forwarded.py).
"""

from collections.abc import Callable

from buntime.core.access.proxyfields import CRON_FIELD
from buntime.core.apps.app import App
from buntime.core.errors import ServerFault
from buntime.core.http1.forwarded import Sender
from buntime.core.http1.head import Head
from buntime.core.schedule.jobs import CronJob
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.inner import InnerClient, inner_host
from buntime.server.http1.service import Service
from buntime.server.pool.pool import Pool

_SLACK_S = 1.0  # after the app's own deadline, by which a late app is reported as usual


class _JobExchange(Exchange):
    """What a job has begun is never retried, whatever its method."""

    __slots__ = ("job",)
    is_repeatable = False

    def __init__(self, client: "JobRequest", head: Head, request_id: str, job: CronJob) -> None:
        super().__init__(client, head, request_id, Sender(None))
        self.job = job.name


class JobRequest(InnerClient):
    """The client of one such request."""

    peer_text = "cron"
    exchange: _JobExchange

    def __init__(
        self, service: Service, app: App, job: CronJob, on_end: Callable[[int], None]
    ) -> None:
        """`on_end` gets the answer's status, 0 for a cut one, once, in a later turn."""
        super().__init__(service, on_end)
        self._app = app
        self._job = job
        self.reader.receive(_request(app, job))
        head = self.reader.next_head()
        if head is None:
            raise AssertionError(f"half a request: {job}")
        self.exchange = _JobExchange(self, head, service.request_id(head), job)

    def begin(self, pool: Pool) -> None:
        """Let a worker answer it. Raises ManifestError if the app has no Python."""
        exchange, job, seconds = self.exchange, self._job, self._job.timeout_s
        self.service.jobs.add(self)
        exchange.route_to(self._app, base=self._app.usual_base)
        exchange.tell([(CRON_FIELD, job.name)])
        exchange.limit_time(seconds)
        self.service.loop.call_later(seconds + _SLACK_S, self._on_late)
        try:
            pool.submit(exchange, self._app.code)
        except BaseException:
            self._on_end = None  # who called is told by this
            self.service.on_job_ended(self)
            raise

    def drain(self) -> None:
        """It is waited for until it has its answer."""

    def _on_late(self) -> None:
        """Its answer has begun, and was cut."""
        self.exchange.fail(ServerFault(504, "job_timeout", "the job took longer than its timeout"))

    def _end(self, status: int) -> None:
        super()._end(status)
        self.service.on_job_ended(self)


def _request(app: App, job: CronJob) -> bytes:
    """Its head. The values come from the manifest, which contains nothing that is invalid in a
    head."""
    length = "" if job.method in ("GET", "HEAD") else "Content-Length: 0\r\n"
    return (
        f"{job.method} {app.usual_base}{job.path} HTTP/1.1\r\nHost: {inner_host(app)}\r\n"
        f"User-Agent: buntime-cron\r\nAccept: */*\r\n{length}\r\n"
    ).encode("ascii")
