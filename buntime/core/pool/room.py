"""Apps that wait: for room in a full pool, or for a slot for an ephemeral request.

Room is made by ending the worker that has been idle longest, first among those that stay only for
their sessions. If none is idle, the oldest of those leaves; else one of the app with the most
workers, if that is more than a fair share; else, for an app that has no worker, the one that has
served longest, one a second. Slots are given in turn.

A worker that was told to end makes room when it is gone, or after a moment even though it is still
there (`Scheduler.overdue`): its hooks may take long, and others need not wait for them. To limit
the number of processes, only a few may exist beyond the pool's size; if there are more, another
worker has to end. An app with many such workers gets no new one before some are gone, so that
others find room.
"""

from buntime.core.pool.census import Census
from buntime.core.pool.lifecycle import State
from buntime.core.pool.workforce import AppState, WorkerState
from buntime.core.values.tuples import NamedTuple

TURN_S = 1.0  # how long an app without workers waits for another one's


class HeldUp(NamedTuple):
    """How many wait, and for how many seconds the first of all that wait has waited."""

    requests: int
    waited_s: float


_NOBODY = HeldUp(0, 0.0)


class Room:
    """Which apps wait, and which worker makes room."""

    def __init__(self, census: Census) -> None:
        self.line: dict[AppState, None] = {}  # for room in the pool, first come first
        self.turns: dict[AppState, None] = {}  # for a slot
        self.evictions = 0
        self._census = census

    def is_wanted(self) -> bool:
        """Does any app wait?"""
        return bool(self.line or self.turns)

    def leave_lines(self, app: AppState) -> None:
        """The app's queue is empty: it no longer waits, unless it is to be tried."""
        self.turns.pop(app, None)
        if app.tried_at_s is None:
            self.line.pop(app, None)

    def held_up(self, now: float) -> HeldUp:
        """The requests, or apps, that wait only because workers wait for their clients."""
        by_slots, by_room = self._counts()
        most = max(min(by_slots, self._census.beyond_lent()), by_room)
        return self._first_of(min(self._census.stalled, most), now)

    def waiting(self, now: float) -> HeldUp:
        """The requests that wait for a slot, or the apps that wait for room if those are more."""
        return self._first_of(max(self._counts()), now)

    def _counts(self) -> tuple[int, int]:
        """Requests that wait for a slot, and apps that wait for room that nobody makes."""
        has_room = self._census.has_room() or self.is_promised()
        return sum(len(app.queue) for app in self.turns), 0 if has_room else len(self.line)

    def _first_of(self, count: int, now: float) -> HeldUp:
        if not count:
            return _NOBODY
        firsts = (next(iter(app.queue.values()), now) for app in (*self.turns, *self.line))
        return HeldUp(count, now - min(firsts))

    def is_promised(self) -> bool:
        """Will a worker end any moment for each app in the line?

        Of those that take long and still count, two stand for one: otherwise a single app could
        make all workers of others end, one after the other, if all of them take long.
        """
        census = self._census
        return census.ending + census.overdue_within() // 2 >= len(self.line)

    def may_be_made(self) -> bool:
        """May a worker be ended for an app that can do without? Only if nobody waits and none is
        ending."""
        return not self.line and not self._census.ending

    def evict(self) -> WorkerState | None:
        """The worker that has been idle longest, which is to end."""
        kept = next((worker for worker in self._census.kept if not worker.in_hand), None)
        worker = kept or self._census.idle_longest()
        if worker is not None:
            self.evictions += 1
        return worker

    def share(self, app: AppState, now: float) -> WorkerState | None:
        """If nobody is idle: the busy worker that has to leave for `app`."""
        if now - app.given_room_at_s < TURN_S:
            return None
        kept = next(iter(self._census.kept), None)
        worker = kept or self._of_the_richest(app) or self._whose_turn_is_over(app, now)
        if worker is not None:
            app.given_room_at_s = now
            self.evictions += 1
        return worker

    def _of_the_richest(self, app: AppState) -> WorkerState | None:
        """The worker with the fewest requests, of the app with the most workers."""
        for other in self._census.richest():
            if other.serving <= app.serving + 1:
                break
            busy = [worker for worker in other.workers.values() if worker.state is State.BUSY]
            if busy:
                return min(busy, key=lambda worker: worker.in_hand)
        return None

    def _whose_turn_is_over(self, app: AppState, now: float) -> WorkerState | None:
        """The worker that has served longest, if `app` has none and has waited for its turn."""
        since_s = next(iter(app.queue.values()), app.tried_at_s)
        if app.serving or since_s is None or now - since_s < TURN_S:
            return None
        return self._census.busy_longest()
