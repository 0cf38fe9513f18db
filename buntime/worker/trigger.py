"""Lets a thread sleep until the channel can be read, or until another thread wakes it. For Linux.

Setting and unsetting it wakes nobody, so a request that is handled before anything else comes costs
two system calls, and no change of threads.
"""

from __future__ import annotations

import posix  # for `os`, see main.py
from select import EPOLLIN, EPOLLONESHOT, epoll

from buntime.worker.lifeline import moved_up


class Trigger:
    """Fires once each time it is set and the descriptor can be read, and each time it is pulled.

    If it fires while no thread waits, the next one that does returns at once.
    """

    def __init__(self, descriptor: int) -> None:
        """Raises OSError if there can be no more descriptors."""
        self._descriptor = descriptor
        with epoll() as low:
            self._epoll = epoll.fromfd(moved_up(posix.dup(low.fileno())))
        # A pipe that nobody writes to is at its end. epoll reports this each time that it is asked.
        reads, writes = posix.pipe()
        posix.close(writes)
        self._ended = moved_up(reads)
        for each in descriptor, self._ended:
            self._epoll.register(each, EPOLLONESHOT)
        self._epoll.poll(0)

    def set(self) -> None:
        """Let it fire when the descriptor can be read; at once, if it can."""
        self._epoll.modify(self._descriptor, EPOLLIN | EPOLLONESHOT)

    def unset(self) -> None:
        """Let it not fire, unless the other end of the descriptor is closed."""
        self._epoll.modify(self._descriptor, EPOLLONESHOT)

    def pull(self) -> None:
        """Let it fire now."""
        self._epoll.modify(self._ended, EPOLLONESHOT)

    def wait(self) -> None:
        """Block until it fires. One thread at a time."""
        self._epoll.poll()

    def close(self) -> None:
        """Close what it has opened, once no thread uses it."""
        self._epoll.close()
        posix.close(self._ended)
