"""Lists folders for the plan of a sandbox, and knows whether they have changed since.

Folders that all users write to, such as /tmp, are not listed: they contain hundreds of names, new
ones come every second, and no app could rely on those that existed when its worker started.
"""

import os
import stat
from collections.abc import Callable, Collection, Iterable

from buntime.core.values.tuples import NamedTuple

# A folder with more is left out completely: a worker makes a rule for each path at its start.
_ENTRIES_MAX = 2000

_Stamp = tuple[int, int] | None


class _Seen(NamedTuple):
    """A folder's names as they were at `stamp`."""

    stamp: _Stamp
    plain: tuple[str, ...]
    links: tuple[str, ...]


class Listing:
    """The folders that a plan looked at, each once."""

    def __init__(self, on_crowded: Callable[[str, int], None]) -> None:
        """`on_crowded` gets a folder with too many entries, and their number."""
        self._on_crowded = on_crowded
        self._seen: dict[str, _Seen] = {}

    def __repr__(self) -> str:
        return f"Listing({len(self._seen)} folders)"

    def entries(self, folder: str, on_the_way: Collection[str] = ()) -> tuple[str, ...]:
        """The paths in a folder except links; for a crowded or world-writable one, `on_the_way`."""
        if not _is_everybodys(folder):
            plain = self._look(folder).plain
            if len(plain) <= _ENTRIES_MAX:
                return tuple(os.path.join(folder, name) for name in plain)
            self._on_crowded(folder, len(plain))
        return tuple(path for path in sorted(on_the_way) if not os.path.islink(path))

    def names(self, folder: str) -> tuple[str, ...]:
        """All names in a folder."""
        seen = self._look(folder)
        return (*seen.plain, *seen.links)

    def targets(self, folder: str) -> tuple[str, ...]:
        """Where the links in a folder lead to, resolved."""
        links = self._look(folder).links
        return tuple(os.path.realpath(os.path.join(folder, name)) for name in links)

    def has_changed(self) -> bool:
        """Whether a listed folder has changed since. Costs a `stat` for each."""
        return any(_stamp(folder) != seen.stamp for folder, seen in self._seen.items())

    def _look(self, folder: str) -> _Seen:
        seen = self._seen.get(folder)
        if seen is None:
            seen = self._seen[folder] = _list(folder)
        return seen


def existing(paths: Iterable[str]) -> tuple[str, ...]:
    """Those of the paths that exist, links resolved, each once."""
    real = (os.path.realpath(path) for path in paths if os.path.exists(path))
    return tuple(dict.fromkeys(real))


def _list(folder: str) -> _Seen:
    stamp = _stamp(folder)  # first, so that whatever comes meanwhile counts as a change
    try:
        with os.scandir(folder) as found:
            entries = sorted((entry.name, entry.is_symlink()) for entry in found)
    except OSError:
        return _Seen(stamp, (), ())
    plain = tuple(name for name, is_link in entries if not is_link)
    return _Seen(stamp, plain, tuple(name for name, is_link in entries if is_link))


def _is_everybodys(folder: str) -> bool:
    try:
        mode = os.stat(folder).st_mode
    except OSError:
        return False
    return bool(mode & stat.S_ISVTX and mode & stat.S_IWOTH)


def _stamp(folder: str) -> _Stamp:
    try:
        state = os.stat(folder)
    except OSError:
        return None
    return state.st_ino, state.st_mtime_ns
