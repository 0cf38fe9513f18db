"""Counts what all workers are doing. It is updated at each step, so that no request needs a search.

Every step of a worker goes through here. For rare steps (a start, a death) the worker is taken out
of all counts and put back in its new state. The two steps of a warm request, IDLE -> BUSY -> IDLE,
change only which workers are idle and which can take more.

Invariant, tested after each event: a count equals the result of a search over all workers.
"""

from collections.abc import Hashable, Iterator

from buntime.core.pool.boot import Step
from buntime.core.pool.idleline import IdleLine
from buntime.core.pool.lifecycle import Event, State
from buntime.core.pool.workforce import BUSY_SHARE, HAS_LEFT, AppState, PoolLimits, WorkerState

_BUSY, _ASSIGN, _DRAINED = State.BUSY, Event.ASSIGN, Event.DRAINED  # looked up for each request


class Census:
    """All workers of the pool, and how many there may be."""

    def __init__(self, limits: PoolLimits) -> None:
        self.limits = limits
        self.is_closing = False  # no more workers are started
        self.is_short = False  # this machine recently lacked the means to start one
        self.workers: dict[int, WorkerState] = {}
        self.size = 0  # processes that have, or had, an app that is not exempt
        self.programs = 0  # programs of apps, which are not workers but take room like them
        self.booting = 0
        self.once = 0  # workers of one request
        self.stalled = 0  # those of them that wait for their client; see `has_slot`
        self.ending = 0  # workers that were told to end a moment ago
        self.overdue = 0  # those that take longer; see `has_room`
        self.spares: dict[Hashable, dict[WorkerState, None]] = {}  # by key, oldest first
        self.idle_lines: dict[float, IdleLine] = {}  # by idleTimeout
        self.idle_exempt: dict[WorkerState, None] = {}  # never ended for being idle
        # Workers with an app that have not left, by their ttl, oldest first
        self.by_ttl: dict[float, dict[WorkerState, None]] = {}
        # Apps with several workers that have not left, by their number
        self.by_serving: dict[int, dict[AppState, None]] = {}
        self.kept: dict[WorkerState, None] = {}  # those that are KEEPING, oldest first
        self.restless: dict[AppState, None] = {}  # watched apps whose workers have changed

    def watch(self, app: AppState) -> None:
        """Look at the app at the next tick, if it is one that needs this."""
        if app.is_watched:
            self.restless[app] = None

    # Rare steps

    def add(self, worker: WorkerState) -> None:
        """A spare is being started."""
        self.workers[worker.id] = worker
        self.spares.setdefault(worker.spare_key, {})[worker] = None
        self._count(worker, 1)

    def adopt(self, worker: WorkerState, app: AppState, event: Event, now: float) -> None:
        """The spare becomes a worker of the app."""
        self._leave_spares(worker)
        self._count(worker, -1)
        worker.app = app
        worker.step(event)
        worker.born_s = worker.idle_since_s = now
        worker.boot.step(Step.ADOPT)
        app.workers[worker.id] = worker
        if app.is_exempt:
            worker.idle_fresh = self.idle_exempt
        else:
            worker.idle_fresh = self._idle_line(app.policy.idle_timeout_s).fresh
        self.by_ttl.setdefault(app.policy.ttl_s, {})[worker] = None
        self._count(worker, 1)
        self._rank(app, app.serving - 1)
        self.watch(app)

    def step(self, worker: WorkerState, event: Event) -> None:
        """Any other step of a worker; see `begin` and `finish` for requests."""
        before, app = worker.state, worker.app
        if app is None:
            self._step_without_app(worker, event)
            return
        serving = app.serving
        self._count(worker, -1)
        worker.step(event)
        self._count(worker, 1)
        self._settle(worker, app, before)
        if app.serving != serving:
            self.by_ttl[app.policy.ttl_s].pop(worker, None)
            self._rank(app, serving)

    def remove(self, worker: WorkerState) -> None:
        """The worker's process is gone."""
        self.step(worker, Event.DIED)
        del self.workers[worker.id]
        if worker.app is not None:
            del worker.app.workers[worker.id]

    def set_up(self, worker: WorkerState) -> None:
        """The worker's interpreter has started."""
        self._boot(worker, Step.UP)

    def set_loaded(self, worker: WorkerState, capacity: int, now: float) -> None:
        """The worker has loaded its app, and can handle `capacity` requests at once."""
        self._boot(worker, Step.LOADED)
        if worker.app is not None and not worker.app.is_ephemeral:
            worker.capacity = max(1, capacity)
        worker.idle_since_s = now
        self.step(worker, Event.LOADED)

    def set_failed(self, worker: WorkerState, why: str) -> None:
        """The worker cannot load its app, or took too long; it is about to die."""
        worker.boot.after(Step.FAIL)
        self._count(worker, -1)
        worker.boot.fail(why)
        self._count(worker, 1)

    def set_overdue(self, worker: WorkerState) -> None:
        """The worker was told to end, and is slower than most."""
        self._count(worker, -1)
        worker.is_overdue = True
        self._count(worker, 1)

    def set_stalled(self, worker: WorkerState, is_stalled: bool) -> None:
        """Set whether the worker of one request waits for its client."""
        self._count(worker, -1)
        worker.is_stalled = is_stalled
        self._count(worker, 1)

    def set_leaving(self, worker: WorkerState, is_leaving: bool) -> None:
        """Set whether the worker leaves as soon as its replacement has loaded."""
        self._count(worker, -1)
        worker.is_leaving = is_leaving
        self._count(worker, 1)

    def set_busy(self, worker: WorkerState, share: float, now: float) -> None:
        """Set how busy the worker is."""
        self._count(worker, -1)
        worker.busy_share = share
        worker.reported_at_s = now
        self._count(worker, 1)

    def set_resting(self, worker: WorkerState, app: AppState, is_resting: bool) -> None:
        """Set whether the worker rests: a resting worker gets nothing new."""
        self._count(worker, -1)
        worker.is_resting = is_resting
        self._count(worker, 1)
        if is_resting:
            app.resting[worker] = None
        else:
            del app.resting[worker]
        if worker.state is State.IDLE:
            before, after = app.idle, app.idle_resting
            if not is_resting:
                before, after = after, before
            del before[worker]
            after[worker] = None
        _arrange(worker, app)

    # Requests

    def begin(self, worker: WorkerState, app: AppState, now: float) -> None:
        """The worker, one of its app's `open`, is given one more request."""
        in_hand = worker.in_hand + 1
        if in_hand == 1:  # otherwise BUSY stays BUSY
            worker.step(_ASSIGN)
            del app.idle[worker]
            del worker.idle_line[worker]
            if app.is_watched:
                worker.reported_at_s = now
                self.restless[app] = None
        worker.in_hand = in_hand
        if in_hand - worker.open_ended >= worker.capacity:
            _close(worker, app)

    def begin_once(self, worker: WorkerState) -> None:
        """The worker is given its only request."""
        if worker.state is State.IDLE:
            self.step(worker, Event.ASSIGN_ONCE)
        worker.in_hand = 1

    def begin_kept(self, worker: WorkerState) -> None:
        """The worker, which is KEEPING, is given a request from its own clients."""
        worker.step(_ASSIGN)
        worker.in_hand += 1

    def open_one(self, worker: WorkerState, app: AppState) -> None:
        """One of the worker's requests no longer takes a place."""
        worker.open_ended += 1
        _arrange(worker, app)

    def finish(self, worker: WorkerState, app: AppState, now: float, was_open_ended: bool) -> None:
        """One of the worker's requests has ended."""
        worker.served += 1
        worker.in_hand = in_hand = worker.in_hand - 1
        if was_open_ended:
            worker.open_ended -= 1
        if not in_hand:
            worker.idle_since_s = now
            if worker.state is not _BUSY:
                self.step(worker, _DRAINED)
                return
            worker.step(_DRAINED)
            (app.idle_resting if worker.is_resting else app.idle)[worker] = None
            worker.idle_line = worker.idle_fresh
            worker.idle_line[worker] = None
            if app.is_watched:
                self.restless[app] = None
        if worker.place < 0:
            _arrange(worker, app)

    def pass_on(self, worker: WorkerState, app: AppState) -> bool:
        """One of the worker's requests has ended, and the app's next one takes its place at once.

        Returns False, with no effect, unless this is all that has to happen: the worker was full
        and stays full.
        """
        if (
            worker.state is not _BUSY
            or worker.in_hand < 2  # it would be idle between the two
            or worker.in_hand - worker.open_ended != worker.capacity
            or worker.served + 1 >= worker.requests_max
            or worker.is_resting
            or app.open  # another worker may be the better one
            or app.is_dropped
        ):
            return False
        worker.served += 1
        return True

    # Questions

    def may_adopt(self, app: AppState) -> bool:
        """May the app have one more worker, as far as the pool's size is concerned?"""
        return self.has_room() if not app.is_exempt else not self.is_short

    def has_room(self) -> bool:
        """May one more worker have an app? A few that take long to end are not counted."""
        limits = self.limits
        if self.is_short:
            return False
        taken = self.size + self.programs - min(self.overdue, limits.beside)
        return taken < limits.pool_size

    def overdue_within(self) -> int:
        """How many of those that take long to end still count."""
        return max(0, self.overdue - self.limits.beside)

    def may_grow(self, app: AppState) -> bool:
        """May the app have one more worker, or are too many of its own still ending?"""
        return app.ending <= self.limits.ending_of_an_app

    def has_slot(self) -> bool:
        """May one more request have a worker of its own? A few workers that wait for their clients
        have lent their slots, because they do nothing with them."""
        limits = self.limits
        return self.once - min(self.stalled, limits.lent) < limits.ephemeral_concurrency

    def beyond_lent(self) -> int:
        """How many workers wait for their clients and still take a slot each."""
        return max(0, self.stalled - self.limits.lent)

    def may_boot(self) -> bool:
        """May one more boot begin that no request waits for?"""
        return not self.is_short and self.booting < self.limits.boots_at_once

    def too_old(self, now: float) -> Iterator[WorkerState]:
        """The workers whose ttl is over."""
        for ttl_s, workers in self.by_ttl.items():
            for worker in workers if ttl_s else ():
                if now - worker.born_s < ttl_s:
                    break
                yield worker

    def idle_longest(self) -> WorkerState | None:
        fronts = [
            next(iter(workers))
            for line in self.idle_lines.values()
            for workers in (line.kept, line.fresh)
            if workers
        ]
        return min(fronts, key=lambda worker: worker.idle_since_s, default=None)

    def busy_longest(self) -> WorkerState | None:
        """Of the workers with requests, the one that was adopted first."""
        fronts = [
            worker
            for workers in self.by_ttl.values()
            if (worker := next(filter(_is_in_the_way, workers), None))
        ]
        return min(fronts, key=lambda worker: worker.born_s, default=None)

    def richest(self) -> Iterator[AppState]:
        """The apps with several workers that have not left, those with the most first."""
        for serving in sorted(self.by_serving, reverse=True):
            yield from self.by_serving[serving]

    # How the counts are updated

    def _count(self, worker: WorkerState, by: int) -> None:
        state, app = worker.state, worker.app
        if state is State.GONE:
            return
        self.booting += by * worker.is_booting()
        self.once += by * (state is State.ONCE)
        self.stalled += by * (worker.is_stalled and state is State.ONCE)
        if app is None or not app.is_exempt:
            self.size += by * (state is not State.SPARE)
            self.ending += by * (state is State.ENDING and not worker.is_overdue)
            self.overdue += by * worker.is_overdue
        if app is not None:
            app.ending += by * (state is State.ENDING)
            app.serving += by * (state not in HAS_LEFT)
            app.leaving += by * (worker.is_leaving and state not in HAS_LEFT)
            app.loading += by * (state is State.LOADING)
            app.loaded += by * worker.boot.is_loaded
            app.used += by * worker.is_used()
            app.busy += by * (worker.is_used() and worker.busy_share >= BUSY_SHARE)

    def _boot(self, worker: WorkerState, step: Step) -> None:
        worker.boot.after(step)  # raises before anything is counted
        self._count(worker, -1)
        worker.boot.step(step)
        self._count(worker, 1)

    def _step_without_app(self, worker: WorkerState, event: Event) -> None:
        if worker.state is State.SPARE:
            self._leave_spares(worker)
        self._count(worker, -1)
        worker.step(event)
        self._count(worker, 1)

    def _settle(self, worker: WorkerState, app: AppState, before: State) -> None:
        """Put the worker where its state says it belongs."""
        if before is State.IDLE:
            del (app.idle_resting if worker.is_resting else app.idle)[worker]
            del worker.idle_line[worker]
        if worker.is_resting and worker.state in HAS_LEFT:
            worker.is_resting = False
            del app.resting[worker]
        if worker.state is State.IDLE:
            app.idle[worker] = None
            worker.idle_line = worker.idle_fresh
            worker.idle_line[worker] = None
        if worker.state is not State.KEEPING:
            self.kept.pop(worker, None)
        elif before is not State.KEEPING:
            self.kept[worker] = None
        self.watch(app)
        _arrange(worker, app)

    def _idle_line(self, timeout_s: float) -> IdleLine:
        line = self.idle_lines.get(timeout_s)
        if line is None:
            line = self.idle_lines[timeout_s] = IdleLine(timeout_s)
        return line

    def _leave_spares(self, worker: WorkerState) -> None:
        spares = self.spares[worker.spare_key]
        del spares[worker]
        if not spares:
            del self.spares[worker.spare_key]

    def _rank(self, app: AppState, before: int) -> None:
        """The number of the app's workers that have not left was `before`."""
        if app.is_exempt:
            return
        if before > 1:
            apps = self.by_serving[before]
            del apps[app]
            if not apps:
                del self.by_serving[before]
        if app.serving > 1:
            self.by_serving.setdefault(app.serving, {})[app] = None


def _is_in_the_way(worker: WorkerState) -> bool:
    """Is it a busy worker that takes room in the pool?"""
    return worker.state is State.BUSY and worker.app is not None and not worker.app.is_exempt


def _arrange(worker: WorkerState, app: AppState) -> None:
    """Put the worker among those that can take a request, exactly if it can."""
    if (worker.can_take() and not worker.is_resting) == (worker.place >= 0):
        return
    if worker.place >= 0:
        _close(worker, app)
    else:
        worker.place = len(app.open)
        app.open.append(worker)


def _close(worker: WorkerState, app: AppState) -> None:
    last = app.open.pop()
    if last is not worker:  # fill the gap, in O(1)
        app.open[worker.place] = last
        last.place = worker.place
    worker.place = -1
