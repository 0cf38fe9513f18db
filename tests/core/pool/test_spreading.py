"""How many workers of an app are started and used: examples, and laws over simulated loads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.pool.decisions import Adopt, Decision
from buntime.core.pool.lifecycle import State
from buntime.core.pool.workforce import AppState
from tests.core.pool.simulation import Simulation
from tests.core.pool.stage import Stage


def adopted(decisions: list[Decision]) -> list[int]:
    return [each.worker for each in decisions if isinstance(each, Adopt)]


class Busy(Stage):
    """One worker of an app with three requests, which may have more workers."""

    def __init__(self, *, pool_size: int = 100, **changes: float) -> None:
        super().__init__(pool_size)
        self.a: AppState = self.app(**{"workers": 4, **changes})
        (self.first,) = self.boot(self.a, 1, capacity=100)
        self.give(self.first, 2)

    def tell(self, *shares: float, worker: int | None = None) -> list[int]:
        """The worker reports each eighth of a second; returns the workers that are started."""
        started = []
        for share in shares:
            self.now += 0.125  # exact in binary
            number = self.first if worker is None else worker
            started += adopted(self.pool.reported_busy(number, share, self.now))
        return started

    def load(self, worker: int) -> None:
        self.pool.loaded(worker, 100, self.now)


def test_a_worker_that_is_busy_for_long_enough_gets_another_beside_it() -> None:
    """Another worker starts if the first is above 70 % for 200 ms with more than one request."""
    stage = Busy()
    assert stage.tell(0.9, 0.9) == []
    assert len(stage.tell(0.9)) == 1


def test_a_busy_moment_starts_nobody() -> None:
    """A moment below 70 % restarts the count."""
    stage = Busy()
    assert stage.tell(0.9, 0.9, 0.5, 0.9, 0.9) == []


def test_one_request_after_the_other_starts_nobody() -> None:
    """A single client that keeps a worker busy would not be faster with two."""
    stage = Busy()
    stage.finish(stage.first)
    stage.finish(stage.first)
    assert stage.tell(*[1.0] * 20) == []


def test_a_worker_that_waits_starts_nobody() -> None:
    """A worker that only waits starts no other, however many requests it has."""
    stage = Busy()
    stage.give(stage.first, 90)
    assert stage.tell(*[0.3] * 20) == []


def test_nobody_is_started_while_another_one_loads() -> None:
    """While another one loads none starts, since it is unknown what that one will take over."""
    stage = Busy()
    (second,) = stage.tell(0.9, 0.9, 0.9)
    assert stage.tell(*[0.9] * 20) == []
    stage.load(second)
    assert stage.tell(*[0.9] * 20) == []  # it has no requests


def test_the_number_of_workers_doubles() -> None:
    """If two are busy, two more start, so that a burst does not wait for one after the other."""
    stage = Busy()
    (second,) = stage.tell(0.9, 0.9, 0.9)
    stage.load(second)
    stage.give(second, 3)
    stage.tell(0.9, worker=second)
    assert len(stage.tell(0.9, 0.9, 0.9)) == 2


def test_never_more_than_workers() -> None:
    """`workers` limits how many are started because others are busy."""
    stage = Busy(workers=2)
    (second,) = stage.tell(0.9, 0.9, 0.9)
    stage.load(second)
    stage.give(second, 3)
    stage.tell(0.9, worker=second)
    assert stage.tell(*[0.9] * 20) == []


def test_an_app_of_one_worker_is_not_judged() -> None:
    """With `workers: 1` a worker's reports change nothing."""
    stage = Busy(workers=1)
    assert stage.tell(*[1.0] * 20) == []
    assert stage.worker(stage.first).busy_share == 0.0


def test_a_worker_that_does_not_tell_is_busy() -> None:
    """A worker that has requests and is silent counts as busy: it computes and blocks all else."""
    stage = Busy()
    started = [each for now in (0.5, 1.0) for each in adopted(stage.pool.tick(now))]
    assert len(started) == 1


def test_a_worker_with_nothing_but_open_websockets_is_not_busy() -> None:
    """WebSockets may be silent for as long as they like, so they do not count as busy."""
    stage = Busy()
    for _ in range(3):
        stage.pool.opened(stage.first, stage.now)
    started = [each for now in (0.5, 1.0, 1.5) for each in adopted(stage.pool.tick(now))]
    assert started == []


def test_boots_that_nobody_waits_for_are_few_at_a_time() -> None:
    """These include additional workers of busy apps."""
    stage = Busy()
    stage.pool.limits = stage.pool.limits._replace(boots_at_once=0)
    assert stage.tell(*[0.9] * 20) == []


def test_a_full_pool_ends_an_idle_worker_first() -> None:
    """A busy app gets the room of an idle worker at its next report."""
    stage = Busy(pool_size=2)
    stage.idle_app("idle")
    (idle,) = (w for w in stage.pool.workers.values() if w.state is State.IDLE)
    assert stage.tell(*[0.9] * 4) == []
    assert idle.state is State.ENDING
    stage.pool.died(idle.id, stage.now)
    assert len(stage.tell(0.9)) == 1


