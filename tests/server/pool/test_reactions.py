"""What follows from what workers and their processes do."""

from __future__ import annotations

import signal
from typing import Any, cast

import pytest

from buntime.core.pool.boot import BootError
from buntime.core.pool.claims import LateFault
from buntime.core.pool.decisions import Decision, End
from buntime.core.pool.lifecycle import State
from buntime.core.telemetry.meters import Cause
from buntime.server.http1.exchange import Exchange
from buntime.server.pool.deployment import Deployment
from buntime.server.pool.reactions import Reactions
from buntime.server.pool.stats import PoolStats
from tests.support.apps import make_app
from tests.support.deployed import World
from tests.support.exchanges import FakeClient, FakeResponder
from tests.support.fakes import FakeSupervisor, FakeWorker, make_log

GET = b"GET /shop/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
READY = {"kind": "fetch", "concurrency": 8, "boot_ms": 5.0}

HINT = "buntime show shop --autopsies"


class Acts:
    """Records the actions that were asked for."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []
        self.queued: list[tuple[Exchange, Deployment]] = []
        self.calls: list[str] = []

    def carry_out(self, decisions: list[Decision]) -> None:
        self.decisions += decisions

    def enqueue(self, exchange: Exchange, deployment: Deployment) -> None:
        self.queued.append((exchange, deployment))

    def on_request_over(self) -> None:
        self.calls.append("request over")

    def refill_later(self) -> None:
        self.calls.append("refill later")

    def on_worker_gone(self) -> None:
        self.calls.append("worker gone")


class Pool:
    """Reactions in a world where one app was given a worker, which is a fake."""

    def __init__(self, **manifest: Any) -> None:
        self.world = World()
        self.acts = Acts()
        self.stats = PoolStats()
        self.supervisor = FakeSupervisor()
        self.reactions = Reactions(
            cast(Any, self.world.loop),
            make_log(self.world.sink),
            scheduler=self.world.scheduler,
            supervisor=cast(Any, self.supervisor),
            deployments=self.world.deployments,
            stats=self.stats,
            acts=self.acts,
        )
        self.app = make_app(**{"ttl_s": 60.0, **manifest})
        self.deployment = self.world.current(self.app)
        self.worker = self.boot()
        self.world.sink.records.clear()

    @property
    def now(self) -> float:
        return self.world.loop.now

    @property
    def number(self) -> int:
        return self.worker.number

    @property
    def record(self) -> Any:
        return self.world.scheduler.workers[self.number]

    @property
    def meter(self) -> Any:
        return self.stats.meters.of(self.app)

    def boot(self) -> FakeWorker:
        """Start to load the app in a worker."""
        self.world.scheduler.try_out(self.deployment.state, self.now)
        number = max(self.deployment.state.workers)
        worker = FakeWorker(number, make_log(self.world.sink), self.app)
        self.supervisor.workers[number] = worker
        return worker

    def ready(self, **changes: Any) -> None:
        self.reactions.on_ready(cast(Any, self.worker), {**READY, **changes})

    def give(self, raw: bytes = GET) -> Exchange:
        """A request that the worker is working on."""
        exchange = FakeClient().request(raw)
        exchange.route_to(self.app, base="/shop")
        exchange.hand_over(FakeResponder(exchange), 30.0)
        exchange.tries = 1
        self.worker.left.append(exchange)
        self.world.scheduler.submit(self.deployment.state, exchange, self.now)
        return exchange

    def exit(self, returncode: int) -> None:
        for exchange in self.worker.left:
            exchange.release()
        self.reactions.on_exit(self.number, returncode)

    def event(self, event: str) -> Any:
        return next(each for each in self.world.sink.records if each.event == event)


@pytest.fixture
def pool() -> Pool:
    return Pool()


# Boots


def test_a_worker_that_has_loaded(pool: Pool) -> None:
    """Its boot timer stops, its boot is counted, and it may get as many requests as it reported."""
    pool.ready()
    assert (pool.record.state, pool.record.capacity) == (State.IDLE, 8)
    assert pool.supervisor.stopped == [pool.number]
    assert pool.meter.boots_loaded == 1
    assert pool.world.deployments.is_proven(pool.app)
    assert pool.event("worker.ready").fields == {"kind": "fetch", "boot_ms": 5.0}


def test_the_manifest_has_the_last_word(pool: Pool) -> None:
    """The manifest's `concurrency` applies, whatever kind of app the worker found."""
    pool = Pool(concurrency=3)
    pool.ready()
    assert pool.record.capacity == 3


