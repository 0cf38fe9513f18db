"""Starts and ends of workers: adopted, kept ready, replaced when used up, ended when idle."""

from collections.abc import Callable, Iterator

from buntime.core.pool.census import Census
from buntime.core.pool.decisions import Adopt, Decision, End
from buntime.core.pool.lifecycle import Event, State
from buntime.core.pool.room import Room
from buntime.core.pool.spares import Spares
from buntime.core.pool.workforce import TAKES_WORK, AppState, WorkerState


class Lifetimes:
    """`jitter()` returns a number from 0 to 1, so that workers are replaced at different times."""

    def __init__(
        self, census: Census, spares: Spares, room: Room, jitter: Callable[[], float]
    ) -> None:
        self._census = census
        self._spares = spares
        self._room = room
        self._jitter = jitter
        self._used_up: dict[WorkerState, None] = {}  # those with their number of requests reached

    # Starts

    def start(self, app: AppState, event: Event, now: float) -> tuple[WorkerState, list[Decision]]:
        """A spare becomes the app's worker; if there is none, a new process does."""
        policy = app.policy
        if app.is_ephemeral:
            self._spares.use(policy.spare_key, now)
        worker, spawned = self._spares.take(policy.spare_key)
        spread = 0.9 + 0.2 * self._jitter()
        worker.requests_max = max(1, round(policy.max_requests * spread))
        self._census.adopt(worker, app, event, now)
        return worker, [*spawned, Adopt(worker.id, app)]

    def prewarm(self, app: AppState, now: float) -> Iterator[Decision]:
        """Keep `prewarm` loaded workers ready, as far as the pool has room to spare."""
        census = self._census
        if app.is_dropped or census.is_closing or now < app.retry_at_s:
            return
        while app.lacks_ready() and census.may_adopt(app) and census.may_boot():
            is_contested = self._room.is_wanted() and not app.is_exempt
            if is_contested or not census.may_grow(app):
                return
            yield from self.start(app, Event.ADOPT, now)[1]

    # Ends

    def retire(self, worker: WorkerState) -> list[Decision]:
        """The worker leaves once it has finished what it has in hand."""
        before = worker.state
        if worker.is_leaving:
            self._census.set_leaving(worker, False)
        self._census.step(worker, Event.RETIRE)
        if before is State.KEEPING and not worker.in_hand:
            self._census.step(worker, Event.DRAINED)
        if worker.state is State.ENDING and before is not State.ENDING:
            return [End(worker.id)]
        return []

    def leave(self, worker: WorkerState, now: float) -> list[Decision]:
        """As `retire`; if its app has affinity, the worker still takes requests from its own
        clients."""
        app, census = worker.app, self._census
        if app is None or not app.keeps_sessions:
            return self.retire(worker)
        if worker.state is State.KEEPING:
            return []
        if worker.state not in TAKES_WORK:
            return self.retire(worker)
        if not (worker.served or worker.in_hand) or census.is_closing or self._room.line:
            return self.retire(worker)
        if worker.is_leaving:
            census.set_leaving(worker, False)
        worker.kept_since_s = now
        census.step(worker, Event.KEEP)
        kept = [each for each in census.kept if each.app is app]
        return self.retire(kept[0]) if len(kept) > app.policy.workers else []

    def end_kept(self, now: float) -> list[Decision]:
        """Of the workers kept only for their sessions, end those without any, or whose time is
        over."""
        decisions: list[Decision] = []
        for worker in tuple(self._census.kept):
            app, since_s = worker.app, worker.kept_since_s
            if app is None or since_s is None:
                raise AssertionError(f"{worker!r} is kept for nobody")
            if not worker.in_hand and now - worker.idle_since_s >= app.policy.idle_timeout_s:
                decisions.append(self._end_idle(worker))
            elif now - since_s >= app.policy.affinity_s:
                decisions += self.retire(worker)
        return decisions

    def use_up(self, worker: WorkerState) -> None:
        """The worker gets no more requests: it is replaced as soon as possible."""
        worker.requests_max = 0
        self._used_up[worker] = None

    def replace(self, worker: WorkerState, now: float) -> list[Decision]:
        """Start the worker's replacement, or end it if unused; do nothing where that is not
        possible yet."""
        app, census = worker.app, self._census
        if app is None or worker.is_leaving or worker.state not in TAKES_WORK:
            return []
        if now < app.retry_at_s or not census.may_boot() or not census.may_grow(app):
            return []
        is_used = app.queue or now - app.last_request_s < app.policy.idle_timeout_s
        wanted = is_used or app.is_exempt
        is_alone = app.is_dropped or census.is_closing or app.policy.is_single
        if is_alone or not wanted or not census.may_adopt(app):
            return self.leave(worker, now)
        census.set_leaving(worker, True)
        return self.start(app, Event.ADOPT, now)[1]

    def replace_due(self, now: float) -> list[Decision]:
        """Replace the workers that are too old, or used up."""
        self._used_up = {w: None for w in self._used_up if w.is_used_up()}
        due = self._used_up | dict.fromkeys(self._census.too_old(now))
        return [each for worker in due for each in self.replace(worker, now)]

    def end_idle(self, now: float) -> Iterator[Decision]:
        """End the workers that have been idle for too long, except those to be kept ready."""
        for line in self._census.idle_lines.values():
            for worker, app in line.expired(now):
                if app.has_ready_to_spare():
                    yield self._end_idle(worker)
                else:
                    line.keep(worker)

    def sleep(self, app: AppState) -> list[End]:
        """End the idle workers, except those to be kept ready."""
        kept = [each for each in self._census.kept if each.app is app and not each.in_hand]
        ended = [self._end_idle(worker) for worker in kept]
        return ended + [
            self._end_idle(worker)
            for worker in (*app.idle, *app.idle_resting)
            if app.has_ready_to_spare()
        ]

    def keep_ready(self, app: AppState, now: float) -> list[Decision]:
        """The app's workers have changed: end those beyond `prewarm`, and start the missing
        ones."""
        ended: list[Decision] = [
            self._end_idle(worker)
            for worker in (*app.idle, *app.idle_resting)
            if worker.is_idle_for(app.policy.idle_timeout_s, now) and app.has_ready_to_spare()
        ]
        return [*ended, *self.prewarm(app, now)]

    def _end_idle(self, worker: WorkerState) -> End:
        self.retire(worker)
        return End(worker.id, was_idle=True)
