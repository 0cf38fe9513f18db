"""Writes a backup: what the processes of the folders send becomes members of one tar.gz.

What a process sends is checked as it arrives, since the process runs as the app's user: the names,
and that it sends as many bytes as it announced.
"""

import gzip
import hashlib
import io
import json
import os
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import IO, Any, cast

from buntime.core.backup.form import CONTENTS, HEAD, Section
from buntime.core.plugins.keptoptions import SIZE_MAX_BYTES, without_secrets
from buntime.core.values.tuples import NamedTuple
from buntime.server.backup.folderprocess import Failed, Folder, FolderProcess, folder_process
from buntime.server.backup.helper import Refused, read_entry
from buntime.server.backup.source import (
    OPTIONS_FILE,
    PLUGINS_FILE,
    SECRETS,
    Source,
    folders_of,
    head_of,
)
from buntime.server.defence.regularfile import read_regular
from buntime.server.state.statefile import NAME as STATE_DB

_STATE_COPY = "state.db.copy"
_STATE_MAX_BYTES = 1 << 20  # limit of a file beside state.db


class Written(NamedTuple):
    """The result; the number of names in it is limited."""

    files: int
    size_bytes: int  # before compression
    changed: list[str]  # files that changed while they were read
    left: list[tuple[str, str]]  # what was left out, and why

    def to_json(self) -> dict[str, Any]:
        left = [{"path": path, "why": why} for path, why in self.left]
        return {
            "files": self.files,
            "sizeBytes": self.size_bytes,
            "changed": self.changed,
            "leftOut": left,
        }


def write_backup(source: Source, out: Callable[[bytes], None]) -> Written:
    """Make the archive and pass it to `out`, piece by piece. Raises Failed and OSError."""
    head = head_of(source)
    with (
        tempfile.TemporaryFile() as contents,
        gzip.GzipFile(fileobj=cast(IO[bytes], _Out(out)), mode="wb", compresslevel=6) as packed,
        tarfile.open(mode="w|", fileobj=packed) as archive,
    ):
        made = _Archive(archive, contents)
        made.text(HEAD, json.dumps(head.to_json(), indent=1).encode() + b"\n", is_listed=False)
        for section, folder in folders_of(source, head):
            _pack(made, section, folder, source)
        if not source.only or "state" in source.only:
            _pack_state(made, source)
        contents.write(made.last_line())
        size = contents.tell()
        contents.seek(0)
        made.member(CONTENTS, size, 0o600, time.time(), contents)
    return made.written()


class _Out(io.RawIOBase):
    """What tarfile writes to."""

    def __init__(self, out: Callable[[bytes], None]) -> None:
        self._out = out

    def write(self, data: Any) -> int:
        self._out(bytes(data))
        return len(data)


class _Exactly(io.RawIOBase):
    """Exactly `size` bytes of a stream, hashed. Raises Failed if there are fewer."""

    def __init__(self, stream: IO[bytes], size: int, where: str) -> None:
        self._stream = stream
        self.left = size
        self._where = where
        self.hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        wanted = self.left if size < 0 else min(size, self.left)
        data = self._stream.read(wanted)
        if len(data) < wanted:
            raise Failed(f"{self._where}: its process has ended within a file")
        self.left -= len(data)
        self.hash.update(data)
        return data


