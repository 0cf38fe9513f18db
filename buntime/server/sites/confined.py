"""Opens regular files inside one folder, and nothing outside of it, wherever links lead.

Why this has no race: no path is first checked and then opened. Each segment is opened by
itself, relative to the descriptor of the folder before it and with O_NOFOLLOW, so the walk can
only go down from the folder it began in. Somebody who swaps a folder for a link in the middle of
it gets an error, not a way out.

Links that stay inside are useful (Kubernetes mounts a ConfigMap as links) and cost a second walk:
`realpath` says where the link leads, and that path, if it lies inside, is walked again in the same
way. `realpath` is advice only; what is opened is still decided by the walk.
"""

import errno
import os
import stat
from collections.abc import Sequence

from buntime.core.errors import ServerFault
from buntime.core.values.tuples import NamedTuple

# O_PATH (Linux): passing through a folder needs no read permission.
_FOLDER_FLAGS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK, O_NOCTTY: if a FIFO or a terminal replaces the file between the check and the open,
# the open neither waits for a writer nor gives the process a terminal.
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

# Errors for a missing, hidden or impossible path. Any other one is this machine's problem.
_NOT_THERE = frozenset(
    (
        errno.EACCES,
        errno.EILSEQ,
        errno.EINVAL,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENODEV,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENXIO,
        errno.EPERM,
        errno.ESTALE,
    )
)
_MAY_BE_A_LINK = frozenset((errno.ELOOP, errno.ENOTDIR, errno.EMLINK))


class OpenFile(NamedTuple):
    """A descriptor, which its holder must close, its file's state, and where the file really is.

    `segments` lead from the folder to the file without any link.
    """

    fd: int
    stat: os.stat_result
    segments: tuple[bytes, ...]


def open_inside(folder: bytes, segments: Sequence[bytes]) -> OpenFile | None:
    """The regular file at `segments` below `folder`; None if there is none that may be seen.

    `folder` itself may be a link: that is the operator's choice. Raises ServerFault(503) if the
    machine cannot open files (too many are open, a disk fails).
    """
    try:
        return _open(folder, segments)
    except OSError as exc:
        if exc.errno in _NOT_THERE:
            return None
        raise unavailable(exc) from exc


def unavailable(exc: OSError) -> ServerFault:
    """The answer to a request for a file that exists and cannot be read."""
    return ServerFault(
        503,
        "file_unavailable",
        f"a file of this site cannot be read now: {exc.strerror}; try again",
        headers=(("retry-after", "1"),),
    )


def _open(folder: bytes, segments: Sequence[bytes]) -> OpenFile | None:
    try:
        return _walk(folder, segments)
    except OSError as exc:
        if exc.errno not in _MAY_BE_A_LINK:
            raise
    home = os.path.realpath(folder)
    real = os.path.realpath(b"/".join([home, *segments]))
    inside = home.rstrip(b"/") + b"/"
    if not real.startswith(inside):
        return None
    return _walk(home, real[len(inside) :].split(b"/"))


def _walk(folder: bytes, segments: Sequence[bytes]) -> OpenFile | None:
    """Raises OSError; ELOOP or ENOTDIR if a segment is a link."""
    here = os.open(folder, _FOLDER_FLAGS)
    try:
        for segment in segments[:-1]:
            deeper = os.open(segment, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = deeper
        # Checked before it is opened: opening a device or a FIFO can already have effects.
        found = os.stat(segments[-1], dir_fd=here, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            raise OSError(errno.ELOOP, "is a link")
        if not stat.S_ISREG(found.st_mode):
            return None
        fd = os.open(segments[-1], _FILE_FLAGS, dir_fd=here)
    finally:
        os.close(here)
    try:
        opened = os.fstat(fd)
    except OSError:
        os.close(fd)
        raise
    if not stat.S_ISREG(opened.st_mode):
        os.close(fd)
        return None
    return OpenFile(fd, opened, tuple(segments))
