"""Carries out what the scheduler decides: hands requests over, starts and ends workers.

submit ─> Deployments ─> Scheduler ─> [Spawn, Adopt, Assign, End, Refuse, Fail]
                                                        ─> Supervisor, Worker
a worker's READY, ERROR, end of request, death ─> Scheduler ─> ...
"""

import random
import signal
from collections import deque
from collections.abc import Callable, Mapping

from buntime.core.apps.app import App
from buntime.core.apps.router import split_target
from buntime.core.errors import ServerFault
from buntime.core.pool.decisions import Adopt, Assign, Decision, End, Fail, Refuse, Spawn
from buntime.core.pool.lifecycle import State
from buntime.core.pool.scheduler import Scheduler
from buntime.core.pool.workforce import TAKES_WORK, AppState, PoolLimits
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import Settings
from buntime.core.telemetry.meters import Cause, Drop
from buntime.server.http1.exchange import Exchange
from buntime.server.loop import Loop, Timer
from buntime.server.pool import faults
from buntime.server.pool.cores import cores
from buntime.server.pool.deployment import Deployment, SpareKey
from buntime.server.pool.deployments import Deployments
from buntime.server.pool.preparing import Preparing
from buntime.server.pool.process import describe_exit
from buntime.server.pool.report import PoolReport
from buntime.server.pool.responders import Queued
from buntime.server.pool.stats import PoolStats
from buntime.server.pool.supervisor import Supervisor
from buntime.server.pool.upkeep import Upkeep
from buntime.server.pool.worker import Worker
from buntime.server.pythons.interpreter import Interpreters
from buntime.server.sandbox.probe import find_kernel
from buntime.server.sandbox.sandboxes import Sandboxes
from buntime.server.telemetry.logs import Log
from buntime.wire import Message

_QUEUE_LIMIT = 1000  # requests that may wait for one persistent app
_TICK_S = 0.5
_REFILL_S = 0.05
_BOOTS_PER_CORE = 2  # of those that no request waits for
# Signals that say nothing against an app, as they come from operators and the kernel.
_FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


