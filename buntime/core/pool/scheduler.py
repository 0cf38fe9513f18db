"""Decides which worker gets a request, and which workers start and end: no I/O, no clock.

The server reports what happened (`submit`, `loaded`, `finished`, `died`, `tick` ...) and carries
out the returned decisions in order. A ticket identifies one request; the scheduler only queues it.
Invariants, tested over random sequences of events:

- a worker gets work only in a state that allows it, and never more than its capacity, apart from
  open-ended requests;
- there are never more processes with an app than `pool_size` (spares are counted separately), apart
  from a few (`PoolLimits.beside`) that were told to end and take longer than a moment, and from
  programs, which start even if it is full and keep workers from starting;
- never more than `ephemeral_concurrency` requests have a worker of their own, apart from a few
  (`PoolLimits.lent`) that have waited for their clients;
- an app with `ttl` above 0 never has more workers than `workers`, apart from those that leave and
  those that are being replaced;
- a worker that leaves, and whose app has affinity, gets only requests from its own clients;
- every ticket that was submitted is assigned, refused, failed or withdrawn, exactly once.

A worker at the end of its lifetime or its requests is replaced before it is retired, if the app has
had a request recently: it keeps serving until the replacement has loaded.

The cost of a request does not depend on how many workers and apps there are: the census counts, and
whatever needs a look at the next tick is kept in separate sets.
"""

from collections.abc import Callable, Hashable, Iterator

from buntime.core.pool.census import Census
from buntime.core.pool.choice import choose
from buntime.core.pool.deaths import Deaths
from buntime.core.pool.decisions import Assign, Decision, End, Refuse
from buntime.core.pool.dispatch import Dispatch
from buntime.core.pool.lifecycle import State
from buntime.core.pool.lifetimes import Lifetimes
from buntime.core.pool.requestqueue import Ticket
from buntime.core.pool.room import HeldUp, Room
from buntime.core.pool.sessions import Sessions
from buntime.core.pool.spares import Spares
from buntime.core.pool.spreading import Spreading
from buntime.core.pool.workforce import (
    HAS_LEFT,
    AppState,
    PoolLimits,
    WorkerState,
)


