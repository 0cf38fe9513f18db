"""The members of a tar.gz, read once from beginning to end.

tarfile trusts headers too much: it takes a broken header for the end, reads as much at once as a
header says, and keeps all that they say. So the stream below allows neither large reads nor going
back, headers are bounded and nothing of them is kept, and the archive is complete only if it ends
correctly: the tar with a block of zeros, and gzip with the right checksum.
"""

import gzip
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from typing import IO

from buntime.core.deploys.members import ArchiveFault, Kind, Member

BLOCK_BYTES = 512
PIECE_BYTES = 65_536
# tarfile takes 1 s and 15 MB for each megabyte of headers that are made for that.
_HEADERS_MAX_BYTES = 40_000_000  # in all; four blocks for each of 20,000 files
_HEADER_MAX_BYTES = 65_536  # for names and attributes; no real header is longer
_OF_MEMBER_MAX_BYTES = 4 * _HEADER_MAX_BYTES  # all headers of one member
_OF_ALL_MAX = 1000  # attributes that are said of all members

_KINDS = {
    tarfile.DIRTYPE: Kind.FOLDER,
    tarfile.SYMTYPE: Kind.LINK,
    tarfile.LNKTYPE: Kind.HARD_LINK,
    tarfile.FIFOTYPE: Kind.FIFO,
    tarfile.CHRTYPE: Kind.DEVICE,
    tarfile.BLKTYPE: Kind.DEVICE,
    tarfile.GNUTYPE_SPARSE: Kind.SPARSE,
    **dict.fromkeys((tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE), Kind.FILE),
}
# What tarfile and gzip raise when they cannot read something; the last three for bad numbers and
# names.
DAMAGED = (tarfile.TarError, zlib.error, EOFError, ValueError, RecursionError, LookupError)


class Stream:
    """The content of a gzip file, as tarfile reads it: only forward, and not much at once."""

    def __init__(self, archive: IO[bytes], most_bytes: int) -> None:
        self._file = gzip.GzipFile(fileobj=archive)
        self._left = most_bytes
        self._left_of_headers = _HEADERS_MAX_BYTES
        self._left_of_member = _OF_MEMBER_MAX_BYTES
        self._place = 0
        self.is_end = False  # whether the last block read was all zeros

    def begin_member(self) -> None:
        """What tarfile reads from now on are the next member's headers."""
        self._left_of_member = _OF_MEMBER_MAX_BYTES

    def read(self, size_bytes: int) -> bytes:
        """A header, as tarfile reads it. Raises ArchiveFault if too much is read, at once or in
        all."""
        self._left_of_member -= size_bytes
        self._left_of_headers -= size_bytes
        if size_bytes > _HEADER_MAX_BYTES or self._left_of_member < 0:
            raise ArchiveFault("archive_damaged", "a header of the archive is too long")
        if self._left_of_headers < 0:
            raise ArchiveFault(
                "archive_too_many_files",
                f"the headers of the archive take more than {_HEADERS_MAX_BYTES} bytes; leave out "
                "what the app does not need, and attributes of files",
            )
        return self._take(size_bytes)

    def read_on(self, size_bytes: int) -> bytes:
        """Read what is no header, within the limit for that."""
        data = self._take(size_bytes)
        self._left -= len(data)
        if self._left < 0:
            raise ArchiveFault(
                "archive_ratio",
                "the archive unpacks to far more than its size; leave out files that compress so "
                "well, or make them on the host",
            )
        return data

    def _take(self, size_bytes: int) -> bytes:
        data = self._file.read(size_bytes)
        self._place += len(data)
        self.is_end = len(data) == BLOCK_BYTES and not any(data)
        return data

    def tell(self) -> int:
        return self._place

    def seek(self, place: int) -> int:
        """Skip forward to `place`. Raises ArchiveFault if it lies behind."""
        if place < self._place:
            raise ArchiveFault("archive_damaged", "a header of the archive points backwards")
        while self._place < place and self.read_on(min(PIECE_BYTES, place - self._place)):
            pass
        return self._place

    def drain(self) -> None:
        """Read what follows the end, so that gzip compares its checksum."""
        while self.read_on(PIECE_BYTES):
            pass


class _Tar(tarfile.TarFile):
    """One that is read once."""

    members: list[tarfile.TarInfo]  # those that were read; typeshed leaves it out


def members(archive: IO[bytes], most_bytes: int) -> Iterator[tuple[Member, Iterable[bytes]]]:
    """Each member with its content, which must be read before the next member.

    Raises ArchiveFault and the DAMAGED ones. `most_bytes` is the limit for all that is no header.
    """
    stream = Stream(archive, most_bytes)
    # typeshed demands more of a file than tarfile does when it only reads it
    with _Tar(fileobj=stream, mode="r", errorlevel=2) as tar:  # type: ignore[arg-type]
        while (info := tar.next()) is not None:
            tar.members.clear()
            if len(tar.pax_headers) > _OF_ALL_MAX:
                raise ArchiveFault("archive_damaged", "a header of the archive is too long")
            yield _member(info), _content(stream, info)
            stream.begin_member()
    if not stream.is_end:
        raise ArchiveFault(
            "archive_damaged", "the archive is cut off, or one of its headers is broken"
        )
    stream.drain()


def _member(info: tarfile.TarInfo) -> Member:
    kind = _KINDS.get(info.type, Kind.OTHER)
    if info.issparse():
        kind = Kind.SPARSE
    is_file = kind is Kind.FILE
    # Old tar marks a folder only by the end of its name.
    return Member(info.name, kind, info.size if is_file else 0, info.mode, info.linkname)


def _content(stream: Stream, info: tarfile.TarInfo) -> Iterator[bytes]:
    stream.seek(info.offset_data)
    left = info.size
    while left > 0:
        piece = stream.read_on(min(PIECE_BYTES, left))
        if not piece:
            raise ArchiveFault(
                "archive_damaged", f"the archive is cut off within {info.name[:100]!r}"
            )
        left -= len(piece)
        yield piece
