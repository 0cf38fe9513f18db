"""Errors that show the state of this machine, and nothing about what was looked for."""

import errno

from buntime.confine import NotConfined

_SHORT = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS))
# Of processes and threads: more than their user, a container or the kernel allows.
_CANNOT_START = _SHORT | {errno.EAGAIN}


def is_shortage(exc: OSError) -> bool:
    """Were no descriptors or memory left? Then what was known before still holds."""
    return exc.errno in _SHORT


def is_start_shortage(exc: Exception) -> bool:
    """Could no process be started at all? That says nothing about its program."""
    return isinstance(exc, OSError | NotConfined) and exc.errno in _CANNOT_START
