"""One worker process: its start, its channel, its output, its end.

The process gets six descriptors: stdin from /dev/null, pipes for stdout and stderr, its end of
the channel, the reading end of the lifeline, a pipe that nobody writes to, and the writing end of
the pipe for its stacks. When the runtime is gone, by whatever death, the kernel closes the other
end of the lifeline and the worker is killed.

It leads a process group of its own, so that a signal typed at the runtime's terminal does not
reach it, and so that what it started can be ended with it.
"""

import contextlib
import os
import selectors
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from buntime.server.defence.ended import has_ended
from buntime.server.defence.ownthread import confined
from buntime.server.loop.loop import Loop
from buntime.server.pool.allowance import Allowance
from buntime.server.pool.output import Dropped, Line, Output, OutputBudget
from buntime.server.pool.stacks import Stacks
from buntime.server.pythons.identity import Identity, options_of
from buntime.wire import Message

# bytes the kernel buffers in each direction of a channel: room for the windows of a few requests,
# so that sending a body does not alternate with waking the other side.
_CHANNEL_BUFFER_BYTES = 256 * 1024
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_POLL_S = 0.05  # between looks at a dying process, where the system has no pidfd


class Process:
    """A started worker process."""

    def __init__(
        self,
        loop: Loop,
        command: Sequence[str],
        environ: Mapping[str, str],
        *,
        user: Identity | None = None,
        sandbox: Message | None = None,
        on_line: Line,
        on_dropped: Dropped,
        on_exit: Callable[[int], None],
    ) -> None:
        """Start `command` as `user` with the numbers of channel, lifeline and stacks appended.

        It is in a `sandbox` from the start if there is an order for one.
        `on_line` gets each line of its output, `on_dropped` the numbers of lines and bytes of it
        that were too many (see output.py), `on_exit` its return code (negative for a
        signal), once, on the loop's thread, when its output has been read to the end.
        Raises OSError and NotConfined if it cannot be started.
        """
        self._loop = loop
        self._on_exit = on_exit
        with contextlib.ExitStack() as on_failure, contextlib.ExitStack() as in_any_case:
            self.channel, worker_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            on_failure.callback(self.channel.close)
            in_any_case.callback(worker_end.close)
            lifeline, self._lifeline = os.pipe()
            on_failure.callback(os.close, self._lifeline)
            in_any_case.callback(os.close, lifeline)
            stacks, their_stacks = os.pipe()
            on_failure.callback(os.close, stacks)
            in_any_case.callback(os.close, their_stacks)
            if user is not None:
                _give_away(lifeline, user)  # every process of the worker opens it once more
            passed = (worker_end.fileno(), lifeline, their_stacks)
            for end in (self.channel, worker_end):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _CHANNEL_BUFFER_BYTES)
            start = partial(_start, [*command, *map(str, passed)], environ, passed, user)
            self._popen = confined(sandbox, start)
            on_failure.pop_all()
        self.channel.setblocking(False)
        self.pid = self._popen.pid
        self._budget = OutputBudget(loop, on_dropped)
        streams = (("stdout", self._popen.stdout), ("stderr", self._popen.stderr))
        if user is not None:  # so do programs that write to /dev/stderr
            for _, pipe in streams:
                _give_away(pipe.fileno(), user)  # type: ignore[union-attr]  # both are pipes
        self._outputs = [
            Output(loop, pipe, name, on_line, self._budget) for name, pipe in streams if pipe
        ]
        # Not a method of this object, so that it is freed at once, not by the garbage collector.
        self.stacks = Stacks(loop, stacks, partial(_signal, self._popen))
        _watch_exit(loop, self._popen, self._on_dead)

    def __repr__(self) -> str:
        return f"Process({self.pid})"

    def resident_bytes(self) -> int:
        """Its resident memory; 0 if unknown (no /proc, or it has just died)."""
        try:
            with open(f"/proc/{self.pid}/statm", "rb") as statm:
                return int(statm.read().split()[1]) * _PAGE_BYTES
        except (OSError, ValueError, IndexError):
            return 0

    def share_output(self, allowance: Allowance) -> None:
        """The budget of all workers of its app applies as well."""
        self._budget.share(allowance)

    def covers(self, size_bytes: int) -> bool:
        """Whether its budget covers an entry of the log that it asks for; see `OutputBudget`."""
        return self._budget.covers(size_bytes)

    def kill(self) -> None:
        """End it now, with everything it has started that stayed in its group."""
        self.signal_group(signal.SIGKILL)

    def signal_group(self, number: int) -> None:
        """Signal it, and everything it has started that stayed in its group.

        It may itself have left the group, for one of its children.
        """
        if self._popen.returncode is not None:
            return  # reaped: its number may now belong to another group
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if number == signal.SIGKILL or os.getpgid(self.pid) != self.pid:
                os.kill(self.pid, number)  # a second SIGTERM would mean something else

    def _on_dead(self) -> None:
        # Not reaped yet, so its number cannot be another group's: kill what it left behind too.
        self.kill()
        self._popen.wait()
        for output in tuple(self._outputs):
            output.finish(partial(self._on_output_end, output))

    def _on_output_end(self, output: Output) -> None:
        self._outputs.remove(output)
        if self._outputs:
            return
        self._budget.tell()
        self.stacks.abort()
        os.close(self._lifeline)
        self._on_exit(self._popen.returncode)


