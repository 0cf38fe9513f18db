"""Tells the runtime how busy this worker is, if its app may have several: BUSY, see wire.py.

While a request is in hand it reports every tenth of a second, and once more when all is quiet. The
runtime uses this to start more workers, and gives requests to the less busy ones. If it gets no
report it assumes that the worker computes and everything else is blocked. That is right, because
the reports come from a timer of the loop, or from a thread that needs the interpreter's lock.
"""

from __future__ import annotations

import _thread
import posix  # for `os`, see main.py
from time import perf_counter, process_time, sleep

from buntime.wire import BUSY, MESSAGE, REQUEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable
    from typing import Any

    from buntime.wire import Message
    from buntime.worker.aio import AsyncEngine
    from buntime.worker.engine import Engine
    from buntime.worker.sync import SyncEngine

INTERVAL_S = 0.1
QUIET_SHARE = 0.05  # below it a worker has nothing to do
# Time in which threads waited for a processor counts as busy, up to this multiple of what they got.
# Beside other busy processes an app that computes gets part of a core; one that waits for a
# database also waits for a processor each time it continues, but hardly uses any.
CONTENTION_MAX = 9
_THREADS = "/proc/self/task"


class Meter:
    """When to report. The two kinds of engines decide what is reported, and by what."""

    def __init__(self, engine: Engine[Any]) -> None:
        self._engine = engine
        self._is_on = False
        self._is_fresh = False  # a request or message has come in this interval
        self._since_s = 0.0  # of the interval that is reported next
        for kind in (REQUEST, MESSAGE):
            engine.dispatch[kind] = self._waking(engine.dispatch[kind])

    def _waking(
        self, carry_out: Callable[[Message, bytes], None]
    ) -> Callable[[Message, bytes], None]:
        def wake(head: Message, payload: bytes) -> None:
            self._is_fresh = True  # before the next line, see `_tell`
            if not self._is_on:
                self._is_on = True
                self._is_fresh = False
                self._begin()
                self._go_on()
            carry_out(head, payload)

        return wake

    def _tell(self) -> None:
        """Report the interval that has passed, and go on or stop."""
        passed_s = max(1e-6, perf_counter() - self._since_s)
        share = min(1.0, max(0.0, self._used_s(passed_s) / passed_s))
        self._engine.send({"type": BUSY, "share": round(share, 2)}, b"")
        # Turn it off first, then check what may keep it on: another thread first marks its work as
        # fresh, then checks whether this is on. So one of the two sees the other.
        self._is_on = False
        if self._is_fresh or share > QUIET_SHARE or self._is_needed():
            self._is_fresh = False
            self._is_on = True
            self._begin()
            self._go_on()

    def _begin(self) -> None:
        """An interval begins."""
        self._since_s = perf_counter()

    # For each kind of engine

    def _used_s(self, passed_s: float) -> float:
        """Return how long the worker was busy since `_begin`."""
        raise NotImplementedError

    def _is_needed(self) -> bool:
        """Return whether silence now would be taken for computing."""
        raise NotImplementedError

    def _go_on(self) -> None:
        """Call `_tell` after the interval."""
        raise NotImplementedError


class LoopMeter(Meter):
    """For async apps: by a timer. The loop is busy when it does not wait for anything."""

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__(engine)
        self._loop = engine.loop
        self._slept_s = 0.0
        self._slept_before_s = 0.0
        self._used_before_s = 0.0
        self._due_s = 0.0
        self._sees_sleep = self._watch(self._loop)

    def _watch(self, loop: AbstractEventLoop) -> bool:
        """Count the time in which the loop's selector waits, if it is one of asyncio's own."""
        selector = getattr(loop, "_selector", None)
        if selector is None:
            return False
        select = selector.select

        def timed(timeout: float | None = None) -> Any:
            if timeout is not None and timeout <= 0:
                return select(timeout)
            started = perf_counter()
            try:
                return select(timeout)
            finally:
                self._slept_s += perf_counter() - started

        selector.select = timed
        return True

    def _begin(self) -> None:
        super()._begin()
        self._slept_before_s = self._slept_s
        self._used_before_s = process_time()
        self._due_s = self._loop.time() + INTERVAL_S

    def _used_s(self, passed_s: float) -> float:
        if self._sees_sleep:
            in_loop_s = passed_s - (self._slept_s - self._slept_before_s)
        else:
            in_loop_s = self._loop.time() - self._due_s  # this timer's lag
        return max(in_loop_s, process_time() - self._used_before_s)

    def _is_needed(self) -> bool:
        # WebSockets are not waited for; their next message wakes this again.
        return not all(exchange.is_socket for exchange in self._engine.exchanges.values())

    def _go_on(self) -> None:
        self._loop.call_at(self._due_s, self._tell)


class ThreadMeter(Meter):
    """For sync apps: by a thread. Threads are busy when they compute, or would if they could."""

    def __init__(self, engine: SyncEngine) -> None:
        super().__init__(engine)
        self._bell: _thread.LockType | None = None
        self._used_before_s = 0.0
        self._waited_before_s = 0.0

    def _begin(self) -> None:
        super()._begin()
        self._used_before_s = process_time()
        self._waited_before_s = _waited_for_processor_s()

    def _used_s(self, passed_s: float) -> float:
        used_s = process_time() - self._used_before_s
        waited_s = max(0.0, _waited_for_processor_s() - self._waited_before_s)
        return used_s + min(waited_s, CONTENTION_MAX * used_s)

    def _is_needed(self) -> bool:
        return bool(self._engine.exchanges)

    def _go_on(self) -> None:
        if self._bell is None:
            self._bell = _thread.allocate_lock()
            self._bell.acquire()
            _thread.start_new_thread(self._run, (self._bell,))
        elif self._bell.locked():
            self._bell.release()

    def _run(self, bell: _thread.LockType) -> None:
        while True:
            sleep(INTERVAL_S)
            self._tell()
            bell.acquire()  # rung already, unless all is quiet


def _waited_for_processor_s() -> float:
    """How long threads of this process were ready to run but did not, on Linux."""
    try:
        threads = posix.listdir(_THREADS)
    except OSError:  # another system, or a sandbox
        return 0.0
    return sum(map(_waited_ns, threads)) / 1e9


def _waited_ns(thread: str) -> int:
    try:
        descriptor = posix.open(f"{_THREADS}/{thread}/schedstat", posix.O_RDONLY)
    except OSError:  # it has just ended, or the kernel does not count
        return 0
    try:
        return int(posix.read(descriptor, 100).split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    finally:
        posix.close(descriptor)
