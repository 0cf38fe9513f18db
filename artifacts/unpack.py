"""Unpacks a file's content into a folder, once, and finds it there at the next start.

    ~/.cache/buntime/pyz-3f2a…/   named after the contents: another version, another folder

Why: Python keeps a module's bytecode only beside a file, and would compile a whole archive at each
start; and programs can be run, and libraries loaded, only from files.

- A folder appears by one rename, so any number of starts may run at once.
- It is where no other user can write, see cachefolder.py.
- At each start all files must exist with their size; otherwise the folder is made again.
- It is locked as long as the process lives; unused folders of other versions are removed.
"""

from __future__ import annotations

import fcntl
import os

import cachefolder  # type: ignore[import-not-found]  # buntime/server/bundle/cachefolder.py, put beside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_TEMPORARY = ("TMPDIR", "TEMP", "TMP")  # as in Python's tempfile, and in the binary's bootloader
_STATES = ("RUNTIME_STATE_DIR", "STATE_DIRECTORY")  # the second is systemd's StateDirectory=
_LINK = 0o120777


class Unusable(Exception):
    """There is no usable folder; the message has a reason for each."""


class Index:
    """The carried files, as listed in their index: `"0755 1234 bin/python3.11"` per line.

    The first line is the name of the folder that they are unpacked to. A link has the mode 120777,
    as in git, and its target as content.
    """

    def __init__(self, text: str) -> None:
        self.name, *lines = text.splitlines()
        self.files = [
            (path, int(size), int(mode, 8))
            for mode, size, path in (line.split(" ", 2) for line in lines)
        ]


def unpacked(
    index: Index,
    pieces: Callable[[], Iterator[bytes]],
    folders: list[str],
    *,
    has_programs: bool = False,
) -> str:
    """The folder with all files of `index` below one of `folders`; locked while this process lives.

    `pieces` gives the files' contents in the order of the index. Raises Unusable.
    """
    reasons = []
    for folder in folders:
        is_shared = folder == cachefolder.SHARED
        try:
            reason = cachefolder.prepare_cache(folder, is_shared=is_shared)
            if not reason and has_programs and os.statvfs(folder).f_flag & os.ST_NOEXEC:
                reason = f"{folder} is mounted noexec"
            if not reason:
                return _ensure(f"{folder}/{index.name}", index, pieces, is_shared)
        except OSError as exc:
            reason = f"{exc.filename or folder}: {exc.strerror or exc}"
        reasons.append(reason)
    raise Unusable("; ".join(reasons) or "there is no folder for temporary files")


def cache_folders(environ: Mapping[str, str], *, is_root: bool) -> list[str]:
    """Where to unpack to, best first. Root prefers a folder that each user can read: its plugins,
    and workers of the binary, may run as other users."""
    own = cachefolder.cache_folder(environ)
    found = [own] if own is not None else []
    if is_root and "XDG_CACHE_HOME" not in environ:
        found.insert(0, cachefolder.SHARED)
    states = [environ.get(name, "").partition(":")[0] for name in _STATES]
    found += [f"{state}/cache" for state in states if state.startswith("/")]
    temporary = [*(environ.get(name, "") for name in _TEMPORARY), "/tmp", "/var/tmp"]
    found += [
        f"{folder}/{cachefolder.NAME}-{os.geteuid()}"
        for folder in temporary
        if folder.startswith("/") and os.access(folder, os.W_OK)
    ]
    return list(dict.fromkeys(found))


def _ensure(
    target: str, index: Index, pieces: Callable[[], Iterator[bytes]], is_shared: bool
) -> str:
    lock = cachefolder.ensure(
        target,
        lambda: _unpack(target, index, pieces(), is_shared),
        lambda: _is_whole(target, index),
    )
    if lock is not None:
        keep_open(lock)
    return target


def keep_open(descriptor: int) -> None:
    """Keep a lock for as long as this process lives, whatever program it becomes."""
    # From 3 on, even if it was started with one of the standard descriptors closed.
    fcntl.fcntl(descriptor, fcntl.F_DUPFD, 3)
    os.close(descriptor)


def _is_whole(target: str, index: Index) -> bool:
    """Whether all files exist; takes 3 us for each."""
    try:
        return all(os.lstat(f"{target}/{path}").st_size == size for path, size, _ in index.files)
    except OSError:
        return False


def _unpack(target: str, index: Index, pieces: Iterator[bytes], is_shared: bool) -> None:
    """Write all files beside `target`, then rename; another start may have been faster."""
    fresh = _new_folder(target)
    folder_mode, mask = (0o755, 0o755) if is_shared else (0o700, 0o700)
    try:
        made = {fresh}
        for (path, _, mode), data in zip(index.files, pieces, strict=True):
            _make_folders(os.path.dirname(f"{fresh}/{path}"), made, folder_mode)
            if mode == _LINK:
                os.symlink(data, f"{fresh}/{path}".encode())
                continue
            with open(f"{fresh}/{path}", "xb") as file:
                file.write(data)
                os.fchmod(file.fileno(), mode & mask)
        os.chmod(fresh, folder_mode)
        os.rename(fresh, target)
    except OSError:
        cachefolder.remove(fresh)
        if not os.path.isdir(target):
            raise


def _make_folders(folder: str, made: set[str], mode: int) -> None:
    if folder not in made:
        _make_folders(os.path.dirname(folder), made, mode)
        os.mkdir(folder)
        os.chmod(folder, mode)  # whatever the umask is
        made.add(folder)


def _new_folder(target: str) -> str:
    folder, name = os.path.split(target)
    fresh = f"{folder}/.{name}-{os.urandom(6).hex()}"
    os.mkdir(fresh, 0o700)
    return fresh
