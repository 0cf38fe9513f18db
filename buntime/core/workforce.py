"""What the scheduler knows of apps and workers, and the decisions it hands out."""

from collections.abc import Hashable
from dataclasses import dataclass

from buntime.core.lifecycle import Event, State, after

Ticket = Hashable


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """The pool's bounds, all in numbers of workers or requests."""

    pool_size: int
    ephemeral_concurrency: int
    ephemeral_queue_limit: int
    queue_limit: int
    spare_workers: int


@dataclass(frozen=True, slots=True)
class Policy:
    """What an app's manifest says about its workers; `kit` names what a spare must be made of."""

    kit: Hashable
    ttl_s: float
    idle_timeout_s: float
    max_requests: int
    workers: int
    prewarm: int

    @property
    def is_ephemeral(self) -> bool:
        return self.ttl_s == 0


# Decisions. A plain class each: the server looks them up by type.


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start an interpreter of this kit; it waits for INIT."""

    worker: int
    kit: Hashable


@dataclass(frozen=True, slots=True)
class Adopt:
    """Send the app's INIT to the worker."""

    worker: int
    app: "AppState"


@dataclass(frozen=True, slots=True)
class Assign:
    """Send the request to the worker."""

    worker: int
    ticket: Ticket


@dataclass(frozen=True, slots=True)
class End:
    """Tell the worker to TERMINATE, after IDLE where `was_idle`."""

    worker: int
    was_idle: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    """The request finds no place: answer 503, worth another try after so many seconds."""

    ticket: Ticket
    retry_after_s: float


@dataclass(frozen=True, slots=True)
class Fail:
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
        "kit",
        "requests_max",
        "served",
        "state",
    )

    def __init__(self, worker_id: int, kit: Hashable) -> None:
        self.id = worker_id
        self.kit = kit
        self.state = State.SPARE
        self.app: AppState | None = None
        self.capacity = 1  # requests at once; learned when it has loaded
        self.in_hand = 0
        self.served = 0
        self.requests_max = 0
        self.born_s = 0.0  # when it was adopted
        self.idle_since_s = 0.0
        self.is_loaded = False
        self.is_leaving = False  # its time is over; it serves until its replacement has loaded

    def __repr__(self) -> str:
        return f"WorkerState({self.id}, {self.state.name}, {self.in_hand} in hand)"

    def step(self, event: Event) -> None:
        self.state = after(self.state, event)

    def can_take(self) -> bool:
        return self.in_hand < self.capacity and self.state in TAKES_WORK


TAKES_WORK = frozenset({State.IDLE, State.BUSY})
HAS_LEFT = frozenset({State.RETIRING, State.ENDING, State.GONE})
CRASH_LOOP = 5  # boots that failed in a row; then requests are refused between the tries
BACKOFF_MAX_S = 60.0


class AppState:
    """One version of an app, in one state of its code, with its workers and its queue."""

    __slots__ = (
        "boot_failures",
        "is_dropped",
        "key",
        "last_request_s",
        "policy",
        "queue",
        "retry_at_s",
        "workers",
    )

    def __init__(self, key: str, policy: Policy) -> None:
        self.key = key
        self.policy = policy
        self.workers: dict[int, WorkerState] = {}
        self.queue: dict[Ticket, None] = {}  # in order of arrival; a dict, to withdraw in O(1)
        self.last_request_s = float("-inf")
        self.is_dropped = False  # its code changed or its folder went: no new workers
        self.boot_failures = 0  # in a row
        self.retry_at_s = float("-inf")  # no boot before, after one that failed

    def __repr__(self) -> str:
        return f"AppState({self.key}, {len(self.workers)} workers, {len(self.queue)} queued)"

    def has_loaded_worker(self) -> bool:
        return any(worker.is_loaded for worker in self.workers.values())

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
