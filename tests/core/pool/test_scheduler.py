"""The scheduler: examples, and its invariants over random sequences of events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from buntime.core.pool.decisions import Adopt, Assign, Decision, End, Fail, GiveBack, Refuse, Spawn
from buntime.core.pool.lifecycle import State
from buntime.core.pool.scheduler import Scheduler
from buntime.core.pool.workforce import HAS_LEFT, AppState, Policy, PoolLimits, WorkerState
from tests.core.pool.recount import check_census


def limits(**changes: int) -> PoolLimits:
    values = {
        "pool_size": 10,
        "ephemeral_concurrency": 2,
        "ephemeral_queue_limit": 3,
        "queue_limit": 4,
        "spare_workers": 1,
        "boots_at_once": 10,
    }
    return PoolLimits(**{**values, **changes})


def policy(**changes: float) -> Policy:
    values = {
        "spare_key": "python",
        "ttl_s": 100.0,
        "idle_timeout_s": 50.0,
        "max_requests": 1000,
        "workers": 1,
        "prewarm": 0,
        "timeout_s": 30.0,
    }
    return Policy(**{**values, **changes})  # type: ignore[arg-type]  # kinds as in the dict above


def scheduler(**changes: int) -> Scheduler:
    return Scheduler(limits(**changes), jitter=lambda: 0.5)


def kinds(decisions: Iterable[Decision]) -> list[str]:
    return [type(decision).__name__ for decision in decisions]


def worker_of(decisions: Iterable[Decision]) -> int:
    return next(d.worker for d in decisions if isinstance(d, Adopt))


def booted(pool: Scheduler, app: AppState, capacity: int = 1, now: float = 0.0) -> int:
    """A loaded, idle worker of the app."""
    decisions = pool.submit(app, "first", now)
    worker = worker_of(decisions)
    assert kinds(pool.loaded(worker, capacity, now)) == ["Assign"]
    pool.finished(worker, now)
    return worker


def test_the_first_request_starts_a_worker_and_waits_for_it() -> None:
    """A persistent app's request is assigned when its worker has loaded."""
    pool, app = scheduler(), AppState("a", policy())
    decisions = pool.submit(app, "r1", 0)
    assert kinds(decisions) == ["Spawn", "Adopt"]
    assert pool.loaded(worker_of(decisions), 1, 1) == [Assign(worker_of(decisions), "r1")]


def test_a_spare_is_adopted_before_a_process_is_started() -> None:
    """A spare with the right key saves the start of a process."""
    pool, app = scheduler(), AppState("a", policy())
    assert kinds(pool.keep_spares("python", 0)) == ["Spawn"]
    assert kinds(pool.submit(app, "r1", 0)) == ["Adopt"]


def test_a_spare_of_another_key_is_not_adopted() -> None:
    """An app never runs on another interpreter than its own."""
    pool, app = scheduler(), AppState("a", policy(spare_key="other"))
    pool.keep_spares("python", 0)
    assert kinds(pool.submit(app, "r1", 0)) == ["Spawn", "Adopt"]


def test_a_loaded_worker_is_used_again() -> None:
    """A request for an idle worker is assigned at once."""
    pool, app = scheduler(), AppState("a", policy())
    worker = booted(pool, app)
    assert pool.submit(app, "r2", 1) == [Assign(worker, "r2")]


def test_requests_beyond_the_capacity_wait_in_order() -> None:
    """Requests beyond the capacity are assigned in the order of their arrival."""
    pool, app = scheduler(), AppState("a", policy())
    worker = booted(pool, app)
    pool.submit(app, "r2", 1)
    assert pool.submit(app, "r3", 1) == []
    assert pool.submit(app, "r4", 1) == []
    assert pool.finished(worker, 2) == [Assign(worker, "r3")]
    assert pool.finished(worker, 2) == [Assign(worker, "r4")]


def test_what_is_open_ended_takes_no_place() -> None:
    """An open WebSocket takes no place of the next request, and its end frees none."""
    pool, app = scheduler(), AppState("a", policy())
    worker = booted(pool, app)
    pool.submit(app, "socket 1", 1)
    pool.submit(app, "socket 2", 1)
    assert pool.opened(worker, 2) == [Assign(worker, "socket 2")]
    assert pool.opened(worker, 2) == []
    assert pool.submit(app, "r1", 3) == [Assign(worker, "r1")]
    assert pool.submit(app, "r2", 3) == []
    assert pool.finished(worker, 4, was_open_ended=True) == []
    assert pool.finished(worker, 4) == [Assign(worker, "r2")]


def test_what_is_open_ended_is_in_hand() -> None:
    """A worker with an open WebSocket is not idle, and is not ended before the WebSocket is."""
    pool, app = scheduler(), AppState("a", policy(idle_timeout_s=5))
    worker = booted(pool, app)
    pool.submit(app, "socket", 1)
    pool.opened(worker, 1)
    assert pool.tick(100) == []
    assert pool.drop_app(app, 100, is_replaced=True) == []
    assert pool.finished(worker, 200, was_open_ended=True) == [End(worker)]


def test_the_least_loaded_worker_is_chosen() -> None:
    """With several workers, a request goes to the one with the fewest in hand."""
    pool, app = scheduler(), AppState("a", policy(workers=2))
    first = booted(pool, app, capacity=2)
    pool.submit(app, "r1", 0)
    pool.submit(app, "r2", 0)
    second = worker_of(pool.submit(app, "r3", 0))
    assert pool.loaded(second, 2, 1) == [Assign(second, "r3")]
    pool.finished(first, 1)
    pool.finished(first, 1)
    assert pool.submit(app, "r4", 1) == [Assign(first, "r4")]


def test_a_full_queue_refuses_the_newest() -> None:
    """Beyond the queue's limit a request is refused; those before it keep their place."""
    pool, app = scheduler(), AppState("a", policy())
    for number in range(4):
        pool.submit(app, number, 0)
    assert kinds(refused := pool.submit(app, 4, 0)) == ["Refuse"]
    assert refused == [Refuse(4, 0.0)]  # the speed of the queue is not known yet
    assert list(app.queue) == [0, 1, 2, 3]


def test_an_ephemeral_request_gets_a_worker_of_its_own() -> None:
    """With ttl 0 a request is assigned without waiting, and its worker ends with it."""
    pool, app = scheduler(), AppState("a", policy(ttl_s=0.0))
    decisions = pool.submit(app, "r1", 0)
    assert kinds(decisions) == ["Spawn", "Adopt", "Assign"]
    worker = worker_of(decisions)
    pool.loaded(worker, 1, 0)
    assert pool.finished(worker, 1) == [End(worker)]


