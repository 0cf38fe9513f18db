"""Which worker of an app gets the next request."""

from collections.abc import Callable
from functools import reduce

from buntime.core.pool.workforce import AppState, WorkerState

FEW = 4  # so many workers are all looked at; of more, two by chance: nearly as good, and O(1)
# Two busy shares that differ by less say the same, as they are a tenth of a second old; then the
# number of requests in hand tells more, and it is new.
UNLIKE = 0.3


def choose(app: AppState, chance: Callable[[], float]) -> WorkerState | None:
    """An idle worker, else one that is less busy than others; None where none can take a request.

    Of the idle ones the one that was busy last: others may then be idle for long enough to end.
    `chance()` gives a number from 0 to 1, 1 excluded.
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
    """The one to give a request: the less busy, where they differ in that, else by what they have.

    Among workers that compute, the number in hand is the queue in which the request would stand.
    One that computes and one whose many requests wait for a database differ in their busy share.
    """
    difference = one.busy_share - other.busy_share
    if abs(difference) >= UNLIKE:
        return one if difference < 0 else other
    return one if one.in_hand <= other.in_hand else other
