"""Nothing outlives the runtime: the kernel kills this process group when the runtime is gone.

The lifeline is the read end of a pipe whose write end the runtime alone holds and never writes
to. When the runtime dies, in whatever way, the kernel closes the write end and signals the process
that asked for signals about the pipe. On Linux that signal can be SIGKILL, so it works even while
the app is in a busy loop, or in C code that holds the GIL. Tried on Linux 6 with CPython 3.9, 3.11
and 3.13: a worker inside one huge `pow` was gone 3 ms after its runtime was killed.

The signal goes to the worker's process group, and so to the programs that the app has started. A
process that the app forks asks for its own signal, which it gets even after it has left the group.
A program that was started in its own group or session is not reached.
"""

from __future__ import annotations

import _thread
import fcntl
import posix  # for `os`, see main.py
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from signal import SIGKILL
else:
    from _signal import SIGKILL  # `signal` imports enum, 5 ms

# Our descriptors are moved up here. An app that closes descriptors it did not open and then opens a
# file gets the lowest free number, so it can never write into one of ours.
HIGH_DESCRIPTOR = 512

_armed: list[int] = []  # by which this process is signalled, on Linux


def moved_up(descriptor: int) -> int:
    """Move a descriptor to a high number, closed on exec; if the limit is low it stays."""
    try:
        high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR)
    except OSError:
        posix.set_inheritable(descriptor, False)
        return descriptor
    posix.close(descriptor)
    return high


def arm(descriptor: int) -> int:
    """Tie this process, and those it forks, to the runtime at the other end of `descriptor`.

    Returns the pipe's number from now on. Ends the process if the runtime is gone already. A
    negative one ties it to nobody.
    """
    if descriptor < 0:
        return descriptor
    descriptor = moved_up(descriptor)
    if sys.platform == "linux":
        # Else it was started by hand, in a shell's group.
        leads_a_group = posix.getpgrp() == posix.getpid()
        own = _reopened(descriptor)
        _armed[:] = [descriptor if own is None else own]
        _signal_on_hangup(_armed[0], is_group=leads_a_group)
        posix.register_at_fork(after_in_child=lambda: _arm_child(descriptor))
    else:
        # SIGIO is ignored by default on macOS, and a handler in Python needs the GIL. A thread
        # needs it too, but only once; C code that holds it for ever is not covered there.
        _thread.start_new_thread(_exit_on_hangup, (descriptor,))
    return descriptor


def keep_on_exec() -> None:
    """Tie the program that this process is about to become to the runtime too.

    The signal belongs to the open file: it comes as long as the program, or a process that it has
    forked, has not closed it. A system other than Linux has nothing that outlives exec.
    """
    for descriptor in _armed:
        posix.set_inheritable(descriptor, True)


def _arm_child(descriptor: int) -> None:
    """Run in a forked child: ask for a signal of its own."""
    own = _reopened(descriptor)
    if own is not None:  # else it shares the parent's, whose signal goes to their group
        _signal_on_hangup(own, is_group=False)


def _signal_on_hangup(descriptor: int, *, is_group: bool) -> None:
    if sys.platform != "linux":  # for mypy, which knows F_SETSIG on Linux alone
        return
    process = posix.getpid()
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, -process if is_group else process)
    fcntl.fcntl(descriptor, fcntl.F_SETSIG, SIGKILL)
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | posix.O_ASYNC | posix.O_NONBLOCK)
    # The runtime may have died before the line above; then no signal comes.
    try:
        posix.read(descriptor, 1)
    except BlockingIOError:
        return
    posix._exit(1)


def _reopened(descriptor: int) -> int | None:
    """Open the same pipe once more, for ourselves; None if that is impossible.

    The owner of the signal belongs to the open file, not to the descriptor: if several processes
    share one (workers given the same pipe, a fork of the app), only the last to arm it would be
    killed.
    """
    flags = posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC
    try:
        own = posix.open(f"/proc/self/fd/{descriptor}", flags)
    except OSError:  # no /proc, or the pipe is another user's
        return None
    return moved_up(own)


def _exit_on_hangup(descriptor: int) -> None:
    posix.read(descriptor, 1)
    posix._exit(1)
