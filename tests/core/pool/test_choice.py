"""Which worker gets the next request."""

from buntime.core.pool.choice import choose
from tests.core.pool.stage import Stage


def middle() -> float:
    return 0.5


def test_an_idle_worker_is_chosen_first() -> None:
    """Of the idle workers, the one that was busy last is chosen, so that the others may end."""
    stage = Stage()
    app = stage.app(workers=3)
    first, second, third = stage.boot(app, 3, capacity=8)
    for worker in (third, first):
        stage.finish(worker)
    chosen = choose(app, middle)
    assert chosen is stage.worker(first)
    stage.pool.reported_busy(second, 0.0, stage.now)
    assert choose(app, middle) is stage.worker(first)


def test_the_number_in_hand_decides_between_the_equally_busy() -> None:
    """Between equally busy workers, the one with fewer requests is chosen."""
    stage = Stage()
    app = stage.app(workers=2)
    first, second = stage.boot(app, 2, capacity=8)
    stage.give(first, 2)
    for worker, share in ((first, 0.8), (second, 1.0)):
        stage.pool.reported_busy(worker, share, stage.now)
    assert choose(app, middle) is stage.worker(second)


def test_the_less_busy_is_chosen_however_much_it_has_in_hand() -> None:
    """The less busy worker is chosen, however many of its requests wait for a database."""
    stage = Stage()
    app = stage.app(workers=2)
    waits, computes = stage.boot(app, 2, capacity=100)
    stage.give(waits, 50)
    stage.pool.reported_busy(waits, 0.1, stage.now)
    stage.pool.reported_busy(computes, 1.0, stage.now)
    assert choose(app, middle) is stage.worker(waits)


def test_of_many_workers_two_are_compared() -> None:
    """Of many workers two different ones are drawn at random, and the better one is chosen."""
    stage = Stage()
    app = stage.app(workers=10)
    workers = stage.boot(app, 10, capacity=8)
    for worker in workers[:-1]:
        stage.give(worker, 1)
    numbers = [each / 10 for each in range(10)]
    chosen = {choose(app, iter([one, other]).__next__) for one in numbers for other in numbers}
    assert {worker.id for worker in chosen if worker is not None} == set(workers)


def test_nobody_is_chosen_where_all_are_full() -> None:
    """If all workers are full, none is chosen and the request waits."""
    stage = Stage()
    app = stage.app(workers=2)
    stage.boot(app, 2)
    assert choose(app, middle) is None
