"""What the scheduler knows about a worker and about an app.

The census updates `open`, `idle`, `resting` and the counts of an app, see there.
"""

from collections.abc import Hashable

from buntime.core.pool.boot import Boot
from buntime.core.pool.lifecycle import TRANSITIONS, Event, State, after
from buntime.core.pool.requestqueue import RequestQueue
from buntime.core.values.tuples import NamedTuple


def workers_beside(pool_size: int) -> int:
    """How many workers that take long to end need not count, in a pool of this size."""
    return max(1, pool_size // 4)


class PoolLimits(NamedTuple):
    """The pool's limits, all as numbers of workers or requests."""

    pool_size: int
    ephemeral_concurrency: int
    ephemeral_queue_limit: int
    queue_limit: int
    spare_workers: int  # for each key in use
    boots_at_once: int  # boots that no request waits for: spares, prewarmed workers, replacements

    @property
    def beside(self) -> int:
        """How many workers that take long to end may exist beyond `pool_size`."""
        return workers_beside(self.pool_size)

    @property
    def lent(self) -> int:
        """How many slots of `ttl: 0` may be lent while their workers wait for clients."""
        return max(1, self.pool_size // 4)

    @property
    def ending_of_an_app(self) -> int:
        """An app with more workers that are ending gets no new one, so that others find room."""
        return max(1, self.pool_size // 2)


class Policy(NamedTuple):
    """What an app's manifest says about its workers.

    `spare_key` (interpreter and flags) says which spares the app can use: those started for an
    equal key. The workers of an exempt app, a plugin, do not count towards the pool's size, and are
    never ended for being idle or to make room for others.
    """

    spare_key: Hashable
    ttl_s: float
    idle_timeout_s: float
    max_requests: int
    workers: int
    prewarm: int
    timeout_s: float
    is_exempt: bool = False
    is_single: bool = False  # its workers never overlap: one ends before the next one starts
    # How long a worker that leaves, if it is not exempt, takes requests from its own clients
    affinity_s: float = 0.0

    @property
    def is_ephemeral(self) -> bool:
        return self.ttl_s == 0


TAKES_WORK = frozenset({State.IDLE, State.BUSY})
TAKES_ITS_OWN = TAKES_WORK | {State.KEEPING}  # work from clients that it had before
HAS_LEFT = frozenset({State.KEEPING, State.RETIRING, State.ENDING, State.GONE})
_LOADS = frozenset({State.LOADING, State.ONCE})
BUSY_SHARE = 0.7  # a worker above this is busy: queueing begins
CRASH_LOOP = 5  # failed boots in a row; from then on requests are refused between the tries
BACKOFF_MAX_S = 60.0
_DOUBLINGS_MAX = 10  # far more than lead there; a float holds 1023, which come after 17 hours


def backoff_s(failures: int) -> float:
    """How long to wait after this many failures in a row: 1 s, 2 s, ... 60 s."""
    return min(BACKOFF_MAX_S, 2.0 ** min(failures - 1, _DOUBLINGS_MAX))


class WorkerState:
    """One worker as the scheduler knows it."""

    __slots__ = (
        "app",
        "boot",
        "born_s",
        "busy_share",
        "capacity",
        "elsewhere_since_s",
        "id",
        "idle_fresh",
        "idle_line",
        "idle_since_s",
        "in_hand",
        "is_leaving",
        "is_overdue",
        "is_resting",
        "is_stalled",
        "kept_since_s",
        "open_ended",
        "own",
        "place",
        "reported_at_s",
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
        self.open_ended = 0  # those of them that take no place: open WebSockets that are tasks
        self.served = 0
        self.requests_max = 0
        self.born_s = 0.0  # when it was adopted
        self.idle_since_s = 0.0
        self.boot = Boot()
        self.is_overdue = False  # told to end, and takes longer than a moment
        self.is_stalled = False  # its one request waits for the client
        self.is_leaving = False  # its time is over; it serves until its replacement has loaded
        # if its app may have several workers, see `spreading`
        self.busy_share = 0.0  # in the last tenth of a second
        self.reported_at_s = 0.0  # when that was reported, or the first request after it was idle
        self.is_resting = False  # gets nothing new
        # if its app has affinity, see `sessions`
        self.own: RequestQueue | None = None  # requests from its own clients that wait for it
        self.kept_since_s: float | None = None  # since when others have taken its place
        self.elsewhere_since_s: float | None = None  # since when clients of newer code come to it
        # kept by the census
        self.place = -1  # its index in its app's `open`; -1: not in it
        self.idle_fresh: dict[WorkerState, None] = {}  # the idle workers it joins
        self.idle_line = self.idle_fresh  # those it is in, while it is idle

    def __repr__(self) -> str:
        return f"WorkerState({self.id}, {self.state.name}, {self.in_hand} in hand)"

    def step(self, event: Event) -> None:
        self.state = TRANSITIONS[self.state].get(event) or after(self.state, event)

    def can_take(self) -> bool:
        return self.in_hand - self.open_ended < self.capacity and self.state in TAKES_WORK

    def can_take_its_own(self) -> bool:
        return self.in_hand - self.open_ended < self.capacity and self.state in TAKES_ITS_OWN

    def is_used(self) -> bool:
        """May it get requests?"""
        return self.state in TAKES_WORK and not self.is_resting

    def is_used_up(self) -> bool:
        """Has it had so many requests that another one has to replace it?"""
        return self.served >= self.requests_max and self.state not in HAS_LEFT

    def is_idle_for(self, seconds: float, now: float) -> bool:
        return self.state is State.IDLE and now - self.idle_since_s >= seconds

    def is_booting(self) -> bool:
        """Is its interpreter starting, or is it loading its app?"""
        return not self.boot.is_loaded if self.state in _LOADS else not self.boot.is_up


class AppState:
    """One version of an app, in one state of its code, with its workers and its queue."""

    __slots__ = (
        "boot_error",
        "boot_failures",
        "busy",
        "ending",
        "given_room_at_s",
        "idle",
        "idle_resting",
        "is_dropped",
        "is_ephemeral",
        "is_exempt",
        "is_watched",
        "keeps_sessions",
        "key",
        "kin",
        "last_request_s",
        "leaving",
        "loaded",
        "loading",
        "open",
        "policy",
        "pressed_since_s",
        "queue",
        "resting",
        "retry_at_s",
        "serving",
        "spreads",
        "tried_at_s",
        "used",
        "workers",
    )

    def __init__(self, key: str, policy: Policy) -> None:
        self.key = key
        self.policy = policy
        # Other states of the code of an app whose workers never overlap, including itself.
        self.kin: set[AppState] = {self}
        self.is_ephemeral = policy.is_ephemeral
        self.is_exempt = policy.is_exempt
        self.spreads = policy.workers > 1 and not policy.is_ephemeral
        # A plugin's worker takes no room that others want, and may have to go before the next one.
        is_alone = policy.is_exempt or policy.is_single
        self.keeps_sessions = policy.affinity_s > 0 and not is_alone
        # To be looked at by the tick after its workers have changed
        self.is_watched = policy.prewarm > 0 or self.spreads
        self.queue = RequestQueue(policy.timeout_s)
        self.last_request_s = float("-inf")
        self.given_room_at_s = float("-inf")  # when a busy worker of another app had to leave
        self.tried_at_s: float | None = None  # since when it should be loaded without a request
        self.is_dropped = False  # its code changed or its folder is gone: no new workers
        self.boot_failures = 0  # in a row
        self.boot_error = ""  # why the last of them failed: a message, lines of a stack
        self.retry_at_s = float("-inf")  # no boot before this, after one that failed
        # kept by the census
        self.workers: dict[int, WorkerState] = {}
        self.idle: dict[WorkerState, None] = {}  # the one that was busy last is at the end
        self.open: list[WorkerState] = []  # those that can take a request, and do not rest
        self.resting: dict[WorkerState, None] = {}  # not among `idle` and `open`
        self.idle_resting: dict[WorkerState, None] = {}  # those of them that are idle
        self.serving = 0  # workers that have not left
        self.leaving = 0  # those of them whose replacement is loading
        self.loading = 0
        self.loaded = 0  # workers that have loaded the app, in whatever state
        self.ending = 0  # workers that were told to end, and are still there
        self.used = 0  # workers that may get requests
        self.busy = 0  # those of them with a busy share above BUSY_SHARE
        self.pressed_since_s: float | None = None  # since when these are all of them

    def __repr__(self) -> str:
        return f"AppState({self.key}, {len(self.workers)} workers, {self.queue.count} queued)"

    def may_have_another(self) -> bool:
        """Does it have fewer workers than the manifest allows? A replacement counts for the old
        one."""
        if self.policy.is_single:
            return not any(each.workers for each in self.kin)
        return self.is_ephemeral or self.serving - self.leaving < self.policy.workers

    def lacks_ready(self) -> bool:
        """Must a prewarmed worker be started?"""
        is_short = self._ready() < self.policy.prewarm
        return is_short and self.may_have_another() and not self.is_dropped

    def has_ready_to_spare(self) -> bool:
        """May an idle worker go, because enough others are prewarmed?"""
        return self._ready() > self.policy.prewarm

    def _ready(self) -> int:
        """How many workers are idle, or will be soon."""
        return len(self.idle) + len(self.idle_resting) + self.loading

    def queued(self) -> int:
        """How many requests wait for its workers, or for a certain one of them."""
        owns = (worker.own for worker in self.workers.values())
        return self.queue.count + sum(own.count for own in owns if own is not None)

    def wait_s(self, now: float) -> float:
        """How long a request that came now would have to wait, judging by the queue's speed."""
        return self.queue.wait_s(now)

    def is_crash_looping(self, now: float) -> bool:
        """Have so many boots failed in a row that the next one waits for its back-off?"""
        return self.boot_failures >= CRASH_LOOP and now < self.retry_at_s
