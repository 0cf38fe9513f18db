"""Restores a backup in two passes: the first checks all of it and writes nothing.

    check     names, kinds, sizes and hashes of all members; the archive is whole
    stage     each folder, by a process of its user, into a new folder beside its place
    place     renames, state.db last; see placing.py

So a damaged or hostile archive is found before anything is written, and a full disk leaves nothing
behind: what was staged is removed.
"""

import gzip
import hashlib
import json
import os
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import IO, Any

from buntime.core.backup.form import (
    CONTENTS,
    HEAD,
    HEAD_MAX_BYTES,
    BadBackup,
    Head,
    Section,
    parse_head,
    section_of,
)
from buntime.core.values.tuples import NamedTuple
from buntime.server.backup.folderprocess import FolderProcess, folder_process
from buntime.server.backup.helper import DEPTH_MAX, is_name, stays_inside
from buntime.server.backup.placing import (
    Planned,
    Target,
    make_stage,
    place,
    place_state,
    plan_of,
    refuse_what_is_there,
)
from buntime.server.bundle.cachefolder import remove
from buntime.server.state.statefolder import STAGED

_BLOCK_BYTES = 256 * 1024
_LINE_MAX_BYTES = 64 * 1024
_READ_MAX_BYTES = 1 << 20  # at once: tarfile reads names and attributes of any size, as announced
_TIME_MAX_S = 1 << 40  # as the helper has it
# What tarfile raises about numbers, names and attributes that nobody has written.
_NONSENSE = (ValueError, ArithmeticError, LookupError, RecursionError)


class Checked(NamedTuple):
    """What the first pass found."""

    head: Head
    files: int
    size_bytes: int
    changed: list[str]  # files that changed while they were read
    left: list[dict[str, Any]]  # what was left out: {"path": ..., "why": ...}


class _Member(NamedTuple):
    section: Section
    path: list[str]
    info: tarfile.TarInfo
    content: "_Content | None"  # if it is a file


class _Content:
    """The bytes of a member, hashed as they are read."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self.left = size
        self.hash = hashlib.sha256()
        self._stream = stream

    def pieces(self) -> Iterator[bytes]:
        while self.left:
            data = self._stream.read(min(_BLOCK_BYTES, self.left))
            if not data:
                raise BadBackup("it ends within a file")
            self.left -= len(data)
            self.hash.update(data)
            yield data


def check_backup(file: IO[bytes]) -> Checked:
    """Read all of it. Raises BadBackup if it is damaged, or not what a backup may be."""
    files = size = 0
    found = hashlib.sha256()  # over all lines of the contents, in their order
    with _opened(file) as reader:
        head = reader.head
        for member in reader.members():
            if member.content is None:
                continue
            for _ in member.content.pieces():
                pass
            files, size = files + 1, size + member.info.size
            row = [member.info.name, member.info.size, member.content.hash.hexdigest()]
            found.update(_json_line(row))
        expected = hashlib.sha256()
        for line in reader.contents():
            expected.update(_json_line([line["path"], line["size"], line["sha256"]]))
    if expected.digest() != found.digest():
        raise BadBackup(f"its files do not match {CONTENTS}; take another backup")
    return Checked(head, files, size, *reader.remarks)


def restore_backup(file: IO[bytes], head: Head, target: Target) -> list[str]:
    """Restore what was checked; returns the new paths. Raises Failed, BadBackup, OSError.

    The caller must hold the state folder.
    """
    plan = plan_of(head, target)
    refuse_what_is_there(plan, target)
    made: list[str] = []
    try:
        for folder in plan.values():
            make_stage(folder)
            made.append(folder.stage)
        state_stage = os.path.join(target.state_dir, f"{STAGED}{os.getpid()}")
        os.mkdir(state_stage, 0o700)
        made.append(state_stage)
        with _opened(file) as reader:
            _stage(reader, plan, target, state_stage)
        placed = [path for folder in plan.values() for path in place(folder)]
        return placed + place_state(state_stage, target)
    finally:
        for path in made:
            remove(path)


# Reading the archive


class _Reader:
    """The members of an archive, each checked for its name and kind."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._last: tarfile.TarInfo | None = None
        # From the end of the contents: what changed meanwhile, and what was left out.
        self.remarks: tuple[list[str], list[dict[str, Any]]] = [], []
        first = self._next()
        if first is None or first.name != HEAD or not first.isreg() or first.size > HEAD_MAX_BYTES:
            raise BadBackup(f"it does not begin with {HEAD}; it is not a backup made by buntime")
        self.head = parse_head(self._bytes(first))

    def members(self) -> Iterator[_Member]:
        """All members up to the contents."""
        section, done = None, set[Section]()
        while (info := self._next()) is not None:
            if info.name == CONTENTS and info.isreg():
                self._last = info
                return
            own, path = section_of(info.name, self.head)
            if len(path) > DEPTH_MAX or not all(map(is_name, path)):
                raise BadBackup(f"{info.name[:200]!r} is not a name that a folder may have")
            if not abs(info.mtime) < _TIME_MAX_S:
                raise BadBackup(f"{info.name[:200]!r} is of no possible time")
            if own != section:
                if own in done:
                    raise BadBackup(f"{info.name[:200]!r} is apart from the rest of its folder")
                done.add(own)
                section = own
            yield _Member(own, path, info, self._content(own, path, info))
        raise BadBackup(f"its end, {CONTENTS}, is missing: it was cut")

    def contents(self) -> Iterator[dict[str, Any]]:
        """What the archive says about each file; it comes after all members."""
        stream = self._stream(self._last)
        while line := stream.readline(_LINE_MAX_BYTES):
            try:
                entry = json.loads(line)
                if "end" in entry:
                    left = [
                        {"path": str(e["path"]), "why": str(e["why"])} for e in entry["leftOut"]
                    ]
                    self.remarks = [*map(str, entry["changed"])], left
                    return
                _ = entry["path"], entry["size"], entry["sha256"]
            except (ValueError, KeyError, TypeError, RecursionError):
                raise BadBackup(f"its {CONTENTS} cannot be read") from None
            yield entry
        raise BadBackup(f"its {CONTENTS} was cut")

    def _next(self) -> tarfile.TarInfo | None:
        try:
            info = self._archive.next()
        except _NONSENSE as exc:
            raise BadBackup(f"a header of it makes no sense: {exc}") from exc
        if info is not None and info.size < 0:
            raise BadBackup(f"{info.name[:200]!r} has a size below zero")
        return info

    def _content(
        self, section: Section, path: list[str], info: tarfile.TarInfo
    ) -> "_Content | None":
        if info.isreg() and not info.issparse():
            return _Content(self._stream(info), info.size)
        if info.issym() and section.has_links and stays_inside(path, info.linkname):
            return None
        if info.isdir() and section.kind != "state":
            return None
        kind = "a link that leads elsewhere" if info.issym() else "neither a file nor a folder"
        raise BadBackup(f"{info.name[:200]!r} is {kind}")

    def _stream(self, info: tarfile.TarInfo | None) -> IO[bytes]:
        stream = None if info is None else self._archive.extractfile(info)
        if stream is None:
            raise BadBackup("it has a file without content")
        return stream

    def _bytes(self, info: tarfile.TarInfo) -> bytes:
        return b"".join(_Content(self._stream(info), info.size).pieces())