@pytest.mark.parametrize("missing", READY)
def test_a_ready_without_its_fields(pool: Pool, missing: str) -> None:
    """A READY without its fields has no effect: the worker is given up for sending garbage."""
    message = {key: value for key, value in READY.items() if key != missing}
    with pytest.raises(KeyError):
        pool.reactions.on_ready(cast(Any, pool.worker), message)
    assert pool.record.state is State.LOADING
    assert pool.supervisor.stopped == []


def test_a_second_ready_or_up(pool: Pool) -> None:
    """A worker starts once and loads once."""
    pool.reactions.on_up(cast(Any, pool.worker))
    pool.ready()
    with pytest.raises(BootError):
        pool.ready()
    with pytest.raises(BootError):
        pool.reactions.on_up(cast(Any, pool.worker))
    with pytest.raises(BootError):
        pool.reactions.on_boot_error(cast(Any, pool.worker), "a lie", "")
    assert pool.meter.boots_loaded == 1


def test_an_app_that_cannot_be_loaded(pool: Pool) -> None:
    """The reason is what the worker reported; its exit code adds nothing."""
    pool.reactions.on_boot_error(cast(Any, pool.worker), "no module", "line 1")
    pool.deployment.boot_note = "kept from the app: DATABASE_URL"
    assert pool.deployment.boot_error == ""  # a caller who looks now waits for all of it
    pool.exit(1)
    assert pool.deployment.state.boot_error == "no module\nline 1"
    assert pool.deployment.boot_error == "no module\nline 1\nkept from the app: DATABASE_URL"
    assert (pool.meter.boots_failed, pool.meter.deaths[Cause.BOOT]) == (1, 1)


def test_an_app_that_dies_as_it_is_loaded(pool: Pool) -> None:
    """If the worker reported nothing, the reason is how it died."""
    pool.exit(3)
    assert pool.deployment.state.boot_error == "the worker died while it loaded: exit code 3"


@pytest.mark.parametrize(
    ("ttl_s", "boot_ms", "count"), [(0.0, 250.0, 0), (0.0, 1200.0, 1), (60.0, 1200.0, 0)]
)
def test_an_app_that_is_loaded_anew_for_each_request(
    ttl_s: float, boot_ms: float, count: int
) -> None:
    """If loading takes long for each request, the log says what would help."""
    pool = Pool(ttl_s=ttl_s)
    pool.ready(boot_ms=boot_ms)
    assert pool.world.sink.events().count("app.slow_boot") == count
    assert pool.deployment.is_slow_logged == bool(count)


def test_an_app_whose_framework_needs_a_worker_that_stays() -> None:
    """The framework is named once, instead of a warning about the loading time."""
    pool = Pool(ttl_s=0.0)
    assert pool.deployment.asks_framework
    pool.ready(boot_ms=1200.0, framework="Streamlit")
    assert pool.event("app.needs_ttl").fields["framework"] == "Streamlit"
    assert not pool.deployment.asks_framework
    assert "app.slow_boot" not in pool.world.sink.events()
    for others in (Pool(ttl_s=60.0), Pool(ttl_s=0.0)):
        others.deployment.asks_framework = False
        others.ready(framework="Streamlit")  # no request has come
        assert "app.needs_ttl" not in others.world.sink.events()


