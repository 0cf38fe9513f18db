"""Decides which jobs are due, which wait, and which are skipped; `now` is the wall clock's.

    plan(jobs, now)    sets all the jobs there are
    look(now)          puts what is due into the line, or skips it
    take(now)          the first run of the line, to be started; None if enough are running
    ended(run, ...)    the run is over

Guarantees, whatever the clock does:

- No moment of a schedule makes a job run twice: each job knows the next moment that counts, which
  only increases. So if the clock is set back, a job waits until its next moment comes again. Only
  if it is set back by more than a day does the job start over, because the clock was wrong before.
- Moments that passed unnoticed by more than _LATE_S (the clock was set forward, the machine slept,
  no runtime ran) are missed. A job with `catchUp` runs once for all of them.
- No more run than there are places, and whichever is due first starts first. A job has one run in
  the line or under way; with `overlap: queue` one more waits, with `allow` there are up to
  _ALLOWED_MAX.
"""

from collections import deque
from collections.abc import Mapping

from buntime.core.schedule.expression import Schedule
from buntime.core.schedule.jobs import CronJob
from buntime.core.values.tuples import NamedTuple

_LATE_S = 30.0  # a turn of the loop, or a short sleep; less than a schedule's minute
_SET_BACK_MAX_S = 86_400.0
_ALLOWED_MAX = 10  # runs of one job at a time
KEPT_RUNS = 20  # ended runs per job


class JobKey(NamedTuple):
    """Which job of which app, whatever the version."""

    app: str
    name: str


class Planned(NamedTuple):
    """A job to be run; `version` is the active one."""

    job: CronJob
    schedule: Schedule
    version: str | None


class Run:
    """One run of a job."""

    def __init__(self, key: JobKey, job: CronJob, version: str | None, at_s: float | None) -> None:
        """`at_s` is the moment in the schedule; None if somebody asked for the run."""
        self.key = key
        self.job = job
        self.version = version
        self.at_s = at_s
        self.started_s = 0.0  # by the wall clock, once it has started

    def __repr__(self) -> str:
        return f"Run({self.key}, {self.version}, {self.at_s})"


class Ended(NamedTuple):
    """What became of a run, or of a moment without a run."""

    at_s: float  # the moment in the schedule, else when it started
    seconds: float
    result: str  # "ok", "failed", "timeout", "cut"; "overlap", "missed"
    detail: str  # "200", "exit code 1"


class PassedOver(NamedTuple):
    """A moment for which no run starts."""

    key: JobKey
    ended: Ended


class _State:
    def __init__(self, planned: Planned) -> None:
        self.planned = planned
        self.next_s: float | None = None
        self.since_s = 0.0  # all moments up to this one have been handled
        self.under_way: list[Run] = []  # started
        self.in_line = 0
        self.waits_s: float | None = None  # the moment of a run that waits for its predecessor
        self.ended: deque[Ended] = deque(maxlen=KEPT_RUNS)


class Kept(NamedTuple):
    """What outlives a runtime about a job."""

    schedule: Schedule
    since_s: float  # all moments up to this one have been handled
    ended: tuple[Ended, ...]  # the oldest first


class Seen(NamedTuple):
    """One job, for the API."""

    key: JobKey
    planned: Planned
    next_s: float | None
    since_s: float
    running: int
    waiting: int
    ended: tuple[Ended, ...]  # the newest first


