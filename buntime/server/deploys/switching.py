"""Switches the links of an app. If that is cut short, the old links are still there, or can be
restored from files beside the release.

    .releases/shop/1.2.0-3f2a81c09d4e.lock      held by flock while the release is unfinished; has
                                                the journal: which links it switches, and from where
    .releases/shop/1.2.0-3f2a81c09d4e.0.old     a link as it was, to be renamed into its place
    .releases/shop/1.2.0-3f2a81c09d4e.0.new     a link as it will be

Each link is switched by one rename. What undoes that is made beforehand, so that undoing needs no
room on a full disk. The release is valid once its lock is gone. If nobody holds a lock, its runtime
was killed, and what the lock names is undone.
"""

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Iterable

from buntime.core.deploys.names import LOCK
from buntime.core.values.tuples import NamedTuple

_JOURNAL_MAX_BYTES = 1 << 16


class Switch(NamedTuple):
    """A link that is to lead elsewhere; paths are below the worker folder."""

    path: str  # "shop/1.2.0"
    target: str  # "../.releases/shop/1.2.0-3f2a81c09d4e"
    before: str | None  # where it leads now; None if it does not exist


def take_lock(path: str, *, is_new: bool) -> int | None:
    """Hold the lock; None if another process holds it, or it has just gone. Raises OSError."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if is_new else 0)
    lock = os.open(path, flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), os.stat(path, follow_symlinks=False)):
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    return None


class Switching:
    """The links of one release, from its lock to the end of its deploy; see the module."""

    def __init__(self, root: str, release: str, lock: int) -> None:
        """`release` is its path below the worker folder `root`; the caller holds the lock."""
        self._root = root
        self._release = os.path.join(root, release)
        self._lock = lock
        self._switches: tuple[Switch, ...] = ()
        self._made: tuple[str, ...] = ()  # folders

    def __repr__(self) -> str:
        return f"Switching({self._release}, {len(self._switches)} links)"

    def read(self) -> None:
        """Read the journal of a deploy that was cut short. If the journal itself is incomplete,
        nothing was switched yet."""
        text = os.pread(self._lock, _JOURNAL_MAX_BYTES, 0)
        try:
            journal = json.loads(text)
            self._switches = tuple(Switch(*each) for each in journal["links"])
            self._made = tuple(journal["made"])
        except (ValueError, TypeError, KeyError):
            self._switches, self._made = (), ()

    def prepare(self, switches: Iterable[Switch], *, made: Iterable[str] = ()) -> None:
        """Write the journal: the planned switches, and `made`, the folders made for the links."""
        self._switches, self._made = tuple(switches), tuple(made)
        for number, switch in enumerate(self._switches):
            os.symlink(switch.target, self._beside(number, "new"))
            if switch.before is not None:
                os.symlink(switch.before, self._beside(number, "old"))
        journal = {"links": self._switches, "made": self._made}
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, json.dumps(journal).encode(), 0)
        os.fsync(self._lock)
        sync_folder(os.path.dirname(self._release))

    def switch(self) -> None:
        """Point each link at its new target."""
        for folder in self._made:
            os.mkdir(os.path.join(self._root, folder), 0o755)
        for number, switch in enumerate(self._switches):
            os.rename(self._beside(number, "new"), os.path.join(self._root, switch.path))
        for folder in {os.path.dirname(each.path) for each in self._switches}:
            sync_folder(os.path.join(self._root, folder))

    def undo(self) -> None:
        """Point each link at its old target again. Does nothing if none was switched."""
        for number, switch in reversed(tuple(enumerate(self._switches))):
            path = os.path.join(self._root, switch.path)
            if not _leads_to(path, switch.target):
                continue
            if switch.before is None:
                os.unlink(path)
            elif not _leads_to(path, switch.before):
                os.rename(self._beside(number, "old"), path)
        for folder in reversed(self._made):
            with contextlib.suppress(OSError):  # somebody has put something there
                os.rmdir(os.path.join(self._root, folder))
        self._clear()

    def finish(self) -> None:
        """What was switched is valid from now on."""
        os.unlink(f"{self._release}{LOCK}")
        sync_folder(os.path.dirname(self._release))
        self._clear()
        self.let_go()

    def let_go(self) -> None:
        """Release the lock, if it still exists."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _clear(self) -> None:
        for number in range(len(self._switches)):
            for end in ("new", "old"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._beside(number, end))

    def _beside(self, number: int, end: str) -> str:
        return f"{self._release}.{number}.{end}"


def replace_link(path: str, target: str, fresh: str) -> None:
    """Point the link at `target` by one rename; `fresh` is a free name in the same file system."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh)
    os.symlink(target, fresh)
    try:
        os.rename(fresh, path)
    except OSError:
        os.unlink(fresh)
        raise
    sync_folder(os.path.dirname(path))


def sync_folder(path: str) -> None:
    """Make sure that what was made, renamed and removed in a folder is on the disk."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def link_at(path: str) -> str | None:
    """Where the link leads; None if nothing is there. Raises OSError if it is not a link."""
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return None


def is_real(path: str) -> bool:
    """Whether something exists there that is not a link."""
    try:
        return not stat.S_ISLNK(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _leads_to(path: str, target: str) -> bool:
    try:
        return os.readlink(path) == target
    except OSError:
        return False
