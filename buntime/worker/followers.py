"""Leader and followers, for sync apps: one thread, the leader, reads the channel; others handle.

A request is handled by the thread that read it. Waking another thread to keep reading costs more
than a small handler takes (measured: 65 µs of CPU per request, 25 without), so the leader keeps the
lead while it is in a handler, watched by a standby (standby.py) that checks every millisecond: a
leader seen twice in the same handler loses the lead to the standby. If handlers usually take long,
the lead is handed over before each of them.

Invariants, all under `_mutex`:
- `_leader` is the bell of the thread that reads, or, while `_is_busy`, of the one that will read
  again after its handler. Nobody else reads.
- At most `concurrency` threads are in handlers. There is one more thread, so that one can always
  read for handlers that wait for their bodies or for credit.
- A handler that has to wait reads for itself if its own thread leads. With a concurrency of 1 this
  is the only way, because all handlers run on the main thread and no other thread is started.
"""

from __future__ import annotations

import _thread
import posix  # for `os`, see main.py
from time import perf_counter

from buntime.worker.report import complain
from buntime.worker.standby import QUIET_TICKS, Standby, new_bell, ring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable
    from typing import Protocol

    from buntime.worker.standby import Bell

    class Queue(Protocol):
        """Jobs that wait in something other than a deque, see lanes.py."""

        def append(self, job: Job, /) -> None: ...
        def popleft(self) -> Job: ...
        def __len__(self) -> int: ...
else:
    from _collections import deque

LONG_S = 0.0002  # handlers that take this long on average are worth a change of threads


class Job:
    """What a thread handles."""

    bell: Bell | None = None  # of the thread that is in its handler
    news = 0  # counts what came for it
    lane = 2  # a request; others are in plugins alone, see lanes.py
    caller = ""  # of a call
    may_lead = False  # its waiter reads if the leader is in a handler: see calls.py


