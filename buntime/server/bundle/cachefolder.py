"""Cache folders: where they are, which are safe to use, and which are in use.

What a program runs from such a folder is as safe as the folder. So it, the folders above it, and
the links that lead to it must belong to this user or to root, and no other user may write to them
or replace them (a group may write above it: many systems have one group per user).

If process 1 of a container runs as this user, and not as root, nobody else is in there: that
process started everything that runs, and cannot become another user. Kubernetes makes its volumes
for that: an emptyDir is open to all, without the sticky bit, and a claim belongs to the pod's
group. So modes and owners are not checked there.

A folder in use has a shared lock as long as the process that uses it lives. Making a new folder
removes those of other versions that nobody has locked. systemd-tmpfiles leaves alone what is
locked.

The launchers of the .pyz and of the binary load this file on its own, before anything else of the
runtime can be imported: it uses only what every Python has loaded at its start.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

NAME = "buntime"
# Where root caches what every user may read, see the Filesystem Hierarchy Standard.
SHARED = f"/var/cache/{NAME}"
_TRUSTED_UIDS = frozenset((0, os.geteuid()))
_LINKS_MAX = 40  # as in Linux
_FIRST = "/proc/1/status"  # everyone can read it, even of a process that is closed to others
_OLD_S = 3600  # unpacking takes seconds
# Each time, another start may have interfered; a third time is more than bad luck.
_ATTEMPTS = 3
_LOCK_TRIES, _LOCK_PAUSE_S = 100, 0.02


def cache_folder(environ: Mapping[str, str]) -> str | None:
    """Where a user's programs keep what they can make again; None if that is unknown."""
    chosen = environ.get("XDG_CACHE_HOME", "")
    if chosen.startswith("/"):  # the specification says to ignore relative paths
        return f"{chosen}/{NAME}"
    service = environ.get("CACHE_DIRECTORY", "").partition(":")[0]  # systemd's CacheDirectory=
    if service.startswith("/"):
        return service
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        return None
    return f"{home}/{'Library/Caches' if sys.platform == 'darwin' else '.cache'}/{NAME}"


def prepare_cache(folder: str, *, is_shared: bool = False) -> str:
    """Make the cache folder; returns why it is not safe to use, or "".

    A shared one can be read by all users, whatever the umask is.
    """
    missing = [each for each in (folder, *_parents(folder)) if not os.path.isdir(each)]
    reason = judge(folder)  # before making anything in what may be another user's
    if reason:
        return reason
    for each in reversed(missing):
        _make(each, is_shared)
    reasons = [judge(folder)] if missing else []
    if is_shared:
        real = os.path.realpath(folder)
        reasons += map(_miss_access, [real, *_parents(real)])
    return next(filter(None, reasons), "")


def is_alone(first: str = _FIRST) -> bool:
    """Whether process 1 runs as this user, and not as root: then nobody else is in this container.

    `first` is the status file of process 1: a line `Uid:` has the real, effective, saved and file
    system's user.
    """
    uid = os.geteuid()
    if uid == 0:
        return False
    try:
        with open(first, "rb") as file:
            ids = next((line.split()[1:] for line in file if line.startswith(b"Uid:")), [])
    except OSError:
        return False
    return ids == [b"%d" % uid] * 4


def judge(folder: str) -> str:
    """Why it is not safe to use, or "" if it is, or if it is not there. Raises OSError."""
    real = os.path.realpath(folder)
    own = distrust(real) if os.path.isdir(real) else ""
    return own or _distrust_way(folder)


def distrust(folder: str) -> str:
    """Why what is in `folder` may be another user's, or ""."""
    state = os.lstat(folder)
    if not stat.S_ISDIR(state.st_mode):
        return f"{folder} is not a folder"
    if is_alone():
        return ""
    if state.st_uid not in _TRUSTED_UIDS:
        return f"{folder} belongs to another user"
    if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"{folder} can be written by other users"
    return ""


def _distrust_way(path: str) -> str:
    """Why somebody could make `path` lead elsewhere, now or later, or "".

    It judges everything that the kernel passes on its way: folders, links, and the folders on the
    way to what these lead to. So a path that is safe can be used by its name, again and again.
    """
    if is_alone():
        return ""
    return next(filter(None, map(_distrust_step, _steps(path))), "")


def _distrust_step(step: str) -> str:
    try:
        state = os.lstat(step)
    except (FileNotFoundError, NotADirectoryError):  # not made yet, or cannot be made
        return ""
    if state.st_uid not in _TRUSTED_UIDS:
        kind = "is a link of" if stat.S_ISLNK(state.st_mode) else "belongs to"
        return f"{step} {kind} another user"
    is_open = stat.S_ISDIR(state.st_mode) and state.st_mode & stat.S_IWOTH
    if is_open and not state.st_mode & stat.S_ISVTX:
        return f"{step} can be written by everybody"
    return ""


def _steps(path: str) -> Iterator[str]:
    """The folders and links that `path` leads through, and what it leads to. Raises OSError."""
    here, left, links = "/", path.split("/")[::-1], 0
    yield here
    while left:
        part = left.pop()
        if part == "..":
            here = os.path.dirname(here)
        elif part not in ("", "."):
            step = f"{here.rstrip('/')}/{part}"
            yield step
            if not os.path.islink(step):
                here = step
                continue
            links += 1
            if links > _LINKS_MAX:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            target = os.readlink(step)
            here = "/" if target.startswith("/") else here
            left += target.split("/")[::-1]


