"""What the scheduler knows of apps and workers, and the decisions it hands out."""

from collections.abc import Hashable
from typing import NamedTuple

from buntime.core.pool.lifecycle import Event, State, after

Ticket = Hashable


class PoolLimits(NamedTuple):
    """The pool's bounds, all in numbers of workers or requests."""

    pool_size: int
    ephemeral_concurrency: int
    ephemeral_queue_limit: int
    queue_limit: int
    spare_workers: int  # of each key in use
    boots_at_once: int  # that no request waits for: spares, prewarmed workers, replacements


class Policy(NamedTuple):
    """What an app's manifest says about its workers.

    `spare_key` (interpreter and flags) tells which spares the app can use: those started for an
    equal key.
    """

    spare_key: Hashable
    ttl_s: float
    idle_timeout_s: float
    max_requests: int
    workers: int
    prewarm: int
    timeout_s: float

    @property
    def is_ephemeral(self) -> bool:
        return self.ttl_s == 0


# Decisions. A plain class each: the server looks them up by type.


class Spawn(NamedTuple):
    """Start an interpreter that waits for INIT, for an app with this `spare_key`."""

    worker: int
    spare_key: Hashable


class Adopt(NamedTuple):
    """Send the app's INIT to the worker."""

    worker: int
    app: "AppState"


class Assign(NamedTuple):
    """Send the request to the worker."""

    worker: int
    ticket: Ticket


class End(NamedTuple):
    """Tell the worker to TERMINATE, after IDLE where `was_idle`."""

    worker: int
    was_idle: bool = False


class Refuse(NamedTuple):
    """The request finds no place: answer 503, worth another try after so many seconds."""

    ticket: Ticket
    retry_after_s: float


class Fail(NamedTuple):
    """The request waited for a worker that could not load its app."""

    ticket: Ticket


Decision = Spawn | Adopt | Assign | End | Refuse | Fail


class WorkerState:
    """One worker as the scheduler knows it."""

    __slots__ = (
        "app",
        "born_s",
        "capacity",
        "id",
        "idle_since_s",
        "in_hand",
        "is_leaving",
        "is_loaded",
        "is_up",
        "open_ended",
        "requests_max",
        "served",
        "spare_key",
        "state",
    )

    def __init__(self, worker_id: int, spare_key: Hashable) -> None:
        self.id = worker_id
        self.spare_key = spare_key
        self.state = State.SPARE
        self.app: AppState | None = None
        self.capacity = 1  # requests at once; learned when it has loaded
        self.in_hand = 0
        self.open_ended = 0  # of them, those that take no place: open WebSockets that are tasks
        self.served = 0
        self.requests_max = 0
        self.born_s = 0.0  # when it was adopted
        self.idle_since_s = 0.0
        self.is_up = False  # its interpreter has started
        self.is_loaded = False
        self.is_leaving = False  # its time is over; it serves until its replacement has loaded

    def __repr__(self) -> str:
        return f"WorkerState({self.id}, {self.state.name}, {self.in_hand} in hand)"

    def step(self, event: Event) -> None:
        self.state = after(self.state, event)

    def can_take(self) -> bool:
        return self.in_hand - self.open_ended < self.capacity and self.state in TAKES_WORK

    def is_booting(self) -> bool:
        """Does it start its interpreter, or load its app?"""
        return not self.is_loaded if self.state in _LOADS else not self.is_up


TAKES_WORK = frozenset({State.IDLE, State.BUSY})
HAS_LEFT = frozenset({State.RETIRING, State.ENDING, State.GONE})
_LOADS = frozenset({State.LOADING, State.ONCE})
CRASH_LOOP = 5  # boots that failed in a row; then requests are refused between the tries
BOOT_TRIES = 3  # boots cut short from outside that a waiting request outlives, less one
BACKOFF_MAX_S = 60.0
SPARES_KEPT_S = 300.0  # spares of a key, after the last request that could have used one
TURN_S = 1.0  # that an app without workers waits for another one's, where the pool is full
RETRY_AFTER_MAX_S = 3600.0


