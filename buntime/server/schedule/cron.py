"""Runs the jobs of apps when they are due: requests to the app, and programs of it.

    tick ─> Roll: which apps have jobs ─> Planner: what is due ─> JobRequest, Programs
                                          Planner <─ what came of it ─> log, metrics, state.db

Only the runtime that holds the state folder runs them, so only one of several runtimes on a machine
does. One run starts per turn of the loop, and a few run at a time (RUNTIME_CRON_CONCURRENCY): many
apps with the same minute neither block the loop nor fill the pool.

At shutdown no more jobs start, and running ones are waited for, like requests.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from time import monotonic, time

from buntime.core.apps.app import App
from buntime.core.errors import ManifestError
from buntime.core.schedule.expression import Schedule
from buntime.core.schedule.planner import Ended, JobKey, Kept, Planned, Planner, Run, Seen
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import Settings
from buntime.core.telemetry.cronmetrics import (
    JOB_LAST_GOOD,
    JOB_LAST_TOOK,
    JOB_NEXT,
    JOB_RUNNING,
    JOB_RUNS,
    RAN,
    RESULTS,
    JobRow,
)
from buntime.core.telemetry.families import Family, Value
from buntime.core.values.moments import iso_moment
from buntime.server.apps.zones import zone
from buntime.server.schedule.ground import Ground
from buntime.server.schedule.jobprogram import JobProgram
from buntime.server.schedule.jobrequest import JobRequest
from buntime.server.schedule.keeping import Keeping
from buntime.server.schedule.roll import Roll

_LOOK_S = 1.0  # between checks of the clock, which may have been set
_GOOD = range(200, 300)


class Cron:
    """All jobs of all apps. Used on the loop's thread."""

    def __init__(
        self,
        ground: Ground,
        live: LiveSettings,
        roll: Roll,
        keeping: Keeping,
        *,
        wall: Callable[[], float] = time,
    ) -> None:
        self.counts: Counter[tuple[JobKey, str]] = Counter()  # of results
        self._ground = ground
        self._service = service = ground.service
        self._loop = service.loop
        self._log = service.log
        self._roll = roll
        self._keeping = keeping
        self._wall = wall
        self._planner = Planner(live.now.cron_most)
        self._kept: Mapping[JobKey, Kept] | None = None  # None until it is known
        self._waits: list[Callable[[], None]] = []  # for that
        self._looked_s = float("-inf")
        self._whens: dict[Run, Callable[[Ended], None]] = {}  # wait for the end of one
        self._roll.follow(self._plan)
        live.follow(self._adopt)

    def __repr__(self) -> str:
        return f"Cron({self._planner!r})"

    @property
    def running(self) -> int:
        return self._planner.running

    @property
    def waiting(self) -> int:
        return self._planner.waiting

    @property
    def is_behind(self) -> bool:
        """Whether something is still to be written."""
        return self._kept is None or self._keeping.is_behind

    def seen(self) -> list[Seen]:
        """All jobs, in the order of their apps and names."""
        return self._planner.seen()

    def metrics(self) -> list[JobRow]:
        """The values of each job."""
        return [self._row(seen) for seen in self._planner.seen()]

    def _row(self, seen: Seen) -> JobRow:
        key = seen.key
        good = next((each.at_s for each in seen.ended if each.result == "ok"), 0.0)
        took = next((each.seconds for each in seen.ended if each.result in RAN), 0.0)
        values: dict[Family, Value] = {
            JOB_RUNS: {result: self.counts[key, result] for result in RESULTS},
            JOB_RUNNING: seen.running,
            JOB_LAST_GOOD: good,
            JOB_LAST_TOOK: took,
            JOB_NEXT: seen.next_s or 0.0,
        }
        return JobRow(key.app, key.name, values)

    def know(self, then: Callable[[], None]) -> None:
        """Call it once the jobs and what was kept about them are known, now or soon."""
        if self._kept is None:
            self._waits.append(then)
        else:
            then()

    def find(self, key: JobKey) -> Seen | None:
        return self._planner.find(key)

    def start(self) -> None:
        """Read what was kept; nothing is due before that is known."""
        self._keeping.follow(self._remember)

    def close(self) -> None:
        """Start no more jobs."""
        self._planner.close()

    def run_now(self, key: JobKey, then: Callable[[Ended], None]) -> bool:
        """Run an existing job; False if it runs already and may not overlap.

        `then` gets its result.
        """
        run = self._planner.run_now(key, self._wall())
        if run is None:
            return False
        self._whens[run] = then
        self._loop.call_soon(lambda: self._begin(run))
        return True

    def look(self) -> None:
        """Check what is due: a few times a second."""
        if self._kept is None:
            return
        now = self._wall()
        if abs(now - self._looked_s) >= _LOOK_S or now >= (self._planner.next_s() or now):
            self._looked_s = now
            for over in self._planner.look(now):
                self._tell_of_passed(over.key, over.ended)
            self._keeping.put(self._planner.take_changed())
        self._take()

    # Which jobs there are

    def _remember(self, kept: Mapping[JobKey, Kept]) -> None:
        self._kept = kept
        self._plan()
        waits, self._waits = self._waits, []
        for then in waits:
            self._loop.call_soon(then)

    def _plan(self) -> None:
        if self._kept is None:
            return
        now = self._wall()
        jobs = {
            JobKey(name, job.name): Planned(
                job, Schedule(job.schedule, zone(job.timezone)), app.version
            )
            for name, app in self._roll.apps.items()
            for job in app.manifest.cron
        }
        self._planner.plan(jobs, now)
        for key in jobs.keys() & self._kept.keys():
            self._planner.remember(key, self._kept[key], now)

    def _adopt(self, settings: Settings) -> None:
        self._planner.most = settings.cron_most

    # Runs

    def _take(self) -> None:
        run = self._planner.take(self._wall())
        if run is not None:
            self._begin(run)
            self._loop.call_soon(self._take)  # the next one in another turn

    def _begin(self, run: Run) -> None:
        began_s = monotonic()
        app = self._roll.find(run.key.app)
        jobs = app.manifest.cron if app is not None else ()
        job = next((each for each in jobs if each.name == run.key.name), None)
        if app is None or job is None:
            self._end(run, began_s, "failed", "the app no longer has this job")
            return
        run.job, run.version = job, app.version
        try:
            if job.path is None:
                self._begin_program(run, app, began_s)
            else:
                self._begin_request(run, app, began_s)
        except ManifestError as exc:
            self._end(run, began_s, "failed", str(exc))

    def _begin_request(self, run: Run, app: App, began_s: float) -> None:
        def on_end(status: int) -> None:
            is_late = monotonic() - began_s >= run.job.timeout_s
            result = "timeout" if is_late else "ok" if status in _GOOD else "failed"
            self._end(run, began_s, result, str(status) if status else "cut", request.exchange.id)

        request = JobRequest(self._service, app, run.job, on_end)
        request.begin(self._ground.pool)

    def _begin_program(self, run: Run, app: App, began_s: float) -> None:
        def on_end(result: str, detail: str) -> None:
            self._end(run, began_s, result, detail)

        JobProgram(self._ground, app, run.job, on_end).begin()

    def _end(self, run: Run, began_s: float, result: str, detail: str, request: str = "") -> None:
        seconds = round(monotonic() - began_s, 3)
        ended = self._planner.ended(run, result, detail, seconds)
        self._note(run.key, ended)
        fields: dict[str, object] = {
            "app": run.key.app,
            "version": run.version,
            "job": run.key.name,
            "result": result,
            "detail": detail,
            "ms": round(seconds * 1000, 1),
        }
        seen = self._planner.find(run.key)
        if seen is not None and seen.next_s is not None:
            fields["next"] = iso_moment(seen.next_s)
        if request:
            fields["request_id"] = request
        if result == "ok":
            self._log.info("cron.done", "job done", **fields)
        else:
            self._log.error("cron.failed", "job failed", **fields)
        then = self._whens.pop(run, None)
        if then is not None:
            then(ended)
        self._take()

    def _tell_of_passed(self, key: JobKey, ended: Ended) -> None:
        self._note(key, ended)
        fields = {"app": key.app, "job": key.name, "due": iso_moment(ended.at_s)}
        if ended.result == "missed":
            self._log.warn("cron.missed", "job was not run when it was due", **fields)
        else:
            self._log.warn("cron.overlapped", "job is due, but still runs", **fields)

    def _note(self, key: JobKey, ended: Ended) -> None:
        self.counts[key, ended.result] += 1
        self._keeping.add(key, ended)
