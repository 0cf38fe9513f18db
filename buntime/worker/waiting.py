"""Waiting for descriptors in a worker whose app may have replaced how Python waits.

gevent's and eventlet's `monkey_patch` turn threads into greenlets, and make locks, `sleep` and
`select` yield to other greenlets. The engine's threads are then greenlets, all on one system
thread, so none of them may wait in the kernel. Real threads beside them do not work: such an app's
locks, queues and connections are not made for them, and gevent deadlocked when two of them imported
something at once. Therefore the modules of a worker look up functions of `_thread` and `time` when
they use them; main.py binds what must be a real thread, such as the one that ends a worker that
does not leave, before the app is loaded.
"""

from __future__ import annotations

import _thread

# poll(2), on Linux and on macOS.
POLLIN = 0x001
POLLOUT = 0x004

_start_thread = _thread.start_new_thread


def threads_are_greenlets() -> bool:
    """Return whether the app has replaced threads by its own."""
    return _thread.start_new_thread is not _start_thread


def wait_for(descriptor: int, wanted: int, timeout_ms: float | None) -> int:
    """Wait until a descriptor can be read, or written; returns what it is ready for, as poll does.

    Without a timeout it waits as long as needed.
    """
    import select  # 0.4 ms, for handlers that check for news, or that still work at TERMINATE

    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(descriptor, wanted)
        return next((events for _, events in poll.poll(timeout_ms)), 0)
    # eventlet leaves only this, and accepts descriptors of any number.
    reads = (descriptor,) if wanted & POLLIN else ()
    writes = (descriptor,) if wanted & POLLOUT else ()
    timeout_s = None if timeout_ms is None else timeout_ms / 1000
    readable, writable, _ = select.select(reads, writes, (), timeout_s)
    return (POLLIN if readable else 0) | (POLLOUT if writable else 0)
