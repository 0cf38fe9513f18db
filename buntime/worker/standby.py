"""The thread that watches the leader of a sync app's threads, and how it sleeps: see followers.py.

It checks every millisecond while handlers run. Once there have been none for two of these ticks it
sleeps, which costs less than ticking on if the next request is not near. With epoll it is woken by
what comes while the leader is in a handler. Elsewhere each handler wakes it, which costs a change
of threads for a request of which the standby has nothing to do.

A bell is a lock that its owner acquires to sleep and others release to wake it. A woken thread
checks the state again, so extra rings do no harm, and none is lost.
"""

from __future__ import annotations

import _thread

from buntime.worker.report import complain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from buntime.worker.trigger import Trigger

    Bell = _thread.LockType

TICK_S = 0.001  # how often the standby checks; a request may wait this long behind a slow handler
QUIET_TICKS = 2  # ticks without a handler, after which the standby sleeps


class Standby:
    """Who watches, if anybody does. All methods but `wait` are called under the threads' mutex.

    `descriptor` is what the leader reads, if a thread may wait for that in the kernel.
    """

    def __init__(self, descriptor: int | None) -> None:
        self.bell: Bell | None = None
        self._sleeps = False
        self._descriptor = descriptor
        self._trigger: Trigger | None = None
        self._is_set = False  # the trigger, because the leader is in a handler
        self._dozer: Bell | None = None  # of the thread that the trigger wakes

    def enlist(self, bell: Bell) -> None:
        """Have this thread watch from now on."""
        self.bell = bell
        self._sleeps = False
        ring(bell)

    def wait(self, bell: Bell) -> bool:
        """Block for a tick, or until there is something to do; returns whether it dozed."""
        if self._dozer is bell and self._trigger is not None:
            self._trigger.wait()
            return True
        bell.acquire(True, -1 if self._sleeps else TICK_S)
        return False

    def wake(self) -> None:
        """After `wait` has returned True."""
        self._sleeps = False
        self._dozer = None
        self._is_set = False

    def rest(self, bell: Bell) -> None:
        """Let `wait` block for longer than a tick, because the leader is in no handler."""
        if self._descriptor is not None and self._trigger is None:
            self._trigger = _new_trigger(self._descriptor)
            if self._trigger is None:
                self._descriptor = None
        if self._trigger is None:
            self._sleeps = True
        elif self._dozer is None:  # else a former standby is about to leave
            self._sleeps = True
            self._dozer = bell

    def alert(self, bell: Bell, *, at_once: bool) -> None:
        """The leader enters a handler: have the standby wake `at_once`, or when something comes."""
        if not self._sleeps:
            return
        if at_once or self._trigger is None:
            self._sleeps = False
            self.rouse(bell)
        elif not self._is_set:
            self._is_set = True
            self._trigger.set()

    def calm(self) -> None:
        """The leader will read, so what comes need not wake another thread."""
        if self._is_set and self._trigger is not None:
            self._is_set = False
            self._trigger.unset()

    def rouse(self, bell: Bell) -> None:
        """Wake a thread, the standby or another one, however it sleeps."""
        if bell is self._dozer and self._trigger is not None:
            self._trigger.pull()
        ring(bell)

    def close(self) -> None:
        """Close what it has opened, once all threads have ended."""
        if self._trigger is not None:
            self._trigger.close()


def new_bell() -> Bell:
    """A bell that has not been rung."""
    bell = _thread.allocate_lock()
    bell.acquire()
    return bell


def ring(bell: Bell) -> None:
    """Wake the thread that sleeps on the bell, or the next time that it would."""
    if bell.locked():
        bell.release()


def _new_trigger(descriptor: int) -> Trigger | None:
    try:
        from buntime.worker.trigger import Trigger  # 0.4 ms, for apps that stay

        return Trigger(descriptor)
    except ImportError:  # not Linux, or the app has replaced `select`
        return None
    except OSError as exc:
        complain("buntime worker: each request wakes a second thread from now on", exc)
        return None
