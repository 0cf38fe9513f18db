"""The event loop: one thread, selectors, deadlines, and a way in for other threads.

Only this thread touches the runtime's state. Work that may block runs in a small thread pool
(`run_blocking`) and comes back as a call on the loop.
"""

import contextlib
import fcntl
import heapq
import selectors
import socket
import sys
import termios
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from time import monotonic
from typing import TypeVar

from buntime.core.values.protocols import Protocol
from buntime.server.loop.crowd import Crowd, Event
from buntime.server.loop.threads import Threads
from buntime.server.loop.timeouts import Expiring, TimeoutQueue

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

_THREADS = 16  # for blocking work; installing packages can hold one for minutes
# Events between two flushes of a turn: few enough for a worker to start while the rest is read.
# If a whole turn is flushed at once, 50 requests wait for the last of them, their answers come
# together, and so do the next 50: work of 50 ms takes 57 ms instead of 53. The extra sends cost
# nothing measurable.
_FLUSH_EVERY = 4
SLOW_S = 0.1  # turns that take this long are reported
# The part of a turn for watchers that give way. However many there are, others wait no longer: with
# a hundred clients at one address that each asked for an error over and over, turns took up to
# 30 ms.
_CROWD_S = 0.002
# The part of a turn for callbacks that have used up their share of an earlier one. However many
# there are, small requests wait no longer: with eight connections sending in a row, each turn took
# 8 ms, and a request takes four turns.
_GOING_ON_S = 0.002
_TICK_S = 0.25  # how late a TimeoutQueue may notice a deadline

_T = TypeVar("_T")


class Watcher(Protocol):
    """The owner of a registered descriptor."""

    def on_ready(self, events: int) -> None:
        """The descriptor can be read or written, as the bits READ and WRITE say.

        May be called even if another watcher unregistered this one earlier in the same turn.
        """

    def abort(self) -> None:
        """Release everything at once: `on_ready` raised."""


class Flushable(Protocol):
    """Something that collects output during a turn of the loop, and sends it all at once."""

    def flush(self) -> None: ...


def ready_now(sock: socket.socket, events: int) -> int:
    """Which of these events a socket has."""
    if not events:
        return 0
    with selectors.PollSelector() as selector:
        selector.register(sock, events)
        return next((found for _, found in selector.select(0)), 0)


def unread_bytes(fd: int) -> int:
    """How much has come in a pipe or socket, and was not read; 0 also if that is unknown."""
    with contextlib.suppress(OSError):
        return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0"), sys.byteorder)
    return 0


