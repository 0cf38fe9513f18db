"""The log files of apps, `STATE/logs/APP.log`, and which of them must be removed.

The log's writer thread does all of this. Each app has up to PIECES files: the one being written and
older ones. A file is put aside when it is full, or when its first line has reached one PIECES-th of
the allowed age; an older one is removed when its last line has reached the rest. So no line gets
older than allowed, except for the time between two sweeps. If all files together are too large,
those written to longest ago are removed, whichever app they belong to.

At most OPEN_MAX files are open at a time; beyond that, those written to longest ago are closed, and
opened again when a line comes.
"""

import contextlib
import os
import stat
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

from buntime.core.telemetry.applines import HEAD_BYTES, seq_of, time_of
from buntime.core.telemetry.lognames import file_of, parse_file
from buntime.core.values.tuples import NamedTuple
from buntime.server.telemetry.logfile import RotatingFile

PIECES = 5
OPEN_MAX = 64
FOLDER_MODE = 0o700
_FILE_MODE = 0o600
_TAIL_BYTES = 256 * 1024  # more than the longest line


class Keeping(NamedTuple):
    """How much of the apps' logs is kept in files: bytes per app and in total, seconds."""

    size_bytes: int = 50 * 1024 * 1024
    age_s: float = 14 * 86400.0
    total_bytes: int = 1024 * 1024 * 1024


class _Found(NamedTuple):
    """A file in the folder."""

    written_s: float
    size_bytes: int
    file: str
    app: str | None  # where its name is not too long
    number: int
    inode: int


class _AppFile(RotatingFile):
    """The file of one app; failures are reported to `on_trouble`."""

    def __init__(self, path: str, size_bytes: int, on_trouble: Callable[[OSError], None]) -> None:
        super().__init__(path, size_bytes=size_bytes, count=PIECES - 1)
        self._on_trouble = on_trouble

    def put_aside(self) -> None:
        """Continue in a new file; if that fails now, the next write tries again."""
        if self._is_torn:  # its end belongs into this file
            return
        try:
            self._rotate()
        except OSError as exc:
            self._on_trouble(exc)

    def _complain(self, verb: str, exc: OSError) -> None:
        self._on_trouble(exc)

    def _open(self) -> int:
        # Only the runtime may write here; never block on something that is not its file.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(self.name, flags, _FILE_MODE)
        try:
            state = os.fstat(fd)
            if not stat.S_ISREG(state.st_mode):
                raise OSError(0, "not a file")
            if state.st_size and os.pread(fd, 1, state.st_size - 1) != b"\n":
                os.write(fd, b"\n")  # a line was torn as the runtime or the machine died
        except OSError:
            os.close(fd)
            raise
        self._fd = fd
        self._size_bytes = state.st_size
        return fd


class AppFiles:
    """The folder. Makes it; raises OSError where that cannot be."""

    def __init__(self, folder: str, keeping: Keeping, *, open_max: int = OPEN_MAX) -> None:
        self.folder = folder
        self.lost_lines = 0
        self.trouble: OSError | None = None  # the last
        self._keeping = keeping
        self._open_max = open_max
        self._files: OrderedDict[str, _AppFile] = OrderedDict()  # last written to at the end
        self._begun: dict[int, float] = {}  # inode -> time of the first line, of files in use
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, FOLDER_MODE)
        os.listdir(folder)  # is it a folder?

    def __repr__(self) -> str:
        return f"AppFiles({self.folder}, {len(self._files)} open, {self.lost_lines} lost)"

    def write(self, app: str, lines: bytes) -> bool:
        """Append lines, each with its newline; False if some were lost."""
        file = self._file_of(app)
        before = file.lost_lines
        is_written = file.write(lines)
        self.lost_lines += file.lost_lines - before
        return is_written

    def close(self) -> None:
        """Close all; a later write opens what it needs."""
        for app in list(self._files):
            self._close(app)

    def newest_seq(self) -> int:
        """The largest line number, according to the file written to last."""
        found = max(self._list(), default=None)
        if found is None:
            return 0
        with contextlib.suppress(OSError):
            data = _read(os.path.join(self.folder, found.file), _TAIL_BYTES, found.size_bytes)
            return max(map(seq_of, data.split(b"\n")), default=0)
        return 0

    def sweep(self, now: float) -> None:
        """Put aside and remove what is due; `now` is in seconds since the epoch."""
        piece_s = self._keeping.age_s / PIECES
        found = []
        for each in self._list():
            if each.written_s < now - self._keeping.age_s + piece_s:
                self._remove(each)
            else:
                found.append(each)
        found.sort()
        total = sum(each.size_bytes for each in found)
        removed = 0
        while total > self._keeping.total_bytes:
            self._remove(found[removed])
            total -= found[removed].size_bytes
            removed += 1
        in_use = [each for each in found[removed:] if each.number == 0 and each.size_bytes]
        known, self._begun = self._begun, {}
        for each in in_use:
            since = known.get(each.inode) or self._first_time(each)
            if since < now - piece_s and each.app is not None:
                self._file_of(each.app).put_aside()
            else:
                self._begun[each.inode] = since

    def _file_of(self, app: str) -> _AppFile:
        file = self._files.get(app)
        if file is not None:
            self._files.move_to_end(app)
            return file
        while len(self._files) >= self._open_max:
            self._close(next(iter(self._files)))
        path = os.path.join(self.folder, file_of(app))
        file = _AppFile(path, max(self._keeping.size_bytes // PIECES, 1), self._on_trouble)
        self._files[app] = file
        return file

    def _close(self, app: str) -> None:
        file = self._files.pop(app)
        before = file.lost_lines
        file.close()
        self.lost_lines += file.lost_lines - before

    def _on_trouble(self, exc: OSError) -> None:
        self.trouble = exc

    def _list(self) -> list[_Found]:
        found = []
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                parsed = parse_file(entry.name)
                if parsed is None:
                    continue
                with contextlib.suppress(OSError):
                    state = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(state.st_mode):
                        found.append(
                            _Found(
                                state.st_mtime,
                                state.st_size,
                                entry.name,
                                *parsed,
                                state.st_ino,
                            )
                        )
        return found

    def _remove(self, found: _Found) -> None:
        if found.number == 0:
            for app in [found.app] if found.app is not None else list(self._files):
                if app in self._files:
                    self._close(app)
        with contextlib.suppress(OSError):  # somebody else has, or the next sweep tries again
            os.unlink(os.path.join(self.folder, found.file))

    def _first_time(self, found: _Found) -> float:
        """When its first line was written; the time of the last one if that cannot be read."""
        try:
            head = _read(os.path.join(self.folder, found.file), HEAD_BYTES, HEAD_BYTES)
            return datetime.fromisoformat(time_of(head).decode("ascii")).timestamp()
        except (OSError, ValueError):
            return found.written_s


def _read(path: str, size_bytes: int, end: int) -> bytes:
    """This many bytes of a file before `end`."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        return os.pread(fd, size_bytes, max(end - size_bytes, 0))
    finally:
        os.close(fd)