def backoff_s(failures: int) -> float:
    """How long after so many failures in a row the next try is made: 1 s, 2 s, ... 60 s."""
    return min(BACKOFF_MAX_S, 2.0 ** (failures - 1))


class Spares:
    """How spares of one key fare."""

    __slots__ = ("failures", "retry_at_s", "used_at_s")

    def __init__(self) -> None:
        self.used_at_s = float("inf")  # kept for ever, unless somebody writes a time
        self.failures = 0  # interpreters that died as they started, in a row
        self.retry_at_s = float("-inf")


class AppState:
    """One version of an app, in one state of its code, with its workers and its queue."""

    __slots__ = (
        "boot_failures",
        "departed_at_s",
        "given_room_at_s",
        "interval_s",
        "is_dropped",
        "key",
        "last_request_s",
        "policy",
        "queue",
        "retry_at_s",
        "tried_at_s",
        "workers",
    )

    def __init__(self, key: str, policy: Policy) -> None:
        self.key = key
        self.policy = policy
        self.workers: dict[int, WorkerState] = {}
        # Ticket -> when it came, in order of arrival; a dict, to withdraw in O(1)
        self.queue: dict[Ticket, float] = {}
        # How fast the queue moves: the time between two requests that leave it, averaged.
        self.interval_s = 0.0  # 0: not known
        self.departed_at_s = float("-inf")  # when one left it, or it began to fill
        self.last_request_s = float("-inf")
        self.given_room_at_s = float("-inf")  # when a busy worker of another app had to leave
        self.tried_at_s: float | None = None  # since when it is to be loaded without a request
        self.is_dropped = False  # its code changed or its folder went: no new workers
        self.boot_failures = 0  # in a row
        self.retry_at_s = float("-inf")  # no boot before, after one that failed

    def __repr__(self) -> str:
        return f"AppState({self.key}, {len(self.workers)} workers, {len(self.queue)} queued)"

    def has_loaded_worker(self) -> bool:
        return any(worker.is_loaded for worker in self.workers.values())

    def serving_count(self) -> int:
        return sum(worker.state not in HAS_LEFT for worker in self.workers.values())

    def is_overloaded(self, now: float) -> bool:
        """Has the oldest in the queue used up half of its time?

        Then most will be late. Who came last gets the next place, as it still has a client that
        waits: first come, first served would answer each just when its client has given up.
        """
        queue = self.queue
        return bool(queue) and now - next(iter(queue.values())) > self.policy.timeout_s / 2

    def enqueue(self, ticket: Ticket, now: float) -> None:
        if not self.queue:
            self.departed_at_s = now
        self.queue[ticket] = now

    def take_next(self, now: float) -> Ticket:
        """Take who is next out of the queue, and learn how fast it moves."""
        queue = self.queue
        if self.is_overloaded(now):
            ticket, _ = queue.popitem()
        else:
            ticket = next(iter(queue))
            del queue[ticket]
        passed_s = now - self.departed_at_s
        self.departed_at_s = now
        self.interval_s = (
            passed_s if not self.interval_s else 0.8 * self.interval_s + 0.2 * passed_s
        )
        return ticket

    def wait_s(self, now: float) -> float:
        """How long a request that came now would wait, as far as the queue's speed tells."""
        if not self.queue:
            return 0.0
        halted_s = max(0.0, now - self.departed_at_s - self.interval_s)  # a boot, a slow request
        return min(RETRY_AFTER_MAX_S, halted_s + self.interval_s * (len(self.queue) + 1))

    def is_crash_looping(self, now: float) -> bool:
        """Have so many boots failed in a row that the next one waits for its back-off?"""
        return self.boot_failures >= CRASH_LOOP and now < self.retry_at_s


def least_loaded(app: AppState) -> WorkerState | None:
    """The worker with the fewest requests in hand, of those that can take one."""
    best: WorkerState | None = None
    for worker in app.workers.values():
        if worker.can_take() and (best is None or worker.in_hand < best.in_hand):
            if worker.in_hand == 0:
                return worker
            best = worker
    return best


def ready_count(app: AppState) -> int:
    return sum(worker.state in (State.IDLE, State.LOADING) for worker in app.workers.values())
