"""Errors that tell of this machine's state, and of nothing that was looked for."""

import errno

from buntime.confine import NotConfined

_SHORT = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS))
# Of processes and threads: more than their user, a container or the kernel may have.
_CANNOT_START = _SHORT | {errno.EAGAIN}


def is_shortage(exc: OSError) -> bool:
    """Were there no descriptors or no memory left? Then what was known before is still true."""
    return exc.errno in _SHORT


def is_start_shortage(exc: Exception) -> bool:
    """Could no process be started, whichever it was? That tells nothing of its program."""
    return isinstance(exc, OSError | NotConfined) and exc.errno in _CANNOT_START
