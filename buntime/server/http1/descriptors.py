"""File descriptors: as many as the settings may need, as far as the system allows.

Most systems start a process with a soft limit of 1024, for the sake of select(2), which is not
used here; the hard limit is what was meant. Without descriptors left no connection is accepted
and no worker started, so what is there is divided beforehand.
"""

import resource

_OF_A_WORKER = 6  # channel, lifeline, stacks, two outputs, pidfd
_OF_A_CONNECTION = 2  # its socket, and a file that it is sent
_OURS = 128  # the loop's, the log's, an interpreter that is looked at, what plugins open


def reserve_descriptors(*, connections: int, workers: int) -> int:
    """Raise the soft limit to what is needed; returns how many connections there can be."""
    reserved = _OURS + workers * _OF_A_WORKER
    limit = _raise_limit(reserved + connections * _OF_A_CONNECTION)
    return min(connections, max(limit - reserved, limit // 2))


def _raise_limit(needed: int) -> int:
    """The soft limit, raised where that is needed and allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return needed
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS has a limit beside the hard one
        return soft
    return wanted