class Planner:
    """All jobs of all apps."""

    def __init__(self, most: int) -> None:
        """At most `most` run at a time."""
        self.most = most
        self._states: dict[JobKey, _State] = {}
        self._line: deque[Run] = deque()
        self._running = 0
        self._looked_s: float | None = None
        self._next_s: float | None = None  # for all jobs
        self._is_next_known = False
        self._changed: dict[JobKey, None] = {}  # jobs whose `since_s` has changed
        self._is_closed = False

    def __repr__(self) -> str:
        return f"Planner({len(self._states)} jobs, {self._running} run, {len(self._line)} wait)"

    @property
    def running(self) -> int:
        return self._running

    @property
    def waiting(self) -> int:
        return len(self._line)

    def seen(self) -> list[Seen]:
        """All jobs, ordered by app and name."""
        return [self._see(key, state) for key, state in sorted(self._states.items())]

    def find(self, key: JobKey) -> Seen | None:
        state = self._states.get(key)
        return None if state is None else self._see(key, state)

    def remember(self, key: JobKey, kept: Kept, now: float) -> None:
        """Restore what an earlier runtime has stored about a job, before anything happens to it
        here."""
        state = self._states.get(key)
        if state is None or state.ended or state.under_way or state.in_line:
            return
        state.ended.extend(kept.ended)
        if state.planned.schedule != kept.schedule or kept.since_s - now > _SET_BACK_MAX_S:
            return
        self._move(key, state, kept.since_s)

    def plan(self, jobs: Mapping[JobKey, Planned], now: float) -> None:
        """These are all jobs. Others that are running keep running; others that wait are
        dropped."""
        for key in self._states.keys() - jobs.keys():
            del self._states[key]
            self._is_next_known = False
        self._line = deque(run for run in self._line if run.key in jobs)
        for key, planned in jobs.items():
            state = self._states.get(key)
            if state is None:
                state = self._states[key] = _State(planned)
                self._move(key, state, now)
            is_other = state.planned.schedule != planned.schedule
            state.planned = planned
            if is_other:
                self._move(key, state, now)

    def look(self, now: float) -> list[PassedOver]:
        """Put what is due into the line; returns what is skipped."""
        before, self._looked_s = self._looked_s, now
        if before is not None and before - now > _SET_BACK_MAX_S:
            for key, state in self._states.items():
                self._move(key, state, now)
        due = [
            (state.next_s, key)
            for key, state in self._states.items()
            if state.next_s is not None and state.next_s <= now
        ]
        return [over for at_s, key in sorted(due) for over in self._on_due(key, at_s, now)]

    def next_s(self) -> float | None:
        """When `look` next has something to do."""
        if not self._is_next_known:
            times = (state.next_s for state in self._states.values())
            self._next_s = min((each for each in times if each is not None), default=None)
            self._is_next_known = True
        return self._next_s

    def take_changed(self) -> list[Seen]:
        """The jobs whose `since_s` has changed since the last call."""
        changed, self._changed = self._changed, {}
        return [self._see(key, self._states[key]) for key in changed if key in self._states]

    def take(self, now: float) -> Run | None:
        """The run to start now, if any."""
        if self._is_closed or not self._line or self._running >= self.most:
            return None
        run = self._line.popleft()
        state = self._states[run.key]
        state.in_line -= 1
        run.job, run.version = state.planned.job, state.planned.version
        return self._begin(state, run, now)

    def run_now(self, key: JobKey, now: float) -> Run | None:
        """Somebody asks for a run at once, besides the scheduled ones; None if the job is running
        and may not overlap. Raises KeyError."""
        state = self._states[key]
        planned = state.planned
        if self._is_closed or self._is_taken(state):
            return None
        return self._begin(state, Run(key, planned.job, planned.version, None), now)

    def ended(self, run: Run, result: str, detail: str, seconds: float) -> Ended:
        """The run is over. `seconds` is how long it took, by a clock that nobody sets."""
        self._running -= 1
        at_s = run.started_s if run.at_s is None else run.at_s
        ended = Ended(at_s, seconds, result, detail)
        state = self._states.get(run.key)
        if state is not None and run in state.under_way:
            state.under_way.remove(run)
            state.ended.append(ended)
            if state.waits_s is not None:
                waits_s, state.waits_s = state.waits_s, None
                self._put_in_line(state, run.key, waits_s)
        return ended

    def close(self) -> None:
        """Nothing is started any more."""
        self._is_closed = True
        self._line.clear()

    # How it decides

    def _see(self, key: JobKey, state: _State) -> Seen:
        waiting = state.in_line + (state.waits_s is not None)
        ended = tuple(reversed(state.ended))
        running = len(state.under_way)
        return Seen(key, state.planned, state.next_s, state.since_s, running, waiting, ended)

    def _move(self, key: JobKey, state: _State, since_s: float) -> None:
        """All of its moments up to `since_s` have been handled."""
        state.since_s, state.next_s = since_s, state.planned.schedule.after(since_s)
        self._is_next_known = False
        self._changed[key] = None

    def _begin(self, state: _State, run: Run, now: float) -> Run:
        run.started_s = now
        state.under_way.append(run)
        self._running += 1
        return run

    def _on_due(self, key: JobKey, first_s: float, now: float) -> list[PassedOver]:
        state = self._states[key]
        schedule = state.planned.schedule
        at_s: float | None = first_s
        over = []
        if now - first_s > _LATE_S:
            at_s = schedule.after(now - _LATE_S)
            is_on_time = at_s is not None and at_s <= now
            if not is_on_time and state.planned.job.catch_up:
                at_s = first_s
            elif not is_on_time:
                at_s = None
            if at_s != first_s:
                over.append(self._pass_over(state, key, first_s, "missed"))
        self._move(key, state, now)
        if at_s is None:
            return over
        if not self._is_taken(state):
            self._put_in_line(state, key, at_s)
        elif state.planned.job.overlap == "queue" and state.waits_s is None:
            state.waits_s = at_s
        else:
            over.append(self._pass_over(state, key, at_s, "overlap"))
        return over

    def _is_taken(self, state: _State) -> bool:
        at_once = _ALLOWED_MAX if state.planned.job.overlap == "allow" else 1
        return len(state.under_way) + state.in_line >= at_once

    def _put_in_line(self, state: _State, key: JobKey, at_s: float) -> None:
        if not self._is_closed:
            state.in_line += 1
            self._line.append(Run(key, state.planned.job, state.planned.version, at_s))

    def _pass_over(self, state: _State, key: JobKey, at_s: float, why: str) -> PassedOver:
        ended = Ended(at_s, 0.0, why, "")
        state.ended.append(ended)
        return PassedOver(key, ended)
