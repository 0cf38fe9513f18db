"""Lanes: the work of a plugin's process by kind, each with its own slots.

So eight slow downloads from its page, or eight slow calls, delay no hook.
"""

from __future__ import annotations

from buntime.worker.followers import LeaderFollowers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Sequence

    from buntime.worker.followers import Job
    from buntime.worker.standby import Bell
else:
    from _collections import deque

# The lanes, in the order in which they are served. `Job.lane` is one of them.
HOOKS, CALLS, REQUESTS, NOTICES, STREAMS = range(5)
STREAMS_MAX = 100  # methods that yield, each with a thread


class ByCaller:
    """Waiting calls: those of one caller in order, callers in turn.

    A caller with 60 slow calls does not delay all others.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, deque[Job]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, job: Job) -> None:
        """Queue a call after those of the same caller."""
        self._count += 1
        jobs = self._jobs.get(job.caller)
        if jobs is None:
            jobs = self._jobs[job.caller] = deque()
        jobs.append(job)

    def popleft(self) -> Job:
        """Take the first call of the caller whose turn it is."""
        caller = next(iter(self._jobs))
        jobs = self._jobs.pop(caller)
        self._count -= 1
        job = jobs.popleft()
        if jobs:
            self._jobs[caller] = jobs  # behind the others
        return job


class Lanes:
    """Jobs that wait, and how many of each lane are in hand. Under the mutex of the threads."""

    def __init__(self, limits: Sequence[int]) -> None:
        self._limits = limits
        self._in_hand = [0] * len(limits)
        self._waiting: list[deque[Job] | ByCaller] = [
            ByCaller() if lane == CALLS else deque() for lane in range(len(limits))
        ]
        self._count = 0  # of those that wait

    def __len__(self) -> int:
        return self._count

    def append(self, job: Job) -> None:
        """Queue a job in its lane."""
        self._waiting[job.lane].append(job)
        self._count += 1

    def has_next(self) -> bool:
        """Return whether there is a job whose lane has a free slot."""
        return self._count > 0 and self._next() is not None

    def popleft(self) -> Job:
        """Take the next job, and a slot of its lane."""
        job = self.take()
        assert job is not None
        return job

    def take(self) -> Job | None:
        """The same, if there is a job whose lane has a free slot."""
        if not self._count:
            return None
        lane = self._next()
        if lane is None:
            return None
        self._in_hand[lane] += 1
        self._count -= 1
        return self._waiting[lane].popleft()

    def move(self, job: Job, lane: int) -> bool:
        """Move a running job to a slot of another lane, if that has one."""
        if self._in_hand[lane] >= self._limits[lane]:
            return False
        self._in_hand[job.lane] -= 1
        self._in_hand[lane] += 1
        job.lane = lane
        return True

    def give_back(self, lane: int) -> None:
        """Free the slot of a job."""
        self._in_hand[lane] -= 1

    def _next(self) -> int | None:
        for lane, waiting in enumerate(self._waiting):
            if waiting and self._in_hand[lane] < self._limits[lane]:
                return lane
        return None


class LanedFollowers(LeaderFollowers):
    """Threads that take their jobs from lanes."""

    def __init__(
        self,
        read: Callable[[bool], None],
        perform: Callable[[Job], None],
        limits: Sequence[int],
        descriptor: int | None,
    ) -> None:
        super().__init__(read, perform, sum(limits), descriptor)
        self._lanes = self._jobs = Lanes([*limits, STREAMS_MAX])

    def put(self, job: Job) -> None:
        """Queue a job."""
        with self._mutex:  # several may look at the lanes meanwhile
            self._jobs.append(job)

    def begin_stream(self, job: Job) -> bool:
        """Free a call's slot, because it may take long; False if there are too many of those."""
        with self._mutex:
            if not self._lanes.move(job, STREAMS):
                return False
            if self._lanes.has_next():  # the leader may be reading, and not check before that ends
                self._call_helper()
        return True

    def _can_claim(self) -> bool:
        return self._lanes.has_next()

    def _take_next(self) -> Job | None:
        return self._lanes.take()

    def _let_go(self, job: Job, bell: Bell) -> None:
        super()._let_go(job, bell)
        self._lanes.give_back(job.lane)
