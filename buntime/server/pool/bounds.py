"""The bounds of a pool, from the settings and this machine, and its chance."""

from buntime.core.pool.workforce import PoolLimits
from buntime.core.settings.load import Settings
from buntime.server.pool.cores import cores

_QUEUE_LIMIT = 1000  # requests that may wait for one persistent app
_BOOTS_PER_CORE = 2  # of those that no request waits for


def chance() -> float:
    """A random number from 0 to 1, excluding 1."""
    import random  # takes a start half a millisecond

    return random.random()


def pool_limits(settings: Settings) -> PoolLimits:
    """They apply from the next decision on; a pool that is then too large shrinks as workers
    end."""
    return PoolLimits(
        pool_size=settings.pool_size,
        ephemeral_concurrency=settings.ephemeral_concurrency,
        ephemeral_queue_limit=settings.ephemeral_queue_limit,
        queue_limit=_QUEUE_LIMIT,
        spare_workers=settings.spare_workers,
        boots_at_once=_BOOTS_PER_CORE * cores(),
    )
