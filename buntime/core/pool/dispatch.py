"""Gives waiting requests to workers, and starts workers where the queues need them.

A queue gets another worker as soon as a request waits, one at a time. An ephemeral app gets one for
each request, as long as there are slots. When the slots or the pool's room are used up, apps wait
in lines, see `room`.
"""

from collections.abc import Callable, Iterator

from buntime.core.pool.census import Census
from buntime.core.pool.choice import choose
from buntime.core.pool.decisions import Assign, Decision, Refuse
from buntime.core.pool.lifecycle import Event
from buntime.core.pool.lifetimes import Lifetimes
from buntime.core.pool.requestqueue import Ticket
from buntime.core.pool.room import Room
from buntime.core.pool.workforce import CRASH_LOOP, AppState, WorkerState


class Dispatch:
    """The queues of all apps. `chance()` returns a number from 0 to 1, excluding 1."""

    def __init__(
        self, census: Census, room: Room, lifetimes: Lifetimes, chance: Callable[[], float]
    ) -> None:
        self._census = census
        self._room = room
        self._lifetimes = lifetimes
        self._chance = chance
        self._queued: dict[AppState, None] = {}  # apps that may have a queue
        self._untried: dict[AppState, None] = {}  # exempt apps that lacked means to start
        self._taken: dict[AppState, None] = {}  # apps that may have one prewarmed worker too few

    # Queues

    def enqueue(self, app: AppState, ticket: Ticket, now: float) -> list[Decision]:
        """Queue the request, unless a worker can have it now, or the queue is full."""
        app.queue.add(ticket, now)
        self._queued[app] = None
        if app.open or app.resting or app.is_ephemeral or app.may_have_another():
            decisions = self.pump(app, now)
        else:  # the usual case under load: all workers are busy, and there may be no other one
            decisions = []
        return decisions + self._bound(app, ticket, now)

    def pump(self, app: AppState, now: float) -> list[Decision]:
        """Give queued requests to workers, and start workers where that helps."""
        decisions: list[Decision] = []
        if app.is_ephemeral:
            decisions += self._pump_ephemeral(app, now)
        else:
            queue = app.queue
            while queue and (app.open or app.resting):
                worker = self._choose(app)
                if worker is None:
                    break
                self._census.begin(worker, app, now)
                decisions.append(Assign(worker.id, queue.take_next(now)))
            if queue and self._may_start_another(app, now):
                decisions += self._start(app, now)
        if not app.queue:
            self._room.leave_lines(app)
        return decisions

    def crowded(self) -> Iterator[AppState]:
        """The apps whose requests wait for a place in workers that stay."""
        return (app for app in self._queued if app.queue and not app.is_ephemeral)

    def pass_on(self, worker: WorkerState, app: AppState, now: float) -> Assign | None:
        """Give the place of a request that has ended to the next one in the queue, if possible.

        This is the usual case under load. The result is the same as finishing the one and pumping.
        """
        if not self._census.pass_on(worker, app):
            return None
        assign = Assign(worker.id, app.queue.take_next(now))
        if not app.queue:
            self._room.leave_lines(app)
        return assign

    def _choose(self, app: AppState) -> WorkerState | None:
        """A worker for the next request; a resting one is used before a request has to wait."""
        worker = choose(app, self._chance)
        while worker is None and app.resting:
            self._census.set_resting(next(reversed(app.resting)), app, False)
            worker = choose(app, self._chance)
        return worker

    def pump_queued(self, now: float) -> list[Decision]:
        """Pump all queues that wait for anything but room; a back-off may be over."""
        decisions: list[Decision] = []
        untried, self._untried = self._untried, {}
        for app in untried:
            decisions += self.try_out(app, now)
        self._queued = {app: None for app in self._queued if app.queue}
        for app in tuple(self._queued):
            if app not in self._room.line:
                decisions += self.pump(app, now)
        return decisions

    def _pump_ephemeral(self, app: AppState, now: float) -> Iterator[Decision]:
        census = self._census
        while app.queue and not census.is_closing:
            if not census.has_slot():
                self._room.turns[app] = None
                return
            worker = next(iter(app.idle), None)
            if worker is None:
                if not census.may_grow(app):
                    return
                if not census.has_room():
                    yield from self._wait_for_room(app, now)
                    return
                worker, decisions = self._lifetimes.start(app, Event.ADOPT_ONCE, now)
                yield from decisions
            census.begin_once(worker)
            self._taken[app] = None
            yield Assign(worker.id, app.queue.take_next(now))

    def refuses(self, app: AppState, now: float) -> float | None:
        """Is the queue full, and if so, for about how long?"""
        queue = app.queue
        is_free = not queue and self._census.has_slot()
        limits = self._census.limits
        most = limits.ephemeral_queue_limit if app.is_ephemeral else limits.queue_limit
        return None if is_free or len(queue) < most else queue.wait_s(now)

    def _bound(self, app: AppState, ticket: Ticket, now: float) -> list[Decision]:
        """If the queue is too long, refuse one request: one whose client may have left; else the
        newest, or the oldest, if it would be late."""
        queue, limits = app.queue, self._census.limits
        most = limits.ephemeral_queue_limit if app.is_ephemeral else limits.queue_limit
        if queue.count <= most:
            return []
        victim = queue.most_dispensable(now)
        if victim is None:
            victim = ticket
        self.withdraw(app, victim)
        return [Refuse(victim, queue.wait_s(now))]

    def withdraw(self, app: AppState, ticket: Ticket) -> None:
        """Remove the request from the queue."""
        app.queue.withdraw(ticket)
        if not app.queue:
            self._room.leave_lines(app)

    # Starts

    def try_out(self, app: AppState, now: float) -> list[Decision]:
        """Have a worker load the app, if it has none; to be called again."""
        census = self._census
        if app.is_dropped or census.is_closing or now < app.retry_at_s or app.serving:
            app.tried_at_s = None
            return []
        if not census.may_grow(app):
            return []
        if not app.may_have_another():
            if app.policy.is_single:
                app.tried_at_s = now  # it is tried when the one before it is gone
            return []
        if census.may_adopt(app):
            app.tried_at_s = None
        elif app.tried_at_s is None:
            app.tried_at_s = now
        return self._start(app, now)

    def try_later(self, app: AppState) -> None:
        """There was no means to start the app's worker: load it at the next tick, unless the app
        already waits in a line for that."""
        if app.is_exempt:
            self._untried[app] = None

    def refill_taken(self, now: float) -> list[Decision]:
        """Replace the prewarmed workers that ephemeral requests have taken."""
        taken, self._taken = self._taken, {}
        return [each for app in taken for each in self._lifetimes.prewarm(app, now)]

    def _may_start_another(self, app: AppState, now: float) -> bool:
        """Would one more worker help the queue, and may it be started?"""
        census = self._census
        if census.is_closing or app.loading or not app.may_have_another():
            return False
        if not census.may_grow(app):
            return False
        return now >= app.retry_at_s or (not app.loaded and app.boot_failures < CRASH_LOOP)

    def _start(self, app: AppState, now: float) -> list[Decision]:
        """Start one more worker of the app, once the pool has room for it."""
        if self._census.may_adopt(app):
            return self._lifetimes.start(app, Event.ADOPT, now)[1]
        if app.is_exempt:  # these need no room
            self.try_later(app)
            return []
        return self._wait_for_room(app, now)

    # Room and slots

    def serve_lines(self, now: float) -> list[Decision]:
        """Hand out the room and the slots that are free; apps that still wait go to the end of the
        line."""
        decisions: list[Decision] = []
        line = self._room.line
        while line and self._census.has_room():
            app = next(iter(line))
            del line[app]
            is_tried = app.tried_at_s is not None and not app.queue
            decisions += self.try_out(app, now) if is_tried else self.pump(app, now)
        return decisions + self.take_turns(now)

    def take_turns(self, now: float) -> list[Decision]:
        """Give free slots to ephemeral apps in turn."""
        decisions: list[Decision] = []
        turns = self._room.turns
        while turns and self._census.has_slot() and not self._census.is_closing:
            app = next(iter(turns))
            del turns[app]
            decisions += self.pump(app, now)
        return decisions

    def claim_room(self, now: float) -> list[Decision]:
        """For each app in the line, see whether a worker has to leave for it now."""
        return [each for app in tuple(self._room.line) for each in self._claim(app, now)]

    def evict(self) -> list[Decision]:
        """A worker is idle while apps wait for room: end it."""
        worker = None if self._room.is_promised() else self._room.evict()
        return self._lifetimes.retire(worker) if worker is not None else []

    def _wait_for_room(self, app: AppState, now: float) -> list[Decision]:
        """Wait in line for the next worker to die, and have one end, see `room`."""
        self._room.line[app] = None
        return self._claim(app, now)

    def _claim(self, app: AppState, now: float) -> list[Decision]:
        if self._room.is_promised():
            return []
        worker = self._room.evict() or self._room.share(app, now)
        return self._lifetimes.retire(worker) if worker is not None else []