class Pool:
    """All workers of the runtime."""

    def __init__(
        self,
        loop: Loop,
        live: LiveSettings,
        log: Log,
        *,
        interpreters: Interpreters,
        bundle: str,
        environ: Mapping[str, str],
    ) -> None:
        settings = live.now
        self._loop = loop
        self._log = log
        self._default_python = interpreters.default.executable
        self._scheduler = Scheduler(_limits(settings), jitter=random.random)
        self.stats = PoolStats()
        self.sandboxes = Sandboxes(
            find_kernel(), live, bundle=bundle, environ=environ, warn=log.warn
        )
        self.deployments = Deployments(
            loop,
            log,
            interpreters,
            self._scheduler,
            is_development=settings.is_development,
            carry_out=self._carry_out,
        )
        self._preparing = Preparing(loop, log, interpreters, submit=self.submit)
        self._supervisor = Supervisor(
            loop,
            settings,
            log,
            bundle=bundle,
            environ=environ,
            stats=self.stats,
            sandboxes=self.sandboxes,
        )
        self._upkeep = Upkeep(
            self._scheduler,
            self._supervisor,
            is_development=settings.is_development,
            carry_out=self._carry_out,
        )
        self.report = PoolReport(
            self._scheduler,
            workers=self._supervisor.workers,
            deployments=self.deployments,
            stats=self.stats,
        )
        self._decisions: deque[Decision] = deque()
        self._is_carrying_out = False
        self._refilling: Timer | None = None  # workers have been taken, and others are to start
        self._on_empty: Callable[[], None] | None = None
        live.follow(self._take_settings)

    def __repr__(self) -> str:
        return f"Pool({self._supervisor!r}, {self.deployments!r})"

    # From outside

    def start(self) -> None:
        """Start the spares of the default interpreter, and the ticking."""
        self._supervisor.start()
        key = SpareKey(self._default_python, False)
        self._carry_out(self._scheduler.keep_spares(key, self._loop.now))
        self._loop.call_later(_TICK_S, self._tick)

    def submit(self, exchange: Exchange, app: App) -> None:
        """Have the request answered by a worker of the app, now or when one is free."""
        deployment = self.deployments.current(app)
        if deployment is None:
            self._preparing.add(exchange, app)
            return
        self.stats.on_request(app.key)
        self._enqueue(exchange, deployment)

    def prepare(self, app: App) -> None:
        """Start what the app wants to have ready before its first request (`prewarm`)."""
        self.deployments.prepare(app)

    def withdraw(self, state: AppState, exchange: Exchange) -> None:
        """A queued request is over: answered for, or its client has left."""
        self._scheduler.withdraw(state, exchange)

    def wait_s(self, state: AppState) -> float:
        """How long a request that came now would wait for a worker, about."""
        return state.wait_s(self._loop.now)

    def recycle_worker(self, name: str) -> bool:
        """Have a fresh worker take the place of this one ("w3"); False if it has no app."""
        for number, worker in self._supervisor.workers.items():
            if worker.name == name and self._scheduler.workers[number].app is not None:
                worker.log.info("worker.recycled", "worker recycled by an operator")
                self._carry_out(self._scheduler.recycle(number, self._loop.now))
                return True
        return False

    def recycle_app(self, name: str, key: str | None) -> list[str]:
        """The same for all workers of an app, or of one version; returns their names."""
        found = [
            worker.name
            for number, worker in self._supervisor.workers.items()
            if (state := self._scheduler.workers[number].app) is not None
            and (app := self.deployments.by_state[state].app).name == name
            and key in (None, app.key)
        ]
        return [each for each in found if self.recycle_worker(each)]

    def close(self, on_empty: Callable[[], None]) -> None:
        """End every worker; `on_empty` is called when the last process is gone."""
        self._on_empty = on_empty
        self._carry_out(self._scheduler.close())
        self._tell_if_empty()

    def end_orphans(self) -> None:
        """After the last worker: end and remove what is left of what they have made."""
        self._supervisor.end_orphans()
        self.sandboxes.close()

    def kill_all(self) -> None:
        self._supervisor.kill_all()

    # WorkerEvents: what workers tell

    def on_up(self, worker: Worker) -> None:
        if worker.number in self._scheduler.workers:
            self._carry_out(self._scheduler.up(worker.number, self._loop.now))

    def on_ready(self, worker: Worker, message: Message) -> None:
        self._supervisor.has_loaded(worker)
        worker.log.debug(
            "worker.ready", "worker ready", kind=message["kind"], boot_ms=message["boot_ms"]
        )
        record = self._scheduler.workers.get(worker.number)
        if record is not None and record.app is not None:
            deployment = self.deployments.by_state[record.app]
            deployment.boot_error = ""
            self.stats.meters.of(deployment.app).on_boot(self._loop.now - record.born_s)
            capacity = deployment.app.manifest.concurrency or int(message["concurrency"])
            self.deployments.loaded(deployment)
            self._carry_out(self._scheduler.loaded(worker.number, capacity, self._loop.now))

    def on_boot_error(self, worker: Worker, message: str, stack: str) -> None:
        worker.boot_error = f"{message}\n{stack}" if stack else message
        worker.log.error("app.boot_failed", "app failed to load", error=message, stack=stack)

    def on_request_error(
        self, worker: Worker, exchange: Exchange, message: str, stack: str
    ) -> None:
        self._log.error(
            "app.request_failed",
            "app failed at a request",
            error=message,
            stack=stack,
            request_id=exchange.id,
            method=exchange.head.method,
            path=exchange.head.path,
            app=worker.app_name,
            version=worker.app_version,
            worker=worker.name,
        )
        exchange.fail(ServerFault(500, "app_error", "the app failed at this request", detail=stack))

    def on_open_ended(self, worker: Worker) -> None:
        self._carry_out(self._scheduler.opened(worker.number, self._loop.now))

    def on_busy(self, worker: Worker, share: float) -> None:
        if worker.number in self._scheduler.workers:
            self._carry_out(self._scheduler.told_busy(worker.number, share, self._loop.now))

    def on_finished(self, worker: Worker, exchange: Exchange) -> None:
        self.stats.on_done((self._loop.now - exchange.started_s) * 1000)
        self._carry_out(
            self._scheduler.finished(
                worker.number, self._loop.now, was_open_ended=exchange.is_open_ended
            )
        )
        if self._refilling is not None:
            self._refilling.cancel()
            self._refilling = None
            self._loop.call_soon(self._refill)  # the answer leaves in this turn
        if worker.has_only_stuck():
            self._supervisor.kill(worker, Cause.STUCK)

    def on_stuck(self, worker: Worker, exchange: Exchange) -> None:
        worker.log.warn(
            "worker.stuck", "worker is stuck in a request; replacing it", request_id=exchange.id
        )
        self._carry_out(self._scheduler.give_up(worker.number, self._loop.now))
        if worker.has_only_stuck():
            self._supervisor.kill(worker, Cause.STUCK)

    def on_broken(self, worker: Worker, why: str) -> None:
        """Without its channel a worker is of no use; where it is not dying yet, it is ended."""
        worker.log.debug("worker.channel_closed", "channel to the worker closed", why=why)
        record = self._scheduler.workers.get(worker.number)
        if record is not None and record.state is not State.ENDING:
            self.stats.on_unasked_end(worker.number)
        if record is not None and record.state in TAKES_WORK:
            self._carry_out(self._scheduler.retire(worker.number))
        worker.process.kill()

    # Requests

    def _enqueue(self, exchange: Exchange, deployment: Deployment) -> None:
        state = deployment.state
        exchange.hand_over(Queued(exchange, self, state), deployment.app.manifest.timeout_s)
        self._carry_out(self._scheduler.submit(state, exchange, self._loop.now))

    # Decisions

    def _carry_out(self, decisions: list[Decision]) -> None:
        """Do what was decided, in its order.

        Answering one request may begin the next one of its connection, and with it more
        decisions: they come after those that were made before.
        """
        self._decisions += decisions
        if self._is_carrying_out:
            return
        self._is_carrying_out = True
        try:
            while self._decisions:
                decision = self._decisions.popleft()
                if type(decision) is Assign:
                    self._assign(decision)
                else:
                    self._carry_out_rare(decision)
        finally:
            self._is_carrying_out = False

    def _carry_out_rare(self, decision: Decision) -> None:
        match decision:
            case Spawn(worker, key):
                self._supervisor.spawn(worker, key, self)  # type: ignore[arg-type]  # keys are of our making
            case Adopt(worker, app):
                self._adopt(worker, app)
            case End(worker, was_idle):
                self._supervisor.end(worker, was_idle=was_idle)
            case Refuse(ticket, retry_after_s):
                self._refuse(self._give_back(ticket), retry_after_s)
            case Fail(ticket):
                self._fail_boot(ticket)
            case _:
                raise AssertionError(f"unknown decision {decision!r}")

    def _assign(self, decision: Assign) -> None:
        exchange: Exchange = decision.ticket  # type: ignore[assignment]  # tickets are exchanges
        worker = self._supervisor.workers.get(decision.worker)
        if worker is None:  # it could not be started, see Supervisor.spawn
            exchange.take_back()
            exchange.fail(faults.worker_died("the app's worker could not be started"))
            return
        record = self._scheduler.workers[decision.worker]
        self.stats.on_assign(exchange, self._loop.now, is_hit=record.is_loaded)
        worker.assign(exchange)
        if record.state is State.ONCE:
            self._refill_later()

    def _give_back(self, ticket: object) -> Exchange:
        exchange: Exchange = ticket  # type: ignore[assignment]  # tickets are exchanges
        exchange.take_back()
        return exchange

    def _refuse(self, exchange: Exchange, retry_after_s: float) -> None:
        exchange.meter.drops[Drop.REFUSED] += 1
        deployment = self.deployments.serving(exchange.app)
        exchange.fail(faults.refused(deployment, retry_after_s, self._loop.now))

    def _fail_boot(self, ticket: object) -> None:
        exchange = self._give_back(ticket)
        target = split_target(exchange.head.target)
        fallback = self.deployments.fallback(exchange.app, target.spec) if target else None
        if fallback is not None:
            exchange.route_to(fallback, base=exchange.base)
            self.submit(exchange, fallback)
            return
        exchange.meter.drops[Drop.BOOT_FAILED] += 1
        exchange.fail(faults.not_loaded(self.deployments.serving(exchange.app)))

    def _adopt(self, number: int, state: AppState) -> None:
        self._supervisor.adopt(number, self.deployments.by_state[state])
        self._refill_later()

    def _refill_later(self) -> None:
        """Make up for a worker that was taken when its request is over, or takes long.

        Starting an interpreter stops the runtime for 1 ms, and keeps a core busy for 20 more;
        done at once that would be most of what a request waits for.
        """
        if self._refilling is None:
            self._refilling = self._loop.call_later(_REFILL_S, self._refill)

    def _refill(self) -> None:
        self._refilling = None
        self._carry_out(self._scheduler.refill(self._loop.now))

    # ProcessEvents: what happens to processes

    def on_never_started(self, number: int) -> None:
        decisions, _ = self._scheduler.died(number, self._loop.now)
        self.stats.worker_failed += 1
        self._carry_out(decisions)
        self._tell_if_empty()

    def on_exit(self, number: int, returncode: int) -> None:
        worker = self._supervisor.workers[number]
        record = self._scheduler.workers[number]
        state = record.app
        was_told = record.state is State.ENDING
        if record.state in TAKES_WORK:
            self._scheduler.retire(number)  # what `drain` still finishes must not bring new work
        left = worker.drain()
        self._supervisor.dismiss(number)
        was_killed = -returncode in _FROM_OUTSIDE and not worker.boot_error
        decisions, failed_to_load = self._scheduler.died(
            number, self._loop.now, was_killed=was_killed
        )
        how = describe_exit(returncode)
        deployment = self.deployments.of(state)
        cause, was_told = self.stats.on_death(
            number, returncode, was_told=was_told, failed_to_load=failed_to_load
        )
        meter = self.stats.meters.of(deployment.app) if deployment else self.stats.meters.of_none
        meter.deaths[cause] += 1
        if not was_told:
            worker.log.warn("worker.died", "worker died", how=how, requests=len(left))
        if failed_to_load and deployment is not None:
            meter.boots_failed += 1
            deployment.boot_error = worker.boot_error or f"the worker died while it loaded: {how}"
            self.deployments.failed(deployment)
        # First: what the scheduler decides on the requests below rests on what it has decided here.
        self._carry_out(decisions)
        for exchange in left:
            # Killed from outside is no fault of the app's, unless it happens again and again.
            is_broken = failed_to_load and (not was_killed or exchange.tries > 1)
            self._on_worker_lost(worker, exchange, deployment, is_broken)
        self.deployments.forget(state)
        self._tell_if_empty()

    def _on_worker_lost(
        self, worker: Worker, exchange: Exchange, deployment: Deployment | None, is_broken: bool
    ) -> None:
        """A request was in the hands of a worker that died, maybe as its app cannot be loaded."""
        told = bool(worker.boot_error)  # then another worker would fail in the same way
        if deployment is not None and worker.can_try_again(exchange) and not told:
            exchange.meter.retries += 1
            self._enqueue(exchange, self.deployments.serving(deployment.app) or deployment)
        else:
            fault = faults.not_loaded(deployment) if is_broken else faults.worker_died()
            exchange.fail(fault)

    def _tick(self) -> None:
        self._carry_out(self._scheduler.tick(self._loop.now))
        self._upkeep.look(self._loop.now)
        self._loop.call_later(_TICK_S, self._tick)

    def _tell_if_empty(self) -> None:
        if self._on_empty is not None and not self._supervisor.workers:
            on_empty, self._on_empty = self._on_empty, None
            on_empty()

    def _take_settings(self, settings: Settings) -> None:
        """These hold from now on. A pool that is too large now shrinks as workers end."""
        self._scheduler.limits = _limits(settings)
        self._supervisor.boot_timeout_s = settings.boot_timeout_s


def _limits(settings: Settings) -> PoolLimits:
    return PoolLimits(
        pool_size=settings.pool_size,
        ephemeral_concurrency=settings.ephemeral_concurrency,
        ephemeral_queue_limit=settings.ephemeral_queue_limit,
        queue_limit=_QUEUE_LIMIT,
        spare_workers=settings.spare_workers,
        boots_at_once=_BOOTS_PER_CORE * cores(),
    )
