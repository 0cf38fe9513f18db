"""Checks whether a file of an app's code has changed since the app's workers loaded it.

Used in production. New files do not count unless the manifest or the folder changes: what clients
send to an app may look like code.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from buntime.core.apps.watching import Watching
from buntime.server.apps.changes import Snapshot, snap, state_of

FILES_MAX = 5000
FOLDERS_MAX = 1000


class TooManyFiles(Exception):
    """An app has more code files than can be watched."""


class Followed:
    """One app's files, compared at each `look`; used by one thread at a time, which may block."""

    def __init__(
        self, folder: Path, watching: Watching, made_ns: int, *, is_run: bool = False
    ) -> None:
        """`made_ns` is a time, by the clock of file times, before workers loaded the code.

        `is_run`: programs are started from these files, and do not say which ones they read.
        """
        self.folders: frozenset[str] = frozenset()  # that hold the files, as absolute paths
        self._folder = str(folder)
        self._watching = watching
        self._made_ns = made_ns
        self._is_run = is_run
        self._files: Snapshot | None = None

    def __repr__(self) -> str:
        return f"Followed({self._folder!r}, {len(self._files or ())} files)"

    def has(self, folder: str, name: str) -> bool:
        """Whether a name in a folder is one of the followed files."""
        path = f"{folder}/{name}"[len(self._folder) + 1 :]
        return self._files is not None and path in self._files

    def look(self) -> str:
        """A file that has changed since the last look, or is gone; "" if there is none.

        The first look returns a file that changed while the code was being loaded. Raises OSError
        if this machine cannot look, and TooManyFiles.
        """
        if self._files is None:
            return self._begin()
        changed = [path for path, state in self._files.items() if self._now(path) != state]
        for path in changed:
            self._files[path] = self._now(path)
        return min(changed, default="")

    def _begin(self) -> str:
        files = snap(self._folder, self._watching)
        folders = {os.path.dirname(os.path.join(self._folder, path)) for path in files}
        if len(files) > FILES_MAX or len(folders) > FOLDERS_MAX:
            raise TooManyFiles(f"{len(files)} files in {len(folders)} folders")
        self._files, self.folders = files, frozenset(folders)
        return next(self._changed_meanwhile(files), "")

    def _changed_meanwhile(self, files: Iterable[str]) -> Iterator[str]:
        """Files changed after `made_ns` that workers may have imported before, or programs read.

        Nobody knows when other files are read.
        """
        for path in files if self._is_run else self._watching.imported.intersection(files):
            if self._ctime_ns(path) > self._made_ns:
                yield path

    def _ctime_ns(self, path: str) -> int:
        try:
            return os.stat(os.path.join(self._folder, path), follow_symlinks=False).st_ctime_ns
        except OSError:
            return 0

    def _now(self, path: str) -> tuple[int, int, int]:
        try:
            return state_of(os.path.join(self._folder, path))
        except OSError:
            return 0, 0, 0  # gone
