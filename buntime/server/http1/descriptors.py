"""File descriptors: as many as the settings may need, as far as the system allows.

Most systems start a process with a soft limit of 1024, for the sake of select(2), which this
runtime does not use; the hard limit is the real one. Without free descriptors no connection can be
accepted and no worker started. So they are divided beforehand: whatever clients ask for, there is a
descriptor for each file that is sent, for each worker, and for each look at a folder.
"""

import resource
from dataclasses import replace

from buntime.core.errors import UsageError
from buntime.core.pool.workforce import workers_beside
from buntime.core.settings.load import Settings
from buntime.core.values.tuples import NamedTuple
from buntime.server.http1.newcomer import newcomers_max

OF_A_WORKER = 6  # channel, lifeline, stacks, two outputs, pidfd
OF_A_CONNECTION = 2  # its socket, and a file that is sent to it
# The loop's and the log's, those that starting a worker takes for a moment (10), an interpreter
# that is examined, and what plugins open.
_OURS = 128
_OURS_AT_LEAST = 40
_LIMIT_AT_LEAST = 64


class Share(NamedTuple):
    """How many there can be at a time."""

    connections: int
    workers: int


def fit(settings: Settings, *, beside: int = 0) -> Settings:
    """Return the settings, reduced to what descriptors allow; raise the soft limit as needed.

    `beside` is how many workers plugins may have beside the pool's: they get descriptors first, as
    long as enough are left to serve anybody. Raises UsageError if there are too few to serve
    anybody.
    """
    wanted, connections = _workers(settings), settings.connections_max
    limit = _raise_limit(needed(settings, beside=beside))
    if limit < _LIMIT_AT_LEAST:
        raise UsageError(
            f"the limit of open files is {limit}; raise it to {_LIMIT_AT_LEAST} or more, "
            "with `ulimit -n` or LimitNOFILE="
        )
    left = max(_LIMIT_AT_LEAST, limit - beside * OF_A_WORKER)
    share = divide(left, connections=connections, workers=wanted)
    if share.workers < wanted:
        spares = min(settings.spare_workers, share.workers // 4)
        settings = replace(
            settings, pool_size=_pool_size(share.workers - spares), spare_workers=spares
        )
    return replace(settings, connections_max=share.connections)


def needed(settings: Settings, *, beside: int = 0) -> int:
    """How many descriptors the settings may need; `beside` as in `fit`."""
    workers = (_workers(settings) + beside) * OF_A_WORKER
    return _OURS + workers + of_connections(settings.connections_max)


def of_connections(most: int) -> int:
    """How many descriptors so many connections take, with the newcomers that wait for a place.

    At the listeners of operators few clients wait; those count as the runtime's own.
    """
    return most * OF_A_CONNECTION + newcomers_max(most)


def _connections(descriptors: int) -> int:
    """How many connections so many descriptors are enough for; at least one."""
    most = max(1, descriptors // OF_A_CONNECTION)
    while most > 1 and of_connections(most) > descriptors:
        too_many = of_connections(most) - descriptors
        most -= -(-too_many // (OF_A_CONNECTION + 1))
    return most


def _workers(settings: Settings) -> int:
    return settings.pool_size + workers_beside(settings.pool_size) + settings.spare_workers


def divide(limit: int, *, connections: int, workers: int) -> Share:
    """How many of both there can be; where both want more, each gets half of the descriptors."""
    ours = min(_OURS, max(_OURS_AT_LEAST, limit // 4))
    rest = limit - ours
    of_workers = workers * OF_A_WORKER
    of_all = of_connections(connections)
    if of_workers + of_all > rest:
        of_workers = min(of_workers, max(rest // 2, rest - of_all))
        workers = of_workers // OF_A_WORKER
        connections = min(connections, _connections(rest - workers * OF_A_WORKER))
    return Share(connections, workers)


def _pool_size(workers: int) -> int:
    """The largest pool that never has more workers than that, slow-ending ones included."""
    size = max(1, workers)
    while size > 1 and size + workers_beside(size) > workers:
        size -= 1
    return size


def _raise_limit(wanted: int) -> int:
    """The soft limit, raised if needed and allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return max(wanted, _LIMIT_AT_LEAST) if soft == resource.RLIM_INFINITY else soft
    wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS has another limit besides the hard one
        return soft
    return wanted