def test_ephemeral_slots_are_bounded_and_passed_on() -> None:
    """A limited number run at once; the next starts when one has ended."""
    pool, app = scheduler(), AppState("a", policy(ttl_s=0.0))
    first = worker_of(pool.submit(app, "r1", 0))
    pool.submit(app, "r2", 0)
    assert pool.submit(app, "r3", 0) == []
    assert kinds(pool.finished(first, 1)) == ["End", "Spawn", "Adopt", "Assign"]


def test_ephemeral_slots_are_shared_between_apps() -> None:
    """A flood of one app does not make another wait for all of it."""
    pool = scheduler(ephemeral_concurrency=1)
    loud, quiet = AppState("loud", policy(ttl_s=0.0)), AppState("quiet", policy(ttl_s=0.0))
    first = worker_of(pool.submit(loud, "l1", 0))
    pool.submit(loud, "l2", 0)
    pool.submit(loud, "l3", 0)
    pool.submit(quiet, "q1", 0)
    second = pool.finished(first, 1)
    assert [d.ticket for d in second if isinstance(d, Assign)] == ["l2"]
    third = pool.finished(worker_of(second), 2)
    assert [d.ticket for d in third if isinstance(d, Assign)] == ["q1"]


def test_who_waits_for_a_client_lends_its_slot() -> None:
    """Another request takes the lent slot; when it is taken back, one slot too many is in use."""
    pool, app = scheduler(ephemeral_concurrency=1), AppState("a", policy(ttl_s=0.0))
    first = worker_of(pool.submit(app, "r1", 0))
    assert pool.submit(app, "r2", 0) == []
    second = worker_of(decisions := pool.stalled(first, 1))
    assert kinds(decisions) == ["Spawn", "Adopt", "Assign"]
    assert pool.slots_taken == 2
    pool.goes_on(first)
    assert pool.submit(app, "r3", 1) == []
    assert kinds(pool.finished(first, 2)) == ["End"]
    assert kinds(pool.finished(second, 3)) == ["End", "Spawn", "Adopt", "Assign"]


def test_crowded_are_the_apps_whose_workers_have_no_place() -> None:
    """An app is crowded while its requests wait, but not an ephemeral one, which has slots."""
    pool, app = scheduler(ephemeral_concurrency=1), AppState("a", policy())
    first = worker_of(pool.submit(app, "r1", 0))
    pool.up(first)
    pool.loaded(first, 1, 0)
    assert list(pool.crowded()) == []
    pool.submit(app, "r2", 0)
    once = AppState("b", policy(ttl_s=0.0))
    pool.submit(once, "r3", 0)
    pool.submit(once, "r4", 0)
    assert list(pool.crowded()) == [app]
    pool.finished(first, 1)
    assert list(pool.crowded()) == []


def test_few_slots_are_lent() -> None:
    """Only a quarter of the pool's size can be lent, since each slot is a process."""
    pool = scheduler(pool_size=8, ephemeral_concurrency=2)
    app = AppState("a", policy(ttl_s=0.0))
    for number in range(4):
        pool.stalled(worker_of(pool.submit(app, number, 0)), 0)
    assert pool.submit(app, "r", 0) == []


def test_who_waits_because_of_slow_clients() -> None:
    """Those beyond the lent slots, and no more than there are requests that wait."""
    pool = scheduler(pool_size=8, ephemeral_concurrency=2)
    app = AppState("a", policy(ttl_s=0.0))
    workers = []
    for number in range(4):
        workers.append(worker_of(pool.submit(app, number, 0)))
        pool.stalled(workers[-1], 0)
    assert pool.held_up(9.0) == (0, 0.0)
    pool.submit(app, "r1", 0)
    assert pool.held_up(0).requests == 1
    pool.submit(AppState("b", policy(ttl_s=0.0)), "r2", 3)
    pool.submit(app, "r3", 5)
    assert pool.held_up(0).requests == 2
    pool.goes_on(workers[0])
    assert pool.held_up(0).requests == 1
    assert pool.held_up(7.0).waited_s == 7.0
    pool.withdraw(app, "r1")
    assert pool.held_up(7.0) == (1, 4.0)


def test_slots_that_apps_take_are_not_reclaimed() -> None:
    """Nobody who waits for them waits for a client."""
    pool = scheduler(pool_size=8, ephemeral_concurrency=2)
    app = AppState("a", policy(ttl_s=0.0))
    pool.submit(app, "r1", 0)
    pool.submit(app, "r2", 0)
    pool.submit(app, "r3", 0)
    assert pool.held_up(0).requests == 0


def test_who_waits_for_a_worker() -> None:
    """All that wait for a slot, or the apps that wait for room, with the time of the first."""
    pool = scheduler(pool_size=3, ephemeral_concurrency=2)
    once = AppState("a", policy(ttl_s=0.0))
    pool.submit(once, 1, 0)
    pool.submit(once, 2, 0)
    assert pool.waiting(5.0) == (0, 0.0)
    pool.submit(once, "r1", 2)
    pool.submit(once, "r2", 3)
    assert pool.waiting(5.0) == (2, 3.0)
    pool.submit(AppState("b", policy()), "r3", 3)
    pool.submit(AppState("c", policy()), "r4", 4)
    assert pool.waiting(5.0) == (2, 3.0)
    pool.withdraw(once, "r1")
    assert pool.waiting(5.0) == (1, 2.0)


def test_room_that_slow_clients_take_is_reclaimed() -> None:
    """Where the pool is smaller than the slots and what is lent of them."""
    pool = scheduler(pool_size=2, ephemeral_concurrency=4)
    app = AppState("a", policy(ttl_s=0.0))
    first = worker_of(pool.submit(app, "r1", 0))
    pool.submit(app, "r2", 0)
    pool.submit(AppState("b", policy()), "r3", 0)
    assert pool.held_up(0).requests == 0
    pool.stalled(first, 0)
    assert pool.held_up(0).requests == 1
    assert kinds(pool.finished(first, 1)) == ["End"]
    assert pool.held_up(0).requests == 0


def test_a_full_pool_ends_the_worker_that_was_idle_longest() -> None:
    """The least recently used idle worker makes room, which is used when it has gone."""
    pool = scheduler(pool_size=2)
    old, new, third = (AppState(name, policy()) for name in "abc")
    worker_old = booted(pool, old, now=1)
    booted(pool, new, now=2)
    assert pool.submit(third, "r", 3) == [End(worker_old)]
    decisions, _ = pool.died(worker_old, 4)
    assert kinds(decisions) == ["Spawn", "Adopt"]
    assert pool.evictions == 1


def test_a_worker_at_its_last_request_is_replaced_first() -> None:
    """maxRequests: the old worker serves until the new one has loaded."""
    pool, app = scheduler(), AppState("a", policy(max_requests=2))
    old = booted(pool, app)
    pool.submit(app, "r2", 1)
    new = worker_of(pool.finished(old, 1))
    assert pool.submit(app, "r3", 1) == [Assign(old, "r3")]
    pool.finished(old, 1)
    assert pool.loaded(new, 1, 2) == [End(old)]
    assert pool.submit(app, "r4", 2) == [Assign(new, "r4")]


