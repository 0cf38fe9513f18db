"""The process that reads or writes one folder of a backup, as the folder's user, in a sandbox.

    python -I -S -c SOURCE pack ROOT [links]       writes what is in the folder to stdout
    python -I -S -c SOURCE unpack ROOT [links]     reads the same from stdin, into an empty folder

It is started with this module's text and imports only the standard library: its user may not be
allowed to read the runtime's files. Both streams are a sequence of entries, each a line of JSON and
the bytes that it announces; the reader trusts none of it:

    {"path": ["uploads", "a.png"], "kind": "file", "size": 3, "mode": 420, "time": 1.5}   abc
    {"path": ["uploads"], "kind": "folder", "mode": 448}
    {"path": ["latest"], "kind": "link", "to": "1.2.0"}                if links are asked for
    {"kind": "end", "changed": [["log.txt"]], "left": [[["socket"], "it is not a file"]]}

No link is followed: each folder is opened from its parent. A SQLite file, known by its first bytes,
is copied by SQLite itself in one step, so that the copy is consistent and includes the log. Other
files are copied as they are read; the end names those that changed meanwhile.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from contextlib import suppress

TYPE_CHECKING = False  # that of `typing`, whose import takes longer than what else this does
if TYPE_CHECKING:
    from typing import Any, BinaryIO

BLOCK_BYTES = 256 * 1024
LINE_MAX_BYTES = 1 << 20
DEPTH_MAX = 64
REPORTED_MAX = 1000  # names reported of files that changed or were left out
SQLITE_S = 60.0
SCRATCH = ".buntime-backup-"  # folder for copies of databases, in the packed folder itself
_SQLITE = b"SQLite format 3\0"
_BESIDE_SQLITE = ("-wal", "-shm", "-journal")
_COPY = "copy"
_HEX = frozenset("0123456789abcdef")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Refused(Exception):
    """The input is not what may be written; says why."""


class Packer:
    """Writes what is in a folder to `out`.

    `descriptors` is where the system shows open folders as folders, if it does so.
    """

    def __init__(
        self, root: str, out: BinaryIO, has_links: bool, descriptors: str = "/proc/self/fd"
    ) -> None:
        self._descriptors = descriptors
        self._root = root
        self._out = out
        self._has_links = has_links
        self._changed: list[list[str]] = []
        self._left: list[tuple[list[str], str]] = []
        self._scratch = os.path.join(root, f"{SCRATCH}{os.getpid()}")

    def run(self) -> None:
        self._clean()  # what a killed process left
        root = os.open(self._root, _FOLDER)
        try:
            self._folder(root, [])
        finally:
            os.close(root)
            self._clean()
        self._line({"kind": "end", "changed": self._changed, "left": self._left})
        self._out.flush()

    def _clean(self) -> None:
        """Remove copies of databases; what is not a folder of ours stays."""
        for name in os.listdir(self._root):
            folder = os.path.join(self._root, name)
            if name.startswith(SCRATCH) and not os.path.islink(folder):
                with suppress(OSError):
                    os.unlink(os.path.join(folder, _COPY))
                with suppress(OSError):
                    os.rmdir(folder)

    def _folder(self, folder: int, path: list[str]) -> None:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
        copied: set[str] = set()
        for name in names:
            if name.startswith(SCRATCH) or name in copied or (self._has_links and is_made(name)):
                continue
            try:
                self._entry(folder, name, [*path, name], copied)
            except OSError as exc:
                self._leave([*path, name], exc.strerror or str(exc))

    def _entry(self, folder: int, name: str, path: list[str], copied: set[str]) -> None:
        kind = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISDIR(kind):
            if len(path) > DEPTH_MAX:
                self._leave(path, "it is nested too deeply")
                return
            inner = os.open(name, _FOLDER, dir_fd=folder)
            try:
                mode = stat.S_IMODE(os.fstat(inner).st_mode)
                self._line({"path": path, "kind": "folder", "mode": mode})
                self._folder(inner, path)
            finally:
                os.close(inner)
        elif stat.S_ISREG(kind):
            self._file(folder, name, path, copied)
        elif stat.S_ISLNK(kind) and self._has_links:
            to = os.readlink(name, dir_fd=folder)
            if is_made(to):
                return
            if stays_inside(path, to):
                self._line({"path": path, "kind": "link", "to": to})
            else:
                self._leave(path, f"it leads elsewhere, to {to}")
        else:
            self._leave(path, "it is a link" if stat.S_ISLNK(kind) else "it is not a file")

    def _file(self, folder: int, name: str, path: list[str], copied: set[str]) -> None:
        file = os.open(name, _FILE, dir_fd=folder)
        try:
            before = os.fstat(file)
            if not stat.S_ISREG(before.st_mode):
                raise OSError(0, "it is no longer a file")
            if os.pread(file, len(_SQLITE), 0) == _SQLITE and self._database(
                folder, name, path, before
            ):
                copied.update(name + each for each in _BESIDE_SQLITE)
                return
            self._content(file, path, before)
            after = os.fstat(file)
            if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                self._change(path)
        finally:
            os.close(file)

    def _content(self, file: int, path: list[str], status: os.stat_result) -> None:
        """As many bytes as announced, whatever happens to the file meanwhile."""
        left = status.st_size
        mode = stat.S_IMODE(status.st_mode)
        self._line(
            {"path": path, "kind": "file", "size": left, "mode": mode, "time": status.st_mtime}
        )
        while left:
            block = os.read(file, min(BLOCK_BYTES, left)) or bytes(min(BLOCK_BYTES, left))
            self._out.write(block)
            left -= len(block)

    def _database(self, folder: int, name: str, path: list[str], before: os.stat_result) -> bool:
        """Copy it with SQLite; False if that fails, and then its bytes are copied as they are."""
        os.makedirs(self._scratch, 0o700, exist_ok=True)
        copy = os.path.join(self._scratch, _COPY)
        try:
            copy_database(self._path_of(folder, name, before), copy)
            made = os.open(copy, _FILE)
        except Exception as exc:  # noqa: BLE001  # SQLite raises many kinds, for anybody's file
            self._leave(path, f"SQLite cannot copy it, so the backup has it as it was read: {exc}")
            return False
        finally:
            if os.path.exists(copy):
                os.unlink(copy)
        try:
            size = os.fstat(made).st_size
            fields = [*before]
            fields[stat.ST_SIZE] = size
            self._content(made, path, os.stat_result(fields))
        finally:
            os.close(made)
        return True

    def _path_of(self, folder: int, name: str, status: os.stat_result) -> str:
        """A path for SQLite, which opens no descriptors. Raises OSError."""
        shown = os.path.join(self._descriptors, str(folder))
        if os.path.isdir(shown):
            return os.path.join(shown, name)
        # Without /proc, as on macOS, the kernel tells a path only of the working folder.
        here = os.open(".", _FOLDER)
        try:
            os.fchdir(folder)
            path = os.path.join(os.getcwd(), name)
        finally:
            os.fchdir(here)
            os.close(here)
        if not os.path.samestat(os.lstat(path), status):
            raise OSError(0, "its folder was moved meanwhile")
        return path

    def _change(self, path: list[str]) -> None:
        if len(self._changed) < REPORTED_MAX:
            self._changed.append(path)

    def _leave(self, path: list[str], why: str) -> None:
        if len(self._left) < REPORTED_MAX:
            self._left.append((path, why))

    def _line(self, entry: dict[str, Any]) -> None:
        self._out.write(json.dumps(entry).encode("ascii") + b"\n")


def copy_database(path: str, copy: str, within_s: float = SQLITE_S) -> None:
    """Have SQLite copy it in one step. Raises SQLite's errors, TimeoutError, ImportError."""
    import sqlite3  # some Pythons lack it

    until = time.monotonic() + within_s

    def on_step(status: int, remaining: int, total: int) -> None:
        if time.monotonic() > until:
            raise TimeoutError(f"others kept it locked for {within_s:.0f} s")

    source = sqlite3.connect(f"file:{_quoted(path)}?mode=rw", uri=True, timeout=1)
    target = sqlite3.connect(copy)
    try:
        source.backup(target, pages=-1, progress=on_step)
    finally:
        target.close()
        source.close()


