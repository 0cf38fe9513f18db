"""The members of a zip file, according to its directory.

zipfile makes an object for each entry when it opens a file, before anyone can refuse because there
are too many; so the entries are counted first. It reads no more of an entry than the directory
says, and compares its checksum. Entries that share bytes (a "zip bomb" made small by overlaps) are
refused.
"""

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import IO

from buntime.core.deploys.members import TARGET_MAX, ArchiveFault, Kind, Member

PIECE_BYTES = 65_536
_ENTRY = b"PK\x01\x02"
_ENTRY_MAX_BYTES = 2048  # with its name
_LOCAL_BYTES = 30  # a local header without its name
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # ordinary, strong, with an encrypted directory
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

_KINDS = {
    0: Kind.FILE,  # written by a tool that knows no modes
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.FOLDER,
    stat.S_IFLNK: Kind.LINK,
    stat.S_IFIFO: Kind.FIFO,
    stat.S_IFCHR: Kind.DEVICE,
    stat.S_IFBLK: Kind.DEVICE,
}
# What zipfile raises when it cannot read something.
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    NotImplementedError,
    LookupError,
    RuntimeError,
)


def members(archive: IO[bytes], files_max: int) -> Iterator[tuple[Member, Iterable[bytes]]]:
    """Each member with its content. Raises ArchiveFault and the DAMAGED ones."""
    file = _Archive(archive, files_max)
    with zipfile.ZipFile(file) as opened:
        file.is_opening = False
        infos = opened.infolist()
        _check_overlaps(infos)
        for info in infos:
            _check(info)
            member = _member(opened, info)
            yield member, _content(opened, info) if member.kind is Kind.FILE else ()


class _Archive:
    """A file for zipfile, whose directory is checked before zipfile parses it."""

    def __init__(self, file: IO[bytes], files_max: int) -> None:
        self._file = file
        self._files_max = files_max
        self.is_opening = True
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size_bytes: int = -1) -> bytes:
        is_large = size_bytes > self._files_max * _ENTRY_MAX_BYTES
        data = b"" if is_large else self._file.read(size_bytes)
        if self.is_opening and (is_large or data.count(_ENTRY) > self._files_max):
            raise ArchiveFault(
                "archive_too_many_files",
                f"the archive has more than {self._files_max} files and folders; leave out what "
                "the app does not need, such as node_modules",
            )
        return data


def _check_overlaps(infos: list[zipfile.ZipInfo]) -> None:
    end, last = 0, ""
    for info in sorted(infos, key=lambda each: each.header_offset):
        if info.header_offset < end:
            raise ArchiveFault(
                "archive_overlap",
                f"{last[:100]!r} and {info.filename[:100]!r} overlap in the archive",
            )
        name_bytes = len(info.orig_filename.encode("utf-8", "surrogateescape"))
        end = info.header_offset + _LOCAL_BYTES + min(name_bytes, 1) + info.compress_size
        last = info.filename


def _check(info: zipfile.ZipInfo) -> None:
    shown = repr(info.filename[:100])
    if info.flag_bits & _ENCRYPTED:
        raise ArchiveFault("archive_encrypted", f"{shown} is encrypted; pack it without a password")
    if info.compress_type not in _METHODS:
        raise ArchiveFault(
            "archive_method", f"{shown} is not packed by the method deflate; use that one"
        )


def _member(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    mode = info.external_attr >> 16
    kind = _KINDS.get(stat.S_IFMT(mode), Kind.OTHER)
    if kind is Kind.FILE and info.filename.endswith("/"):
        kind = Kind.FOLDER
    target = ""
    if kind is Kind.LINK:
        with opened.open(info) as link:
            target = link.read(TARGET_MAX + 1).decode("utf-8", "surrogateescape")
    # The name as it is in the file: zipfile ends it at a NUL.
    name = info.orig_filename
    return Member(
        name, kind, info.file_size if kind is Kind.FILE else 0, stat.S_IMODE(mode), target
    )


def _content(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    left = info.file_size
    with opened.open(info) as file:
        while piece := file.read(PIECE_BYTES):
            left -= len(piece)
            yield piece
    if left:
        raise ArchiveFault(
            "archive_damaged", f"{info.filename[:100]!r} is shorter than the archive says"
        )
