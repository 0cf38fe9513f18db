"""Decides which worker gets a request, and which workers start and end: no I/O, no clock.

The server tells what happened (`submit`, `loaded`, `finished`, `died`, `tick` ...) and carries out
the decisions that come back, in their order. A ticket stands for one request; the scheduler only
queues it. Invariants, tested over random sequences of events:

- a worker gets work only in a state that may have it, and never more than its capacity, beside
  what is open-ended;
- processes with an app never number more than `pool_size` (spares are counted apart), but for a few
  (`PoolLimits.beside`) that were told to end and take longer than a moment, and for programs, which
  start though it is full and keep workers from starting;
- requests with a worker of their own never number more than `ephemeral_concurrency`, but for a few
  (`PoolLimits.lent`) that have waited for their clients;
- an app with `ttl` above 0 never has more workers than `workers`, beside those that leave and
  those that are being replaced;
- a worker whose app has affinity, and that leaves, gets requests of its own clients alone;
- every ticket that was submitted is assigned, refused, failed or withdrawn, exactly once.

A worker at the end of its lifetime or its requests is replaced before it is retired, where the
app has had a request lately: it goes on serving until the replacement has loaded.

What a request costs does not depend on how many workers and apps there are: the census counts, and
what needs a look at the next tick stands in sets of its own.
"""

from collections.abc import Callable, Hashable

from buntime.core.pool.census import Census
from buntime.core.pool.choice import choose
from buntime.core.pool.deaths import Deaths
from buntime.core.pool.decisions import Assign, Decision, End, Refuse
from buntime.core.pool.dispatch import Dispatch
from buntime.core.pool.lifecycle import State
from buntime.core.pool.lifetimes import Lifetimes
from buntime.core.pool.requestqueue import Ticket
from buntime.core.pool.room import Room
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
    """All workers and queues. `jitter()` gives a number from 0 to 1, 1 excluded."""

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
        """An app is known; its prewarmed workers are started."""
        self._census.watch(app)
        return list(self._lifetimes.prewarm(app, now))

    def drop_app(self, app: AppState, now: float, *, is_replaced: bool) -> list[Decision]:
        """The app's code changed or its folder went: its workers finish what they have in hand.

        What is still queued for it is served to its end, by workers that leave right after. Where
        nothing takes its place (`is_replaced`), none stays for its clients.
        """
        app.is_dropped = True
        app.keeps_sessions &= is_replaced
        app.tried_at_s = None
        decisions: list[Decision] = []
        for worker in app.workers.values():
            decisions += self._lifetimes.leave(worker, now)
        return decisions + self._dispatch.pump(app, now)

    def try_out(self, app: AppState, now: float) -> list[Decision]:
        """See whether the app can be loaded, though no request is for it; to be called again."""
        return self._dispatch.try_out(app, now)

    def hold_back(self, app: AppState, until_s: float) -> None:
        """Its workers die: start none before then but for requests."""
        app.retry_at_s = max(app.retry_at_s, until_s)
        self._census.watch(app)

    # Requests

    def submit(self, app: AppState, ticket: Ticket, now: float) -> list[Decision]:
        """A request came for the app."""
        app.last_request_s = now
        if not app.queue and not app.is_ephemeral:
            worker = choose(app, self._chance)
            if worker is not None:  # the usual case: no queue, a worker with room
                self._census.begin(worker, app, now)
                return [Assign(worker.id, ticket)]
        if app.is_crash_looping(now) and not app.workers:
            return [Refuse(ticket, app.retry_at_s - now)]
        return self._dispatch.enqueue(app, ticket, now)

    def keeps_session(self, worker_id: int, app: AppState | None, now: float) -> AppState | None:
        """Whose worker this is, if it may take a request of a client of its own, who asks for `app`
        now; else None. See `sessions`."""
        return self._sessions.at(worker_id, app, now)

    def submit_to(self, worker_id: int, ticket: Ticket, now: float) -> list[Decision]:
        """A request came for this worker alone, of which `keeps_session` has told just now."""
        return self._sessions.submit(self.workers[worker_id], ticket, now)

    def refuses(self, app: AppState, now: float) -> float | None:
        """Would a request be refused that came now? If so, when it is worth another try."""
        if app.is_crash_looping(now) and not app.workers:
            return app.retry_at_s - now
        return self._dispatch.refuses(app, now)

    def withdraw(self, app: AppState, ticket: Ticket) -> bool:
        """The request waits no more (its client left, its time passed); False if it did not."""
        if not app.queue.waits(ticket):
            return self._sessions.withdraw(ticket)
        self._dispatch.withdraw(app, ticket)
        return True

    def put_last(self, app: AppState, ticket: Ticket) -> None:
        """Its client may have left: all others that wait for the app go first."""
        app.queue.put_last(ticket)
        self._sessions.put_last(ticket)

    def opened(self, worker_id: int, now: float) -> list[Decision]:
        """A request of the worker may go on for ever and costs it little: it gives up its place.

        The worker has it in hand still, so it is neither idle nor drained before that has ended.
        """
        worker = self.workers[worker_id]
        app = worker.app
        if app is None or worker.open_ended >= worker.in_hand:
            raise AssertionError(f"{worker!r} opened what it did not have")
        self._census.open_one(worker, app)
        decisions = self._sessions.pump(worker, now) if worker.own is not None else []
        return decisions + self._dispatch.pump(app, now) if app.queue else decisions

    def stalled(self, worker_id: int, now: float) -> list[Decision]:
        """The worker of one request waits for its client alone: others may have its slot, a few."""
        self._census.set_stalled(self.workers[worker_id], True)
        return self._dispatch.take_turns(now)

    def goes_on(self, worker_id: int) -> None:
        """It does not any more: its slot is its own again, though there may be one too many."""
        self._census.set_stalled(self.workers[worker_id], False)

    def finished(
        self, worker_id: int, now: float, *, was_open_ended: bool = False
    ) -> list[Decision]:
        """One request of the worker has ended, in whatever way; `opened` was told of it or not."""
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
        """Keep spare interpreters of this key for ever.

        Those of other keys are kept while apps use them that need a worker for each request.
        """
        self._spares.keep(key)
        return [*self._spares.refill(now)]

    def up(self, worker_id: int, now: float) -> list[Decision]:
        """The worker's interpreter has started. Raises BootError where it had already."""
        worker = self.workers[worker_id]
        self._census.set_up(worker)
        self._spares.has_started(worker.spare_key)
        return [*self._spares.refill(now)]

    def loaded(self, worker_id: int, capacity: int, now: float) -> list[Decision]:
        """The worker has loaded its app and can have `capacity` requests at once.

        Raises BootError where it had none to load, or said so before.
        """
        worker = self.workers[worker_id]
        app = worker.app
        if worker.boot.has_failed:
            return []  # it is being killed, and this crossed with that
        self._census.set_loaded(worker, capacity, now)
        if app is None:
            raise AssertionError(f"{worker!r} loaded what it did not have")
        app.boot_failures = 0
        app.boot_error = ""
        app.pressed_since_s = None  # with one more to take requests
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
        """The worker told why it cannot load its app, or is killed for taking too long.

        Its death follows. Raises BootError where it is not loading one.
        """
        self._census.set_failed(self.workers[worker_id], why)

    def has_no_means(self) -> None:
        """This machine could start no process just now: none is started before the next tick."""
        self._census.is_short = True

    def never_started(self, worker_id: int, now: float) -> list[Decision]:
        """There is no process for the worker, and that tells nothing of its app: who waits for it
        goes on to wait, for means as for room in the pool."""
        return self._deaths.never_started(self.workers[worker_id], now)

    def died(
        self, worker_id: int, now: float, *, was_killed: bool = False, how: str = ""
    ) -> tuple[list[Decision], bool]:
        """The worker's process has gone. Also tells whether it died before it had loaded.

        `was_killed`: from outside, so nothing is known against its app. `how` it died counts as
        the reason where it told none. The tickets it had in hand are the server's to answer, or
        to submit once more.
        """
        worker = self.workers[worker_id]
        decisions, failed = self._deaths.died(worker, now, was_killed=was_killed, how=how)
        return decisions + self._sessions.release(worker), failed

    def told_busy(self, worker_id: int, share: float, now: float) -> list[Decision]:
        """The worker has told what share of the time it has been busy, from 0 to 1."""
        worker = self.workers[worker_id]
        app = worker.app
        if app is None or not app.spreads:
            return []
        return self._spreading.told(worker, app, share, now)

    def replace(self, worker_id: int, now: float) -> list[Decision]:
        """The worker is to be replaced, by its successor if it has traffic; for instance it has
        grown too large."""
        return self._lifetimes.replace(self.workers[worker_id], now)

    def recycle(self, worker_id: int, now: float) -> list[Decision]:
        """An operator wants a fresh worker in this one's place: replaced as soon as it may be."""
        worker = self.workers[worker_id]
        if worker.state is State.KEEPING:  # there is one in its place
            return self._lifetimes.retire(worker) + self._sessions.release(worker)
        self._lifetimes.use_up(worker)  # where `replace` may not start one yet, `tick` will
        return self._lifetimes.replace(worker, now)

    def sleep(self, app: AppState) -> list[End]:
        """An operator wants the app's idle workers gone."""
        return self._lifetimes.sleep(app)

    def retire(self, worker_id: int) -> list[Decision]:
        """The worker is to leave after what it has in hand."""
        return self._lifetimes.retire(self.workers[worker_id])

    def give_up(self, worker_id: int, now: float) -> list[Decision]:
        """The worker is stuck: it is to leave, and who waits behind it gets another one now."""
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
        """A program of an app starts, which takes a worker's room; returns its number."""
        self._census.programs += 1
        return self._spares.new_number()

    def program_ended(self, now: float) -> list[Decision]:
        """It has gone: others have its room."""
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
        """Shut down: no worker starts any more; each ends after what it has in hand."""
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
        """Was there lately no means to start a process?"""
        return self._census.is_short

    @property
    def slots_taken(self) -> int:
        """Requests that have a worker of their own."""
        return self._census.once

    @property
    def evictions(self) -> int:
        """Workers that had to leave as the pool was full."""
        return self._room.evictions

    def _look_at_restless(self, now: float) -> list[Decision]:
        """Of the apps that have `prewarm` or several workers, those whose workers have changed."""
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
