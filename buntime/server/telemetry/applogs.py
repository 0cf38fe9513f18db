"""The log of each app: its last lines in memory, and files if there is a state folder for them.

    the log's writer thread ── take ──> files ──> rings ──> those who follow

An app's lines are what it prints, the access lines of its requests, and what the runtime logs about
it. The writer thread does all the work, batch by batch; a request pays nothing. Lines are in a file
before they leave the ring, so a reader that takes the ring first, and then the files up to the
ring's oldest line, misses nothing.

If the disk is full or gone, only files lose lines. That is logged once, and once more when all is
well again, with the number of lines.
"""

import os
import threading
from collections.abc import Callable, Sequence

from buntime.core.telemetry.applines import app_of, name_of, numbered
from buntime.core.telemetry.records import AccessEntry, Level, Record
from buntime.core.telemetry.rings import ALL_BYTES, Rings
from buntime.core.values.protocols import Protocol
from buntime.server.telemetry.appfiles import AppFiles, Keeping

FOLDER = "logs"
_SWEEP_S = 600.0
# An unavailable folder is tried again, and reported again, this much later.
_RETRY_S = 60.0

_, _, WARN, _ = Level

Entry = Record | AccessEntry


class Follower(Protocol):
    """Gets new lines as they come; on the writer thread."""

    def put(self, lines: Sequence[tuple[bytes, str]]) -> None:
        """Lines in the order of their numbers, each with its app."""

    def wake(self) -> None:
        """A batch was put."""


class AppLogs:
    """All apps' logs. Methods can be called on any thread unless they belong to the writer
    thread."""

    def __init__(
        self,
        keeping: Keeping,
        *,
        clock: Callable[[], float],
        memory_bytes: int = ALL_BYTES,
    ) -> None:
        self.clock = clock
        # Guards the rings, `last_seq` and the followers. The loop's thread never takes it.
        self.lock = threading.Lock()
        self.rings = Rings(memory_bytes)
        self.last_seq = int(clock() * 1e6)  # of the newest line that is in the rings
        self.followers: list[Follower] = []
        self.folder: str | None = None  # with the files, once they can be written

        # of the writer thread
        self._keeping = keeping
        self._wanted: str | None = None
        self._files: AppFiles | None = None
        self._look_at = 0.0  # `keep_in` sets it too
        self._failing: set[str] = set()  # apps whose last lines could not be written
        self._lost_reported = 0

    def __repr__(self) -> str:
        return f"AppLogs({self.rings!r}, {self._files!r})"

    @property
    def lost_lines(self) -> int:
        """Lines that did not get into a file."""
        return self._files.lost_lines if self._files else 0

    def keep_in(self, state_dir: str) -> None:
        """Also write files from the next line on: this runtime holds the state folder."""
        self._wanted = os.path.join(state_dir, FOLDER)
        self._look_at = 0.0

    # --- on the writer thread ---

    def take(self, batch: Sequence[Entry], lines: Sequence[str]) -> Record | None:
        """Keep a batch, with its records as JSON in `lines`; may return a record about failures."""
        groups: dict[str, list[bytes]] = {}
        lasts: dict[str, int] = {}
        record = self._look()
        seq = self.last_seq
        for entry, line in zip(batch, lines, strict=True):
            seq += 1
            if isinstance(entry, AccessEntry):
                app = name_of(entry.app) if entry.app else ""
            else:
                app = app_of(entry.fields)
            group = groups.get(app)
            if group is None:
                groups[app] = [numbered(line, seq)]
            else:
                group.append(numbered(line, seq))
            lasts[app] = seq
        if self._files is not None:
            record = self._write(self._files, groups) or record
        with self.lock:
            for app, group in groups.items():
                self.rings.add(app, group, lasts[app])
            self.last_seq = seq
            followers = tuple(self.followers)
            if followers:  # a line begins with its number, so its bytes have that order
                ordered = sorted((line, app) for app, group in groups.items() for line in group)
                for follower in followers:
                    follower.put(ordered)
        for follower in followers:
            follower.wake()
        return record

    def close(self) -> None:
        """The last line has come."""
        if self._files is not None:
            self._files.close()

    def _write(self, files: AppFiles, groups: dict[str, list[bytes]]) -> Record | None:
        failing, was_failing = self._failing, bool(self._failing)
        for app, group in groups.items():
            if not files.write(app, b"".join(group)):
                failing.add(app)
            elif app in failing:  # then apps without lines now could be written too
                failing.clear()
        if failing and not was_failing:
            return self._failed(files.folder, files.trouble)
        if was_failing and not failing:
            lost, self._lost_reported = files.lost_lines - self._lost_reported, files.lost_lines
            text = "files of apps' logs can be written again"
            fields = {"folder": files.folder, "lost": lost}
            return Record(self.clock(), WARN, "log.files_recovered", text, fields)
        return None

    def _look(self) -> Record | None:
        """Now and then: open the folder, and remove what is due."""
        now = self.clock()
        if now < self._look_at:
            return None
        self._look_at = now + _SWEEP_S
        record = None
        if self._files is None and self._wanted is not None:
            record = self._open(self._wanted)
        if self._files is not None:
            self._files.sweep(now)
        with self.lock:
            self.rings.drop_before(int((now - self._keeping.age_s) * 1e6))
        return record

    def _open(self, folder: str) -> Record | None:
        try:
            self._files = files = AppFiles(folder, self._keeping)
        except OSError as exc:
            self._look_at = self.clock() + _RETRY_S
            return self._failed(folder, exc)
        self.last_seq = max(self.last_seq, files.newest_seq())  # where the clock was put back
        self.folder = folder
        return None

    def _failed(self, folder: str, exc: OSError | None) -> Record:
        text = "apps' logs cannot be written to files; their last lines are only in memory"
        fields = {"folder": folder, "error": exc.strerror if exc else None}
        return Record(self.clock(), WARN, "log.files_failed", text, fields)