def test_a_replacement_that_does_not_load_leaves_the_old_worker_serving() -> None:
    """A broken deploy does not affect an app that already serves."""
    pool, app = scheduler(), AppState("a", policy(max_requests=2))
    old = booted(pool, app)
    pool.submit(app, "r2", 1)
    new = worker_of(pool.finished(old, 1))
    _, failed_to_load = pool.died(new, 2)
    assert failed_to_load
    assert pool.submit(app, "r3", 2) == [Assign(old, "r3")]
    assert kinds(pool.finished(old, 2)) == []  # it backs off
    assert kinds(pool.tick(3.5)) == ["Spawn", "Adopt"]


def test_one_replacement_that_fails_keeps_one_old_worker() -> None:
    """If one of two replacements fails, one old worker stays: there is never one too many."""
    pool, app = scheduler(), AppState("a", policy(workers=2))
    old = [booted(pool, app)]
    pool.submit(app, "r1", 1)
    old.append(worker_of(pool.submit(app, "r2", 1)))
    pool.loaded(old[1], 1, 1)
    new = [worker_of(pool.recycle(worker, 2)) for worker in old]
    pool.died(new[0], 3)
    pool.loaded(new[1], 1, 4)
    serving = [w for w in pool.workers.values() if w.state not in HAS_LEFT and not w.is_leaving]
    assert len(serving) == 2


def test_an_old_worker_without_traffic_ends() -> None:
    """ttl: an app without recent requests gets no replacement for its worker."""
    pool, app = scheduler(), AppState("a", policy(idle_timeout_s=50.0))
    pool.add_app(app, 0)
    worker = booted(pool, app)
    pool.submit(app, "r", 40)
    assert End(worker) not in pool.tick(101)  # it is busy
    pool.finished(worker, 101)
    assert pool.workers[worker].state is State.ENDING


def test_an_idle_worker_ends_after_its_time() -> None:
    """idleTimeout: IDLE, then the end."""
    pool, app = scheduler(), AppState("a", policy())
    worker = booted(pool, app)
    assert pool.tick(49) == []
    assert pool.tick(50) == [End(worker, was_idle=True)]


def test_prewarmed_workers_are_kept() -> None:
    """prewarm: ready before the first request, also with ttl 0, and kept however long idle."""
    pool, app = scheduler(), AppState("a", policy(ttl_s=0.0, prewarm=1))
    decisions = pool.add_app(app, 0)
    worker = worker_of(decisions)
    assert pool.loaded(worker, 1, 1) == []
    assert pool.tick(1000) == []
    assert pool.submit(app, "r", 1000) == [Assign(worker, "r")]
    # The next one, and a spare: interpreters with its key are now in use.
    assert kinds(pool.refill(1000)) == ["Spawn", "Adopt", "Spawn"]
    assert pool.refill(1000) == []


def test_what_waits_for_a_broken_app_fails() -> None:
    """A failed boot fails the requests that wait for it."""
    pool, app = scheduler(), AppState("a", policy())
    worker = worker_of(pool.submit(app, "r1", 0))
    pool.submit(app, "r2", 0)
    decisions, failed_to_load = pool.died(worker, 1)
    assert failed_to_load
    assert decisions == [Fail("r1"), Fail("r2")]


def test_a_crash_loop_is_refused_between_its_tries() -> None:
    """After five failed boots in a row requests get 503 at once, with one try per back-off."""
    pool, app = scheduler(), AppState("a", policy())
    for number in range(5):
        pool.died(worker_of(pool.submit(app, number, 0)), 0)
    assert pool.submit(app, "r", 6) == [Refuse("r", 10.0)]
    assert kinds(pool.submit(app, "r", 16)) == ["Spawn", "Adopt"]


def test_an_app_that_fails_for_days_is_tried_each_minute() -> None:
    """However often it has failed in a row."""
    pool, app, now = scheduler(), AppState("a", policy()), 0.0
    for number in range(1, 3001):
        pool.died(worker_of(pool.submit(app, number, now)), now)
        assert app.boot_failures == number
        assert app.retry_at_s - now == min(2.0 ** min(number - 1, 10), 60.0)
        now = app.retry_at_s


def test_who_waits_behind_a_stuck_worker_gets_another() -> None:
    """A worker that is given up is replaced at once for waiting requests, not at the next tick."""
    pool, app = scheduler(), AppState("a", policy())
    worker = booted(pool, app)
    pool.submit(app, "stuck", 1)
    pool.submit(app, "waits", 1)
    decisions = pool.give_up(worker, 2)
    assert kinds(decisions) == ["Spawn", "Adopt"]
    assert pool.workers[worker].state is State.RETIRING
    assert pool.loaded(worker_of(decisions), 1, 3) == [Assign(worker_of(decisions), "waits")]


def test_a_dropped_app_finishes_what_it_has() -> None:
    """A changed app's old worker ends after its last request, and gets no new ones."""
    pool, app = scheduler(), AppState("a", policy())
    worker = booted(pool, app)
    pool.submit(app, "r1", 1)
    assert pool.drop_app(app, 1, is_replaced=True) == []
    assert pool.finished(worker, 2) == [End(worker)]


def test_a_full_worker_goes_on_with_the_queue() -> None:
    """When one of its requests ends, the oldest waiting one takes its place, up to maxRequests."""
    pool, app = scheduler(), AppState("a", policy(max_requests=5))
    worker = booted(pool, app, capacity=2)  # this was its first request
    record = pool.workers[worker]
    for ticket in ("r1", "r2", "r3", "r4", "r5"):
        pool.submit(app, ticket, 1)
    assert pool.finished(worker, 2) == [Assign(worker, "r3")]
    assert pool.finished(worker, 2) == [Assign(worker, "r4")]
    assert (record.state, record.in_hand, record.served) == (State.BUSY, 2, 3)
    assert pool.finished(worker, 2) == [Assign(worker, "r5")]
    assert not app.queue
    assert Assign not in {type(each) for each in pool.finished(worker, 2)}
    assert (record.in_hand, record.served) == (1, 5)


def test_a_withdrawn_request_is_not_assigned() -> None:
    """A request whose client has left is not assigned."""
    pool, app = scheduler(), AppState("a", policy())
    worker = booted(pool, app)
    pool.submit(app, "r1", 1)
    pool.submit(app, "r2", 1)
    assert pool.withdraw(app, "r2")
    assert not pool.withdraw(app, "r2")
    assert pool.finished(worker, 2) == []