class _Archive:
    """The tar, and the list of what is in it."""

    def __init__(self, archive: tarfile.TarFile, contents: IO[bytes]) -> None:
        self._archive = archive
        self._contents = contents
        self._files = self._size = 0
        self._changed: list[str] = []
        self._left: list[tuple[str, str]] = []

    def written(self) -> Written:
        return Written(self._files, self._size, self._changed, self._left)

    def last_line(self) -> bytes:
        left = [{"path": path, "why": why} for path, why in self._left]
        return _line({"end": True, "changed": self._changed, "leftOut": left})

    def text(self, name: str, data: bytes, *, is_listed: bool = True) -> None:
        """Add a file that is in memory."""
        self.member(name, len(data), 0o600, time.time(), io.BytesIO(data), is_listed=is_listed)

    def file(self, name: str, size: int, mode: int, at_s: float, stream: IO[bytes]) -> None:
        self.member(name, size, mode, at_s, stream, is_listed=True)

    def member(
        self,
        name: str,
        size: int,
        mode: int,
        at_s: float,
        stream: IO[bytes],
        *,
        is_listed: bool = False,
    ) -> None:
        content = _Exactly(stream, size, name)
        info = _info(name, tarfile.REGTYPE, mode, at_s)
        info.size = size
        self._archive.addfile(info, cast(IO[bytes], content))
        if is_listed:
            self._files += 1
            self._size += size
            entry = {"path": name, "size": size, "sha256": content.hash.hexdigest()}
            self._contents.write(_line(entry))

    def folder(self, name: str, mode: int) -> None:
        self._archive.addfile(_info(name, tarfile.DIRTYPE, mode, 0))

    def link(self, name: str, to: str) -> None:
        info = _info(name, tarfile.SYMTYPE, 0o777, 0)
        info.linkname = to
        self._archive.addfile(info)

    def end(self, section: Section, entry: dict[str, Any]) -> None:
        """Take what a process reported at its end: only names, of any form."""
        for path in entry["changed"][:1000]:
            self._changed.append(f"{section.prefix}/{_shown(path)}")
        for each in entry["left"][:1000]:
            path, why = (*each, "", "")[:2] if isinstance(each, list) else (each, "")
            self._left.append((f"{section.prefix}/{_shown(path)}", str(why)[:200]))


def _pack(archive: _Archive, section: Section, folder: Folder, source: Source) -> None:
    with folder_process("pack", folder, source.kernel) as process:
        try:
            for entry in _entries(process):
                if entry["kind"] == "end":
                    archive.end(section, entry)
                    break
                _add(archive, section, entry, process.stream)
        except Refused as exc:
            process.finish()  # if the process failed, this says why
            raise Failed(f"{folder.path}: {exc}") from exc
        process.finish()


def _entries(process: FolderProcess) -> Iterator[dict[str, Any]]:
    while True:
        yield read_entry(cast(Any, process.stream))


def _add(archive: _Archive, section: Section, entry: dict[str, Any], stream: IO[bytes]) -> None:
    name = "/".join((section.prefix, *entry["path"]))
    if entry["kind"] == "folder":
        archive.folder(name, entry["mode"] & 0o777)
    elif entry["kind"] == "file":
        archive.file(name, entry["size"], entry["mode"] & 0o777, entry["time"], stream)
    elif section.has_links:
        archive.link(name, entry["to"])
    else:
        raise Refused(f"a link: {name[:200]}")


def _pack_state(archive: _Archive, source: Source) -> None:
    """Done by this process: these files are its own."""
    copy = os.path.join(source.state_dir, _STATE_COPY)
    with suppress(FileNotFoundError):
        os.unlink(copy)  # of a killed run: who holds the folder makes one backup at a time
    try:
        if source.copy_state(copy):
            with open(copy, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                archive.file(f"state/{STATE_DB}", size, 0o600, time.time(), file)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(copy)
    with suppress(FileNotFoundError):
        data, _ = read_regular(os.path.join(source.state_dir, PLUGINS_FILE), _STATE_MAX_BYTES)
        archive.text(f"state/{PLUGINS_FILE}", data)
    with suppress(FileNotFoundError, ValueError):  # ValueError: the runtime cannot use it either
        data, _ = read_regular(os.path.join(source.state_dir, OPTIONS_FILE), SIZE_MAX_BYTES)
        kept = data if source.has_secrets else without_secrets(data)
        archive.text(f"state/{OPTIONS_FILE}", kept)
    root = os.path.join(source.state_dir, SECRETS)
    if source.has_secrets and os.path.isdir(root):
        for holder in sorted(os.listdir(root)):
            for name in sorted(os.listdir(os.path.join(root, holder))):
                data, _ = read_regular(os.path.join(root, holder, name), _STATE_MAX_BYTES)
                archive.text(f"state/{SECRETS}/{holder}/{name}", data)


def _info(name: str, kind: bytes, mode: int, at_s: float) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, mode, at_s
    return info


def _line(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode("ascii") + b"\n"


def _shown(path: object) -> str:
    return "/".join(map(str, path))[:500] if isinstance(path, list) else str(path)[:500]
