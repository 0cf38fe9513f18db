"""Does one piece of work in a thread that has changed its own rights, for that work only.

On Linux a thread has rights of its own: the user it opens files as, and its sandbox. What it starts
inherits them. A thread that has changed its rights may be unable to get them back, so it ends with
its work.
"""

import errno
import threading
from collections.abc import Callable
from typing import TypeVar

from buntime.confine import restrict, shed
from buntime.wire import Message

_T = TypeVar("_T")


def confined(order: Message | None, work: Callable[[], _T]) -> _T:
    """Do `work`, which starts a program, in the sandbox of `order`; None: without a sandbox.

    The program is in the sandbox from its first instruction. Raises NotConfined, and what `work`
    raises.
    """
    if order is None:
        return work()

    def change() -> None:
        shed(order)
        restrict(order)

    return in_own_thread(change, work, name="confined")


def in_own_thread(change: Callable[[], None], work: Callable[[], _T], *, name: str) -> _T:
    """Wait for a thread that changes itself, then does `work`; returns or raises what that does.

    `work` must import nothing: our own modules may be closed to it. Also raises OSError if no
    thread can be started.
    """
    results: list[_T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            change()
            results.append(work())
        except BaseException as exc:  # noqa: BLE001  # raised again in the thread that waits
            failures.append(exc)

    thread = threading.Thread(target=run, name=name)
    try:
        thread.start()
    except RuntimeError as exc:  # how Python reports EAGAIN of pthread_create
        raise BlockingIOError(errno.EAGAIN, str(exc)) from exc
    thread.join()
    if failures:
        raise failures[0]
    return results[0]
