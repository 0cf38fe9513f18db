"""Packs a folder into an archive for a deploy, or opens an archive that exists.

The same content makes the same archive.

A tar.gz with all files below one folder, `app/`, which the runtime strips. Names are sorted, times
and owners are left out, and modes only say whether a file is executable.
"""

import gzip
import hashlib
import os
import re
import stat
import tarfile
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from buntime.commands.ignoring import Fate, Scopes, fate, scopes_above, scopes_in
from buntime.core.errors import UsageError
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.wording import shown

# "shop-1.2.0.tar.gz": the name of what is in it, and its version if the file has one.
ARCHIVE_NAME = re.compile(r"(.+?)(?:-v?([0-9][0-9A-Za-z.+-]*))?\.(?:tar\.gz|tgz|zip)")
_TOP = "app"
_LEVEL = 6  # of gzip: 9 takes three times as long for one percent
_IN_MEMORY_BYTES = 8 << 20
_PIECE_BYTES = 1 << 20
_DEPTH_MAX = 100  # of folders; a deeper tree is a mistake


class Entry(NamedTuple):
    """A file, an empty folder (`size` -1), or a link to another entry."""

    name: str  # below the folder: "static/app.js"
    path: str
    size: int
    is_executable: bool = False
    link: str | None = None


@dataclass
class Plan:
    """What will be packed, and what may surprise somebody: left out, or packed as well."""

    folder: str
    entries: list[Entry] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)  # these are packed
    others: list[str] = field(default_factory=list)  # sockets, devices: not files

    @property
    def size_bytes(self) -> int:
        return sum(max(0, entry.size) for entry in self.entries)

    @property
    def count(self) -> int:
        """Files and links."""
        return sum(entry.size >= 0 for entry in self.entries)

    def largest(self, count: int) -> list[Entry]:
        """The largest files, largest first."""
        return sorted(self.entries, key=lambda entry: -entry.size)[:count]


class Archive(NamedTuple):
    """A packed plan. The owner closes `file`."""

    file: BinaryIO
    size_bytes: int
    digest: str  # as in Content-Digest (RFC 9530): "sha-256=:...:"


def plan_archive(folder: str) -> Plan:
    """Find what belongs to a deploy of `folder`. Raises UsageError."""
    root = os.path.realpath(folder)
    plan = Plan(root)
    try:
        for entry in _entries(plan, root, (*scopes_above(root), *scopes_in(root)), depth=0):
            entry.name.encode("utf-8")
            plan.entries.append(entry)
    except OSError as exc:
        raise UsageError(f"{exc.filename} cannot be read: {exc.strerror}") from exc
    except UnicodeEncodeError as exc:
        raise UsageError(f"{shown(exc.object)} is not a name in UTF-8; rename the file") from exc
    plan.entries.sort(key=lambda entry: entry.name)
    if not plan.entries:
        raise UsageError(f"{folder} has no files to deploy")
    return plan


def _entries(plan: Plan, folder: str, scopes: Scopes, *, depth: int) -> Iterator[Entry]:
    if depth > _DEPTH_MAX:
        raise UsageError(f"{folder} is more than {_DEPTH_MAX} folders deep")
    with os.scandir(folder) as found:
        items = sorted(found, key=lambda item: item.name)
    for item in items:
        is_folder = item.is_dir(follow_symlinks=False)
        what = fate(scopes, item.path, is_folder=is_folder)
        name = os.path.relpath(item.path, plan.folder)
        if what is Fate.SECRET:
            plan.secrets.append(name)
        if what is Fate.DATA:
            plan.data.append(name)
        elif what is not Fate.TAKEN:
            continue
        if is_folder:
            below = (*scopes, *scopes_in(item.path))
            yield from _entries(plan, item.path, below, depth=depth + 1)
            continue
        state = item.stat(follow_symlinks=False)
        if stat.S_ISLNK(state.st_mode):
            yield Entry(name, item.path, 0, link=_link(plan.folder, item.path))
        elif stat.S_ISREG(state.st_mode):
            yield Entry(name, item.path, state.st_size, bool(state.st_mode & 0o100))
        else:
            plan.others.append(name)
    if depth and not items:
        yield Entry(os.path.relpath(folder, plan.folder), folder, -1)


def _link(root: str, path: str) -> str:
    """Where a link leads, from its folder. Raises UsageError if that is not in the archive."""
    link, here = os.readlink(path), os.path.dirname(path)
    target = os.path.normpath(os.path.join(here, link))
    is_inside = f"{target}/".startswith(f"{root}/") and f"{os.path.realpath(path)}/".startswith(
        f"{root}/"
    )
    if not is_inside or os.path.isabs(link):
        raise UsageError(
            f"{path} is a link to {link}, which is not in the folder: replace it with a copy, "
            "or leave it out by a line in .buntimeignore"
        )
    return os.path.relpath(target, here)


def pack(plan: Plan) -> Archive:
    """Make the archive, in memory or in an unnamed file. Raises UsageError."""
    # The owner of the archive closes it.
    file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115
    try:
        # Its header has the level and a time of 0, but no name.
        with (
            gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as zipped,
            tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for entry in plan.entries:
                _add(tar, entry)
        return _finished(file)  # type: ignore[arg-type]  # a SpooledTemporaryFile is a file
    except BaseException:
        file.close()
        raise


def open_archive(path: str) -> Archive:
    """An archive that exists, as it is. Raises UsageError."""
    try:
        file: BinaryIO = open(path, "rb")  # noqa: SIM115  # whoever has the archive closes it
        return _finished(file)
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror}") from exc


def _finished(file: BinaryIO) -> Archive:
    file.seek(0)
    digest = hashlib.sha256()
    while piece := file.read(_PIECE_BYTES):
        digest.update(piece)
    size = file.tell()
    file.seek(0)
    return Archive(file, size, f"sha-256=:{b64encode(digest.digest()).decode()}:")


def _add(tar: tarfile.TarFile, entry: Entry) -> None:
    info = tarfile.TarInfo(f"{_TOP}/{entry.name}")
    if entry.link is not None:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
        tar.addfile(info)
    elif entry.size < 0:
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(info)
    else:
        info.size, info.mode = entry.size, 0o755 if entry.is_executable else 0o644
        try:
            with open(entry.path, "rb") as file:
                tar.addfile(info, file)
        except OSError as exc:  # also for a file that became shorter meanwhile
            reason = exc.strerror or "it changed while it was packed"
            raise UsageError(f"{entry.path} cannot be packed: {reason}") from exc
