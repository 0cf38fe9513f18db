"""Tells the scheduler what workers and their processes do; the pool carries out what it decides.

a worker's READY, ERROR, end of a request, death ─> Scheduler ─> decisions ─> Acts
"""

import signal
from collections.abc import Callable

from buntime.core.apps.app import app_key
from buntime.core.apps.withheld import missed
from buntime.core.pool import claims
from buntime.core.pool.decisions import Decision
from buntime.core.pool.hung import where
from buntime.core.pool.lifecycle import State
from buntime.core.pool.scheduler import Scheduler
from buntime.core.pool.workforce import TAKES_ITS_OWN
from buntime.core.telemetry.meters import Cause
from buntime.core.values.protocols import Protocol
from buntime.core.values.units import format_size
from buntime.server.http1.exchange import Exchange
from buntime.server.loop.loop import Loop
from buntime.server.pool import faults
from buntime.server.pool.autopsy import End, note_autopsy
from buntime.server.pool.deployment import ColdStart, Deployment
from buntime.server.pool.deployments import Deployments
from buntime.server.pool.onlooker import Onlooker
from buntime.server.pool.process import describe_exit
from buntime.server.pool.reclaiming import Reclaiming
from buntime.server.pool.stats import PoolStats
from buntime.server.pool.supervisor import Supervisor
from buntime.server.pool.worker import Worker
from buntime.server.telemetry.logs import Log
from buntime.wire import Message

# Functions load in about ten ms; a framework takes hundreds, which no visitor should wait for.
_SLOW_BOOT_MS = 300.0
# Signals that do not count against an app, because they come from operators and the kernel.
_FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class Acts(Protocol):
    """What the pool does in response to workers."""

    def carry_out(self, decisions: list[Decision]) -> None: ...
    def enqueue(self, exchange: Exchange, deployment: Deployment) -> None: ...
    def on_request_over(self) -> None: ...
    def refill_later(self) -> None: ...
    def on_worker_gone(self) -> None: ...