def assigned(decisions: Iterable[Decision]) -> list[object]:
    return [decision.ticket for decision in decisions if isinstance(decision, Assign)]


def test_an_overloaded_queue_serves_the_newest_first() -> None:
    """Once the oldest has used half of its time, the newest goes first: it can still be in time."""
    pool, app = scheduler(), AppState("a", policy(timeout_s=10.0))
    worker = booted(pool, app)
    pool.submit(app, "served", 0)
    for second, name in enumerate(["old", "middle", "new"]):
        pool.submit(app, name, second)
    assert assigned(pool.finished(worker, 5)) == ["old"]  # not overloaded yet
    assert assigned(pool.finished(worker, 6.5)) == ["new"]
    assert assigned(pool.finished(worker, 6.5)) == ["middle"]


def test_a_full_queue_refuses_who_may_have_left() -> None:
    """A full queue first refuses a request whose client may have left. If the app cannot be
    loaded, such requests fail like the others."""
    pool, app = scheduler(queue_limit=2), AppState("a", policy(timeout_s=10.0))
    worker = booted(pool, app)
    for name in ("served", "doubtful", "sure"):
        pool.submit(app, name, 0)
    pool.put_last(app, "doubtful")
    decisions = pool.submit(app, "newest", 1)
    assert [d.ticket for d in decisions if isinstance(d, Refuse)] == ["doubtful"]
    pool.put_last(app, "sure")
    assert pool.withdraw(app, "sure")
    assert not pool.withdraw(app, "sure")
    assert assigned(pool.finished(worker, 2)) == ["newest"]


def test_a_full_overloaded_queue_refuses_the_oldest() -> None:
    """The one that would be late makes room for one that may be in time."""
    pool, app = scheduler(queue_limit=2), AppState("a", policy(timeout_s=10.0))
    booted(pool, app)
    for name in ("served", "old", "new"):
        pool.submit(app, name, 0)
    decisions = pool.submit(app, "newest", 6)
    assert [d.ticket for d in decisions if isinstance(d, Refuse)] == ["old"]
    assert list(app.queue) == ["new", "newest"]


def test_who_is_refused_is_told_how_long_the_queue_is() -> None:
    """Retry-After is computed from the speed of the queue and its length."""
    pool, app = scheduler(), AppState("a", policy())
    worker = booted(pool, app)
    pool.submit(app, "served", 0)
    for name in "abcd":
        pool.submit(app, name, 0)
    pool.finished(worker, 2)
    pool.submit(app, "e", 2)
    assert pool.submit(app, "f", 2) == [Refuse("f", 10.0)]  # five requests, 2 s each
    assert pool.submit(app, "g", 12) == [Refuse("g", 18.0)]  # nothing has moved for 10 s


def test_a_worker_killed_while_it_loads_is_started_again() -> None:
    """A kill from outside is not the app's fault: waiting requests get another worker."""
    pool, app = scheduler(), AppState("a", policy())
    first = worker_of(pool.submit(app, "r", 0))
    decisions, failed_to_load = pool.died(first, 1, was_killed=True)
    assert failed_to_load
    assert kinds(decisions) == ["Spawn", "Adopt"]
    assert pool.loaded(worker_of(decisions), 1, 2) == [Assign(worker_of(decisions), "r")]


def test_a_worker_killed_at_each_boot_fails_in_the_end() -> None:
    """The third boot in a row that is killed (out of memory?) counts as the app's failure."""
    pool, app = scheduler(), AppState("a", policy())
    worker = worker_of(pool.submit(app, "r", 0))
    for _ in range(2):
        worker = worker_of(pool.died(worker, 0, was_killed=True)[0])
    decisions, _ = pool.died(worker, 0, was_killed=True)
    assert decisions == [Fail("r")]
    assert app.retry_at_s == 4.0


def test_a_flooded_app_gives_up_workers_to_one_that_has_none() -> None:
    """In a pool full of one app's busy workers, one of them leaves for another app."""
    pool = scheduler(pool_size=3)
    loud, quiet = AppState("loud", policy(workers=3)), AppState("quiet", policy())
    workers = []
    for name in ("l1", "l2", "l3"):
        worker = worker_of(pool.submit(loud, name, 0))
        pool.loaded(worker, 1, 0)
        workers.append(worker)
    pool.submit(loud, "l4", 0)
    assert pool.submit(quiet, "q", 0) == []
    leaving = [w for w in workers if pool.workers[w].state is State.RETIRING]
    assert len(leaving) == 1
    assert pool.finished(leaving[0], 1) == [End(leaving[0])]
    decisions, _ = pool.died(leaving[0], 2)
    assert pool.workers[worker_of(decisions)].app is quiet


def test_busy_apps_take_turns_in_a_pool_too_small_for_all() -> None:
    """An app without a worker waits a second, then the worker that served longest leaves."""
    pool = scheduler(pool_size=2)
    apps = [AppState(name, policy()) for name in "abc"]
    oldest = worker_of(pool.submit(apps[0], "a", 0))
    pool.loaded(oldest, 1, 0)
    newer = worker_of(pool.submit(apps[1], "b", 1))
    pool.loaded(newer, 1, 1)
    pool.submit(apps[2], "c", 2)
    assert pool.tick(2.5) == []
    assert pool.workers[oldest].state is State.BUSY
    pool.tick(3)
    assert pool.workers[oldest].state is State.RETIRING
    pool.tick(3.5)
    assert pool.workers[newer].state is State.BUSY  # one is enough


def test_a_worker_that_becomes_idle_makes_room() -> None:
    """A request that waits for room does not wait for the next tick."""
    pool = scheduler(pool_size=1)
    first, second = AppState("a", policy()), AppState("b", policy())
    worker = worker_of(pool.submit(first, "r", 0))
    pool.loaded(worker, 1, 0)
    pool.submit(second, "s", 0)
    assert pool.finished(worker, 0.5) == [End(worker)]


def test_boots_that_nobody_waits_for_are_few_at_a_time() -> None:
    """Spares and prewarmed workers start one at a time on a small machine."""
    pool = scheduler(boots_at_once=1, spare_workers=2)
    decisions = pool.keep_spares("python", 0)
    assert kinds(decisions) == ["Spawn"]
    assert pool.tick(1) == []
    pool.up(1)
    assert kinds(pool.refill(2)) == ["Spawn"]
    warm = AppState("warm", policy(prewarm=2))
    assert pool.add_app(warm, 2) == []  # the second spare is still starting
    pool.up(2)
    assert kinds(pool.tick(3)) == ["Adopt"]
    assert kinds(pool.submit(AppState("b", policy()), "r", 3)) == [
        "Adopt"
    ]  # a request waits for this one


