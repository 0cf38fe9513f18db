"""Which worker of an app gets the next request."""

from collections.abc import Callable

from buntime.core.pool.workforce import AppState, WorkerState

FEW = 4  # so many workers are all looked at; of more, two by chance: nearly as good, and O(1)


def choose(app: AppState, chance: Callable[[], float]) -> WorkerState | None:
    """An idle worker, else one with few requests; None where none can take one.

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
        second = (
            first - 1 - int(chance() * (count - 1))
        )  # another one: negative counts from the end
        workers = [workers[first], workers[second]]
    return min(workers, key=_in_hand)


def _in_hand(worker: WorkerState) -> int:
    return worker.in_hand
