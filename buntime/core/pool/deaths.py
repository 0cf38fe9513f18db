"""What follows from a worker's death, and from a start that came to nothing.

A death while the app loaded is held against the app: it is tried again after 1 s, 2 s and so on.
Where this machine had no means to start the process, nothing is.
"""

from buntime.core.pool.census import Census
from buntime.core.pool.decisions import Decision, Fail
from buntime.core.pool.dispatch import Dispatch
from buntime.core.pool.lifecycle import State
from buntime.core.pool.lifetimes import Lifetimes
from buntime.core.pool.room import Room
from buntime.core.pool.spares import Spares
from buntime.core.pool.workforce import AppState, WorkerState, backoff_s

BOOT_TRIES = 3  # boots cut short from outside that a waiting request outlives, less one


class Deaths:
    """See `Scheduler` for what its methods are told."""

    def __init__(
        self, census: Census, room: Room, spares: Spares, lifetimes: Lifetimes, dispatch: Dispatch
    ) -> None:
        self._census = census
        self._room = room
        self._spares = spares
        self._lifetimes = lifetimes
        self._dispatch = dispatch

    def died(
        self, worker: WorkerState, now: float, *, was_killed: bool, how: str
    ) -> tuple[list[Decision], bool]:
        """The process has gone."""
        app = worker.app
        was_loading = worker.state in (State.LOADING, State.ONCE) and not worker.boot.is_loaded
        failed_to_load = app is not None and was_loading
        self._census.remove(worker)
        decisions: list[Decision] = []
        if app is not None:
            if failed_to_load:
                app.boot_error = worker.boot.error or how
                was_cut = was_killed and not worker.boot.has_failed
                decisions += self._boot_failed(app, now, was_cut)
            decisions += self._go_on_after_death(app, now)
        elif not worker.boot.is_up:
            self._spares.has_not_started(worker.spare_key, now)
        decisions += self._dispatch.serve_lines(now)
        if not failed_to_load:  # else a broken interpreter would be started over and over
            decisions += self._spares.refill(now)
        return decisions, failed_to_load

    def never_started(self, worker: WorkerState, now: float) -> list[Decision]:
        """There is no process, by no fault of the app's."""
        app = worker.app
        self._census.remove(worker)
        if app is None:
            return []
        self._keep_old(app)
        self._census.watch(app)
        self._dispatch.try_later(app)
        return self._go_on_after_death(app, now)

    def _go_on_after_death(self, app: AppState, now: float) -> list[Decision]:
        """A worker of the app has died: who waits needs another one."""
        if app.policy.is_single:
            return [each for other in tuple(app.kin) for each in self._follow_on(other, now)]
        room = self._room
        if not app.queue or app in room.line or app in room.turns:
            return []
        if room.line:
            room.line.setdefault(app)  # others come first to the room there is now
            return []
        return self._dispatch.pump(app, now)

    def _follow_on(self, app: AppState, now: float) -> list[Decision]:
        """The place of the one worker may be free: the app may have it."""
        self._census.watch(app)  # where it may not be started yet, `tick` will
        if app.queue:
            return self._dispatch.pump(app, now)
        if app.tried_at_s is not None:
            return self._dispatch.try_out(app, now)
        return list(self._lifetimes.prewarm(app, now))

    def _keep_old(self, app: AppState) -> None:
        """Who would have been replaced by one that has come to nothing stays."""
        for worker in app.workers.values() if app.leaving else ():
            if worker.is_leaving and app.leaving > app.loading:
                self._census.set_leaving(worker, False)

    def _boot_failed(self, app: AppState, now: float, was_cut: bool) -> list[Decision]:
        """Back off; who would be replaced by it stays; what waits for nothing else has failed."""
        app.boot_failures += 1
        self._keep_old(app)
        if was_cut and app.boot_failures < BOOT_TRIES:
            return []  # the next one starts at once, for those that wait
        app.retry_at_s = now + backoff_s(app.boot_failures)
        if app.is_ephemeral or app.loaded:
            return []
        failed: list[Decision] = [Fail(ticket) for ticket in app.queue.tickets()]
        app.queue.clear()
        self._room.leave_lines(app)
        return failed
