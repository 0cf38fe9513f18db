"""Unpacks an archive into a new folder: either all of it is there, or nothing is left.

Imported when the first archive arrives: importing tarfile and zipfile takes 15 ms.
"""

import ctypes
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO

from buntime.core.deploys.members import FILES_MAX, ArchiveFault, Bounds, Intake, Member
from buntime.core.errors import ClientFault, HttpError
from buntime.server.bundle.cachefolder import remove
from buntime.server.deploys import tarmembers, zipmembers
from buntime.server.deploys.disk import storage_fault
from buntime.server.deploys.tree import Tree

_GZIP = b"\x1f\x8b"
_ZIPS = (b"PK\x03\x04", b"PK\x05\x06")
_WHY_CHARS = 200
_PADDING_BYTES = tarmembers.BLOCK_BYTES * FILES_MAX  # in addition to the files of a tar


@dataclass(frozen=True)
class Unpacked:
    """The result of unpacking; `files` are paths in the app's folder."""

    files: tuple[str, ...]
    size_bytes: int


def unpack(
    archive: IO[bytes], folder: str, bounds: Bounds, *, go_on: Callable[[], None] = lambda: None
) -> Unpacked:
    """Fill the new `folder` from the archive, a tar.gz or a zip. Waits for the disk.

    If the archive has a single folder at its top, that folder is left out. `go_on` is called for
    each file and may raise to stop. Raises ArchiveFault, ClientFault (415) and ServerFault (507);
    `folder` does not exist then.
    """
    fresh = f"{os.path.dirname(folder)}/.{os.path.basename(folder)}.new"
    try:
        _check(archive, bounds, go_on)
        unpacked, top = _fill(archive, fresh, bounds, go_on)
        os.rename(fresh if top is None else f"{fresh}/{top}", folder)
        if top is not None:
            os.rmdir(fresh)
    except BaseException as exc:
        remove(fresh)
        if isinstance(exc, OSError):
            raise storage_fault(exc) from exc
        raise
    return unpacked


def _check(archive: IO[bytes], bounds: Bounds, go_on: Callable[[], None]) -> None:
    """Refuse an archive by its headers, before any of it is written."""
    intake = Intake(bounds, archive.seek(0, os.SEEK_END))
    for member, _ in _members(archive, intake.ratio_bytes, bounds):
        go_on()
        intake.admit(member)
    intake.links()


def _fill(
    archive: IO[bytes], folder: str, bounds: Bounds, go_on: Callable[[], None]
) -> tuple[Unpacked, str | None]:
    intake = Intake(bounds, archive.seek(0, os.SEEK_END))
    with Tree(folder) as tree:
        for member, content in _members(archive, intake.ratio_bytes, bounds):
            go_on()
            entry = intake.admit(member)
            if entry is not None:
                tree.write(entry, content)
        tree.link(intake.links())
    return Unpacked(intake.files(), intake.size_bytes), intake.top()


def _members(
    archive: IO[bytes], ratio_bytes: int, bounds: Bounds
) -> Iterator[tuple[Member, Iterable[bytes]]]:
    archive.seek(0)
    begin = archive.read(4)
    archive.seek(0)
    if begin.startswith(_GZIP):
        damaged: tuple[type[Exception], ...] = (*tarmembers.DAMAGED, OSError)
        found = tarmembers.members(archive, ratio_bytes + _PADDING_BYTES)
    elif begin in _ZIPS:
        damaged, found = zipmembers.DAMAGED, zipmembers.members(archive, bounds.files)
    else:
        raise ClientFault(
            415, "archive_unknown", "the archive is neither a tar.gz nor a zip; send one of these"
        )
    try:
        for member, content in found:
            yield member, _guarded(content, damaged)
    except damaged as exc:
        raise _damaged(exc) from exc


def _guarded(content: Iterable[bytes], damaged: tuple[type[Exception], ...]) -> Iterator[bytes]:
    try:
        yield from content
    except damaged as exc:
        raise _damaged(exc) from exc


def _damaged(exc: Exception) -> HttpError:
    if isinstance(exc, OSError) and exc.errno is not None:  # from the disk; gzip's have no number
        return storage_fault(exc)
    # The libraries quote headers of up to 64 KiB, as bytes: four characters for each.
    return ArchiveFault("archive_damaged", f"the archive cannot be read: {str(exc)[:_WHY_CHARS]}")


def sync(folder: str) -> None:
    """Make sure that everything in the folder's file system is on the disk. Raises OSError.

    Syncing 20,000 files one by one would take a minute.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None:
            os.sync()
        elif syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), folder)
    finally:
        os.close(descriptor)