def test_the_first_spare_starts_alone() -> None:
    """The first app that is asked for shares the processors with no interpreter that is started."""
    pool = scheduler(boots_at_once=4, spare_workers=3)
    assert kinds(pool.keep_spares("python", 0)) == ["Spawn"]
    assert kinds(pool.refill(0)) == ["Spawn", "Spawn"]
    assert pool.refill(0) == []


def test_spares_are_kept_for_ephemeral_apps_of_other_interpreters() -> None:
    """An app with its own interpreter and ttl 0 gets spares too, while it has requests."""
    pool, app = scheduler(), AppState("a", policy(ttl_s=0.0, spare_key="venv"))
    worker = worker_of(pool.submit(app, "r", 0))
    assert kinds(pool.refill(0)) == ["Spawn"]
    pool.finished(worker, 1)
    assert kinds(pool.submit(app, "s", 100)) == ["Adopt", "Assign"]
    pool.refill(100)
    spare = max(pool.workers)
    assert pool.tick(399) == []
    assert pool.tick(401) == [End(spare)]


def test_a_broken_interpreter_is_not_started_over_and_over() -> None:
    """Spares that die as they start are retried after 1 s, 2 s and so on."""
    pool = scheduler()
    pool.keep_spares("python", 0)
    assert pool.died(1, 0)[0] == []
    assert pool.tick(0.5) == []
    assert kinds(pool.tick(1)) == ["Spawn"]
    assert pool.died(2, 1)[0] == []
    assert pool.tick(2.5) == []
    assert kinds(pool.tick(3)) == ["Spawn"]


def test_a_machine_without_means_counts_against_nobody() -> None:
    """If the machine lacks resources, requests go on waiting, and the next tick tries again."""
    pool = scheduler()
    stays, once = AppState("stays", policy()), AppState("once", policy(ttl_s=0.0))
    first = worker_of(pool.submit(stays, "s", 0))
    second = worker_of(pool.submit(once, "o", 0))
    pool.has_no_means()
    assert pool.submit(once, "o", 0) == []  # the server gives back what it could not assign
    assert pool.never_started(first, 0) == pool.never_started(second, 0) == []
    assert pool.submit(stays, "s2", 0.1) == []
    assert (stays.boot_failures, once.boot_failures) == (0, 0)
    assert kinds(pool.tick(0.5))[:5] == ["Spawn", "Adopt", "Assign", "Spawn", "Adopt"]


def test_a_replacement_that_cannot_be_started_leaves_the_old_worker_serving() -> None:
    """The old worker serves on, and is replaced later."""
    pool, app = scheduler(), AppState("a", policy())
    old = booted(pool, app)
    new = worker_of(pool.recycle(old, 1))
    pool.has_no_means()
    pool.never_started(new, 1)
    assert pool.submit(app, "r", 1) == [Assign(old, "r")]
    assert worker_of(pool.tick(2)) != new


def test_a_plugin_that_cannot_be_started_is_tried_again() -> None:
    """A plugin waits for no room in the pool, only for resources."""
    pool = scheduler(pool_size=1)
    other = AppState("other", policy())
    booted(pool, other)
    plugin = AppState("plugin:p", policy(is_exempt=True))
    worker = worker_of(pool.try_out(plugin, 0))
    pool.has_no_means()
    assert pool.never_started(worker, 0) == []
    assert pool.try_out(plugin, 0) == []
    assert kinds(pool.tick(1))[:2] == ["Spawn", "Adopt"]
    assert len(plugin.workers) == 1


def test_an_app_is_tried_out_without_a_request() -> None:
    """One worker loads the app; if it fails, the next try waits for its back-off."""
    pool, app = scheduler(), AppState("a", policy(ttl_s=0.0))
    decisions = pool.try_out(app, 0)
    assert kinds(decisions) == ["Spawn", "Adopt"]
    assert pool.try_out(app, 0) == []
    pool.died(worker_of(decisions), 0)
    assert pool.try_out(app, 0.5) == []
    decisions = pool.try_out(app, 1)
    pool.loaded(worker_of(decisions), 1, 2)
    assert pool.submit(app, "r", 3)[0] == Assign(worker_of(decisions), "r")


def test_a_boot_counts_once_in_what_a_refused_one_is_told() -> None:
    """The time since the queue began to fill is no measure of its speed."""
    pool, app = scheduler(), AppState("a", policy())
    for number in range(4):
        pool.submit(app, number, 0)
    assert pool.submit(app, "late", 6) == [Refuse("late", 6.0)]


def test_an_app_that_is_tried_gets_its_turn_in_a_busy_pool() -> None:
    """A deploy is tried even if all workers are always busy."""
    pool = scheduler(pool_size=1)
    busy, new = AppState("a", policy()), AppState("b", policy())
    worker = worker_of(pool.submit(busy, "r", 0))
    pool.loaded(worker, 1, 0)
    pool.submit(busy, "s", 0)
    assert pool.try_out(new, 1) == []
    pool.tick(2)
    assert pool.workers[worker].state is State.RETIRING
    pool.finished(worker, 3)
    decisions, _ = pool.died(worker, 4)
    assert pool.workers[worker_of(decisions)].app is new


def test_a_crash_loop_of_an_ephemeral_app_is_refused() -> None:
    """An app that never loads costs one boot per back-off, not one per request."""
    pool, app = scheduler(), AppState("a", policy(ttl_s=0.0))
    for number in range(5):
        pool.died(worker_of(pool.submit(app, number, 0)), 0)
    assert pool.submit(app, "r", 6) == [Refuse("r", 10.0)]
    assert "Assign" in kinds(pool.submit(app, "r", 16))


def test_boots_that_fail_now_and_then_are_no_crash_loop() -> None:
    """Only failures in a row count, also with one worker per request."""
    pool, app = scheduler(), AppState("a", policy(ttl_s=0.0))
    for number in range(10):
        worker = worker_of(pool.submit(app, number, 0))
        if number % 2:
            pool.loaded(worker, 1, 0)
        pool.died(worker, 0)
    assert app.boot_failures == 0


def test_a_recycled_worker_serves_until_its_successor_has_loaded() -> None:
    """Recycling by an operator loses no request: the replacement starts first."""
    pool, app = scheduler(), AppState("a", policy())
    old = booted(pool, app)
    new = worker_of(pool.recycle(old, 1))
    assert pool.submit(app, "r", 1) == [Assign(old, "r")]
    assert pool.loaded(new, 1, 2) == []
    assert pool.finished(old, 3) == [End(old)]
    assert pool.submit(app, "r2", 3) == [Assign(new, "r2")]


