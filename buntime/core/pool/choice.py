"""Chooses which worker of an app gets the next request."""

from collections.abc import Callable
from functools import reduce

from buntime.core.pool.workforce import AppState, WorkerState

FEW = 4  # up to this many are all compared; of more, two at random: nearly as good, and O(1)
# Busy shares that differ by less count as equal, because they are a tenth of a second old; then the
# number of requests in hand says more, and it is current.
UNLIKE = 0.3


def choose(app: AppState, chance: Callable[[], float]) -> WorkerState | None:
    """An idle worker, or else one that is less busy than others; None where none can take a
    request.

    Of the idle ones it is the one that was busy last, so that others may be idle long enough to
    end. `chance()` returns a number from 0 to 1, excluding 1.
    """
    workers = app.open
    count = len(workers)
    if count < 2:
        return workers[0] if count else None
    if app.idle:
        return next(reversed(app.idle))
    if count > FEW:
        first = int(chance() * count)
        second = (first + 1 + int(chance() * (count - 1))) % count  # another one
        return _less_busy(workers[first], workers[second])
    return reduce(_less_busy, workers)


def _less_busy(one: WorkerState, other: WorkerState) -> WorkerState:
    """The better one for a request: the less busy, or if they are equal, the one with fewer
    requests.

    For workers that compute, the number in hand is the queue in which the request would wait. A
    worker that computes and one whose many requests wait for a database differ in their busy share.
    """
    difference = one.busy_share - other.busy_share
    if abs(difference) >= UNLIKE:
        return one if difference < 0 else other
    return one if one.in_hand <= other.in_hand else other