def test_a_full_pool_of_busy_workers_stays_as_it_is() -> None:
    """An app with a worker does not take another app's busy worker."""
    stage = Busy(pool_size=2)
    (other,) = stage.boot(stage.app("other"), 1)
    assert stage.tell(*[0.9] * 20) == []
    assert stage.worker(other).state is State.BUSY


def test_a_failed_boot_is_not_repeated_at_once() -> None:
    """The next try waits for its back-off."""
    stage = Busy()
    (second,) = stage.tell(0.9, 0.9, 0.9)
    stage.pool.died(second, stage.now)
    assert stage.tell(*[0.9] * 7) == []
    assert len(stage.tell(0.9, 0.9)) == 1


def two_workers() -> tuple[Busy, int]:
    stage = Busy(idle_timeout_s=20.0)
    (second,) = stage.tell(0.9, 0.9, 0.9)
    stage.load(second)
    return stage, second


def test_a_worker_that_is_not_needed_rests() -> None:
    """If one worker could do the work of two, the one with fewer requests gets nothing new."""
    stage, second = two_workers()
    stage.tell(0.2)
    stage.pool.tick(stage.now)
    assert stage.worker(second).is_resting
    decisions = stage.pool.submit(stage.a, "r", stage.now)
    assert [each.worker for each in decisions] == [stage.first]  # type: ignore[union-attr]


def test_a_worker_that_rests_ends_after_its_idle_timeout() -> None:
    """It ends even though the app has requests all the time."""
    stage, second = two_workers()
    for _ in range(50):
        stage.tell(0.2, 0.2, 0.2, 0.2, 0.2)
        stage.pool.tick(stage.now)
        stage.pool.submit(stage.a, "r", stage.now)
    assert stage.worker(second).state is State.ENDING


def test_a_worker_that_rests_is_used_before_a_request_waits() -> None:
    """If the others are full, a resting worker is used before a request waits."""
    stage, second = two_workers()
    stage.tell(0.2)
    stage.pool.tick(stage.now)
    stage.give(stage.first, 97)
    decisions = stage.pool.submit(stage.a, "r", stage.now)
    assert [each.worker for each in decisions] == [second]  # type: ignore[union-attr]


def test_a_worker_that_rests_is_used_before_another_one_is_started() -> None:
    """If the others are busy, a resting worker is used before another one starts."""
    stage, second = two_workers()
    stage.tell(0.2)
    stage.pool.tick(stage.now)
    assert stage.tell(0.9, 0.9, 0.9) == []
    assert not stage.worker(second).is_resting


@pytest.mark.parametrize("capacity", [8, 100])
def test_an_app_that_computes_uses_all_its_workers(capacity: int) -> None:
    """With 64 clients and four milliseconds of CPU per request, twelve workers do the work of
    twelve, and no request takes much longer than others."""
    load = Simulation(workers=12, capacity=capacity)
    load.closed(64, compute_s=0.004, wait_s=0)
    load.run(3)
    served = load.served
    load.latencies.clear()
    load.run(1)
    assert load.workers == 12
    assert load.served - served >= 0.98 * 3000
    latencies = sorted(load.latencies)
    assert latencies[len(latencies) * 99 // 100] <= 2 * latencies[len(latencies) // 2]


@pytest.mark.parametrize("capacity", [8, 100])
def test_an_app_that_waits_keeps_one_worker(capacity: int) -> None:
    """With 0.1 ms of CPU and 20 ms of waiting per request, one worker is enough."""
    load = Simulation(workers=12, capacity=capacity)
    load.closed(min(50, capacity), compute_s=0.0001, wait_s=0.02)
    load.run(5)
    assert load.most_workers == 1


@given(
    workers=st.integers(1, 6),
    capacity=st.sampled_from([1, 3, 8, 100]),
    clients=st.integers(1, 30),
    compute_ms=st.sampled_from([1.0, 20.0, 300.0]),
    wait_ms=st.sampled_from([0.0, 1.0, 50.0, 2000.0]),
    tells=st.booleans(),
    seed=st.integers(0, 3),
)
def test_laws_of_spreading(
    *,
    workers: int,
    capacity: int,
    clients: int,
    compute_ms: float,
    wait_ms: float,
    tells: bool,
    seed: int,
) -> None:
    """Under any load there are never more workers than `workers`, and none is idle while a
    request of its app has waited for 200 ms. With little load all but one end again, and finally
    that one too."""
    load = Simulation(workers=workers, capacity=capacity, seed=seed, tells=tells, idle_s=3.0)
    load.closed(clients, compute_ms / 1000, wait_ms / 1000)
    load.run(3)
    load.closed(1, compute_s=0.0, wait_s=0.01)
    load.run(3.0 + clients * (compute_ms + wait_ms) / 1000 + workers * 0.5 + 4)
    assert load.most_workers <= workers
    assert load.longest_wait_s <= 0.2
    assert load.workers <= 1
    load.stop()
    load.run(3.0 + 2)
    assert load.workers == 0
