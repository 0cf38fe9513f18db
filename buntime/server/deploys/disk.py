"""What to answer when the disk does not accept something."""

import errno
import os

from buntime.core.errors import ServerFault

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SPARE_BYTES = 50_000_000  # that must stay free, for logs and state


def storage_fault(exc: OSError) -> ServerFault:
    """What to answer when the disk does not accept a write."""
    where = f"{exc.filename}: " if exc.filename else ""
    if exc.errno in _FULL:
        return ServerFault(
            507, "disk_full", f"{where}{exc.strerror}; make room, or remove versions nobody needs"
        )
    return ServerFault(500, "storage_failed", f"{where}{exc.strerror or exc}")


def check_room(folder: str, size_bytes: int) -> None:
    """Raises ServerFault (507) if the disk has no room for that much. Waits for the disk."""
    found = os.statvfs(folder)
    free_bytes = found.f_bavail * found.f_frsize
    if size_bytes and free_bytes < size_bytes + _SPARE_BYTES:
        raise ServerFault(
            507,
            "disk_full",
            f"{folder} has {free_bytes} bytes free; the archive needs {size_bytes}, and "
            f"{_SPARE_BYTES} must stay free; make room, or remove versions nobody needs",
        )
