"""A few threads for blocking work. `concurrent.futures` has the same, but takes 8 ms to import."""

import errno
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Semaphore, Thread


class Threads:
    """Runs calls in threads that start when needed and then stay.

    A call must not raise.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._started = 0
        self._idle = Semaphore(0)
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def __repr__(self) -> str:
        return f"Threads({self._name!r}, {self._started} of {self._most})"

    def submit(self, call: Callable[[], None]) -> None:
        """Run it soon: when a thread is free, in the order in which calls were submitted.

        Raises BlockingIOError if the first thread cannot be started: then it is never run.
        """
        if not self._idle.acquire(blocking=False) and self._started < self._most:
            self._start()
        self._calls.put(call)

    def _start(self) -> None:
        """Start another thread; where the system allows no more, those that run do all."""
        try:
            Thread(target=self._run, name=f"{self._name}_{self._started}").start()
        except RuntimeError as exc:  # how Python reports EAGAIN of pthread_create
            if not self._started:
                raise BlockingIOError(errno.EAGAIN, str(exc)) from exc
        else:
            self._started += 1

    def close(self) -> None:
        """Make the threads end; calls that have not started are dropped."""
        with suppress(Empty):
            while True:
                self._calls.get_nowait()
        for _ in range(self._started):
            self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            del call  # release what it holds now, not when the next call comes
            self._idle.release()