class Reactions:
    """Is told everything that workers do, see `ProcessEvents`."""

    def __init__(
        self,
        loop: Loop,
        log: Log,
        *,
        scheduler: Scheduler,
        supervisor: Supervisor,
        deployments: Deployments,
        stats: PoolStats,
        acts: Acts,
    ) -> None:
        self._loop = loop
        self._log = log
        self._scheduler = scheduler
        self._supervisor = supervisor
        self._deployments = deployments
        self._stats = stats
        self._acts = acts
        self._reclaiming = Reclaiming(loop, log, scheduler)
        self.onlooker: Onlooker | None = None

    # WorkerEvents: what workers tell

    def on_up(self, worker: Worker) -> None:
        self._scheduler.up(worker.number)
        self._acts.refill_later()

    def on_ready(self, worker: Worker, message: Message) -> None:
        ready = claims.ready(message)
        record, now = self._scheduler.workers[worker.number], self._loop.now
        deployment = self._deployments.of(record.app)
        concurrency = deployment.app.manifest.concurrency if deployment is not None else None
        decisions = self._scheduler.loaded(worker.number, concurrency or ready.concurrency, now)
        if deployment is None or not record.boot.is_loaded:
            return
        record.boot.loaded_s, record.boot.took_ms = now, ready.boot_ms
        deployment.learn_files(ready.files)
        if ready.imports is not None:
            deployment.cold_start = ColdStart(ready.boot_ms, ready.imports)
        self._supervisor.stop_boot_timer(worker.number)
        worker.log.debug("worker.ready", "worker ready", kind=ready.kind, boot_ms=ready.boot_ms)
        self._stats.meters.of(deployment.app).on_boot(now - record.born_s)
        self._advise(deployment, worker, ready)
        self._acts.carry_out(decisions)
        self._deployments.loaded(deployment)
        if self.onlooker is not None:
            self.onlooker.on_loaded(deployment, worker, message)

    def _advise(self, deployment: Deployment, worker: Worker, ready: claims.Ready) -> None:
        """If the app needs workers that stay, and has none, say so in one line."""
        if deployment.asks_framework:
            deployment.asks_framework = False
            if ready.framework:
                deployment.is_slow_logged = True
                worker.log.warn("app.needs_ttl", faults.NEEDS_TTL, framework=ready.framework)
        if not deployment.stays and ready.boot_ms > _SLOW_BOOT_MS and not deployment.is_slow_logged:
            deployment.is_slow_logged = True
            worker.log.warn("app.slow_boot", faults.SLOW_BOOT, boot_ms=ready.boot_ms)

    def on_boot_error(self, worker: Worker, message: str, stack: str) -> None:
        if self._scheduler.workers[worker.number].boot.has_failed:
            return  # it is being killed for that and this crossed with it, or it reports twice
        self._scheduler.boot_failed(worker.number, f"{message}\n{stack}" if stack else message)
        self._note(worker, "boot", message, stack)
        hint = faults.see(worker.app_name)
        worker.log.error(
            "app.boot_failed", "app failed to load", error=message, stack=stack, hint=hint
        )
        deployment = self._deployments.of(self._scheduler.workers[worker.number].app)
        self._tell_of_missed(worker, deployment, message)

    def _note(self, worker: Worker, kind: str, why: str, stack: str, request: str = "") -> None:
        key = app_key(worker.app_name, worker.app_version)
        self._stats.errors.note(key, kind, why, stack, request)

    def _tell_of_missed(self, worker: Worker, deployment: Deployment | None, error: str) -> None:
        """The error may come from variables that the app does not get: say which."""
        init = deployment.init if deployment is not None else None
        if deployment is None or init is None:
            return
        found = missed(error, init.blocked, init.unpassed, deployment.app.manifest.env)
        deployment.boot_note = found.words if found is not None else ""
        if found is not None:
            worker.log.warn(
                "app.variables_missed",
                "an app that failed to load lacks variables that are kept from it",
                named=list(found.named),
                withheld=list(found.kept),
                advice=found.words,
            )

    def on_no_data(self, number: int, why: str) -> None:
        """A worker should load an app that lacks its data folder, or secrets; it still waits for an
        app."""
        worker = self._supervisor.workers[number]
        self.on_boot_error(worker, why, "")
        worker.process.kill()

    def on_boot_timeout(self, worker: Worker, seconds: float) -> None:
        """Ask first where it hangs: nobody could say afterwards."""
        worker.process.stacks.ask(
            worker.log,
            {"seconds": seconds},
            lambda stack: self._give_up_boot(worker, seconds, stack),
        )

    def ask_where(self, worker: Worker, then: Callable[[str], None]) -> bool:
        """Log the stacks of a worker that loads its app, and report where it is."""
        seconds = round(self._loop.now - self._scheduler.workers[worker.number].born_s, 1)

        def tell(stack: str) -> None:
            place = self._place(worker, stack)
            then(f"it is at {place}\n{stack}" if place else stack)

        worker.process.stacks.ask(worker.log, {"seconds": seconds}, tell)
        return True

    def _place(self, worker: Worker, stack: str) -> str:
        record = self._scheduler.workers.get(worker.number)
        deployment = self._deployments.of(record.app) if record is not None else None
        return where(stack, str(deployment.app.dir)) if deployment is not None else ""

    def _give_up_boot(self, worker: Worker, seconds: float, stack: str) -> None:
        record = self._scheduler.workers.get(worker.number)
        if record is None or record.boot.is_loaded or record.boot.has_failed:
            return  # it has ended, or loaded at the last moment, or has been given up already
        place = self._place(worker, stack)
        why = f"the app did not load in {seconds:g} s" + (f"; it is at {place}" if place else "")
        self._scheduler.boot_failed(worker.number, f"{why}\n{stack}")
        self._note(worker, "boot", why, stack)
        worker.log.error(
            "app.boot_timeout",
            "app did not load in time",
            seconds=seconds,
            where=place or None,
            hint=faults.LOAD_SOONER,
        )
        self._tell_of_missed(worker, self._deployments.of(record.app), why)
        self._supervisor.kill(worker, Cause.BOOT_TIMEOUT)

    def on_request_error(
        self, worker: Worker, exchange: Exchange, message: str, stack: str, advice: str
    ) -> None:
        advice = f"; {advice}" if advice else ""
        self._log.error(
            "app.request_failed",
            "app failed on a request",
            error=message + advice,
            stack=stack,
            request_id=exchange.id,
            method=exchange.head.method,
            path=exchange.head.path,
            app=worker.app_name,
            version=worker.app_version,
            worker=worker.name,
            hint=faults.see(worker.app_name),
        )
        self._note(worker, "request", message + advice, stack, exchange.id)
        exchange.fail(faults.request_failed(worker.app_name, stack, advice))

    def on_late_error(self, worker: Worker, fault: claims.LateFault) -> None:
        if worker.process.covers(len(fault.message) + len(fault.stack)):
            faults.log_late(worker.log, fault, worker.app_name)
        self._note(worker, "request", fault.message, fault.stack, fault.request_id)

    def on_open_ended(self, worker: Worker) -> None:
        self._acts.carry_out(self._scheduler.opened(worker.number, self._loop.now))

    def on_stalled(self, worker: Worker, exchange: Exchange, *, is_stalled: bool) -> None:
        self._reclaiming.on_stalled(exchange, is_stalled=is_stalled)
        if not is_stalled:
            self._scheduler.goes_on(worker.number)
            return
        self._acts.carry_out(self._scheduler.stalled(worker.number, self._loop.now))

    def on_overdue(self, worker: Worker) -> None:
        self._acts.carry_out(self._scheduler.overdue(worker.number, self._loop.now))

    def on_busy(self, worker: Worker, share: float) -> None:
        self._acts.carry_out(self._scheduler.reported_busy(worker.number, share, self._loop.now))

    def on_finished(self, worker: Worker, exchange: Exchange) -> None:
        self._stats.on_done((self._loop.now - exchange.started_s) * 1000)
        self._acts.carry_out(
            self._scheduler.finished(
                worker.number, self._loop.now, was_open_ended=exchange.is_open_ended
            )
        )
        self._acts.on_request_over()
        if worker.has_only_stuck():
            self._supervisor.kill(worker, Cause.STUCK)

    def on_stuck(self, worker: Worker, exchange: Exchange) -> None:
        worker.log.warn(
            "worker.stuck", "worker is stuck in a request; replacing it", request_id=exchange.id
        )
        self._acts.carry_out(self._scheduler.give_up(worker.number, self._loop.now))
        if worker.has_only_stuck():
            self._supervisor.kill(worker, Cause.STUCK)

    def on_broken(self, worker: Worker, why: str) -> None:
        """Without its channel a worker is useless; if it is not dying yet, it is ended."""
        worker.log.debug("worker.channel_closed", "channel to the worker closed", why=why)
        self._give_up(worker)

    def on_breach(self, worker: Worker, why: str) -> None:
        """It sent something invalid: nothing more is read from it, and its requests are answered
        when its process is gone."""
        worker.log.error(
            "worker.protocol_broken",
            "a worker broke the protocol of its channel, perhaps by code of its app; killing it",
            why=why,
        )
        record = self._scheduler.workers.get(worker.number)
        if record is not None and record.app is not None and not record.boot.is_loaded:
            self._scheduler.boot_failed(worker.number, f"its worker broke the protocol: {why}")
        self._stats.will_end(worker.number, Cause.PROTOCOL)
        self._supervisor.will_end(worker, Cause.PROTOCOL, f"it broke the channel's protocol: {why}")
        self._give_up(worker)

    def _give_up(self, worker: Worker) -> None:
        record = self._scheduler.workers.get(worker.number)
        if record is not None and record.state is not State.ENDING:
            self._stats.on_unasked_end(worker.number)
        if record is not None and record.state in TAKES_ITS_OWN:
            self._acts.carry_out(self._scheduler.retire(worker.number))
        worker.process.kill()

    # ProcessEvents: what happens to processes

    def on_no_means(self) -> None:
        self._scheduler.has_no_means()

    def on_never_started(self, number: int, *, had_means: bool) -> None:
        if not had_means:
            self._acts.carry_out(self._scheduler.never_started(number, self._loop.now))
            self._acts.on_worker_gone()
            return
        deployment = self._deployments.of(self._scheduler.workers[number].app)
        decisions, _ = self._scheduler.died(
            number, self._loop.now, how="its worker could not be started"
        )
        self._stats.worker_failed += 1
        if deployment is not None:
            self._deployments.failed(deployment)
            if self.onlooker is not None:
                self.onlooker.on_not_loaded(deployment, deployment.state.boot_error)
        self._acts.carry_out(decisions)
        self._acts.on_worker_gone()

    def on_exit(self, number: int, returncode: int) -> None:
        worker = self._supervisor.workers[number]
        record = self._scheduler.workers[number]
        was_ordered = record.state is State.ENDING
        if record.state in TAKES_ITS_OWN:
            self._scheduler.retire(number)  # what `drain` still finishes must not bring new work
        left = worker.drain()
        how = describe_exit(returncode)
        memory_max = self._memory_max(worker, returncode)
        if memory_max:
            how = f"{how}: it needed more than memoryMax, {memory_max}"
        self._supervisor.dismiss(number)
        deployment = self._deployments.of(record.app)
        if self.onlooker is not None and deployment is not None and record.boot.is_loaded:
            as_ordered = self._stats.ends_as_ordered(number, was_ordered=was_ordered)
            self.onlooker.on_gone(deployment, worker, how, was_ordered=as_ordered)
        from_outside = -returncode in _FROM_OUTSIDE and not memory_max
        has_reported = record.boot.has_failed
        was_killed = from_outside and not has_reported
        decisions, failed_to_load = self._scheduler.died(
            number,
            self._loop.now,
            was_killed=was_killed,
            how=f"the worker died while it loaded: {how}",
        )
        cause, was_ordered = self._stats.on_death(
            number, returncode, was_ordered=was_ordered, failed_to_load=failed_to_load
        )
        meter = self._stats.meters.of(deployment.app) if deployment else self._stats.meters.of_none
        meter.deaths[cause] += 1
        if deployment is not None:
            end = End(cause, how, len(left), self._loop.now)
            note_autopsy(self._stats.autopsies, worker, record, deployment, end)
        if not was_ordered:
            hint = faults.see(worker.app_name, "autopsies")
            worker.log.warn("worker.died", "worker died", how=how, requests=len(left), hint=hint)
        if failed_to_load and deployment is not None:
            meter.boots_failed += 1
            if not has_reported:
                self._note(worker, "boot", deployment.state.boot_error, "")
                self._tell_of_missed(worker, deployment, deployment.state.boot_error)
            self._deployments.failed(deployment)
            if self.onlooker is not None:
                self.onlooker.on_not_loaded(deployment, deployment.state.boot_error)
        # First: the scheduler's decisions on the requests below depend on what it decides here.
        self._acts.carry_out(decisions)
        for exchange in left:
            # Killed from outside is no fault of the app's, unless it happens again and again.
            is_broken = failed_to_load and (not was_killed or exchange.tries > 1)
            if memory_max and not failed_to_load:
                exchange.fail(faults.out_of_memory())  # another worker would need as much
                continue
            may_retry = can_try_again(exchange) and not record.boot.has_failed
            self._on_worker_lost(exchange, deployment, may_retry=may_retry, is_broken=is_broken)
        self._deployments.forget(record.app)
        self._acts.on_worker_gone()

    def _memory_max(self, worker: Worker, returncode: int) -> str:
        """The memoryMax that the worker was killed for, as text; "" if it was not."""
        limit = self._supervisor.groups.memory_limit(worker.number)
        if not limit or returncode != -signal.SIGKILL:
            return ""
        size = format_size(int(limit))
        self._stats.will_end(worker.number, Cause.MEMORY)
        worker.log.error(
            "worker.out_of_memory",
            "worker was killed: it needed more than memoryMax",
            limit=size,
        )
        return size

    def _on_worker_lost(
        self, exchange: Exchange, deployment: Deployment | None, *, may_retry: bool, is_broken: bool
    ) -> None:
        """A worker died with this request in hand, perhaps because its app cannot be loaded."""
        if deployment is not None and may_retry:
            exchange.meter.retries += 1
            # What it requests now: its session may have been with a worker of an older version.
            app = exchange.app or deployment.app
            self._acts.enqueue(exchange, self._deployments.serving(app) or deployment)
        else:
            name = deployment.app.name if deployment is not None else ""
            exchange.fail(faults.not_loaded(deployment) if is_broken else faults.worker_died(name))


def can_try_again(exchange: Exchange) -> bool:
    """May another worker get this request, after one died over it?"""
    return (
        not exchange.has_answer
        and exchange.tries < 2
        and exchange.is_repeatable
        and exchange.head.method in _SAFE_METHODS
        and not exchange.head.has_body
    )
