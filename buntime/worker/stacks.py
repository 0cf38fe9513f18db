"""Reports this process's stacks on demand of the runtime: what is it doing that takes so long?

Two signals ask for them, and the answer goes into a pipe to the runtime, ended by a NUL byte.

1. The first has a handler in Python. It runs on the main thread, holding the GIL, so that nothing
   changes below it, and it can tell what the tasks of asyncio wait for.
2. The second is answered by `faulthandler` in C, at once, whatever runs. The runtime sends it when
   the first one was not heard: the main thread is in C then. It reads the frames of threads that
   may be running; of a worker with six busy threads one in 150 such dumps ended in a crash
   (tried on CPython 3.11 to 3.13), which is why it is not the first.
"""

from __future__ import annotations

import faulthandler  # 0.2 ms
import posix  # for `os`, see main.py
import sys

from buntime.wire import STACKS_END, STACKS_SIGNALS
from buntime.worker.lifeline import moved_up
from buntime.worker.report import complain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from signal import siginterrupt, signal
    from typing import Any
else:
    from _signal import siginterrupt, signal  # `signal` imports enum, 5 ms

TASKS_MAX = 50
FRAMES_MAX = 50


def offer(descriptor: int) -> None:
    """Answer both signals into `descriptor`, the writing end of a pipe."""
    pipe = moved_up(descriptor)
    posix.set_blocking(pipe, False)  # a runtime that does not read must not block the app
    polite, blunt = STACKS_SIGNALS
    faulthandler.register(blunt, file=pipe, all_threads=True, chain=False)
    signal(polite, lambda _number, _frame: _tell(pipe))
    siginterrupt(polite, False)  # the app's system calls continue, if the system allows it


def _tell(pipe: int) -> None:
    try:
        faulthandler.dump_traceback(file=pipe, all_threads=True)
        tasks = "".join(_tasks())
        posix.write(pipe, tasks.encode("utf-8", "backslashreplace") + STACKS_END)
    except BlockingIOError:
        return  # the pipe is full: the runtime makes do with what is in it
    except Exception as exc:  # noqa: BLE001  # it would come up in the midst of the app's code
        complain("buntime worker: the stacks could not be reported", exc)


def _tasks() -> Iterator[str]:
    """What each task of the loop that runs on this thread waits for."""
    asyncio = sys.modules.get("asyncio")
    running = getattr(asyncio, "_get_running_loop", None)  # None too while it is being imported
    loop = running and running()
    if loop is None:
        return
    for task in list(asyncio.all_tasks(loop))[:TASKS_MAX]:  # type: ignore[union-attr]  # see loop
        yield f"\nTask {task.get_name()} (most recent call first):\n"
        yield from reversed(list(_frames(task.get_coro())))


def _frames(awaited: Any) -> Iterator[str]:
    """The lines of a coroutine, and of what it awaits, and so on."""
    for _ in range(FRAMES_MAX):
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            code = frame.f_code
            yield f'  File "{code.co_filename}", line {frame.f_lineno} in {code.co_name}\n'
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
        if awaited is None:
            return
