"""Errors that tell of this machine's state, and of nothing that was looked for."""

import errno

_SHORT = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS))


def is_shortage(exc: OSError) -> bool:
    """Were there no descriptors or no memory left? Then what was known before is still true."""
    return exc.errno in _SHORT