def _quoted(path: str) -> str:
    """As a path in a URI: urllib would take longer to import than a small folder to pack."""
    for each in "%?#":  # the percent sign before those that become it
        path = path.replace(each, f"%{ord(each):02x}")
    return path


class Unpacker:
    """Writes its input into an empty folder. Raises Refused and OSError."""

    def __init__(self, root: str, stream: BinaryIO, has_links: bool) -> None:
        self._stream = stream
        self._has_links = has_links
        self._root = os.open(root, _FOLDER)
        self._links: list[tuple[list[str], str]] = []
        self._modes: list[tuple[list[str], int]] = []

    def run(self) -> None:
        if os.listdir(self._root):
            raise Refused("the folder is not empty")
        while (entry := read_entry(self._stream))["kind"] != "end":
            self._entry(entry)
        for path, to in self._links:  # at the end, so that nothing is written through one
            folder = self._open(path[:-1])
            os.symlink(to, path[-1], dir_fd=folder)
            os.close(folder)
        for path, mode in reversed(self._modes):  # at the end: a read-only folder cannot be filled
            folder = self._open(path)
            os.fchmod(folder, mode)
            os.fsync(folder)
            os.close(folder)
        os.fsync(self._root)

    def _entry(self, entry: dict[str, Any]) -> None:
        path, kind = entry["path"], entry["kind"]
        if kind == "link":
            if not self._has_links or not stays_inside(path, entry["to"]):
                raise Refused(f"a link that leads elsewhere: {path}")
            self._links.append((path, entry["to"]))
            return
        folder = self._open(path[:-1])
        try:
            if kind == "folder":
                os.mkdir(path[-1], 0o700, dir_fd=folder)
                self._modes.append((path, entry["mode"] & 0o777))
            else:
                self._file(folder, path[-1], entry)
        finally:
            os.close(folder)

    def _file(self, folder: int, name: str, entry: dict[str, Any]) -> None:
        file = os.open(name, _NEW, 0o600, dir_fd=folder)
        try:
            left = entry["size"]
            while left:
                block = self._stream.read(min(BLOCK_BYTES, left))
                if not block:
                    raise Refused("the stream ends within a file")
                written = 0
                while written < len(block):
                    written += os.write(file, block[written:])
                left -= len(block)
            os.fchmod(file, entry["mode"] & 0o777)
            os.utime(file, (entry["time"], entry["time"]))
            os.fsync(file)
        finally:
            os.close(file)

    def _open(self, path: list[str]) -> int:
        """The folder, opened step by step, each from its parent."""
        folder = os.dup(self._root)
        for name in path:
            inner = os.open(name, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        return folder


def read_entry(stream: BinaryIO) -> dict[str, Any]:
    """The next entry; its bytes follow. Raises Refused if it is not an entry."""
    line = stream.readline(LINE_MAX_BYTES)
    try:
        entry = json.loads(line)
        kind = entry["kind"]
        if kind == "end":
            return {"kind": kind, "changed": [*entry["changed"]], "left": [*entry["left"]]}
        path = entry["path"]
        is_path = isinstance(path, list) and 0 < len(path) <= DEPTH_MAX + 1
        if not (is_path and all(map(is_name, path))):
            raise Refused(f"a path that is not allowed: {str(path)[:200]}")
        fields = {"kind": kind, "path": path}
        if kind == "link":
            return {**fields, "to": str(entry["to"])}
        fields["mode"] = int(entry["mode"])
        if kind == "folder":
            return fields
        if kind == "file" and type(entry["size"]) is int and entry["size"] >= 0:
            time_s = float(entry["time"])
            if abs(time_s) < 1 << 40:  # rules out NaN, too
                return {**fields, "size": entry["size"], "time": time_s}
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        pass
    raise Refused("this is not an entry of a backup")


def is_made(name: str) -> bool:
    """Whether a folder of this name, in an app's folder, is made again by itself: by Python, or by
    `autoInstall`: `.venv-3f2a81c09d4e`. Without its Python, which is elsewhere, such an environment
    would seem complete and be useless.
    """
    start, _, digest = name.partition("-")
    return name == "__pycache__" or (start == ".venv" and len(digest) == 12 and {*digest} <= _HEX)


def is_name(name: object) -> bool:
    """Whether it is a possible name of an entry in a folder."""
    if not isinstance(name, str) or name in ("", ".", "..") or "/" in name or "\0" in name:
        return False
    try:
        return len(os.fsencode(name)) <= 255
    except UnicodeEncodeError:
        return False


def stays_inside(path: list[str], to: str) -> bool:
    """Whether a link at `path` stays inside the root: `["shop", "latest"]`, "1.2.0".

    Any ".." must come first, where it passes real folders: after the name of a link, ".." leads
    elsewhere than it seems to. The names after that may be links, which stay inside themselves.
    """
    if not to or to.startswith("/") or "\0" in to:
        return False
    names = [name for name in to.split("/") if name not in ("", ".")]
    up = next((n for n, name in enumerate(names) if name != ".."), len(names))
    return up < len(path) and up < len(names) and all(map(is_name, names[up:]))


def main(argv: list[str]) -> int:
    """Pack or unpack one folder, as its user; returns the exit code."""
    action, root, *more = argv
    has_links = "links" in more
    os.umask(0o077)
    try:
        if action == "pack":
            with os.fdopen(1, "wb", BLOCK_BYTES) as out:
                Packer(root, out, has_links).run()
        else:
            with os.fdopen(0, "rb", BLOCK_BYTES) as stream:
                Unpacker(root, stream, has_links).run()
    except (Refused, OSError) as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
