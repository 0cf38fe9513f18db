"""Looks at all app folders at once, and says which names may have changed since the last look.

A folder that has not changed lately costs one `stat`, and another one for its manifest. Used by one
thread at a time, which may wait for the disk. The catalog decides what a change means.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from buntime.core.apps.manifest import MANIFEST_NAMES
from buntime.core.apps.versions import is_version
from buntime.core.values.filetimes import is_settled
from buntime.core.values.tuples import NamedTuple
from buntime.server.apps.appfolder import Listing, holds_app
from buntime.server.apps.labels import split_label

_LINKS_MAX = 8  # in a row; the kernel follows 40

_State = tuple[int, int, int]  # inode, modification time, size
_GONE: _State = (0, 0, 0)


class _Folder(NamedTuple):
    """What is known of a folder that bears the name of an app or of a version."""

    state: _State
    is_trusted: bool
    manifest: str  # the name of its manifest, or ""
    is_app: bool


class Mark(NamedTuple):
    """What tells a folder from another state of it, for what makes an app."""

    folder: _State
    manifest: _State


class Sight(NamedTuple):
    """What one look found."""

    marks: dict[str, Mark]  # of each app folder, by its path
    names: dict[str, str]  # the app's name, by the same path
    folders: set[str]  # app folders, and those whose entries decide which ones there are
    listed: set[str]  # only the latter
    is_whole: bool  # whether all worker folders exist

    def changed(self, before: "Sight") -> dict[str, str]:
        """The folders that are changed, gone or new, each with its app's name."""
        names = {**before.names, **self.names}
        return {
            path: name
            for path, name in names.items()
            if self.marks.get(path) != before.marks.get(path)
        }


NOTHING = Sight({}, {}, set(), set(), is_whole=False)


class Survey:
    """Surveys the worker folders, and remembers what it need not look at again."""

    def __init__(self, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self._wall_ns = wall_ns
        self._listings: dict[str, Listing] = {}
        self._folders: dict[str, _Folder] = {}

    def __repr__(self) -> str:
        return f"Survey({len(self._folders)} folders)"

    def take(self, roots: Sequence[str | Path]) -> Sight:
        """All app folders below `roots` as they are now."""
        known, self._folders = self._folders, {}
        sight = Sight({}, {}, set(), set(), is_whole=all(os.path.isdir(root) for root in roots))
        for root in map(str, roots):
            for label in self._list(root, sight):
                if not label.startswith("@"):
                    self._look_at(label, f"{root}/{label}", known, sight)
                    continue
                for child in self._list(f"{root}/{label}", sight):
                    self._look_at(f"{label}/{child}", f"{root}/{label}/{child}", known, sight)
        return sight

    def _list(self, folder: str, sight: Sight) -> Iterable[str]:
        sight.folders.add(folder)
        sight.listed.add(folder)
        listing = self._listings.setdefault(folder, Listing(Path(folder), self._wall_ns))
        listing.refresh()
        return listing.folders

    def _look_at(self, label: str, path: str, known: dict[str, _Folder], sight: Sight) -> None:
        name, pinned = split_label(label)
        folder = self._enter(name, path, known, sight)
        if pinned is not None or folder.is_app:
            return
        for version in self._list(path, sight):
            if is_version(version):
                self._enter(name, f"{path}/{version}", known, sight)

    def _enter(self, name: str, path: str, known: dict[str, _Folder], sight: Sight) -> _Folder:
        state = _state(path)
        folder = known.get(path)
        if folder is None or not folder.is_trusted or folder.state != state:
            is_trusted = is_settled(state[1], self._wall_ns())
            manifest = next(
                (each for each in MANIFEST_NAMES if os.path.lexists(f"{path}/{each}")), ""
            )
            folder = _Folder(state, is_trusted, manifest, holds_app(Path(path)))
        self._folders[path] = folder
        manifest_state = _state(f"{path}/{folder.manifest}") if folder.manifest else _GONE
        sight.marks[path] = Mark(state, manifest_state)
        sight.names[path] = name
        sight.folders.add(path)
        parents = set(_parents_of_links(path))
        sight.folders.update(parents)
        sight.listed.update(parents)
        return folder


def _state(path: str) -> _State:
    try:
        state = os.stat(path)
    except OSError:
        return _GONE
    return state.st_ino, state.st_mtime_ns, state.st_size


def _parents_of_links(path: str) -> Iterable[str]:
    """The parent folder of each target in the chain of links that begins at `path`.

    Another entry of the same name may take the place of each target.
    """
    for _ in range(_LINKS_MAX):
        try:
            path = os.path.join(os.path.dirname(path), os.readlink(path))
        except OSError:
            return
        yield os.path.dirname(path)
