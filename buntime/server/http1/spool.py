"""Answers that wait on disk for clients that take them slowly, so that their workers can end.

What waits in memory is bounded by the window of its connection. Where a worker of one request waits
only for its client, that window is moved to a file, and the worker goes on as if the client had
taken it; in the end the worker is done, however slow the client is. Each connection has a file of
its own, without a name, which grows to ANSWER_MAX_BYTES and is given up once all of it is sent. All
files together take no more than a setting allows, and a file system that is nearly full takes none.

A thread writes, because a disk may be slow; sending is sendfile's work, as with any file.
"""

import os
from collections.abc import Callable, Sequence

from buntime.core.http1.leastrate import is_short
from buntime.core.values.tally import Tally
from buntime.server.loop.loop import Loop
from buntime.server.telemetry.logs import Log

ANSWER_MAX_BYTES = 8 * 1024 * 1024  # an app is asked for this much, whoever reads it
FREE_BYTES = 256 * 1024 * 1024  # what others find at least, where these files are
# Without TMPDIR. The first is on a disk by convention, the second is often memory.
_FOLDERS = ("/var/tmp", "/tmp")
_PAUSE_S = 10.0  # after a failure
_TELL_S = 60.0

Buffers = Sequence[bytes | memoryview]


class Spools:
    """The room on disk that all connections share."""

    def __init__(
        self, loop: Loop, log: Log, *, folder: str = "", free_bytes: int = FREE_BYTES
    ) -> None:
        """`folder` is for tests, which also say how much has to stay free there."""
        self.loop = loop
        self.folder = folder
        self.free_bytes = free_bytes
        self.max_bytes = 0
        self.taken_bytes = 0
        self._log = log
        self._failures = Tally(every_s=_TELL_S)
        self._failed_s = float("-inf")

    def __repr__(self) -> str:
        return f"Spools({self.taken_bytes} of {self.max_bytes} bytes)"

    def take(self, size_bytes: int) -> bool:
        """Take so much of the room; False if there is not as much, or writing has just failed."""
        is_over = self.taken_bytes + size_bytes > self.max_bytes
        if is_over or self.loop.now - self._failed_s < _PAUSE_S:
            return False
        self.taken_bytes += size_bytes
        return True

    def give_back(self, size_bytes: int) -> None:
        self.taken_bytes -= size_bytes

    def is_pressed(self) -> bool:
        """Is more than half of the room taken?"""
        return is_short(self.taken_bytes, self.max_bytes)

    def on_failure(self, error: BaseException) -> None:
        """A file could not be written: none is for a while."""
        self._failed_s = self.loop.now
        count = self._failures.add(self._failed_s)
        if count:
            self._log.warn(
                "answer.not_spooled",
                "answers for slow clients cannot be kept on disk: their workers wait for them",
                error=str(error) or repr(error),
                times=count,
            )


class Spool:
    """One connection's file."""

    __slots__ = ("_is_closed", "_size_bytes", "_spools", "fd", "is_writing")

    def __init__(self, spools: Spools) -> None:
        self.fd = -1  # until something is written
        self.is_writing = False
        self._spools = spools
        self._size_bytes = 0
        self._is_closed = False

    def __repr__(self) -> str:
        return f"Spool({self._size_bytes} bytes)"

    def write(self, buffers: Buffers, then: Callable[[int], None]) -> bool:
        """Write this behind the rest; `then` gets its offset in the file. It is not called if that
        fails, or if the file is closed meanwhile. Returns False, with no effect, without room."""
        offset, size = self._size_bytes, sum(map(len, buffers))
        if self.is_writing or offset + size > ANSWER_MAX_BYTES or not self._spools.take(size):
            return False
        self._size_bytes += size
        self.is_writing = True
        spools, fd = self._spools, self.fd

        def written(result: int | BaseException) -> None:
            self.is_writing = False
            if isinstance(result, BaseException):
                spools.on_failure(result)
            else:
                self.fd = result
            if self._is_closed:
                self._release()
            elif not isinstance(result, BaseException):
                then(offset)

        spools.loop.run_blocking(
            lambda: _write(fd, buffers, offset, folder=spools.folder, free_bytes=spools.free_bytes),
            written,
        )
        return True

    def close(self) -> None:
        """Nothing of it is needed any more."""
        self._is_closed = True
        if not self.is_writing:
            self._release()

    def _release(self) -> None:
        self._spools.give_back(self._size_bytes)
        self._size_bytes = 0
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


# In a thread


def _write(fd: int, buffers: Buffers, offset: int, *, folder: str, free_bytes: int) -> int:
    """Write all of it, to a new file where `fd` is -1; returns the descriptor. Raises OSError."""
    opened = _open(folder) if fd < 0 else fd
    try:
        found = os.fstatvfs(opened)
        if found.f_bavail * found.f_frsize < free_bytes + sum(map(len, buffers)):
            raise OSError(f"less than {free_bytes} bytes would be free in the file system")
        for buffer in buffers:
            left = memoryview(buffer)
            while left:
                written = os.pwrite(opened, left, offset)
                offset += written
                left = left[written:]
    except BaseException:
        if fd < 0:
            os.close(opened)
        raise
    return opened


def _open(folder: str) -> int:
    if not folder:
        folders = filter(None, (os.environ.get("TMPDIR"), *_FOLDERS))
        folder = next((each for each in folders if os.access(each, os.W_OK | os.X_OK)), _FOLDERS[0])
    flags = os.O_RDWR | os.O_CLOEXEC
    if hasattr(os, "O_TMPFILE"):
        try:
            return os.open(folder, flags | os.O_TMPFILE, 0o600)
        except OSError:
            pass  # not every file system can do that
    path = f"{folder}/.buntime-{os.getpid()}-{os.urandom(8).hex()}"
    fd = os.open(path, flags | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    os.unlink(path)
    return fd