def test_an_app_that_takes_too_long_to_load(pool: Pool) -> None:
    """The worker is killed for its boot timeout, which does not count as a kill from outside; a
    READY that crossed is too late."""
    pool.reactions.on_boot_timeout(cast(Any, pool.worker), 30.0)
    assert pool.supervisor.killed == []  # its stack is fetched first
    file = pool.deployment.app.dir / "app.py"
    stack = f'  File "{file}", line 3 in wait'
    pool.worker.process.stacks.come(stack)
    assert pool.supervisor.killed == [(pool.worker.name, Cause.BOOT_TIMEOUT)]
    pool.ready()
    assert pool.record.state is State.LOADING
    pool.exit(-9)
    why = f"the app did not load in 30 s; it is at app.py, line 3, in wait\n{stack}"
    assert pool.deployment.state.boot_error == why
    assert pool.deployment.state.retry_at_s > pool.now


def test_an_app_that_loads_in_the_last_moment(pool: Pool) -> None:
    """If the app has loaded while its stack was being fetched, it serves."""
    pool.reactions.on_boot_timeout(cast(Any, pool.worker), 30.0)
    pool.ready()
    pool.worker.process.stacks.come()
    assert pool.supervisor.killed == []
    assert pool.record.boot.is_loaded


def test_a_kill_from_outside_says_nothing_against_an_app(pool: Pool) -> None:
    """After a kill from outside the next boot begins at once."""
    pool.exit(-signal.SIGKILL)
    assert pool.deployment.state.boot_failures == 1
    assert pool.deployment.state.retry_at_s < pool.now


def test_a_worker_that_could_not_be_started(pool: Pool) -> None:
    """The boot's error says so, and a change that needs the worker stays untried."""
    pool.reactions.on_never_started(pool.number, had_means=True)
    assert pool.deployment.state.boot_error == "its worker could not be started"
    assert pool.deployment.may_change()
    assert pool.stats.worker_failed == 1
    assert pool.acts.calls == ["worker gone"]


def test_a_machine_without_means_says_nothing_against_an_app(pool: Pool) -> None:
    """If the machine lacks resources nothing is counted, and nothing starts before the next
    tick."""
    pool.reactions.on_no_means()
    pool.reactions.on_never_started(pool.number, had_means=False)
    state = pool.deployment.state
    assert (state.boot_failures, state.boot_error, pool.stats.worker_failed) == (0, "", 0)
    assert pool.world.scheduler.try_out(state, pool.now) == []
    assert pool.world.scheduler.tick(pool.now) != []


def test_a_boot_that_succeeds_clears_the_error(pool: Pool) -> None:
    """Only the latest failed boot is reported, and a successful one clears it."""
    pool.exit(3)
    pool.world.loop.now = pool.deployment.state.retry_at_s
    pool.worker = pool.boot()
    pool.ready()
    assert not pool.deployment.has_failed


# Requests


def test_a_request_that_has_ended(pool: Pool) -> None:
    """The request is counted, the worker is free, and what was postponed for it may be done."""
    pool.ready()
    exchange = pool.give()
    pool.reactions.on_finished(cast(Any, pool.worker), exchange)
    assert (pool.record.state, pool.stats.finished) == (State.IDLE, 1)
    assert pool.acts.calls == ["request over"]


def test_a_handler_that_failed_after_its_answer(pool: Pool) -> None:
    """The log has what it raised, and so have the app's errors."""
    pool.ready()
    fault = LateFault("GET", "/shop/a?b=1", "KeyError: 'a'", "line 1", "r-7")
    pool.reactions.on_late_error(cast(Any, pool.worker), fault)
    fields = pool.event("app.failed_late").fields
    assert (fields["path"], fields["stack"], fields["request_id"]) == ("/shop/a", "line 1", "r-7")
    last = pool.stats.errors.of("shop")
    assert last is not None
    assert (last.kind, last.message, last.request_id) == ("request", "KeyError: 'a'", "r-7")