def test_recycling_waits_for_its_turn() -> None:
    """If no boot may begin yet, the tick recycles as soon as one may."""
    pool, app = scheduler(spare_workers=0, boots_at_once=1), AppState("a", policy(workers=2))
    other = AppState("b", policy())
    old = booted(pool, app)
    booting = worker_of(pool.submit(other, "r", 1))
    assert pool.recycle(old, 1) == []
    assert "Adopt" not in kinds(pool.tick(1))
    pool.loaded(booting, 1, 2)
    assert "Adopt" in kinds(pool.tick(2))


def test_prewarm_does_not_go_beyond_workers() -> None:
    """A persistent app with a busy worker gets no second one for `prewarm`, which would split
    its state in memory."""
    pool, app = scheduler(), AppState("a", policy(prewarm=1))
    worker = worker_of(pool.add_app(app, 0))
    pool.loaded(worker, 8, 0)
    pool.submit(app, "r", 1)
    assert pool.tick(1.5) == []
    assert pool.finished(worker, 2) == []


def test_what_prewarm_keeps_ends_when_others_are_ready() -> None:
    """A worker kept beyond its idleTimeout as the only ready one ends once there is another."""
    pool, app = scheduler(), AppState("a", policy(prewarm=1, workers=2, ttl_s=1000.0))
    old = worker_of(pool.add_app(app, 0))
    pool.loaded(old, 1, 0)
    assert pool.tick(60) == []  # idle for too long, but kept
    pool.submit(app, "r", 61)
    new = worker_of(pool.tick(61.5))
    pool.loaded(new, 1, 62)
    pool.finished(old, 63)
    assert pool.tick(100) == []
    assert pool.tick(112) == [End(new, was_idle=True)]
    assert pool.tick(200) == []


def test_slots_of_ephemeral_apps_do_not_hold_back_others() -> None:
    """A request that waits for room gets it, however many wait for slots."""
    pool = scheduler(pool_size=2, ephemeral_concurrency=1)
    once = AppState("once", policy(ttl_s=0.0))
    pool.submit(once, "o1", 0)
    pool.submit(once, "o2", 0)
    stays, other = AppState("stays", policy()), AppState("other", policy())
    worker = worker_of(pool.submit(stays, "s", 0))
    pool.loaded(worker, 1, 0)
    pool.submit(other, "x", 0)
    pool.retire(worker)
    assert pool.finished(worker, 1) == [End(worker)]
    decisions, _ = pool.died(worker, 2)
    assert pool.workers[worker_of(decisions)].app is other


POLICIES = st.builds(
    Policy,
    spare_key=st.sampled_from(["python", "other"]),
    ttl_s=st.sampled_from([0.0, 5.0, 50.0]),
    idle_timeout_s=st.sampled_from([2.0, 20.0]),
    max_requests=st.integers(1, 5),
    workers=st.integers(1, 3),
    prewarm=st.integers(0, 2),
    timeout_s=st.sampled_from([1.0, 30.0]),
    affinity_s=st.sampled_from([0.0, 4.0, 40.0]),
)
EXEMPT = st.builds(
    Policy,
    spare_key=st.just("python"),
    ttl_s=st.just(float("inf")),
    idle_timeout_s=st.just(float("inf")),
    max_requests=st.integers(1, 5),
    workers=st.just(1),
    prewarm=st.integers(0, 1),
    timeout_s=st.just(30.0),
    is_exempt=st.just(True),
)


def counts_for_app(worker: WorkerState) -> bool:
    return worker.app is not None and not worker.is_leaving and worker.state not in HAS_LEFT


