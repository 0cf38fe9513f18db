"""Decides which worker gets a request, and which workers start and end: no I/O, no clock.

The server tells what happened (`submit`, `loaded`, `finished`, `died`, `tick` ...) and carries out
the decisions that come back, in their order. A ticket stands for one request; the scheduler only
queues it. Invariants, tested over random sequences of events:

- a worker gets work only in a state that may have it, and never more than its capacity, beside
  what is open-ended;
- processes with an app never number more than `pool_size` (spares are counted apart);
- every ticket that was submitted is assigned, refused, failed or withdrawn, exactly once.

A worker at the end of its lifetime or its requests is replaced before it is retired, where the
app has had a request lately: it goes on serving until the replacement has loaded.

Where the pool is full, room is made for an app that waits: by the worker idle longest; where none
is idle, by one of the app that has most, if that is more than a fair share; else, for an app that
has none, by the worker that has served longest, one a second.
"""

from collections.abc import Callable, Hashable, Iterator

from buntime.core.pool.lifecycle import Event, State
from buntime.core.pool.workforce import (
    BOOT_TRIES,
    CRASH_LOOP,
    HAS_LEFT,
    SPARES_KEPT_S,
    TAKES_WORK,
    TURN_S,
    Adopt,
    AppState,
    Assign,
    Decision,
    End,
    Fail,
    PoolLimits,
    Refuse,
    Spares,
    Spawn,
    Ticket,
    WorkerState,
    backoff_s,
    least_loaded,
    ready_count,
)