def test_a_flood_of_what_failed_after_answers(pool: Pool) -> None:
    """What a worker may no longer have logged is still among the app's errors."""
    pool.ready()
    pool.worker.process.may_log = False
    fault = LateFault("GET", "/shop/", "KeyError: 'a'", "line 1", "r-7")
    pool.world.sink.records.clear()
    pool.reactions.on_late_error(cast(Any, pool.worker), fault)
    assert pool.world.sink.records == []
    last = pool.stats.errors.of("shop")
    assert last is not None
    assert last.message == "KeyError: 'a'"


def test_a_handler_that_failed(pool: Pool) -> None:
    """The client gets 500, and the log has the stack, the request and the worker."""
    pool.ready()
    exchange = pool.give()
    exchange.release()
    pool.reactions.on_request_error(cast(Any, pool.worker), exchange, "KeyError", "line 1", "")
    assert exchange.status == 500
    fields = pool.event("app.request_failed").fields
    assert (fields["stack"], fields["request_id"], fields["worker"]) == (
        "line 1",
        exchange.id,
        pool.worker.name,
    )


def test_a_handler_that_failed_with_advice(pool: Pool) -> None:
    """The log and the app's errors have the worker's advice."""
    pool.ready()
    exchange = pool.give()
    exchange.release()
    error = "PermissionError: [Errno 13] Permission denied: '/tmp/x'"
    advice = "the app may not use /tmp/x"
    pool.reactions.on_request_error(cast(Any, pool.worker), exchange, error, "line 1", advice)
    told = str(pool.event("app.request_failed").fields["error"])
    assert told == f"{error}; {advice}"
    [(_, noted)] = pool.stats.errors.groups.of_app("shop")
    assert noted.message == told


def test_a_stuck_worker_is_killed_when_all_it_has_is_stuck(pool: Pool) -> None:
    """Until everything it has is stuck it finishes the rest, and gets nothing new."""
    pool.ready()
    exchange = pool.give()
    pool.reactions.on_stuck(cast(Any, pool.worker), exchange)
    assert (pool.record.state, pool.supervisor.killed) == (State.RETIRING, [])
    pool.worker.is_only_stuck = True
    pool.reactions.on_stuck(cast(Any, pool.worker), exchange)
    assert pool.supervisor.killed == [(pool.worker.name, Cause.STUCK)]


# Deaths


def test_a_worker_that_ends_as_told(pool: Pool) -> None:
    """An end that was asked for is counted as such, and not logged."""
    pool.ready()
    pool.world.scheduler.retire(pool.number)
    pool.exit(0)
    assert (pool.meter.deaths[Cause.ENDED], pool.stats.worker_failed) == (1, 0)
    assert "worker.died" not in pool.world.sink.events()
    assert pool.acts.calls == ["worker gone"]


def test_a_worker_that_breaks_its_channel(pool: Pool) -> None:
    """A worker without a channel is useless, so it is killed; that end was not asked for."""
    pool.ready()
    pool.reactions.on_broken(cast(Any, pool.worker), "it sent garbage")
    assert pool.worker.process.is_killed
    assert pool.acts.decisions == [End(pool.number)]
    pool.exit(-9)
    assert (pool.meter.deaths[Cause.SIGNAL], pool.stats.worker_failed) == (1, 1)


def test_a_worker_that_breaks_the_protocol(pool: Pool) -> None:
    """The worker is killed, the log says why, and its death is counted as a protocol error."""
    pool.ready()
    pool.reactions.on_breach(cast(Any, pool.worker), "it sent garbage")
    assert pool.worker.process.is_killed
    assert pool.acts.decisions == [End(pool.number)]
    assert pool.event("worker.protocol_broken").fields == {"why": "it sent garbage"}
    pool.exit(0)
    assert (pool.meter.deaths[Cause.PROTOCOL], pool.stats.worker_failed) == (1, 1)


def test_a_worker_that_breaks_the_protocol_while_it_boots(pool: Pool) -> None:
    """That is the app's fault: its boot has failed, with this reason."""
    pool.reactions.on_breach(cast(Any, pool.worker), "it sent garbage")
    assert "it sent garbage" in pool.record.boot.error
    pool.exit(-9)
    assert pool.meter.boots_failed == 1