class SchedulerMachine(RuleBasedStateMachine):
    """Plays the server: random events in any order that processes can cause."""

    @initialize(
        pool=st.builds(
            PoolLimits,
            pool_size=st.integers(1, 5),
            ephemeral_concurrency=st.integers(1, 3),
            ephemeral_queue_limit=st.integers(0, 4),
            queue_limit=st.integers(0, 4),
            spare_workers=st.integers(0, 2),
            boots_at_once=st.integers(1, 4),
        ),
        policies=st.lists(POLICIES, min_size=1, max_size=3),
        exempt=st.lists(EXEMPT, max_size=2),
    )
    def begin(self, pool: PoolLimits, policies: list[Policy], exempt: list[Policy]) -> None:
        self.begin_with(pool, [*policies, *exempt])

    def begin_with(self, pool: PoolLimits, policies: list[Policy]) -> None:
        self.now = 0.0
        self.tickets = 0
        self.waiting: set[int] = set()
        self.app_of: dict[int, AppState] = {}  # by ticket
        self.own_of: dict[int, int] = {}  # ticket -> the worker that has its client's session
        self.keeping: set[int] = set()  # workers that kept sessions before these decisions
        self.in_hand: dict[int, list[int]] = {}  # worker -> tickets
        self.open_ended: dict[int, int] = {}  # worker -> how many of them
        self.starting: set[int] = set()
        self.loading: set[int] = set()
        self.failed: set[int] = set()  # reported as unable to load, and not dead yet
        self.told_to_end: set[int] = set()
        self.has_lent = False  # whether a worker has ever waited for its client
        self.scheduler = Scheduler(pool, jitter=lambda: 0.5)
        self.apps = [AppState(f"a{number}", each) for number, each in enumerate(policies)]
        self.dropped: list[AppState] = []
        self.carry_out(self.scheduler.keep_spares("python", self.now))
        for app in self.apps:
            self.carry_out(self.scheduler.add_app(app, self.now))

    def carry_out(self, decisions: list[Decision]) -> None:
        given_back: list[int] = []
        for decision in decisions:
            match decision:
                case Spawn(worker, _):
                    assert worker not in self.in_hand
                    self.in_hand[worker] = []
                    self.starting.add(worker)
                case Adopt(worker, app):
                    assert worker in self.in_hand
                    assert self.scheduler.workers[worker].spare_key == app.policy.spare_key
                    self.loading.add(worker)
                case Assign(worker, ticket):
                    assert isinstance(ticket, int)
                    assert worker not in self.told_to_end
                    assert self.scheduler.workers[worker].app is self.app_of[ticket]
                    self.waiting.remove(ticket)
                    self.in_hand[worker].append(ticket)
                    assert worker not in self.keeping or self.own_of[ticket] == worker
                case End(worker, _):
                    assert worker not in self.told_to_end
                    assert not self.in_hand[worker]
                    self.told_to_end.add(worker)
                case Refuse(ticket, retry_after_s):
                    assert retry_after_s >= 0
                    assert isinstance(ticket, int)
                    self.waiting.remove(ticket)
                case Fail(ticket):
                    assert isinstance(ticket, int)
                    self.waiting.remove(ticket)
                case GiveBack(ticket):
                    assert isinstance(ticket, int)
                    del self.own_of[ticket]
                    given_back.append(ticket)
        workers = self.scheduler.workers.values()
        self.keeping = {worker.id for worker in workers if worker.state is State.KEEPING}
        for ticket in given_back:  # to the code that serves now
            key = self.app_of[ticket].key
            self.app_of[ticket] = next(app for app in self.apps if app.key == key)
            app = self.app_of[ticket]
            self.carry_out(self.scheduler.submit(app, ticket, self.now))

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.carry_out(self.scheduler.tick(self.now))

    @rule(data=st.data())
    def request(self, data: st.DataObject) -> None:
        self.ask(data.draw(st.sampled_from(self.apps)))

    def ask(self, app: AppState) -> None:
        self.tickets += 1
        self.waiting.add(self.tickets)
        self.app_of[self.tickets] = app
        self.carry_out(self.scheduler.submit(app, self.tickets, self.now))

    @precondition(lambda self: self.in_hand)
    @rule(data=st.data())
    def client_comes_back(self, data: st.DataObject) -> None:
        """To the worker that has answered it, which may run code that no longer serves."""
        worker = data.draw(st.sampled_from(sorted(self.in_hand)))
        record, asked = self.scheduler.workers[worker], data.draw(st.sampled_from(self.apps))
        if record.app is not None and not record.app.policy.affinity_s:
            asked = record.app
        if record.app is None or record.app.is_ephemeral or not record.boot.is_loaded:
            return
        if self.scheduler.keeps_session(worker, asked, self.now) is record.app:
            self.tickets += 1
            self.waiting.add(self.tickets)
            self.app_of[self.tickets] = record.app
            self.own_of[self.tickets] = worker
            self.carry_out(self.scheduler.submit_to(worker, self.tickets, self.now))

    @rule(data=st.data())
    def client_of_a_worker_leaves(self, data: st.DataObject) -> None:
        queued = sorted(self.wait_for_their_own())
        if queued:
            ticket = data.draw(st.sampled_from(queued))
            self.scheduler.put_last(self.app_of[ticket], ticket)
            if data.draw(st.booleans()):
                assert self.scheduler.withdraw(self.app_of[ticket], ticket)
                self.waiting.remove(ticket)

    def wait_for_their_own(self) -> set[int]:
        workers = self.scheduler.workers.values()
        owns = [worker.own for worker in workers if worker.own is not None]
        return {ticket for own in owns for ticket in own.tickets() if isinstance(ticket, int)}

    @precondition(lambda self: self.loading)
    @rule(data=st.data(), capacity=st.integers(1, 3))
    def loads(self, data: st.DataObject, capacity: int) -> None:
        worker = data.draw(st.sampled_from(sorted(self.loading)))
        self.loading.remove(worker)
        self.starting.discard(worker)  # so it was up
        self.carry_out(self.scheduler.loaded(worker, capacity, self.now))

    @precondition(lambda self: self.loading)
    @rule(data=st.data(), crosses=st.booleans())
    def cannot_load(self, data: st.DataObject, crosses: bool) -> None:
        worker = data.draw(st.sampled_from(sorted(self.loading)))
        self.loading.remove(worker)
        self.failed.add(worker)
        self.scheduler.boot_failed(worker, "why")
        if crosses:  # it loaded just as it was killed for its timeout
            assert self.scheduler.loaded(worker, 1, self.now) == []

    @precondition(lambda self: self.starting)
    @rule(data=st.data())
    def cannot_be_started(self, data: st.DataObject) -> None:
        """Without resources for the process, its requests are submitted again."""
        worker = data.draw(st.sampled_from(sorted(self.starting)))
        record = self.scheduler.workers[worker]
        if record.app is not None and record.app.is_dropped:
            return  # a failed start is known at once, so the app cannot be dropped before
        self.scheduler.has_no_means()
        for ticket in self.in_hand[worker]:
            self.waiting.add(ticket)
            app = self.app_of[ticket]
            self.carry_out(self.scheduler.submit(app, ticket, self.now))
        del self.in_hand[worker]
        self.open_ended.pop(worker, None)
        for kept in (self.starting, self.loading, self.failed, self.told_to_end):
            kept.discard(worker)
        self.carry_out(self.scheduler.never_started(worker, self.now))

    @precondition(lambda self: self.starting)
    @rule(data=st.data())
    def comes_up(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(sorted(self.starting)))
        self.starting.remove(worker)
        self.scheduler.up(worker)
        if data.draw(st.booleans()):
            self.carry_out(self.scheduler.refill(self.now))

    @rule(data=st.data())
    def is_tried_out(self, data: st.DataObject) -> None:
        app = data.draw(st.sampled_from(self.apps))
        self.carry_out(self.scheduler.try_out(app, self.now))

    @precondition(lambda self: any(self.in_hand.values()))
    @rule(data=st.data())
    def finishes(self, data: st.DataObject) -> None:
        busy = sorted(worker for worker, tickets in self.in_hand.items() if tickets)
        worker = data.draw(st.sampled_from(busy))
        open_ended = self.open_ended.get(worker, 0)
        was_open_ended = len(self.in_hand[worker]) == open_ended or (
            open_ended > 0 and data.draw(st.booleans())
        )
        self.ends(worker, was_open_ended=was_open_ended)

    def ends(self, worker: int, *, was_open_ended: bool) -> None:
        self.in_hand[worker].pop()
        if was_open_ended:
            self.open_ended[worker] -= 1
        decisions = self.scheduler.finished(worker, self.now, was_open_ended=was_open_ended)
        self.carry_out(decisions)

    @precondition(lambda self: any(self.in_hand.values()))
    @rule(data=st.data())
    def opens(self, data: st.DataObject) -> None:
        some = sorted(
            worker
            for worker, tickets in self.in_hand.items()
            if len(tickets) > self.open_ended.get(worker, 0)
        )
        if some:
            worker = data.draw(st.sampled_from(some))
            self.open_ended[worker] = self.open_ended.get(worker, 0) + 1
            self.carry_out(self.scheduler.opened(worker, self.now))

    @precondition(lambda self: any(self.in_hand.values()))
    @rule(data=st.data(), is_stalled=st.booleans())
    def waits_for_its_client(self, data: st.DataObject, is_stalled: bool) -> None:
        """Reported for any worker with a request, though it only matters for ephemeral ones."""
        busy = sorted(worker for worker, tickets in self.in_hand.items() if tickets)
        worker = data.draw(st.sampled_from(busy))
        if is_stalled:
            self.has_lent = True
            self.carry_out(self.scheduler.stalled(worker, self.now))
        else:
            self.scheduler.goes_on(worker)

    @precondition(lambda self: self.in_hand)
    @rule(data=st.data(), share=st.sampled_from([0.0, 0.2, 0.8, 1.0]))
    def tells_how_busy_it_is(self, data: st.DataObject, share: float) -> None:
        worker = data.draw(st.sampled_from(sorted(self.in_hand)))
        self.carry_out(self.scheduler.reported_busy(worker, share, self.now))

    @precondition(lambda self: self.in_hand)
    @rule(data=st.data())
    def is_recycled(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(sorted(self.in_hand)))
        self.carry_out(self.scheduler.recycle(worker, self.now))

    @precondition(lambda self: any(self.in_hand.values()))
    @rule(data=st.data())
    def is_stuck(self, data: st.DataObject) -> None:
        busy = sorted(worker for worker, tickets in self.in_hand.items() if tickets)
        self.carry_out(self.scheduler.give_up(data.draw(st.sampled_from(busy)), self.now))

    @precondition(lambda self: self.in_hand)
    @rule(data=st.data())
    def takes_long_to_end(self, data: st.DataObject) -> None:
        """Reported for each worker that was to end, a moment later."""
        late = sorted(self.told_to_end)
        if late:
            worker = data.draw(st.sampled_from(late))
            self.carry_out(self.scheduler.overdue(worker, self.now))

    @precondition(lambda self: self.in_hand)
    @rule(data=st.data(), was_killed=st.booleans())
    def dies(self, data: st.DataObject, was_killed: bool) -> None:
        worker = data.draw(st.sampled_from(sorted(self.in_hand)))
        self.is_gone(worker, was_killed=was_killed)

    def is_gone(self, worker: int, *, was_killed: bool) -> None:
        del self.in_hand[worker]
        self.open_ended.pop(worker, None)
        for kept in (self.starting, self.loading, self.failed, self.told_to_end):
            kept.discard(worker)
        decisions, _ = self.scheduler.died(worker, self.now, was_killed=was_killed)
        self.carry_out(decisions)

    @rule(data=st.data())
    def client_leaves(self, data: st.DataObject) -> None:
        queued = [(app, ticket) for app in self.apps for ticket in app.queue]
        if queued:
            app, ticket = data.draw(st.sampled_from(queued))
            assert self.scheduler.withdraw(app, ticket)
            assert isinstance(ticket, int)
            self.waiting.remove(ticket)

    @rule(data=st.data())
    def code_changes(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.apps) - 1))
        old = self.apps[index]
        if not old.queue:
            self.apps[index] = AppState(old.key, old.policy)
            self.dropped.append(old)
            is_replaced = data.draw(st.booleans())
            self.carry_out(self.scheduler.drop_app(old, self.now, is_replaced=is_replaced))
            self.carry_out(self.scheduler.add_app(self.apps[index], self.now))

    @invariant()
    def the_pool_holds_its_size(self) -> None:
        if hasattr(self, "scheduler"):
            limits = self.scheduler.limits
            late = sum(worker.is_overdue for worker in self.scheduler.workers.values())
            assert self.scheduler.size <= limits.pool_size + min(late, limits.beside)

    @invariant()
    def nobody_waits_for_what_is_overdue(self) -> None:
        """If one more process is allowed, an app waits for its own workers only."""
        if hasattr(self, "scheduler"):
            census = self.scheduler._census
            assert not self.scheduler._room.line or not census.has_room()

    @invariant()
    def no_app_has_more_workers_than_it_may(self) -> None:
        if hasattr(self, "scheduler"):
            by_app = Counter(w.app for w in self.scheduler.workers.values() if counts_for_app(w))
            for app, number in by_app.items():
                assert app is not None
                assert app.is_ephemeral or number <= app.policy.workers

    @invariant()
    def nobody_waits_beside_a_worker_that_can_take_more(self) -> None:
        if hasattr(self, "scheduler"):
            for app in self.apps:
                if app.queue and not app.is_ephemeral:
                    assert not any(worker.can_take() for worker in app.workers.values())

    @invariant()
    def nobody_waits_for_a_worker_of_its_own_that_can_take_more(self) -> None:
        if hasattr(self, "scheduler"):
            for worker in self.scheduler.workers.values():
                assert worker.own is None or (worker.own and not worker.can_take_its_own())

    @invariant()
    def few_stay_for_their_sessions(self) -> None:
        if hasattr(self, "scheduler"):
            kept = [w for w in self.scheduler.workers.values() if w.state is State.KEEPING]
            assert set(self.scheduler._census.kept) == set(kept)
            for app, number in Counter(worker.app for worker in kept).items():
                assert app is not None
                assert number <= app.policy.workers

    @invariant()
    def the_census_agrees_with_a_search(self) -> None:
        if hasattr(self, "scheduler"):
            check_census(self.scheduler)

    @invariant()
    def counts_agree(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        workers = self.scheduler.workers
        assert workers.keys() == self.in_hand.keys()
        for number, tickets in self.in_hand.items():
            worker = workers[number]
            assert worker.in_hand == len(tickets)
            assert worker.open_ended == self.open_ended.get(number, 0)
            assert len(tickets) - worker.open_ended <= worker.capacity
            if tickets:
                assert worker.state in (State.BUSY, State.ONCE, State.KEEPING, State.RETIRING)
        once = sum(worker.state is State.ONCE for worker in workers.values())
        limits = self.scheduler.limits
        assert once <= limits.ephemeral_concurrency + limits.lent * self.has_lent
        states = (*self.apps, *self.dropped)
        queued = {ticket for app in states for ticket in app.queue.tickets()}
        assert queued | self.wait_for_their_own() == self.waiting

    def teardown(self) -> None:
        """From any state, all waiting requests are served if everyone works, then all workers
        end."""
        if hasattr(self, "scheduler"):
            self.serve_all()
            self.end_all()

    def end_all(self) -> None:
        """At the close every worker is told to end, some after their requests, and none is left."""
        self.carry_out(self.scheduler.close())
        for worker, tickets in self.in_hand.items():
            while tickets:
                tickets.pop()
                self.carry_out(self.scheduler.finished(worker, self.now))
        assert self.told_to_end == self.in_hand.keys()
        for worker in sorted(self.told_to_end):
            self.is_gone(worker, was_killed=False)
        assert not self.scheduler.workers
        assert not self.in_hand

    def serve_all(self) -> None:
        for _ in range(500):
            if not self.waiting:
                return
            for worker in sorted(self.failed):
                self.is_gone(worker, was_killed=False)
            for worker in sorted(self.loading):
                self.loading.discard(worker)
                self.carry_out(self.scheduler.loaded(worker, 1, self.now))
            for worker in [w for w, tickets in self.in_hand.items() if tickets]:
                self.ends(worker, was_open_ended=self.open_ended.get(worker, 0) > 0)
            for worker in sorted(self.told_to_end):
                self.is_gone(worker, was_killed=False)
            self.now += 1.0
            self.carry_out(self.scheduler.tick(self.now))
        raise AssertionError(f"never served: {self.waiting}")


TestScheduler = SchedulerMachine.TestCase
TestScheduler.settings = settings(stateful_step_count=40)