class _Unzipped:
    """The content of the archive, as tarfile reads it: only forward, and not much at once."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = gzip.GzipFile(fileobj=file)

    def read(self, size_bytes: int) -> bytes:
        if size_bytes > _READ_MAX_BYTES:
            raise BadBackup("a header of it is too long")
        return self._file.read(size_bytes)

    def seek(self, place: int) -> int:
        if place < self._file.tell():
            raise BadBackup("a header of it points backwards")
        return self._file.seek(place)

    def tell(self) -> int:
        return self._file.tell()


class _opened:  # noqa: N801  # used like a function
    """The archive from its beginning; errors of tarfile and gzip become BadBackup."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._archive: tarfile.TarFile | None = None

    def __enter__(self) -> _Reader:
        self._file.seek(0)
        try:
            unzipped = _Unzipped(self._file)
            # typeshed demands more of a file than tarfile does when it only reads it
            self._archive = tarfile.TarFile(fileobj=unzipped, mode="r")  # type: ignore[arg-type]
            return _Reader(self._archive)
        except Exception as exc:
            if not _is_damage(exc) and not isinstance(exc, _NONSENSE):
                raise
            raise BadBackup(f"it is not a backup, or damaged: {exc}") from exc

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if self._archive is not None:
            self._archive.close()
        if exc is not None and _is_damage(exc):
            raise BadBackup(f"it is damaged: {exc}") from exc


def _is_damage(exc: BaseException) -> bool:
    """Whether tarfile or gzip raised it because of what they read."""
    return isinstance(exc, tarfile.TarError | EOFError | zlib.error | gzip.BadGzipFile)


def _stage(
    reader: _Reader, plan: Mapping[Section, Planned], target: Target, state_stage: str
) -> None:
    members = reader.members()
    member = next(members, None)
    while member is not None:
        section = member.section
        if section.kind == "state" and target.wants(section):
            _stage_state(member, state_stage)
            member = next(members, None)
        elif section in plan:
            with folder_process("unpack", plan[section].folder, target.kernel) as process:
                member = _unpack(process, member, members)
                process.finish()
        else:
            member = next(members, None)
    # A section without members is an empty folder, and its stage is there already.


def _unpack(
    process: FolderProcess, member: _Member | None, members: Iterator[_Member]
) -> _Member | None:
    """Have a process write its whole section; returns the first member of another section."""
    section = member.section if member else None
    try:
        while member is not None and member.section == section:
            process.stream.write(_entry(member))
            if member.content is not None:
                for piece in member.content.pieces():
                    process.stream.write(piece)
            member = next(members, None)
        process.stream.write(_line({"kind": "end", "changed": [], "left": []}))
        process.stream.flush()
    except BrokenPipeError:
        process.finish()  # raises Failed, which says why
        raise
    return member


def _entry(member: _Member) -> bytes:
    info, fields = member.info, {"path": member.path}
    if info.isdir():
        return _line({**fields, "kind": "folder", "mode": info.mode})
    if info.issym():
        return _line({**fields, "kind": "link", "to": info.linkname})
    more = {"kind": "file", "size": info.size, "mode": info.mode, "time": info.mtime}
    return _line({**fields, **more})


def _stage_state(member: _Member, stage: str) -> None:
    """Done by this process: the state's files are its own, and few."""
    folder = stage
    for name in member.path[:-1]:
        folder = os.path.join(folder, name)
        with suppress(FileExistsError):
            os.mkdir(folder, 0o700)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(os.path.join(folder, member.path[-1]), flags, 0o600), "wb") as file:
        for piece in member.content.pieces() if member.content else ():
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def _json_line(values: list[Any]) -> bytes:
    return json.dumps(values).encode("ascii") + b"\n"


def _line(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode("ascii") + b"\n"
