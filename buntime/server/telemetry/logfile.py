"""Where log lines go: a stream such as stdout, or a file that is rotated.

Both run on the writer thread of `logs`, and may wait there. Neither raises once it is open: lines
that a full disk or a closed pipe does not take are counted in `lost_lines`, reported once on
stderr, and the next write tries again. A partially written line is completed before anything else
is written, so that every line of a log is whole.
"""

import contextlib
import itertools
import os
import select
import stat
from pathlib import Path

from buntime.core.errors import UsageError

STDERR_FD = 2
# Owner writes, group may read: access lines hold the addresses of clients.
FILE_MODE = 0o640


class LineOutput:
    """What streams and files share: whole lines, or a count of those that were lost."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lost_lines = 0
        self.reported_lines = 0  # how many of the lost ones the log itself has reported
        # Empty between two writes, except for the end of a line that was torn.
        self._pending = b""
        self._is_torn = False
        self._complaints: set[str] = set()  # what stderr was told, until it works again

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, lost_lines={self.lost_lines})"

    def write(self, lines: bytes) -> bool:
        """Write lines, each with its newline; False if some of them were lost."""
        self._pending += lines
        try:
            while self._pending:
                self._write_some()
        except OSError as exc:
            self._give_up(exc)
            return False
        self._complaints.discard("write")
        return True

    def _write_some(self) -> None:
        """Write the first part of `_pending`, or take a step towards that."""
        raise NotImplementedError

    def _put(self, fd: int, size_bytes: int) -> int:
        written = os.write(fd, self._pending[:size_bytes])
        self._is_torn = self._pending[written - 1] != ord("\n")
        self._pending = self._pending[written:]
        return written

    def _give_up(self, exc: OSError) -> None:
        torn_bytes = self._pending.index(b"\n") + 1 if self._is_torn else 0
        self.lost_lines += self._pending.count(b"\n", torn_bytes)
        self._pending = self._pending[:torn_bytes]
        self._complain("write", exc)

    def _complain(self, verb: str, exc: OSError) -> None:
        if verb in self._complaints:
            return
        self._complaints.add(verb)
        text = f"buntime: cannot {verb} the log {self.name}: {exc.strerror}"
        # With the log gone, stderr is the last place to report it; if that fails too there is none.
        with contextlib.suppress(OSError):
            os.write(STDERR_FD, f"{text}; will keep trying\n".encode(errors="backslashreplace"))


class LogStream(LineOutput):
    """A pipe, a terminal or whatever stdout is; its descriptor stays open, because it is not
    ours."""

    def __init__(self, fd: int) -> None:
        super().__init__(f"on descriptor {fd}")
        self._fd = fd

    def is_terminal(self) -> bool:
        """Whether the stream is a terminal, which a person reads."""
        return os.isatty(self._fd)

    def _write_some(self) -> None:
        try:
            self._put(self._fd, len(self._pending))
        except BlockingIOError:  # another process that shares the descriptor made it non-blocking
            poller = select.poll()
            poller.register(self._fd, select.POLLOUT)
            poller.poll()


class RotatingFile(LineOutput):
    """A file of at most `size_bytes` (a longer line gets its own file) and `count` older ones.

    FILE.1 is the newest of the older ones, FILE.`count` the oldest, which the next rotation
    deletes. Anything but a regular file, such as /dev/stderr, is never rotated. The first write
    opens it.
    """

    def __init__(self, path: str, *, size_bytes: int, count: int) -> None:
        super().__init__(path)
        self._limit_bytes = size_bytes
        self._count = count
        # per open file
        self._fd: int | None = None
        self._size_bytes = 0
        self._is_regular = True

    def close(self) -> None:
        """Close the file; a later write would open it again."""
        self.lost_lines += self._pending.count(b"\n")  # the rest of a partial line has no place now
        self._pending, self._is_torn = b"", False
        self._close_fd()

    def _write_some(self) -> None:
        fd = self._open() if self._fd is None else self._fd
        size_bytes = self._fitting_bytes()
        if size_bytes:
            self._size_bytes += self._put(fd, size_bytes)
        else:
            self._rotate()

    def _fitting_bytes(self) -> int:
        """How much of `_pending` belongs in the open file; 0 if it is full."""
        room = self._limit_bytes - self._size_bytes
        if self._is_torn:
            return self._pending.index(b"\n") + 1
        if len(self._pending) <= room or not self._is_regular:
            return len(self._pending)
        whole = self._pending.rfind(b"\n", 0, max(room, 0)) + 1
        if whole or self._size_bytes:
            return whole
        return self._pending.index(b"\n") + 1  # longer than a whole file may be

    def _rotate(self) -> None:
        names = [self.name, *(f"{self.name}.{number}" for number in range(1, self._count + 1))]
        try:
            for old, new in reversed(list(itertools.pairwise(names))):
                with contextlib.suppress(FileNotFoundError):  # not so many yet, or removed
                    Path(old).replace(new)
        except OSError as exc:
            # Better too long a file than lost lines: continue, and try again after another file's
            # size.
            self._size_bytes = 0
            self._complain("rotate", exc)
            return
        self._complaints.discard("rotate")
        self._close_fd()
        self._open()

    def _give_up(self, exc: OSError) -> None:
        super()._give_up(exc)
        if not self._is_torn:  # the folder or the disk may be gone: look for it again next time
            self._close_fd()

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        fd = os.open(self.name, flags, FILE_MODE)
        status = os.fstat(fd)
        self._fd = fd
        self._size_bytes = status.st_size
        self._is_regular = stat.S_ISREG(status.st_mode)
        return fd

    def _close_fd(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            with contextlib.suppress(OSError):  # reports a failed disk; no line can be saved
                os.close(fd)


class LogFile(RotatingFile):
    """A rotating file that an operator has named: it must be usable from the start."""

    def __init__(self, path: str, *, size_bytes: int, count: int) -> None:
        if size_bytes < 1 or count < 1:
            raise UsageError(
                f"log file {path}: rotation at {size_bytes} bytes with {count} older files is "
                "not possible; both must be at least 1"
            )
        super().__init__(path, size_bytes=size_bytes, count=count)
        try:
            self._open()
        except OSError as exc:
            raise UsageError(
                f"log file {path}: {exc.strerror}; name a file in RUNTIME_LOG_FILE, in a folder "
                "that can be written to"
            ) from exc

    def reopen(self) -> None:
        """Continue in a new file of this name, after another program has renamed the old one."""
        self.close()
        try:
            self._open()
        except OSError as exc:  # the next write tries again
            self._complain("write", exc)
