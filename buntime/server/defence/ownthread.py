"""Does a piece of work in a thread that has changed itself, for that work alone.

On Linux a thread has rights of its own: whose files it opens, its sandbox. What it starts has them
as well. A thread that has changed its rights may not have them back, so it ends with its work.
"""

import errno
import threading
from collections.abc import Callable
from typing import TypeVar

from buntime.confine import restrict, shed
from buntime.wire import Message

_T = TypeVar("_T")


def confined(order: Message | None, work: Callable[[], _T]) -> _T:
    """Do `work`, which starts a program, in the sandbox of `order`; None: as we are.

    The sandbox is the program's from its first instruction. Raises NotConfined, and what `work`
    raises.
    """
    if order is None:
        return work()

    def change() -> None:
        shed(order)
        restrict(order)

    return in_own_thread(change, work, name="confined")


def in_own_thread(change: Callable[[], None], work: Callable[[], _T], *, name: str) -> _T:
    """Wait for a thread that changes itself, and then does `work`; gives or raises what that does.

    It must import nothing: our own modules may be closed to it. Raises OSError besides, where no
    thread can be started.
    """
    results: list[_T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            change()
            results.append(work())
        except BaseException as exc:  # noqa: BLE001  # raised again by whoever waits
            failures.append(exc)

    thread = threading.Thread(target=run, name=name)
    try:
        thread.start()
    except RuntimeError as exc:  # what Python makes of pthread_create's EAGAIN
        raise BlockingIOError(errno.EAGAIN, str(exc)) from exc
    thread.join()
    if failures:
        raise failures[0]
    return results[0]
