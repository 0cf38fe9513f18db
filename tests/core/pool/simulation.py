"""An app under load on a simulated clock: clients, workers that compute and wait, and a pool.

A worker computes for one request at a time, in turns of 5 ms, and can wait for any number at once.
Each worker has a core of its own. While it has requests, it reports every tenth of a second how
busy it was, as workers do.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from random import Random

from buntime.core.pool.decisions import Adopt, Assign, Decision, End, Spawn
from buntime.core.pool.lifecycle import State
from buntime.core.pool.scheduler import Scheduler
from buntime.core.pool.workforce import AppState, Policy, PoolLimits

SLICE_S = 0.005
TELL_S = 0.1
TICK_S = 0.5
BOOT_S = 0.1


class Request:
    """What a request costs its worker, and how it fares."""

    def __init__(self, compute_s: float, wait_s: float, came_s: float, client: int) -> None:
        self.compute_s = compute_s
        self.wait_s = wait_s
        self.came_s = came_s
        self.client = client


class Process:
    """A worker's side."""

    def __init__(self) -> None:
        self.ready: deque[Request] = deque()
        self.in_hand = 0
        self.is_running = False
        self.is_telling = False
        self.used_s = 0.0  # processor time since the last report
        self.told_s = 0.0


class Simulation:
    """One app and its clients; `run` lets time pass."""

    def __init__(
        self, *, workers: int, capacity: int, seed: int = 1, tells: bool = True, idle_s: float = 5.0
    ) -> None:
        limits = PoolLimits(50, 2, 10, 1000, 0, 50)
        random = Random(seed)
        self.random = random
        self.pool = Scheduler(limits, jitter=random.random)
        self.app = AppState("a", Policy("python", 1e6, idle_s, 10**9, workers, 0, 30.0))
        self.now = 0.0
        self.served = 0
        self.latencies: list[float] = []
        self.longest_wait_s = 0.0  # in the queue, while a worker was idle
        self.most_workers = 0
        self.processes: dict[int, Process] = {}
        self._clients = 0
        self._capacity = capacity
        self._tells = tells
        self._next: Callable[[int], Request | None] = lambda client: None
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order: Iterator[int] = count()
        self._carry_out(self.pool.add_app(self.app, 0.0))
        self._at(TICK_S, self._tick)

    @property
    def workers(self) -> int:
        """Workers that serve."""
        return self.app.serving

    def closed(self, clients: int, compute_s: float, wait_s: float) -> None:
        """Add so many clients, each of which sends its next request when the last one is
        answered."""
        first, self._clients = self._clients, self._clients + clients
        self._next = lambda client: (
            Request(compute_s, wait_s, self.now, client) if client >= first else None
        )
        for client in range(first, self._clients):
            self._at(self.random.random() * 0.01, lambda client=client: self._ask(client))  # type: ignore[misc]  # bound as a default

    def open(self, rate: float, compute_s: float, wait_s: float) -> None:
        """Send requests at random times, so many a second, however long they take."""
        self._next = lambda client: None

        def arrive() -> None:
            if self._next is mine:
                self._submit(Request(compute_s, wait_s, self.now, -1))
                self._at(self.random.expovariate(rate), arrive)

        mine = self._next
        self._at(self.random.expovariate(rate), arrive)

    def stop(self) -> None:
        """Stop sending requests."""
        self._next = lambda client: None

    def run(self, seconds: float) -> None:
        """Let this much time pass."""
        until = self.now + seconds
        while self._events[0][0] <= until:
            self.now, _, act = heapq.heappop(self._events)
            act()
        self.now = until

    # Clients

    def _ask(self, client: int) -> None:
        request = self._next(client)
        if request is not None:
            self._submit(request)

    def _submit(self, request: Request) -> None:
        self._carry_out(self.pool.submit(self.app, request, self.now))

    # The server

    def _at(self, delay_s: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + delay_s, next(self._order), act))

    def _tick(self) -> None:
        self._carry_out(self.pool.tick(self.now))
        self._at(TICK_S, self._tick)

    def _carry_out(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            match decision:
                case Spawn(worker, _):
                    self.processes[worker] = Process()
                case Adopt(worker, _):
                    self._at(BOOT_S, lambda worker=worker: self._loaded(worker))  # type: ignore[misc]  # bound as a default
                case Assign(worker, ticket):
                    assert isinstance(ticket, Request)
                    self._begin(worker, ticket)
                case End(worker, _):
                    self._at(0.01, lambda worker=worker: self._died(worker))  # type: ignore[misc]  # bound as a default
        self.most_workers = max(self.most_workers, self.app.serving)
        if self.app.queue and any(w.state is State.IDLE for w in self.app.workers.values()):
            waited_s = self.now - next(iter(self.app.queue.values()))
            self.longest_wait_s = max(self.longest_wait_s, waited_s)

    def _loaded(self, worker: int) -> None:
        if worker in self.processes:
            self._carry_out(self.pool.loaded(worker, self._capacity, self.now))

    def _died(self, worker: int) -> None:
        del self.processes[worker]
        self._carry_out(self.pool.died(worker, self.now)[0])

    # Workers

    def _begin(self, worker: int, request: Request) -> None:
        process = self.processes[worker]
        process.in_hand += 1
        process.ready.append(request)
        if self._tells and not process.is_telling:
            process.is_telling = True
            process.told_s, process.used_s = self.now, 0.0
            self._at(TELL_S, lambda: self._tell(worker))
        if not process.is_running:
            self._turn(worker, process)

    def _turn(self, worker: int, process: Process) -> None:
        process.is_running = bool(process.ready)
        if process.is_running:
            request = process.ready.popleft()
            took_s = min(SLICE_S, request.compute_s)
            self._at(took_s, lambda: self._after(worker, process, request, took_s))

    def _after(self, worker: int, process: Process, request: Request, took_s: float) -> None:
        process.used_s += took_s
        request.compute_s -= took_s
        if request.compute_s > 1e-9:
            process.ready.append(request)
        else:
            self._at(request.wait_s, lambda: self._answer(worker, process, request))
        self._turn(worker, process)

    def _answer(self, worker: int, process: Process, request: Request) -> None:
        process.in_hand -= 1
        self.served += 1
        self.latencies.append(self.now - request.came_s)
        self._carry_out(self.pool.finished(worker, self.now))
        if request.client >= 0:
            self._at(0.0001, lambda: self._ask(request.client))

    def _tell(self, worker: int) -> None:
        process = self.processes.get(worker)
        if process is None:
            return
        share = min(1.0, process.used_s / (self.now - process.told_s))
        process.told_s, process.used_s = self.now, 0.0
        self._carry_out(self.pool.reported_busy(worker, share, self.now))
        process.is_telling = bool(process.in_hand) or share > 0.05
        if process.is_telling:
            self._at(TELL_S, lambda: self._tell(worker))