class LeaderFollowers:
    """Up to `concurrency` threads in handlers, and one that reads.

    `read(wait)` takes in messages, and calls `put`, `tell` and `close` for them; `perform(job)`
    handles. Neither raises. `descriptor` is what it reads, if a thread may wait for that in the
    kernel.
    """

    def __init__(
        self,
        read: Callable[[bool], None],
        perform: Callable[[Job], None],
        concurrency: int,
        descriptor: int | None,
    ) -> None:
        self._read = read
        self._perform = perform
        self._concurrency = concurrency
        self._mutex = _thread.allocate_lock()
        # work
        self._jobs: deque[Job] | Queue = deque()
        self._handling = 0  # threads in handlers
        self._typical_s = 0.0  # how long a handler takes: a moving average
        self._is_closing = False
        self.is_over = False
        # threads
        self._leader: Bell | None = None
        self._is_busy = False
        self._turn = 0  # counts the handlers that leaders began
        self._standby = Standby(descriptor)
        self._idle: list[Bell] = []
        self._helpers: set[Bell] = set()  # called to look for a job, without the lead
        self._sleepers: dict[Bell, Job] = {}  # threads in handlers that wait for news
        self.bells: dict[int, Bell] = {}  # of the threads that handle, by their identity

    def read_under(self, lock: _thread.LockType) -> None:
        """Hold a lock while reading, because others outside of this class read too."""
        read = self._read

        def read_alone(wait: bool) -> None:
            with lock:
                read(wait)

        self._read = read_alone

    def claim_lead(self) -> None:
        """Make this thread the leader from now on, although it does not `run` yet."""
        self._leader = self.bells[_thread.get_ident()] = new_bell()

    def run(self) -> None:
        """Serve, on this thread and others, until `close` was called and everything is done."""
        if self._leader is None:
            self.claim_lead()
        self._work(self.bells[_thread.get_ident()])

    # ---- for `read`, on the leading thread

    def put(self, job: Job) -> None:
        """Queue a job."""
        self._jobs.append(job)

    def tell(self, job: Job) -> None:
        """Wake those that wait for news of a job."""
        with self._mutex:
            self._wake(job)

    def close(self) -> None:
        """Let the threads end once no job is left."""
        self._is_closing = True

    # ---- for handlers, on their threads and on others that the app started

    def wait(self, job: Job, seen: int, *, gives_way: bool = False) -> None:
        """Block until there may be more news of a job than `seen`.

        `seen` is a count because several threads may wait: the first would clear a flag for all. A
        thread that reads the channel while it waits does not notice another thread's `tell`; one
        that `gives_way` leaves the reading to others, if there are any.
        """
        with self._mutex:
            if job.news != seen or (self.is_over and job.may_lead):
                return
            bell = new_bell()
            leads = self._borrow_lead(job, bell)
            if leads and gives_way and self._concurrency > 1:
                leads = not self._appoint()
            if not leads:
                self._sleepers[bell] = job
        if not leads:
            bell.acquire()
            return
        self._read_for(job, seen)
        self._return_lead(job, bell)

    def _read_for(self, job: Job, seen: int) -> None:
        while job.news == seen:
            with self._mutex:
                # A waiting thread cannot take a request, new or left in the queue.
                if self._is_done() or (self._can_claim() and self._appoint()):
                    return
                self._standby.calm()
            self._read(True)

    def glance(self, job: Job) -> None:
        """Read what is there already, such as a CANCEL, if nobody else would read it."""
        if self._concurrency > 1:  # the standby does it
            return
        with self._mutex:
            bell = new_bell()
            leads = self._borrow_lead(job, bell)
        if leads:
            self._read(False)
            self._return_lead(job, bell)

    def _borrow_lead(self, job: Job, bell: Bell) -> bool:
        """Lead on behalf of the thread in the job's handler, if that one leads.

        With its own bell, because the caller need not be that thread.
        """
        if self._leader is not None and not (
            self._is_busy and (job.may_lead or self._leader is job.bell)
        ):
            return False
        self._leader = bell
        self._is_busy = False
        return True

    def _return_lead(self, job: Job, bell: Bell) -> None:
        with self._mutex:
            if self._leader is not bell:
                return
            if self.is_over:
                self._leader = None
                return
            if job.bell is not None:
                self._leader = job.bell
                self._begin_turn()
            elif not ((self._idle or self._concurrency > 1) and self._appoint()):
                # The handler ended meanwhile, and its thread, the only one, is in the next one, or
                # will be back at once. A waiter in that handler may lead.
                self._leader = None
                for sleeping in [*self._sleepers.values()]:
                    self._wake(sleeping)

    # ---- the threads

    def _work(self, bell: Bell) -> None:
        """Lead, watch, sleep: the life of a thread."""
        self.bells[_thread.get_ident()] = bell
        try:
            while not self.is_over:
                if self._leader is bell:
                    self._lead(bell)
                elif self._standby.bell is bell:
                    self._watch(bell)
                elif bell in self._helpers:
                    self._helpers.discard(bell)
                    self._lead(bell)
                else:
                    bell.acquire()
        except BaseException as exc:  # noqa: BLE001  # the edge of a thread, without which all hangs
            complain("buntime worker: a thread that serves requests failed", exc)
            self.quit()

    def quit(self) -> None:
        """End this process, because a thread that others wait for has failed."""
        posix._exit(1)

    def _lead(self, bell: Bell) -> None:
        """Read and handle, until another thread leads and no job is left for this one."""
        while True:
            with self._mutex:
                if self._leader is None:
                    self._leader = bell
                leads = self._leader is bell
                job = self._claim(bell, leads=leads)
                if job is None:
                    if leads:
                        self._standby.calm()
                    else:
                        self._idle.append(bell)
                if (self._is_closing and self._is_done()) or not (leads or job is not None):
                    return
            if job is not None:
                self._handle(job, bell)
            else:
                self._read(True)

    def _handle(self, job: Job, bell: Bell) -> None:
        started = perf_counter()
        self._perform(job)
        took = perf_counter() - started
        # Capped, so that one slow handler does not cost many quick ones a change of threads.
        self._typical_s += (min(took, 5 * LONG_S) - self._typical_s) * 0.1
        with self._mutex:
            self._let_go(job, bell)

    def _watch(self, bell: Bell) -> None:
        """Watch the leader, until this thread leads by its own or another's decision."""
        seen = -1
        quiet = 0
        while True:
            dozed = self._standby.wait(bell)
            with self._mutex:
                if dozed:
                    self._standby.wake()
                if self.is_over or self._leader is bell:
                    return
                if self._is_busy and self._turn == seen:
                    self._appoint()
                    return
                quiet = quiet + 1 if self._turn == seen else 0
                seen = self._turn
                if quiet >= QUIET_TICKS or (dozed and not self._is_busy):
                    self._standby.rest(bell)

    # ---- decisions, under the mutex

    def _let_go(self, job: Job, bell: Bell) -> None:
        self._handling -= 1
        job.bell = None
        if self._leader is bell:
            self._is_busy = False
        job.news += 1
        if self._sleepers:
            self._ring_for(job)  # threads of the app that still read its body

    def _can_claim(self) -> bool:
        return bool(self._jobs) and self._handling < self._concurrency

    def _take_next(self) -> Job | None:
        """Take the next job off the queue, if a thread may handle it now."""
        return self._jobs.popleft() if self._jobs and self._handling < self._concurrency else None

    def _claim(self, bell: Bell, *, leads: bool) -> Job | None:
        job = self._take_next()
        if job is None:
            return None
        self._handling += 1
        job.bell = bell
        if leads:
            self._begin_turn()
        return job

    def _begin_turn(self) -> None:
        """Enter a handler as leader: with a watching standby, or give up the lead at once."""
        self._turn += 1
        self._is_busy = True
        if self._concurrency == 1:
            if self._sleepers:
                self._wake_readers()
            return
        if self._typical_s > LONG_S and self._appoint():
            return
        if self._standby.bell is not None:
            self._standby.alert(self._standby.bell, at_once=bool(self._jobs))
        elif (bell := self._spare_thread()) is not None:
            self._standby.enlist(bell)

    def _appoint(self) -> bool:
        """Give the lead to the standby or another idle thread; False if there is none."""
        bell = self._standby.bell or self._spare_thread()
        if bell is None:
            return False
        if bell is self._standby.bell:
            self._standby.bell = None
        self._leader = bell
        self._is_busy = False
        self._standby.rouse(bell)
        return True

    def _call_helper(self) -> None:
        """Let a thread take a waiting job even if no handler ends."""
        bell = self._spare_thread()
        if bell is not None:
            self._helpers.add(bell)
            ring(bell)

    def _wake_readers(self) -> None:
        """Let waiters on other threads read, unless they only wait for one of our jobs."""
        for job in [job for job in self._sleepers.values() if job.may_lead]:
            self._wake(job)

    def _wake(self, job: Job) -> None:
        job.news += 1
        if self._sleepers:
            self._ring_for(job)

    def _ring_for(self, job: Job) -> None:
        for bell in [bell for bell, other in self._sleepers.items() if other is job]:
            del self._sleepers[bell]
            ring(bell)

    def _spare_thread(self) -> Bell | None:
        """Take the thread that went idle last, or start one; ring it once its role is set."""
        if self._idle:
            return self._idle.pop()
        bell = new_bell()
        try:
            self.start_thread(bell)
        except RuntimeError:  # the system's limit: make do with what there is
            return None
        return bell

    def start_thread(self, bell: Bell) -> None:
        """Put one more thread to work. Raises RuntimeError at the system's limit."""
        _thread.start_new_thread(self._work, (bell,))

    def _is_done(self) -> bool:
        """Return whether all is over, and then wake everybody to notice it."""
        if self._is_closing and not self._handling and not self._jobs and not self.is_over:
            self.is_over = True
            for bell in (self._leader, self._standby.bell, *self._idle, *self._sleepers):
                if bell is not None:
                    self._standby.rouse(bell)
        return self.is_over
