"""What gevent and eventlet do to Python, in small: only one thread runs until it gives way.

An app imports this and calls `patch()`. A thread holds the baton while it runs, and lets go of it
where it waits for a lock, a descriptor or the time through these functions. A thread that waits in
the kernel in any other way keeps the baton, and all others stop, as greenlets do.
"""

from __future__ import annotations

import _thread
import select
import time
from typing import Any

_start = _thread.start_new_thread
_start_joinable: Any = getattr(_thread, "start_joinable_thread", None)
_allocate = _thread.allocate_lock
_sleep = time.sleep
_select = select.select
_poll = select.poll
_baton = _allocate()


def _giving_way(wait: Any, *args: Any) -> Any:
    _baton.release()
    try:
        return wait(*args)
    finally:
        _baton.acquire()


class Lock:
    """A lock that gives way."""

    def __init__(self) -> None:
        self._lock = _allocate()
        self.release = self._lock.release
        self.locked = self._lock.locked

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self._lock.acquire(False):
            return True
        return blocking and bool(_giving_way(self._lock.acquire, True, timeout))

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Poll:
    """A poll that gives way."""

    def __init__(self) -> None:
        self._poll = _poll()
        self.register = self._poll.register

    def poll(self, timeout: float | None = None) -> Any:
        return _giving_way(self._poll.poll, timeout)


def start_new_thread(function: Any, args: Any, kwargs: Any = None) -> int:
    """Start a thread that runs once another one gives way."""

    def run() -> None:
        with _baton:
            function(*args, **(kwargs or {}))

    return _start(run, ())


def start_joinable_thread(function: Any, *, handle: Any, daemon: bool) -> Any:
    """What `threading` calls from Python 3.13 on."""

    def run() -> None:
        with _baton:
            function()

    return _start_joinable(run, handle=handle, daemon=daemon)


def patch(*, has_poll: bool) -> None:
    """Replace Python's functions with these; gevent keeps `poll`, eventlet removes it."""
    _baton.acquire()
    changed: Any = _thread
    changed.start_new_thread = start_new_thread
    if _start_joinable is not None:
        changed.start_joinable_thread = start_joinable_thread
    changed.allocate_lock = Lock
    time.sleep = lambda seconds: _giving_way(_sleep, seconds)
    clean: Any = select
    clean.select = lambda *args: _giving_way(_select, *args)
    if has_poll:
        clean.poll = Poll
    else:
        del clean.poll