def _miss_access(folder: str) -> str:
    """Why another user could not reach what is below `folder`, or ""."""
    return "" if os.stat(folder).st_mode & stat.S_IXOTH else f"{folder} is closed to other users"


def _make(folder: str, is_shared: bool) -> None:
    try:
        os.mkdir(folder, 0o700)  # os.makedirs would give the parents another mode
    except FileExistsError:
        if os.path.isdir(folder):  # another start was faster
            return
        raise NotADirectoryError(errno.ENOTDIR, "not a folder", folder) from None
    if is_shared:
        os.chmod(folder, 0o755)


def _parents(folder: str) -> Iterator[str]:
    """`"/a/b"` -> `"/a"`, `"/"`"""
    while folder != (folder := os.path.dirname(folder)):
        yield folder


# What is in use, and what can go


def ensure(target: str, make: Callable[[], None], is_whole: Callable[[], bool]) -> int | None:
    """Have a folder that is complete and nobody else's, made again if needed; returns its lock.

    The lock is a descriptor to keep open while the folder is used, or None, see `lock`. `make`
    must let the folder appear by one rename. Raises OSError.
    """
    for _ in range(_ATTEMPTS):
        is_missing = not os.path.lexists(target)
        if is_missing:
            make()
        held = lock(target)
        if os.path.lexists(target) and distrust(target) == "" and is_whole():
            if is_missing:
                remove_unused(target)
            return held
        if held is not None:
            os.close(held)
        discard(target)
    raise OSError(None, "keeps getting damaged", target)


def lock(folder: str, how: int = fcntl.LOCK_SH) -> int | None:
    """A descriptor that holds a lock; None if there can be none, as on some network disks.

    Who removes the folder has it locked for a moment, so that is waited for, but not for long:
    whoever may read the folder can lock it, an app in its sandbox too.
    """
    descriptor = _open_folder(folder)
    if descriptor is None:
        return None
    for tries_left in reversed(range(_LOCK_TRIES)):
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if how & fcntl.LOCK_NB or not tries_left:
                break
            time.sleep(_LOCK_PAUSE_S)
        except OSError:
            break
    os.close(descriptor)
    return None


def remove_unused(target: str) -> None:
    """Remove folders of other versions, and what killed starts have left."""
    folder, name = os.path.split(target)
    kind = name.partition("-")[0] + "-"
    now = os.stat(target).st_ctime
    for entry in list(os.scandir(folder)):
        is_other = entry.name.startswith(kind) and entry.name != name
        try:
            is_left = entry.name.startswith(f".{kind}") and now - entry.stat().st_ctime > _OLD_S
        except FileNotFoundError:  # another start was faster
            continue
        if is_other or is_left:
            held = lock(entry.path, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if held is not None:
                discard(entry.path)
                os.close(held)


def discard(target: str) -> None:
    """Move a folder out of the way at once, then delete it piece by piece."""
    trash = (
        f"{os.path.dirname(target)}/.{os.path.basename(target).lstrip('.')}-{os.urandom(6).hex()}"
    )
    try:
        os.rename(target, trash)
    except FileNotFoundError:
        return  # another start was faster
    remove(trash)


def remove(path: str) -> None:
    """Delete a file, a link, or a folder with everything in it, as far as that is possible.

    Another user may own what is in the folder, and change it meanwhile. So no path is followed
    twice: each folder is opened, never through a link, and its contents are deleted through its
    descriptor. Inner folders are moved to the top first, so the depth of nesting does not matter.
    """
    if _unlink(path):
        return
    top = _open_folder(path)
    if top is None:
        return
    try:
        folders = _delete_files(top)
        while folders:
            name = folders.pop()
            folders += _move_folders(name, top)
            _rmdir(name, top)
    finally:
        os.close(top)
    _rmdir(path)


def remove_whole(path: str) -> None:
    """Like `remove`, but raises OSError if something is left."""
    remove(path)
    if os.path.lexists(path):
        raise OSError(errno.ENOTEMPTY, "cannot be removed completely", path)


def _move_folders(name: str, top: int) -> list[str]:
    """Delete the files in a folder of `top`, and move its folders to `top`; returns their names."""
    moved: list[str] = []
    folder = _open_folder(name, top)
    if folder is None:
        return moved
    try:
        for inner in _delete_files(folder):
            free = f".{os.urandom(8).hex()}"
            try:
                os.rename(inner, free, src_dir_fd=folder, dst_dir_fd=top)
            except OSError:
                continue  # a mount point, or closed to us
            moved.append(free)
    finally:
        os.close(folder)
    return moved


def _delete_files(folder: int) -> list[str]:
    """Delete everything that is not a folder; returns the names of what is left."""
    return [name for name in os.listdir(folder) if not _unlink(name, folder)]


def _unlink(name: str, within: int | None = None) -> bool:
    try:
        os.unlink(name, dir_fd=within)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _rmdir(name: str, within: int | None = None) -> None:
    try:
        os.rmdir(name, dir_fd=within)
    except OSError:
        pass  # what is left harms nobody


def _open_folder(name: str, within: int | None = None) -> int | None:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=within)
    except OSError:
        return None