def test_a_boot_that_fails_over_and_over(pool: Pool) -> None:
    """The first error is logged, and no other."""
    for number in range(3):
        pool.reactions.on_boot_error(cast(Any, pool.worker), f"no {number}", "")
    assert pool.world.sink.events().count("app.boot_failed") == 1
    assert pool.record.boot.error == "no 0"


@pytest.mark.parametrize("concurrency", [0, -1, 10**15, 1e999, "8", None, True])
def test_a_concurrency_that_is_none(pool: Pool, concurrency: object) -> None:
    """A READY with an invalid concurrency is refused, and the worker has not loaded."""
    with pytest.raises(ValueError, match="where a number"):
        pool.ready(concurrency=concurrency)
    assert not pool.record.boot.is_loaded


def test_a_safe_request_is_tried_once_more(pool: Pool) -> None:
    """The request is retried at the deployment that serves now."""
    pool.ready()
    exchange = pool.give()
    newer = pool.world.current(make_app(ttl_s=60.0))
    pool.exit(-11)
    assert pool.acts.queued == [(exchange, newer)]
    assert exchange.meter.retries == 1
    died = {"how": "killed by SIGSEGV", "requests": 1, "hint": HINT}
    assert pool.event("worker.died").fields == died


def test_a_worker_that_needed_too_much_memory(pool: Pool) -> None:
    """The request gets this reason, and no retry: another worker would need as much memory."""
    pool.ready()
    exchange = pool.give()
    pool.supervisor.groups.limits[pool.number] = str(64 << 20)
    pool.exit(-signal.SIGKILL)
    assert (pool.acts.queued, exchange.status) == ([], 502)
    assert pool.event("worker.out_of_memory").fields == {"limit": "64mb"}
    how = "killed by SIGKILL: it needed more than memoryMax, 64mb"
    assert pool.event("worker.died").fields == {"how": how, "requests": 1, "hint": HINT}
    assert pool.stats.meters.of(pool.app).deaths[Cause.MEMORY] == 1


def test_an_app_that_needs_too_much_memory_to_load(pool: Pool) -> None:
    """That is the app's own fault, unlike a kill from outside: the next boot is delayed."""
    pool.supervisor.groups.limits[pool.number] = str(64 << 20)
    pool.exit(-signal.SIGKILL)
    assert pool.deployment.state.boot_failures == 1
    assert pool.deployment.state.retry_at_s > pool.now
    assert "memoryMax, 64mb" in pool.deployment.state.boot_error


def test_a_worker_that_outlived_a_kill_for_memory(pool: Pool) -> None:
    """If only a process started by the worker was killed, the worker's own end has other
    reasons."""
    pool.ready()
    exchange = pool.give()
    pool.supervisor.groups.limits[pool.number] = str(64 << 20)
    pool.exit(3)
    assert len(pool.acts.queued) == 1
    assert exchange.meter.retries == 1


def test_a_request_that_may_have_changed_something_is_not(pool: Pool) -> None:
    """Such a request gets 502: nobody knows how far it came."""
    pool.ready()
    exchange = pool.give(GET.replace(b"GET", b"POST"))
    pool.exit(-11)
    assert (pool.acts.queued, exchange.status) == ([], 502)


def test_requests_of_an_app_that_cannot_be_loaded(pool: Pool) -> None:
    """Another worker would fail in the same way: 500 at once, with the reason."""
    pool = Pool(ttl_s=0.0)
    exchange = pool.give()
    pool.reactions.on_boot_error(cast(Any, pool.worker), "no module", "")
    pool.exit(1)
    assert (pool.acts.queued, exchange.status) == ([], 500)


def test_the_last_worker_of_a_dropped_app(pool: Pool) -> None:
    """Nothing is kept of an app that nobody serves."""
    pool.ready()
    pool.world.current(make_app(ttl_s=60.0))
    pool.exit(0)
    assert pool.world.deployments.of(pool.deployment.state) is None