class Scheduler:
    """All workers and queues. `jitter()` returns a number from 0 to 1, excluding 1."""

    def __init__(self, limits: PoolLimits, jitter: Callable[[], float]) -> None:
        self._chance = jitter
        self._census = Census(limits)
        self.workers = self._census.workers  # by number
        self._room = Room(self._census)
        self._spares = Spares(self._census)
        self._lifetimes = Lifetimes(self._census, self._spares, self._room, jitter)
        self._spreading = Spreading(self._census, self._lifetimes, self._room)
        self._dispatch = Dispatch(self._census, self._room, self._lifetimes, jitter)
        self._sessions = Sessions(self._census, self._dispatch)
        self._deaths = Deaths(
            self._census, self._room, self._spares, self._lifetimes, self._dispatch
        )

    # Apps

    def add_app(self, app: AppState, now: float) -> list[Decision]:
        """An app becomes known; its prewarmed workers are started."""
        self._census.watch(app)
        return list(self._lifetimes.prewarm(app, now))

    def drop_app(self, app: AppState, now: float, *, is_replaced: bool) -> list[Decision]:
        """The app's code changed or its folder is gone: its workers finish what they have in hand.

        Requests still queued for it are all served, by workers that leave right after. If nothing
        replaces it (`is_replaced` is false), no worker stays for its clients.
        """
        app.is_dropped = True
        app.keeps_sessions &= is_replaced
        app.tried_at_s = None
        decisions: list[Decision] = []
        for worker in app.workers.values():
            decisions += self._lifetimes.leave(worker, now)
        return decisions + self._dispatch.pump(app, now)

    def try_out(self, app: AppState, now: float) -> list[Decision]:
        """See whether the app can be loaded, without a request for it; to be called again."""
        return self._dispatch.try_out(app, now)

    def hold_back(self, app: AppState, until_s: float) -> None:
        """Its workers keep dying: until then start one only for requests."""
        app.retry_at_s = max(app.retry_at_s, until_s)
        self._census.watch(app)

    # Requests

    def submit(self, app: AppState, ticket: Ticket, now: float) -> list[Decision]:
        """A request arrived for the app."""
        app.last_request_s = now
        if not app.queue and not app.is_ephemeral:
            worker = choose(app, self._chance)
            if worker is not None:  # the usual case: no queue, and a worker with room
                self._census.begin(worker, app, now)
                return [Assign(worker.id, ticket)]
        if app.is_crash_looping(now) and not app.workers:
            return [Refuse(ticket, app.retry_at_s - now)]
        return self._dispatch.enqueue(app, ticket, now)

    def keeps_session(self, worker_id: int, app: AppState | None, now: float) -> AppState | None:
        """The worker's app, if it may take its own client's request for `app`. See `sessions`."""
        return self._sessions.at(worker_id, app, now)

    def submit_to(self, worker_id: int, ticket: Ticket, now: float) -> list[Decision]:
        """A request arrived for this worker only, as `keeps_session` has just allowed."""
        return self._sessions.submit(self.workers[worker_id], ticket, now)

    def refuses(self, app: AppState, now: float) -> float | None:
        """If a request were refused now, the seconds until another try makes sense; else None."""
        if app.is_crash_looping(now) and not app.workers:
            return app.retry_at_s - now
        return self._dispatch.refuses(app, now)

    def withdraw(self, app: AppState, ticket: Ticket) -> bool:
        """The request waits no longer: its client left, or it timed out. False if it did not."""
        if not app.queue.waits(ticket):
            return self._sessions.withdraw(ticket)
        self._dispatch.withdraw(app, ticket)
        return True

    def put_last(self, app: AppState, ticket: Ticket) -> None:
        """Its client may have left: all others that wait for the app go first."""
        app.queue.put_last(ticket)
        self._sessions.put_last(ticket)

    def opened(self, worker_id: int, now: float) -> list[Decision]:
        """A request of the worker may go on forever and costs it little: it gives up its place.

        The worker still has it in hand: it is neither idle nor drained before the request ends.
        """
        worker = self.workers[worker_id]
        app = worker.app
        if app is None or worker.open_ended >= worker.in_hand:
            raise AssertionError(f"{worker!r} opened what it did not have")
        self._census.open_one(worker, app)
        decisions = self._sessions.pump(worker, now) if worker.own is not None else []
        return decisions + self._dispatch.pump(app, now) if app.queue else decisions

    def stalled(self, worker_id: int, now: float) -> list[Decision]:
        """The worker of one request only waits for its client: a few such slots are lent."""
        self._census.set_stalled(self.workers[worker_id], True)
        return self._dispatch.take_turns(now)

    def goes_on(self, worker_id: int) -> None:
        """It no longer waits: it takes its slot back, even if there is then one too many."""
        self._census.set_stalled(self.workers[worker_id], False)

    def finished(
        self, worker_id: int, now: float, *, was_open_ended: bool = False
    ) -> list[Decision]:
        """A request of the worker has ended in any way, whether or not `opened` was called."""
        worker = self.workers[worker_id]
        app = worker.app
        if app is None or worker.in_hand < 1:
            raise AssertionError(f"{worker!r} finished what it did not have")
        if app.queue and not was_open_ended and worker.own is None:
            assign = self._dispatch.pass_on(worker, app, now)
            if assign is not None:
                return [assign]
        self._census.finish(worker, app, now, was_open_ended)
        decisions: list[Decision] = []
        if worker.served >= worker.requests_max or worker.state is State.ENDING:
            decisions += self._after_its_last(worker, now)
        if worker.own is not None:
            decisions += self._sessions.take_turn(worker, now)
        if app.is_ephemeral:
            decisions += self._dispatch.take_turns(now)
        elif app.queue:
            decisions += self._dispatch.pump(app, now)
        elif self._room.line and worker.state is State.IDLE:
            decisions += self._dispatch.evict()
        if app.is_dropped:
            decisions += self._leave_if_dropped(worker, app, now)
        return decisions

    # Workers

    def keep_spares(self, key: Hashable, now: float) -> list[Decision]:
        """Keep spare interpreters of this key forever: start one now, the others with `refill`.

        Spares of other keys are kept while apps use them that need a worker for each request.
        """
        self._spares.keep(key)
        return [*self._spares.refill(now, most=1)]

    def up(self, worker_id: int) -> None:
        """The worker's interpreter has started. Raises BootError where it had started already."""
        worker = self.workers[worker_id]
        self._census.set_up(worker)
        self._spares.has_started(worker.spare_key)

    def loaded(self, worker_id: int, capacity: int, now: float) -> list[Decision]:
        """The worker has loaded its app and can handle `capacity` requests at once.

        Raises BootError where it had no app to load, or has said so before.
        """
        worker = self.workers[worker_id]
        app = worker.app
        if worker.boot.has_failed:
            return []  # it is being killed, and this message crossed with that
        self._census.set_loaded(worker, capacity, now)
        if app is None:
            raise AssertionError(f"{worker!r} loaded what it did not have")
        app.boot_failures = 0
        app.boot_error = ""
        app.pressed_since_s = None  # there is one more to take requests
        if worker.state is not State.IDLE:
            return []
        decisions: list[Decision] = []
        if app.leaving:  # the replacement is ready: now the old one may go
            old = next(other for other in app.workers.values() if other.is_leaving)
            decisions += self._lifetimes.leave(old, now)
        decisions += self._dispatch.pump(app, now) + self._leave_if_dropped(worker, app, now)
        if self._room.line and worker.state is State.IDLE:
            decisions += self._dispatch.evict()
        return decisions

    def boot_failed(self, worker_id: int, why: str) -> None:
        """The worker said why it cannot load its app, or is killed for taking too long.

        Its death follows. Raises BootError where it is not loading an app.
        """
        self._census.set_failed(self.workers[worker_id], why)

    def has_no_means(self) -> None:
        """This machine cannot start a process just now: none is started before the next tick."""
        self._census.is_short = True

    def never_started(self, worker_id: int, now: float) -> list[Decision]:
        """There is no process for the worker, through no fault of its app, whose requests wait."""
        return self._deaths.never_started(self.workers[worker_id], now)

    def died(
        self, worker_id: int, now: float, *, was_killed: bool = False, how: str = ""
    ) -> tuple[list[Decision], bool]:
        """The worker's process is gone. Also returns whether it died before it had loaded.

        `was_killed`: from outside, so nothing is held against its app. `how` it died is the reason
        if the worker gave none. The server must answer the requests that it had in hand, or submit
        them again.
        """
        worker = self.workers[worker_id]
        decisions, failed = self._deaths.died(worker, now, was_killed=was_killed, how=how)
        return decisions + self._sessions.release(worker), failed

    def reported_busy(self, worker_id: int, share: float, now: float) -> list[Decision]:
        """The worker reports what share of the time it has been busy, from 0 to 1."""
        worker = self.workers[worker_id]
        app = worker.app
        if app is None or not app.spreads:
            return []
        return self._spreading.reported(worker, app, share, now)

    def replace(self, worker_id: int, now: float) -> list[Decision]:
        """Replace the worker, by a successor if it has traffic, say because it is too large."""
        return self._lifetimes.replace(self.workers[worker_id], now)

    def recycle(self, worker_id: int, now: float) -> list[Decision]:
        """An operator wants a fresh worker instead of this one: replace it soon."""
        worker = self.workers[worker_id]
        if worker.state is State.KEEPING:  # its successor is already there
            return self._lifetimes.retire(worker) + self._sessions.release(worker)
        self._lifetimes.use_up(worker)  # if `replace` cannot start one yet, `tick` will
        return self._lifetimes.replace(worker, now)

    def sleep(self, app: AppState) -> list[End]:
        """An operator wants the app's idle workers to end."""
        return self._lifetimes.sleep(app)

    def retire(self, worker_id: int) -> list[Decision]:
        """The worker must leave once it has finished what it has in hand."""
        return self._lifetimes.retire(self.workers[worker_id])

    def give_up(self, worker_id: int, now: float) -> list[Decision]:
        """The worker is stuck: it must leave, and those that wait behind it get another one now."""
        worker = self.workers[worker_id]
        decisions = self._lifetimes.retire(worker) + self._sessions.release(worker)
        if worker.app is not None and worker.app.queue:
            decisions += self._dispatch.pump(worker.app, now)
        return decisions

    def overdue(self, worker_id: int, now: float) -> list[Decision]:
        """The worker was told to end a moment ago and is still there: nobody waits for it."""
        worker = self.workers[worker_id]
        if worker.state is not State.ENDING or worker.is_overdue:
            return []
        self._census.set_overdue(worker)
        return self._dispatch.serve_lines(now) + self._dispatch.claim_room(now)

    # Programs

    def program_begins(self) -> int:
        """A program of an app starts, which takes the room of one worker; returns its number."""
        self._census.programs += 1
        return self._spares.new_number()

    def program_ended(self, now: float) -> list[Decision]:
        """It is gone: others get its room."""
        self._census.programs -= 1
        return self._dispatch.serve_lines(now) + self._dispatch.claim_room(now)

    # All

    def tick(self, now: float) -> list[Decision]:
        """Time has passed: end what has been idle too long, replace what is too old."""
        lifetimes, dispatch = self._lifetimes, self._dispatch
        self._census.is_short = False
        decisions = [*lifetimes.replace_due(now), *lifetimes.end_idle(now)]
        decisions += lifetimes.end_kept(now) + self._sessions.release_lost()
        decisions += dispatch.serve_lines(now) + dispatch.claim_room(now)
        decisions += self._look_at_restless(now) + dispatch.pump_queued(now)
        for worker in self._spares.drop_unused(now):
            decisions += lifetimes.retire(worker)
        return [*decisions, *self._spares.refill(now)]

    def refill(self, now: float) -> list[Decision]:
        """Start the prewarmed workers and the spares that are missing."""
        return [*self._dispatch.refill_taken(now), *self._spares.refill(now)]

    def close(self) -> list[Decision]:
        """Shut down: no more workers are started; each ends after its present requests."""
        self._census.is_closing = True
        retire = self._lifetimes.retire
        return [each for worker in self.workers.values() for each in retire(worker)]

    @property
    def limits(self) -> PoolLimits:
        return self._census.limits

    @limits.setter
    def limits(self, limits: PoolLimits) -> None:
        self._census.limits = limits

    @property
    def size(self) -> int:
        """Processes that have, or had, an app."""
        return self._census.size

    @property
    def is_short(self) -> bool:
        """Were there recently no means to start a process?"""
        return self._census.is_short

    @property
    def slots_taken(self) -> int:
        """Requests that have a worker of their own."""
        return self._census.once

    def held_up(self, now: float) -> HeldUp:
        """The requests that wait only because workers of one request wait for their clients."""
        return self._room.held_up(now)

    def waiting(self, now: float) -> HeldUp:
        """The requests that wait for a slot, or the apps that wait for room."""
        return self._room.waiting(now)

    def crowded(self) -> Iterator[AppState]:
        """The apps whose requests wait for a place in workers that stay."""
        return self._dispatch.crowded()

    @property
    def evictions(self) -> int:
        """Workers that had to leave because the pool was full."""
        return self._room.evictions

    def _look_at_restless(self, now: float) -> list[Decision]:
        """Look at the apps with `prewarm` or several workers, if their workers have changed."""
        restless, self._census.restless = self._census.restless, {}
        decisions: list[Decision] = []
        for app in restless:
            decisions += self._lifetimes.keep_ready(app, now)
            if app.spreads:
                decisions += self._spreading.look_at(app, now)
            if app.lacks_ready() or (app.spreads and not self._spreading.is_quiet(app)):
                self._census.restless[app] = None
        return decisions

    # Ends

    def _after_its_last(self, worker: WorkerState, now: float) -> list[Decision]:
        """The worker has had its last request, or as many as it may have."""
        if worker.state is State.ENDING:
            return [End(worker.id)]
        self._lifetimes.use_up(worker)
        return self._lifetimes.replace(worker, now)

    def _leave_if_dropped(self, worker: WorkerState, app: AppState, now: float) -> list[Decision]:
        if not app.is_dropped or app.queue or worker.state in HAS_LEFT:
            return []
        return self._lifetimes.leave(worker, now)
