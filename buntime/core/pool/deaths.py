"""What follows from a worker's death, and from a start that failed.

A death while the app was loading counts against the app: the next try is after 1 s, 2 s and so on.
If this machine lacked the means to start the process, nothing counts against the app.
"""

from buntime.core.pool.census import Census
from buntime.core.pool.decisions import Decision, Fail
from buntime.core.pool.dispatch import Dispatch
from buntime.core.pool.lifecycle import State
from buntime.core.pool.lifetimes import Lifetimes
from buntime.core.pool.room import Room
from buntime.core.pool.spares import Spares
from buntime.core.pool.workforce import AppState, WorkerState, backoff_s

BOOT_TRIES = 3  # one more than the interrupted boots that a waiting request survives


class Deaths:
    """See `Scheduler` for what its methods report."""

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
        """The process is gone."""
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
        if not failed_to_load:  # or else a broken interpreter would be started over and over
            decisions += self._spares.refill(now)
        return decisions, failed_to_load

    def never_started(self, worker: WorkerState, now: float) -> list[Decision]:
        """There is no process, through no fault of the app."""
        app = worker.app
        self._census.remove(worker)
        if app is None:
            return []
        self._keep_old(app)
        self._census.watch(app)
        self._dispatch.try_later(app)
        return self._go_on_after_death(app, now)

    def _go_on_after_death(self, app: AppState, now: float) -> list[Decision]:
        """A worker of the app has died: those that wait need another one."""
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
        """The place of the one worker may be free: the app may use it."""
        self._census.watch(app)  # if it may not start yet, `tick` will start it
        if app.queue:
            return self._dispatch.pump(app, now)
        if app.tried_at_s is not None:
            return self._dispatch.try_out(app, now)
        return list(self._lifetimes.prewarm(app, now))

    def _keep_old(self, app: AppState) -> None:
        """Workers whose replacement has failed stay."""
        for worker in app.workers.values() if app.leaving else ():
            if worker.is_leaving and app.leaving > app.loading:
                self._census.set_leaving(worker, False)

    def _boot_failed(self, app: AppState, now: float, was_cut: bool) -> list[Decision]:
        """Back off. The workers it would have replaced stay; requests that waited only for it have
        failed."""
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