class Timer:
    """One call in the future, unless `cancel()` is called first."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self._callback = None

    def fire(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class Loop:
    """Runs callbacks for watched descriptors and for timers, until stopped.

    `on_error(exc)` is called with every exception that a callback raises: one broken connection
    must not end the others.
    """

    def __init__(self, on_error: Callable[[BaseException], None]) -> None:
        self._on_error = on_error
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = count()  # timers due at the same time fire in the order they were made
        self._queues: list[TimeoutQueue] = []
        self._deadlines: list[dict[Expiring, float]] = []  # of each queue; checked every turn
        self._queue_by_duration: dict[float, TimeoutQueue] = {}
        self._next_tick = 0.0
        self._calls: deque[Callable[[], None]] = deque()  # appended to by any thread
        self._going_on: deque[Callable[[], None]] = deque()
        self._flushes: list[Flushable] = []
        self._threads = Threads(_THREADS, "blocking")
        self._running = False
        self.now = monotonic()  # seconds, read once a turn
        # This turn has one event, and nothing was sent at once in it. The event may stand for
        # many, as the crowd's does, or free many requests: what follows is gathered.
        self.is_quiet = False
        self.turn_begun_s = 0.0  # the same while a turn runs, 0 while waiting for events
        self.on_slow_turn: Callable[[float, set[str]], None] | None = None
        self.slow_turns: deque[tuple[float, float]] = deque(maxlen=100)  # when, and how long
        self._crowd = Crowd()
        self._selector.register(self._crowd, READ, self._crowd)
        self._waker = _Waker()
        self._selector.register(self._waker.receiver, READ, self._waker)

    # Descriptors; the loop's thread only

    def register(self, sock: int | socket.socket, events: int, watcher: Watcher) -> None:
        self._selector.register(sock, events, watcher)

    def modify(self, sock: int | socket.socket, events: int, watcher: Watcher) -> None:
        self._selector.modify(sock, events, watcher)

    def unregister(self, sock: int | socket.socket) -> None:
        self._selector.unregister(sock)

    def watch(
        self, sock: socket.socket, before: int, events: int, watcher: Watcher, *, gives_way: bool
    ) -> None:
        """Change what is watched from `before` to `events`; either may be 0, for nothing.

        A watcher that `gives_way` comes after others, and shares a part of each turn with all that
        do; to change that, stop watching first.
        """
        selector = self._crowd.selector if gives_way else self._selector
        if before and events:
            selector.modify(sock, events, watcher)
        elif events:
            selector.register(sock, events, watcher)
        elif before:
            selector.unregister(sock)

    # Time; the loop's thread only

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(callback)
        heapq.heappush(self._timers, (monotonic() + delay_s, next(self._order), timer))
        return timer

    def timeouts(self, duration_s: float) -> TimeoutQueue:
        """The queue of all deadlines `duration_s` from their start; the same queue each time."""
        queue = self._queue_by_duration.get(duration_s)
        if queue is None:
            queue = self._queue_by_duration[duration_s] = self.new_timeouts(duration_s)
        return queue

    def tick_soon(self) -> None:
        """Look at the deadlines of queues in the next turn, which starts at once."""
        self._next_tick = 0.0

    def new_timeouts(self, duration_s: float) -> TimeoutQueue:
        """A separate queue, which shows by itself what is being waited for."""
        queue = TimeoutQueue(self, duration_s)
        self._queues.append(queue)
        self._deadlines.append(queue.deadlines)
        return queue

    # Work; the loop's thread only, except for call_threadsafe

    def flush_later(self, who: Flushable) -> None:
        """Call `who.flush()` after a few more events, at the latest at the end of this turn."""
        self._flushes.append(who)

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call in the next turn, which starts at once; what this turn sends goes out first."""
        self._calls.append(callback)

    def go_on_later(self, callback: Callable[[], None]) -> None:
        """Call after others have had their turn; for those that have used their share of this one.

        The call comes in the next turn or a later one: these calls run in order for as long as a
        turn has time for them, at least one per turn.
        """
        self._going_on.append(callback)

    def call_threadsafe(self, callback: Callable[[], None]) -> None:
        """Call on the loop's thread, within two turns; from any thread or signal handler."""
        self._calls.append(callback)
        self._waker.wake()

    def run_blocking(
        self, work: Callable[[], _T], then: Callable[[_T | BaseException], None]
    ) -> None:
        """Run `work` in a thread; `then` gets its result or exception, on the loop's thread.

        The exception is a BlockingIOError where the system allows no thread.
        """

        def run() -> None:
            try:
                result: _T | BaseException = work()
            except BaseException as exc:  # noqa: BLE001  # handed to `then`, on the loop
                result = exc
            with contextlib.suppress(OSError):  # the loop is closed: nobody is left to be told
                self.call_threadsafe(lambda: then(result))

        try:
            self._threads.submit(run)
        except BlockingIOError as exc:
            self.call_soon(partial(then, exc))

    @property
    def wakeup_fd(self) -> int:
        """For signal.set_wakeup_fd: a byte written to it ends the selector's wait."""
        return self._waker.wakeup_fd

    def stop(self) -> None:
        """End `run()` after this turn."""
        self._running = False
        self._waker.wake()

    def run(self) -> None:
        self._running = True
        while self._running:
            self.run_once()

    def run_once(self, longest_wait_s: float | None = None) -> None:
        """One turn: wait for events, call their watchers, then time, calls and flushes."""
        calls = len(self._calls)  # calls made in this turn wait for the next, after its flushes
        going_on = len(self._going_on)
        wait_s = self._wait_s()
        if longest_wait_s is not None:
            wait_s = min(wait_s, longest_wait_s)
        self.turn_begun_s = 0.0
        ready = self._selector.select(wait_s)
        self.now = self.turn_begun_s = monotonic()
        self.is_quiet = len(ready) == 1
        self._handle(ready)
        if self._crowd:
            self._handle_crowd()
        if self.now >= self._next_tick:
            self._next_tick = self.now + _TICK_S
            for queue in self._queues:
                queue.expire(self.now)
        while self._timers and self._timers[0][0] <= self.now:
            self.guard(heapq.heappop(self._timers)[2].fire)
        for _ in range(calls):
            self.guard(self._calls.popleft())
        if going_on:
            self._go_on(going_on)
        self._flush()
        took_s = monotonic() - self.now
        if took_s >= SLOW_S and self.on_slow_turn is not None:
            self.slow_turns.append((self.now, took_s))
            self.on_slow_turn(took_s, {type(key.data).__name__ for key, _ in ready})

    def _handle(self, ready: list[Event]) -> None:
        for done, (key, events) in enumerate(ready, 1):
            watcher = key.data
            try:
                watcher.on_ready(events)
            except Exception as exc:  # noqa: BLE001  # the edge of an event: logged
                self._on_error(exc)
                self.guard(watcher.abort)
            if not done % _FLUSH_EVERY:
                self._flush()

    def _handle_crowd(self) -> None:
        until = monotonic() + _CROWD_S
        while events := self._crowd.take(_FLUSH_EVERY):
            self._handle(events)
            if monotonic() >= until:
                return

    def _go_on(self, most: int) -> None:
        until = monotonic() + _GOING_ON_S
        for _ in range(most):
            self.guard(self._going_on.popleft())
            if monotonic() >= until:
                return

    def guard(self, callback: Callable[[], None]) -> bool:
        """Call it; if it raises, pass the exception to `on_error` and return False."""
        try:
            callback()
        except Exception as exc:  # noqa: BLE001  # the edge of a callback: logged
            self._on_error(exc)
            return False
        return True

    def _flush(self) -> None:
        while self._flushes:
            flushes, self._flushes = self._flushes, []
            for who in flushes:
                self.guard(who.flush)

    def close(self) -> None:
        self._threads.close()
        self._selector.close()
        self._crowd.abort()
        self._waker.abort()

    def _wait_s(self) -> float:
        if self._calls or self._going_on or self._flushes or self._crowd:
            return 0.0
        wait_s = 60.0
        if any(self._deadlines):
            wait_s = max(0.0, self._next_tick - monotonic())
        if self._timers:
            wait_s = min(wait_s, max(0.0, self._timers[0][0] - monotonic()))
        return wait_s


class _Waker:
    """A socket pair to itself that ends the selector's wait."""

    def __init__(self) -> None:
        self.receiver, self._sender = socket.socketpair()
        self.receiver.setblocking(False)
        self._sender.setblocking(False)

    @property
    def wakeup_fd(self) -> int:
        return self._sender.fileno()

    def wake(self) -> None:
        try:
            self._sender.send(b"\0")
        except BlockingIOError:
            pass  # full: it will wake up anyway

    def on_ready(self, events: int) -> None:
        try:
            self.receiver.recv(4096)
        except BlockingIOError:
            pass

    def abort(self) -> None:
        self.receiver.close()
        self._sender.close()
