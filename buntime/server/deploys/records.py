"""What is known of a release, in a file beside it; and the versions that ranges do not choose.

    .releases/shop/1.2.0-3f2a81c09d4e.json     ReleaseRecord
    .releases/shop/1.2.0-3f2a81c09d4e.files    the files that its archive had, each ended by a NUL
    .releases/shop/withheld                    versions, a line each

Each is written whole under another name, and then renamed.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Set
from dataclasses import asdict, fields

from buntime.core.deploys.names import RECORD, WITHHELD
from buntime.core.values.frozen import frozen
from buntime.server.defence.regularfile import read_regular

FILES = ".files"
_RECORD_MAX_BYTES = 1 << 16
_FILES_MAX_BYTES = 1 << 26


@frozen()
class ReleaseRecord:
    """One release. Times are in seconds since 1970."""

    app: str
    version: str
    digest: str  # SHA-256 of its archive, in hex
    deployed_s: float
    by: str = ""  # who deployed it
    archive_bytes: int = 0
    size_bytes: int = 0  # unpacked
    files: int = 0
    active_s: float = 0.0  # when it last became active; 0 for never
    expires_s: float = 0.0  # of a preview
    token: str = ""  # SHA-256 of each token that opens a preview, in hex, parted by blanks


def read_record(release: str) -> ReleaseRecord | None:
    """The record of the release in this folder; None if no readable one exists."""
    known = {each.name for each in fields(ReleaseRecord)}
    try:
        text, _ = read_regular(f"{release}{RECORD}", _RECORD_MAX_BYTES)
        data = json.loads(text)
        return ReleaseRecord(**{name: value for name, value in data.items() if name in known})
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def write_record(release: str, record: ReleaseRecord) -> None:
    """Write the record of a release beside its folder."""
    write_whole(f"{release}{RECORD}", json.dumps(asdict(record), indent=1).encode() + b"\n")


def read_files(release: str) -> frozenset[str]:
    """The files that were in its archive; empty if they are not known."""
    try:
        text, _ = read_regular(f"{release}{FILES}", _FILES_MAX_BYTES)
    except OSError:
        return frozenset()
    return frozenset(text.decode("utf-8", "surrogateescape").split("\0")[:-1])


def write_files(release: str, files: Iterable[str]) -> None:
    """Write the names of the files that were in a release's archive, beside its folder."""
    text = "".join(f"{each}\0" for each in files)
    write_whole(f"{release}{FILES}", text.encode("utf-8", "surrogateescape"))


def read_withheld(folder: str) -> frozenset[str]:
    """The withheld versions among the releases in this folder, ".releases/shop"."""
    try:
        text, _ = read_regular(f"{folder}/{WITHHELD}", _RECORD_MAX_BYTES)
    except OSError:
        return frozenset()
    return frozenset(text.decode("utf-8", "replace").split())


def write_withheld(folder: str, versions: Set[str]) -> None:
    """Writes nothing if nothing changes, and leaves no file if there are no versions."""
    path = f"{folder}/{WITHHELD}"
    if not versions:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    elif versions != read_withheld(folder):
        write_whole(path, "".join(f"{each}\n" for each in sorted(versions)).encode())


def write_whole(path: str, data: bytes) -> None:
    """Replace a file in one step, so that it is complete whatever happens."""
    fresh = f"{os.path.dirname(path)}/.{os.path.basename(path)}.new"
    try:
        file = os.open(
            fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644
        )
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(file, left) :]
            os.fsync(file)
        finally:
            os.close(file)
        os.rename(fresh, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise
