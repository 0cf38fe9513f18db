"""How many of an app's workers are started and used: as many as their busy shares call for.

The workers of an app that may have several report how busy they are, every tenth of a second while
they have something in hand: the share of time in which their processor or event loop was in use. A
worker that has requests and does not report is computing and holds up everything else: it counts as
busy.

- If the least busy one has been above `BUSY_SHARE` for `PRESSED_S`, and one with two requests in
  hand reports that, further workers are started, as many as there are, so that the number doubles.
  None is started for a single client that sends one request after the other.
- If fewer would be enough, one worker *rests*: it finishes what it has and gets nothing new. So it
  becomes idle, and ends after idleTimeout. It is used again before another one is started, and when
  the others can take no more.

So an app that computes comes to use all the workers that it may have, and one that waits for a
database keeps one, however many requests it holds.
"""

from buntime.core.pool.census import Census
from buntime.core.pool.decisions import Decision
from buntime.core.pool.lifecycle import Event
from buntime.core.pool.lifetimes import Lifetimes
from buntime.core.pool.room import Room
from buntime.core.pool.workforce import AppState, WorkerState

PRESSED_S = 0.2
SILENT_S = 0.4  # four times the interval of reports
REST_SHARE = 0.5  # those that stay are less busy than that, on average
REST_FILL = 0.5  # and have less than this part of their capacity in hand


class Spreading:
    """For the apps with `workers` above 1."""

    def __init__(self, census: Census, lifetimes: Lifetimes, room: Room) -> None:
        self._census = census
        self._lifetimes = lifetimes
        self._room = room

    def reported(
        self, worker: WorkerState, app: AppState, share: float, now: float
    ) -> list[Decision]:
        """The worker reports how busy it is, from 0 to 1."""
        self._census.set_busy(worker, share, now)
        if self._is_pressed(app, now) and worker.in_hand > 1:
            return self._use_more(app, now)
        return []

    def look_at(self, app: AppState, now: float) -> list[Decision]:
        """Judge the workers that do not report; then start some, or let one rest. Called at each
        tick."""
        used = [worker for worker in app.workers.values() if worker.is_used()]
        for worker in used:
            if now - worker.reported_at_s > SILENT_S:
                self._census.set_busy(worker, float(worker.in_hand > worker.open_ended), now)
        if self._is_pressed(app, now):
            if any(worker.in_hand > 1 for worker in used):
                return self._use_more(app, now)
        elif _can_spare_one(used):
            youngest_first = reversed(used)
            unused = min(youngest_first, key=lambda worker: worker.in_hand)
            self._census.set_resting(unused, app, True)
        return []

    def is_quiet(self, app: AppState) -> bool:
        """Is there nothing to do before the next request?"""
        return len(app.idle) == app.used < 2

    def _is_pressed(self, app: AppState, now: float) -> bool:
        """Has even the least busy one been busy for long enough?"""
        if app.busy < app.used:
            app.pressed_since_s = None
            return False
        if app.pressed_since_s is None:
            app.pressed_since_s = now
        return now - app.pressed_since_s >= PRESSED_S

    def _use_more(self, app: AppState, now: float) -> list[Decision]:
        if app.resting:
            self._census.set_resting(next(reversed(app.resting)), app, False)
            return []
        census = self._census
        if app.is_dropped or census.is_closing or app.loading or now < app.retry_at_s:
            return []
        decisions: list[Decision] = []
        for _ in range(app.used):
            if not app.may_have_another() or not census.may_boot() or not census.may_grow(app):
                break
            if not census.has_room():
                return decisions + self._make_room()
            decisions += self._lifetimes.start(app, Event.ADOPT, now)[1]
        return decisions

    def _make_room(self) -> list[Decision]:
        """End the worker that has been idle longest, for the next time; no busy one has to leave
        for this."""
        worker = self._room.evict() if self._room.may_be_made() else None
        return self._lifetimes.retire(worker) if worker is not None else []


def _can_spare_one(used: list[WorkerState]) -> bool:
    """Would one fewer of these workers be enough, by far?"""
    others = len(used) - 1
    if others < 1:
        return False
    load = sum(worker.busy_share for worker in used)
    in_hand = sum(worker.in_hand - worker.open_ended for worker in used)
    capacity = min(worker.capacity for worker in used)
    return load <= REST_SHARE * others and in_hand <= REST_FILL * capacity * others
