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

from buntime.core.telemetry.records import LineSplitter
from buntime.server.loop import READ, Loop
from buntime.server.pool.stacks import Stacks

# bytes the kernel keeps in each direction of a channel: room for a window of each of a few
# requests, so that sending a body does not alternate with waking the other side.
_CHANNEL_BUFFER_BYTES = 256 * 1024
_OUTPUT_BYTES = 64 * 1024  # of an app's output, read at once
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_POLL_S = 0.05  # between looks at a dying process, where the system has no pidfd

Line = Callable[[str, str], None]  # (stream, text)


class Process:
    """A started worker process."""

    def __init__(
        self,
        loop: Loop,
        command: Sequence[str],
        environ: Mapping[str, str],
        *,
        on_line: Line,
        on_exit: Callable[[int], None],
    ) -> None:
        """Start `command` with the numbers of channel, lifeline and stacks appended.

        `on_line` gets each line of its output, `on_exit` its return code (negative for a
        signal), once, on the loop's thread, when its output has been read to the end.
        Raises OSError where it cannot be started.
        """
        self._loop = loop
        self._on_exit = on_exit
        with contextlib.ExitStack() as on_failure:
            self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            on_failure.callback(self.channel.close)
            lifeline, self._lifeline = os.pipe()
            on_failure.callback(os.close, self._lifeline)
            stacks, their_stacks = os.pipe()
            on_failure.callback(os.close, stacks)
            passed = (theirs.fileno(), lifeline, their_stacks)
            try:
                for end in (self.channel, theirs):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _CHANNEL_BUFFER_BYTES)
                self._popen = subprocess.Popen(
                    [*command, *map(str, passed)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env=dict(environ),
                    pass_fds=passed,
                    process_group=0,
                )
            finally:
                theirs.close()
                os.close(lifeline)
                os.close(their_stacks)
            on_failure.pop_all()
        self.channel.setblocking(False)
        self.pid = self._popen.pid
        self._outputs = [
            _Output(loop, self._popen.stdout, "stdout", on_line),
            _Output(loop, self._popen.stderr, "stderr", on_line),
        ]
        # No method of this object: what ends is to be freed at once, not by the garbage collector.
        self.stacks = Stacks(loop, stacks, partial(_signal, self._popen))
        _watch_exit(loop, self._popen, self._on_dead)

    def __repr__(self) -> str:
        return f"Process({self.pid})"

    def resident_bytes(self) -> int:
        """Its resident memory; 0 where that cannot be known (no /proc, or it has just died)."""
        try:
            with open(f"/proc/{self.pid}/statm", "rb") as statm:
                return int(statm.read().split()[1]) * _PAGE_BYTES
        except (OSError, ValueError, IndexError):
            return 0

    def kill(self) -> None:
        """End it now, with everything it has started that stayed in its group."""
        if self._popen.returncode is not None:
            return  # reaped: by now its number may be that of another group
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _on_dead(self) -> None:
        # Not reaped yet, so its number cannot be another group's: what it left behind goes too.
        self.kill()
        returncode = self._popen.wait()
        for output in self._outputs:
            output.drain()
        self.stacks.abort()
        os.close(self._lifeline)
        self._on_exit(returncode)


def _signal(popen: "subprocess.Popen[bytes]", number: int) -> None:
    """Signal the process alone, if it is still there."""
    if popen.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(popen.pid, number)


class _Output:
    """Reads one output stream of a worker into lines."""

    def __init__(self, loop: Loop, pipe: object, name: str, on_line: Line) -> None:
        self._loop = loop
        self._pipe = pipe
        self._fd: int = pipe.fileno()  # type: ignore[attr-defined]  # Popen's IO[bytes] | None
        self._name = name
        self._on_line = on_line
        self._lines = LineSplitter()
        self._is_open = True
        os.set_blocking(self._fd, False)
        loop.register(self._fd, READ, self)

    def on_ready(self, events: int) -> None:
        if self._is_open:  # else `drain` has closed it, earlier in this turn of the loop
            self._read()

    def drain(self) -> None:
        """The process is dead: take what it wrote last, wait for nobody who shares the pipe."""
        while self._is_open and self._read():
            pass
        self.abort()

    def abort(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        self._loop.unregister(self._fd)
        self._pipe.close()  # type: ignore[attr-defined]  # see __init__
        for line in self._lines.flush():
            self._on_line(self._name, line)

    def _read(self) -> bool:
        try:
            data = os.read(self._fd, _OUTPUT_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self.abort()
            return False
        for line in self._lines.feed(data):
            self._on_line(self._name, line)
        return True


class _PidWatch:
    """Tells once when a process has died, by its pidfd."""

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
    """The same where there is no pidfd (macOS): asks every so often, without reaping."""

    def __init__(self, loop: Loop, pid: int, on_dead: Callable[[], None]) -> None:
        self._loop = loop
        self._pid = pid
        self._on_dead = on_dead
        self._look()

    def _look(self) -> None:
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        if os.waitid(os.P_PID, self._pid, options) is None:
            self._loop.call_later(_POLL_S, self._look)
        else:
            self._on_dead()


def _watch_exit(loop: Loop, popen: "subprocess.Popen[bytes]", on_dead: Callable[[], None]) -> None:
    if hasattr(os, "pidfd_open"):
        _PidWatch(loop, os.pidfd_open(popen.pid), on_dead)
    else:
        _PollWatch(loop, popen.pid, on_dead)


def describe_exit(returncode: int) -> str:
    """`-9` -> "killed by SIGKILL"; `3` -> "exit code 3"."""
    if returncode < 0:
        try:
            return f"killed by {signal.Signals(-returncode).name}"
        except ValueError:
            return f"killed by signal {-returncode}"
    return f"exit code {returncode}"
