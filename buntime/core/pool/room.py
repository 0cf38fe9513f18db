"""Apps that wait: for room in a full pool, or for one of the slots of ephemeral requests.

Room is made by the worker idle longest, of those that stay for their sessions alone before others;
where none is idle, by the oldest of those, by one of the app that has most, if
that is more than a fair share; else, for an app that has no worker, by the one that has served
longest, one a second. Slots are given in turns.

A worker that was told to end makes room when it is gone, or after a moment, though it is still
there (`Scheduler.overdue`): its hooks may take long, and others need not wait for them. To bound
the processes only a few are beside the pool's size; where there are more, another worker is to end.
An app that has many of them gets no further worker before some have gone: others find room.
"""

from buntime.core.pool.census import Census
from buntime.core.pool.lifecycle import State
from buntime.core.pool.workforce import AppState, WorkerState

TURN_S = 1.0  # that an app without workers waits for another one's


class Room:
    """Who waits, and which worker makes room."""

    def __init__(self, census: Census) -> None:
        self.line: dict[AppState, None] = {}  # for room in the pool, who comes first first
        self.turns: dict[AppState, None] = {}  # for a slot
        self.evictions = 0
        self._census = census

    def is_wanted(self) -> bool:
        """Does any app wait?"""
        return bool(self.line or self.turns)

    def leave_lines(self, app: AppState) -> None:
        """The app's queue is empty: it waits no more, unless it is to be tried."""
        self.turns.pop(app, None)
        if app.tried_at_s is None:
            self.line.pop(app, None)

    def is_promised(self) -> bool:
        """Will a worker end any moment for each app in the line?

        Of those that take long and are counted still, two stand for one: else a single app could
        have all the others' workers end, one after the other, where all of them take long.
        """
        census = self._census
        return census.ending + census.overdue_within() // 2 >= len(self.line)

    def may_be_made(self) -> bool:
        """May a worker be ended for an app that can do without? Nobody waits, and none ends yet."""
        return not self.line and not self._census.ending

    def evict(self) -> WorkerState | None:
        """The worker idle longest, which is to end."""
        kept = next((worker for worker in self._census.kept if not worker.in_hand), None)
        worker = kept or self._census.idle_longest()
        if worker is not None:
            self.evictions += 1
        return worker

    def share(self, app: AppState, now: float) -> WorkerState | None:
        """Where nobody is idle: the busy worker that is to leave for `app`."""
        if now - app.given_room_at_s < TURN_S:
            return None
        kept = next(iter(self._census.kept), None)
        worker = kept or self._of_the_richest(app) or self._whose_turn_is_over(app, now)
        if worker is not None:
            app.given_room_at_s = now
            self.evictions += 1
        return worker

    def _of_the_richest(self, app: AppState) -> WorkerState | None:
        """The worker with the fewest requests, of the app that has most workers."""
        for other in self._census.richest():
            if other.serving <= app.serving + 1:
                break
            busy = [worker for worker in other.workers.values() if worker.state is State.BUSY]
            if busy:
                return min(busy, key=lambda worker: worker.in_hand)
        return None

    def _whose_turn_is_over(self, app: AppState, now: float) -> WorkerState | None:
        """The worker that has served longest, where `app` has none and has waited for its turn."""
        since_s = next(iter(app.queue.values()), app.tried_at_s)
        if app.serving or since_s is None or now - since_s < TURN_S:
            return None
        return self._census.busy_longest()
