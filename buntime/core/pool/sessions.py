"""Requests for one certain worker: from clients whose sessions it has in memory (`affinity`).

The cookie in a worker's answer names the worker. A client that sends it gets back to that worker
while it serves, and while it is KEEPING: others have taken its place, and it stays for its own
clients until these are idle or its time is over. A request that finds the worker full waits in a
queue of the worker's own. When the worker leaves, requests that wait for it are given back, to be
submitted for any.

A worker of an older version may still serve clients that ask for that version. From clients that it
had before the newer version came, it takes requests for as long as if it were KEEPING.
"""

from buntime.core.pool.census import Census
from buntime.core.pool.decisions import Assign, Decision, GiveBack, Refuse
from buntime.core.pool.dispatch import Dispatch
from buntime.core.pool.lifecycle import State
from buntime.core.pool.requestqueue import RequestQueue, Ticket
from buntime.core.pool.workforce import TAKES_ITS_OWN, AppState, WorkerState


class Sessions:
    """Requests that wait for one certain worker."""

    def __init__(self, census: Census, dispatch: Dispatch) -> None:
        self._census = census
        self._dispatch = dispatch
        self._waited_for: dict[WorkerState, None] = {}  # those that have a queue of their own
        self._worker_of: dict[Ticket, WorkerState] = {}  # for all requests in these queues

    def at(self, worker_id: int, wanted: AppState | None, now: float) -> AppState | None:
        """The app of this worker, if a client of its own that asks for `wanted` may use it."""
        worker = self._census.workers.get(worker_id)
        if worker is None or worker.app is None or worker.state not in TAKES_ITS_OWN:
            return None
        if worker.app is not wanted and worker.state is not State.KEEPING:
            if worker.elsewhere_since_s is None:
                worker.elsewhere_since_s = now
            if now - worker.elsewhere_since_s >= worker.app.policy.affinity_s:
                return None
        return worker.app

    def submit(self, worker: WorkerState, ticket: Ticket, now: float) -> list[Decision]:
        """A request arrived that is only for this worker."""
        app = _app_of(worker)
        app.last_request_s = now
        if worker.own is None:
            if worker.can_take_its_own():  # the usual case
                self._begin(worker, now)
                return [Assign(worker.id, ticket)]
            worker.own = RequestQueue(app.policy.timeout_s)
            self._waited_for[worker] = None
        worker.own.add(ticket, now)
        self._worker_of[ticket] = worker
        return self._bound(worker.own, ticket, now)

    def take_turn(self, worker: WorkerState, now: float) -> list[Decision]:
        """A place is free: requests for this worker and requests for any worker get it in turn."""
        app = _app_of(worker)
        is_for_any = app.queue and worker.state is not State.KEEPING and worker.served & 1
        decisions = self._dispatch.pump(app, now) if is_for_any else []
        return decisions + self.pump(worker, now)

    def pump(self, worker: WorkerState, now: float) -> list[Decision]:
        """Give the worker its waiting requests, as many as it can take."""
        if worker.state not in TAKES_ITS_OWN:
            return self.release(worker)
        decisions: list[Decision] = []
        while worker.own is not None and worker.can_take_its_own():
            ticket = worker.own.take_next(now)
            self._forget(ticket)
            self._begin(worker, now)
            decisions.append(Assign(worker.id, ticket))
        return decisions

    def withdraw(self, ticket: Ticket) -> bool:
        """The request no longer waits; False if it did not wait."""
        worker = self._worker_of.get(ticket)
        if worker is None or worker.own is None:
            return False
        worker.own.withdraw(ticket)
        self._forget(ticket)
        return True

    def put_last(self, ticket: Ticket) -> None:
        """Its client may have left: all others that wait for the worker go first."""
        worker = self._worker_of.get(ticket)
        if worker is not None and worker.own is not None:
            worker.own.put_last(ticket)

    def release(self, worker: WorkerState) -> list[Decision]:
        """The worker leaves: its waiting requests may go to any."""
        tickets = worker.own.tickets() if worker.own is not None else []
        for ticket in tickets:
            self._forget(ticket)
        worker.own = None
        self._waited_for.pop(worker, None)
        return [GiveBack(ticket) for ticket in tickets]

    def release_lost(self) -> list[Decision]:
        """The same for all workers that are leaving by now."""
        lost = [each for each in self._waited_for if each.state not in TAKES_ITS_OWN]
        return [each for worker in lost for each in self.release(worker)]

    def _bound(self, queue: RequestQueue, ticket: Ticket, now: float) -> list[Decision]:
        """If too many wait, refuse one, as in an app's queue."""
        if queue.count <= self._census.limits.queue_limit:
            return []
        victim = queue.most_dispensable(now)
        if victim is None:
            victim = ticket
        self.withdraw(victim)
        return [Refuse(victim, queue.wait_s(now))]

    def _begin(self, worker: WorkerState, now: float) -> None:
        app = _app_of(worker)
        if worker.state is State.KEEPING:
            self._census.begin_kept(worker)
            return
        if worker.is_resting:
            self._census.set_resting(worker, app, False)
        self._census.begin(worker, app, now)

    def _forget(self, ticket: Ticket) -> None:
        """Remove the request from its worker's queue, and the queue with its last request."""
        worker = self._worker_of.pop(ticket)
        if not worker.own:
            worker.own = None
            self._waited_for.pop(worker, None)


def _app_of(worker: WorkerState) -> AppState:
    if worker.app is None:
        raise AssertionError(f"{worker!r} has no app")
    return worker.app
