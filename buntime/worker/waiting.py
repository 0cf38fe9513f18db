"""Waiting for descriptors in a worker whose app may have replaced how Python waits.

gevent's and eventlet's `monkey_patch` make greenlets of threads, and have locks, `sleep` and
`select` give way to other greenlets. The engine's threads are greenlets then, all of them on one
thread of the system, so none of them may wait in the kernel. Threads beside them would not do: what
such an app has of locks, queues and connections is not made for them, and gevent deadlocked as two
of them imported something at once. Therefore the modules of a worker look up what they use of
`_thread` and `time` when they use it; what must be a thread, such as the one that ends a worker
that does not leave, is bound by main.py before the app is loaded.
"""

from __future__ import annotations

import _thread

# poll(2), on Linux and on macOS.
POLLIN = 0x001
POLLOUT = 0x004

_start_thread = _thread.start_new_thread


def threads_are_greenlets() -> bool:
    """Tell whether the app has put its own in the place of threads."""
    return _thread.start_new_thread is not _start_thread


def wait_for(descriptor: int, wanted: int, timeout_ms: float | None) -> int:
    """Wait until a descriptor can be read, or written; returns what it is ready for, as poll does.

    Without a timeout it waits for as long as that takes.
    """
    import select  # 0.4 ms, for handlers that look for news, or that TERMINATE finds at work

    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(descriptor, wanted)
        return next((events for _, events in poll.poll(timeout_ms)), 0)
    # eventlet leaves nothing but this, and takes descriptors of any number.
    reads = (descriptor,) if wanted & POLLIN else ()
    writes = (descriptor,) if wanted & POLLOUT else ()
    timeout_s = None if timeout_ms is None else timeout_ms / 1000
    readable, writable, _ = select.select(reads, writes, (), timeout_s)
    return (POLLIN if readable else 0) | (POLLOUT if writable else 0)