def _give_away(pipe: int, user: Identity) -> None:
    """Give a pipe to the user, from either end. A container without CAP_CHOWN goes without this."""
    with contextlib.suppress(OSError):
        os.fchown(pipe, user.uid, user.gid)


def _signal(popen: "subprocess.Popen[bytes]", number: int) -> None:
    """Signal the process alone, if it is still there."""
    if popen.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(popen.pid, number)


class _PidWatch:
    """Reports once when a process has died, by its pidfd."""

    def __init__(self, loop: Loop, pidfd: int, on_dead: Callable[[], None]) -> None:
        self._loop = loop
        self._pidfd = pidfd
        self._on_dead = on_dead
        loop.register(pidfd, selectors.EVENT_READ, self)

    def on_ready(self, events: int) -> None:
        self.abort()
        self._on_dead()

    def abort(self) -> None:
        if self._pidfd >= 0:
            self._loop.unregister(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1


class _PollWatch:
    """The same without a pidfd: checks every so often, without reaping."""

    def __init__(self, loop: Loop, pid: int, on_dead: Callable[[], None]) -> None:
        self._loop = loop
        self._pid = pid
        self._on_dead = on_dead
        self._look_later()  # not at once: who starts it does not know it yet

    def _look_later(self) -> None:
        self._loop.call_later(_POLL_S, self._look)

    def _look(self) -> None:
        if has_ended(self._pid):
            self._on_dead()
        else:
            self._look_later()


def _start(
    line: Sequence[str], environ: Mapping[str, str], passed: Sequence[int], user: Identity | None
) -> subprocess.Popen[bytes]:
    """Start a command that inherits these descriptors, in its own process group."""
    return subprocess.Popen(
        line,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environ),
        pass_fds=passed,
        process_group=0,
        **options_of(user),
    )


def _watch_exit(loop: Loop, popen: "subprocess.Popen[bytes]", on_dead: Callable[[], None]) -> None:
    try:
        pidfd = os.pidfd_open(popen.pid)
    except (AttributeError, OSError):  # macOS; an old kernel, or a container that forbids it
        _PollWatch(loop, popen.pid, on_dead)
    else:
        _PidWatch(loop, pidfd, on_dead)


def describe_exit(returncode: int) -> str:
    """`-9` -> "killed by SIGKILL"; `3` -> "exit code 3"."""
    if returncode < 0:
        try:
            return f"killed by {signal.Signals(-returncode).name}"
        except ValueError:
            return f"killed by signal {-returncode}"
    return f"exit code {returncode}"
