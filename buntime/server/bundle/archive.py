"""Copies folders out of the archive that the runtime runs from if it could not be unpacked."""

import zipfile
from pathlib import Path, PurePosixPath

from buntime.server.bundle.unpacking import passing_folder


def copied_out(source: Path) -> Path:
    """A copy of such a folder, deleted when the runtime ends. Raises OSError."""
    copy = passing_folder() / source.name
    copy_out(source, copy)
    return copy


def copy_out(source: Path, target: Path) -> bool:
    """Copy a folder in an archive, `/x/buntime.pyz/content/apps`; False if there is no such one.

    Raises OSError.
    """
    archive = next((path for path in source.parents if path.is_file()), None)
    if archive is None:
        return False
    inside = PurePosixPath(source.relative_to(archive))
    with zipfile.ZipFile(archive) as members:
        names = [each for each in members.namelist() if PurePosixPath(each).is_relative_to(inside)]
        for name in names:
            path = target / PurePosixPath(name).relative_to(inside)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(members.read(name))
    return bool(names)