class Scheduler:
    """All workers and queues. `jitter()` gives a number from 0 to 1, for recycling apart."""

    def __init__(self, limits: PoolLimits, jitter: Callable[[], float]) -> None:
        self.limits = limits
        self.workers: dict[int, WorkerState] = {}
        self.apps: dict[AppState, None] = {}
        self.evictions = 0
        self._jitter = jitter
        self._last_id = 0
        self._spares: dict[Hashable, Spares] = {}  # by key, of those to keep spares of
        self._waiting: dict[AppState, None] = {}  # apps whose queue waits for room in the pool
        self._lacking: dict[AppState, None] = {}  # apps that may have a prewarmed worker less
        self._closing = False

    # What happens

    def add_app(self, app: AppState, now: float) -> list[Decision]:
        """An app is known; its prewarmed workers are started."""
        self.apps[app] = None
        return list(self._prewarm(app, now))

    def drop_app(self, app: AppState, now: float) -> list[Decision]:
        """The app's code changed or its folder went: its workers finish what they have in hand.

        What is still queued for it is served to its end, by workers that leave right after.
        """
        app.is_dropped = True
        app.tried_at_s = None
        decisions: list[Decision] = []
        for worker in tuple(app.workers.values()):
            decisions += self._retire(worker)
        decisions += self._pump(app, now)
        self._forget_if_done(app)
        return decisions

    def keep_spares(self, key: Hashable, now: float) -> list[Decision]:
        """Keep spare interpreters of this key for ever.

        Those of other keys are kept while apps use them that need a worker for each request.
        """
        self._spares[key] = Spares()
        return list(self._refill(now))

    def try_out(self, app: AppState, now: float) -> list[Decision]:
        """See whether the app can be loaded, though no request is for it; to be called again."""
        self.apps[app] = None
        if app.is_dropped or self._closing or now < app.retry_at_s or app.serving_count():
            app.tried_at_s = None
            return []
        if self._has_room():
            app.tried_at_s = None
            return self._take_spare(app, Event.ADOPT, now)[1]
        if app.tried_at_s is None:
            app.tried_at_s = now
        return self._wait_for_room(app, now)

    def submit(self, app: AppState, ticket: Ticket, now: float) -> list[Decision]:
        """A request came for the app."""
        app.last_request_s = now
        if not app.queue and not app.policy.is_ephemeral:
            worker = least_loaded(app)
            if worker is not None:  # the usual case: no queue, a worker with room
                return self._give(worker, ticket, now)
        if app.is_crash_looping(now) and not app.workers:
            return [Refuse(ticket, app.retry_at_s - now)]
        app.enqueue(ticket, now)
        decisions = self._pump(app, now)
        limits = self.limits
        ephemeral = app.policy.is_ephemeral
        limit = limits.ephemeral_queue_limit if ephemeral else limits.queue_limit
        if len(app.queue) > limit:
            if app.is_overloaded(now):
                ticket = next(iter(app.queue))  # it would be late; the newest may be in time
            del app.queue[ticket]
            decisions.append(Refuse(ticket, app.wait_s(now)))
        return decisions

    def withdraw(self, app: AppState, ticket: Ticket) -> bool:
        """The request waits no more (its client left, its time passed); False if it did not."""
        if ticket not in app.queue:
            return False
        del app.queue[ticket]
        if not app.queue:
            self._waiting.pop(app, None)
            self._forget_if_done(app)
        return True

    def up(self, worker_id: int, now: float) -> list[Decision]:
        """The worker's interpreter has started."""
        worker = self.workers[worker_id]
        worker.is_up = True
        spares = self._spares.get(worker.spare_key)
        if spares is not None:
            spares.failures = 0
        return list(self._refill(now))

    def loaded(self, worker_id: int, capacity: int, now: float) -> list[Decision]:
        """The worker has loaded its app and can have `capacity` requests at once."""
        worker = self.workers[worker_id]
        worker.step(Event.LOADED)
        worker.is_loaded = worker.is_up = True
        app = worker.app
        if app is not None:
            app.boot_failures = 0
        if worker.state is not State.IDLE or app is None:
            return []
        worker.idle_since_s = now
        worker.capacity = 1 if app.policy.is_ephemeral else max(1, capacity)
        decisions: list[Decision] = []
        for other in tuple(app.workers.values()):
            if other.is_leaving:  # the replacement is ready: now it may go
                decisions += self._retire(other)
                break
        decisions += self._pump(app, now) + self._leave_if_dropped(worker)
        if self._waiting and worker.state is State.IDLE:
            decisions += self._pump_waiting(now)  # it may make room
        return decisions

    def opened(self, worker_id: int, now: float) -> list[Decision]:
        """A request of the worker may go on for ever and costs it little: it gives up its place.

        The worker has it in hand still, so it is neither idle nor drained before that has ended.
        """
        worker = self.workers[worker_id]
        app = worker.app
        if app is None or worker.open_ended >= worker.in_hand:
            raise AssertionError(f"{worker!r} opened what it did not have")
        worker.open_ended += 1
        return self._pump(app, now) if app.queue else []

    def finished(
        self, worker_id: int, now: float, *, was_open_ended: bool = False
    ) -> list[Decision]:
        """One request of the worker has ended, in whatever way; `opened` was told of it or not."""
        worker = self.workers[worker_id]
        app = worker.app
        if app is None or worker.in_hand < 1:
            raise AssertionError(f"{worker!r} finished what it did not have")
        worker.in_hand -= 1
        worker.open_ended -= was_open_ended
        worker.served += 1
        if worker.in_hand == 0 and worker.state is not State.ENDING:
            worker.step(Event.DRAINED)
            worker.idle_since_s = now
        decisions: list[Decision] = []
        if worker.state is State.ENDING:
            decisions.append(End(worker_id))
        elif worker.served >= worker.requests_max and self._may_replace(worker, now):
            decisions += self._replace(worker, now)
        if app.policy.is_ephemeral:
            decisions += self._pump_waiting(now)  # the free slot is for whose turn it is
        elif app.queue:
            decisions += self._pump(app, now)
        elif self._waiting and worker.state is State.IDLE:
            decisions += self._pump_waiting(now)  # it may make room
        return decisions + self._leave_if_dropped(worker)

    def died(
        self, worker_id: int, now: float, *, was_killed: bool = False
    ) -> tuple[list[Decision], bool]:
        """The worker's process has gone. Also tells whether it died before it had loaded.

        `was_killed`: from outside, so nothing is known against its app. The tickets it had in
        hand are the server's to answer, or to submit once more.
        """
        worker = self.workers.pop(worker_id)
        failed_to_load = worker.app is not None and not worker.is_loaded
        failed_to_load = failed_to_load and worker.state in (State.LOADING, State.ONCE)
        worker.step(Event.DIED)
        decisions: list[Decision] = []
        app = worker.app
        if app is not None:
            app.workers.pop(worker_id, None)
            if failed_to_load:
                decisions += self._boot_failed(app, now, was_killed)
            if app.queue and not app.policy.is_ephemeral:
                if self._waiting:
                    self._waiting.setdefault(app)  # others come first to the room there is now
                else:
                    decisions += self._pump(app, now)
            self._forget_if_done(app)
        elif not worker.is_up and worker.spare_key in self._spares:
            spares = self._spares[worker.spare_key]
            spares.failures += 1
            spares.retry_at_s = now + backoff_s(spares.failures)
        decisions += self._pump_waiting(now)
        if not failed_to_load:  # else a broken interpreter would be started over and over
            decisions += self._refill(now)
        return decisions, failed_to_load

    def refill(self, now: float) -> list[Decision]:
        """Start the prewarmed workers and the spares that are missing."""
        lacking, self._lacking = self._lacking, {}
        decisions: list[Decision] = []
        for app in lacking:
            decisions += self._prewarm(app, now)
        return decisions + list(self._refill(now))

    def replace(self, worker_id: int, now: float) -> list[Decision]:
        """The worker is to be replaced, by its successor if it has traffic; for instance it has
        grown too large."""
        worker = self.workers[worker_id]
        return self._replace(worker, now) if self._may_replace(worker, now) else []

    def recycle(self, worker_id: int, now: float) -> list[Decision]:
        """An operator wants a fresh worker in this one's place: replaced as soon as it may be."""
        worker = self.workers[worker_id]
        worker.requests_max = 0  # used up: where `replace` may not start one yet, `tick` will
        return self.replace(worker_id, now)

    def retire(self, worker_id: int) -> list[Decision]:
        """The worker is to leave after what it has in hand."""
        return self._retire(self.workers[worker_id])

    def give_up(self, worker_id: int, now: float) -> list[Decision]:
        """The worker is stuck: it is to leave, and who waits behind it gets another one now."""
        worker = self.workers[worker_id]
        decisions = self._retire(worker)
        if worker.app is not None and worker.app.queue:
            decisions += self._pump(worker.app, now)
        return decisions

    def tick(self, now: float) -> list[Decision]:
        """Time has passed: end what has been idle too long, replace what is too old."""
        decisions: list[Decision] = []
        for worker in tuple(self.workers.values()):
            app = worker.app
            if app is None or worker.state not in TAKES_WORK:
                continue
            policy = app.policy
            is_old = policy.ttl_s and now - worker.born_s >= policy.ttl_s
            if is_old or worker.served >= worker.requests_max:
                if self._may_replace(worker, now):
                    decisions += self._replace(worker, now)
            elif (
                worker.state is State.IDLE
                and now - worker.idle_since_s >= policy.idle_timeout_s
                and ready_count(app) > policy.prewarm
            ):
                worker.step(Event.RETIRE)
                decisions.append(End(worker.id, was_idle=True))
        decisions += self._pump_waiting(now)
        for app in tuple(self.apps):
            decisions += self._prewarm(app, now)
            if app.queue and app not in self._waiting:
                decisions += self._pump(app, now)  # a back-off may be over
        decisions += self._end_unused_spares(now)
        return decisions + list(self._refill(now))

    def close(self) -> list[Decision]:
        """Shut down: no worker starts any more; each ends after what it has in hand."""
        self._closing = True
        decisions: list[Decision] = []
        for worker in tuple(self.workers.values()):
            decisions += self._retire(worker)
        return decisions

    # Counts

    @property
    def size(self) -> int:
        """Processes that have, or had, an app."""
        return sum(worker.state is not State.SPARE for worker in self.workers.values())

    # How it is decided

    def _give(self, worker: WorkerState, ticket: Ticket, now: float) -> list[Decision]:
        worker.in_hand += 1
        worker.step(Event.ASSIGN)
        return [Assign(worker.id, ticket)]

    def _pump(self, app: AppState, now: float) -> list[Decision]:
        """Give queued requests to workers, and start workers where that helps."""
        if app.policy.is_ephemeral:
            return list(self._pump_ephemeral(app, now))
        decisions: list[Decision] = []
        while app.queue:
            worker = least_loaded(app)
            if worker is None:
                break
            decisions += self._give(worker, app.take_next(now), now)
        if app.queue and not self._closing and self._wants_another(app, now):
            decisions += self._start(app, now)
        return decisions

    def _wants_another(self, app: AppState, now: float) -> bool:
        """Would one more worker help the queue, and may it be started?"""
        serving = 0
        for worker in app.workers.values():
            if worker.state is State.LOADING:
                return False
            serving += worker.state not in HAS_LEFT and not worker.is_leaving
        if serving >= app.policy.workers:
            return False
        if now >= app.retry_at_s:
            return True
        return not app.has_loaded_worker() and app.boot_failures < CRASH_LOOP

    def _pump_waiting(self, now: float) -> list[Decision]:
        """Let the apps that wait have another try; who got something goes to the line's end."""
        decisions: list[Decision] = []
        passed_over: dict[AppState, None] = {}
        for app in tuple(self._waiting):
            del self._waiting[app]
            is_tried = app.tried_at_s is not None and not app.queue
            got = self.try_out(app, now) if is_tried else self._pump(app, now)
            decisions += got
            if app in self._waiting and not any(type(decision) is Assign for decision in got):
                passed_over[app] = None
        self._waiting = passed_over | self._waiting
        return decisions

    def _pump_ephemeral(self, app: AppState, now: float) -> Iterator[Decision]:
        while app.queue and not self._closing:
            busy = sum(worker.state is State.ONCE for worker in self.workers.values())
            if busy >= self.limits.ephemeral_concurrency:
                self._waiting[app] = None
                return
            ready = next((w for w in app.workers.values() if w.state is State.IDLE), None)
            if ready is None:
                if not self._has_room():
                    yield from self._wait_for_room(app, now)
                    return
                ready, decisions = self._take_spare(app, Event.ADOPT_ONCE, now)
                yield from decisions
            else:
                ready.step(Event.ASSIGN_ONCE)
            ready.in_hand = 1
            self._lacking[app] = None
            yield Assign(ready.id, app.take_next(now))

    def _start(self, app: AppState, now: float) -> list[Decision]:
        """Start one more worker of a persistent app, when the pool has room for it."""
        if not self._has_room():
            return self._wait_for_room(app, now)
        return self._take_spare(app, Event.ADOPT, now)[1]

    def _take_spare(
        self, app: AppState, event: Event, now: float
    ) -> tuple[WorkerState, list[Decision]]:
        """A spare that becomes the app's worker; without one, a new process."""
        decisions: list[Decision] = []
        key = app.policy.spare_key
        if app.policy.is_ephemeral:
            self._use_spares(key, now)
        worker = next(
            (w for w in self.workers.values() if w.state is State.SPARE and w.spare_key == key),
            None,
        )
        if worker is None:
            worker = self._spawn(key)
            decisions.append(Spawn(worker.id, key))
        worker.step(event)
        worker.app = app
        worker.born_s = worker.idle_since_s = now
        spread = 0.9 + 0.2 * self._jitter()
        worker.requests_max = max(1, round(app.policy.max_requests * spread))
        app.workers[worker.id] = worker
        decisions.append(Adopt(worker.id, app))
        return worker, decisions

    def _spawn(self, key: Hashable) -> WorkerState:
        self._last_id += 1
        worker = WorkerState(self._last_id, key)
        self.workers[worker.id] = worker
        return worker

    def _has_room(self) -> bool:
        return self.size < self.limits.pool_size

    def _wait_for_room(self, app: AppState, now: float) -> list[Decision]:
        """Stand in line for the next worker to die, and have one end, see the module."""
        self._waiting[app] = None
        ending = sum(worker.state is State.ENDING for worker in self.workers.values())
        if ending >= len(self._waiting):
            return []
        return self._evict() or self._share(app, now)

    def _evict(self) -> list[Decision]:
        """End the worker that has been idle longest."""
        idle = [worker for worker in self.workers.values() if worker.state is State.IDLE]
        if not idle:
            return []
        self.evictions += 1
        return self._retire(min(idle, key=lambda worker: worker.idle_since_s))

    def _share(self, app: AppState, now: float) -> list[Decision]:
        """Nobody is idle: have a busy worker leave for `app`, as far as that is fair."""
        if now - app.given_room_at_s < TURN_S:
            return []
        busy = [worker for worker in self.workers.values() if worker.state is State.BUSY]
        if not busy:
            return []
        own = app.serving_count()
        richest = max(busy, key=_wealth)
        waited_s = now - next(iter(app.queue.values()), app.tried_at_s or now)
        if _wealth(richest) > own + 1:
            chosen = min(
                (worker for worker in busy if worker.app is richest.app),
                key=lambda worker: worker.in_hand,
            )
        elif own == 0 and waited_s >= TURN_S:
            chosen = min(busy, key=lambda worker: worker.born_s)
        else:
            return []
        app.given_room_at_s = now
        self.evictions += 1
        return self._retire(chosen)

    def _may_replace(self, worker: WorkerState, now: float) -> bool:
        app = worker.app
        may = app is not None and not worker.is_leaving and now >= app.retry_at_s
        return may and self._may_boot()

    def _may_boot(self) -> bool:
        """May one more boot begin that no request waits for?"""
        booting = sum(worker.is_booting() for worker in self.workers.values())
        return booting < self.limits.boots_at_once

    def _replace(self, worker: WorkerState, now: float) -> list[Decision]:
        """Its time or its requests are used up: start its replacement, or end it if unused."""
        app = worker.app
        if app is None or worker.state not in TAKES_WORK:
            return []
        wanted = app.queue or now - app.last_request_s < app.policy.idle_timeout_s
        if app.is_dropped or self._closing or not wanted or not self._has_room():
            return self._retire(worker)
        worker.is_leaving = True
        return self._take_spare(app, Event.ADOPT, now)[1]

    def _leave_if_dropped(self, worker: WorkerState) -> list[Decision]:
        app = worker.app
        if app is None or not app.is_dropped or app.queue or worker.state in HAS_LEFT:
            return []
        return self._retire(worker)

    def _retire(self, worker: WorkerState) -> list[Decision]:
        before = worker.state
        worker.step(Event.RETIRE)
        worker.is_leaving = False
        if worker.state is State.ENDING and before is not State.ENDING:
            return [End(worker.id)]
        return []

    def _prewarm(self, app: AppState, now: float) -> Iterator[Decision]:
        """Keep `prewarm` loaded workers ready, as far as the pool has room to spare."""
        if app.is_dropped or self._closing or self._waiting or now < app.retry_at_s:
            return
        while ready_count(app) < app.policy.prewarm and self._has_room() and self._may_boot():
            yield from self._take_spare(app, Event.ADOPT, now)[1]

    def _use_spares(self, key: Hashable, now: float) -> None:
        spares = self._spares.get(key)
        if spares is None:
            spares = self._spares[key] = Spares()
            spares.used_at_s = now
        elif spares.used_at_s < now:  # not one that is kept for ever
            spares.used_at_s = now

    def _refill(self, now: float) -> Iterator[Decision]:
        if self._closing:
            return
        for key, spares in self._spares.items():
            if now < spares.retry_at_s:
                continue
            there = sum(
                worker.state is State.SPARE and worker.spare_key == key
                for worker in self.workers.values()
            )
            for _ in range(self.limits.spare_workers - there):
                if not self._may_boot():
                    return
                yield Spawn(self._spawn(key).id, key)

    def _end_unused_spares(self, now: float) -> Iterator[Decision]:
        unused = [key for key, its in self._spares.items() if now - its.used_at_s > SPARES_KEPT_S]
        for key in unused:
            del self._spares[key]
            for worker in self.workers.values():
                if worker.state is State.SPARE and worker.spare_key == key:
                    yield from self._retire(worker)

    def _boot_failed(self, app: AppState, now: float, was_killed: bool) -> list[Decision]:
        """Back off; those being replaced stay; what waits for nothing else has failed."""
        app.boot_failures += 1
        for worker in app.workers.values():
            worker.is_leaving = False
        if was_killed and app.boot_failures < BOOT_TRIES:
            return []  # the next one starts at once, for those that wait
        app.retry_at_s = now + backoff_s(app.boot_failures)
        if app.policy.is_ephemeral or app.has_loaded_worker():
            return []
        failed: list[Decision] = [Fail(ticket) for ticket in app.queue]
        app.queue.clear()
        self._waiting.pop(app, None)
        return failed

    def _forget_if_done(self, app: AppState) -> None:
        if app.is_dropped and not app.workers and not app.queue:
            self.apps.pop(app, None)


def _wealth(worker: WorkerState) -> int:
    """How many workers the app of this one has."""
    return worker.app.serving_count() if worker.app is not None else 0
