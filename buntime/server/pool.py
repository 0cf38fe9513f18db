"""Carries out what the scheduler decides: starts processes, hands requests over, ends workers.

    submit ─> Scheduler ─> [Spawn, Adopt, Assign, End, Refuse, Fail] ─> processes and channels
    a worker's READY, ERROR, end of request, death ─> Scheduler ─> ...

An app's code in one state is one `Hosted`: when its manifest or, in development, a file of it
changes, the old one is dropped (its workers finish what they have) and a new one is made.
"""

import math
import os
import random
import signal
from collections import deque
from collections.abc import Callable

from buntime.core.app import App
from buntime.core.environment import INHERITED_NAMES
from buntime.core.errors import ManifestError, ServerFault
from buntime.core.lifecycle import State
from buntime.core.meters import Cause, Drop
from buntime.core.scheduler import Scheduler
from buntime.core.settings import Settings
from buntime.core.units import format_size
from buntime.core.workforce import (
    TAKES_WORK,
    Adopt,
    AppState,
    Assign,
    Decision,
    End,
    Fail,
    PoolLimits,
    Refuse,
    Spawn,
)
from buntime.server.changes import TreeWatch
from buntime.server.exchange import Exchange
from buntime.server.hosting import Hosted, Kit, init_message
from buntime.server.interpreter import Interpreter, Interpreters
from buntime.server.logs import Log
from buntime.server.loop import Loop, Timer
from buntime.server.orphans import Orphans, become_subreaper
from buntime.server.poolreport import PoolReport
from buntime.server.poolstats import PoolStats
from buntime.server.process import Process
from buntime.server.vetting import Vetting, is_meant
from buntime.server.worker import Worker
from buntime.wire import Message

_QUEUE_LIMIT = 1000  # requests that may wait for one persistent app
_TICK_S = 0.5
_SERVICE_RESTART = 1012  # IANA's registry of WebSocket close codes
_BOOTS_PER_CORE = 2  # of those that no request waits for
_END_GRACE_S = 10.0  # from TERMINATE to SIGKILL
_KIND_OF = "buntime worker"
# Signals that say nothing against an app, as they come from operators and the kernel.
_FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


class _Queued:
    """The place of a request that waits for a worker."""

    __slots__ = ("_pool", "_state")

    def __init__(self, pool: "Pool", state: AppState) -> None:
        self._pool = pool
        self._state = state

    def on_body(self, exchange: Exchange, data: bytes, ended: bool) -> None:
        raise AssertionError("a queued request has no credit for a body")

    def on_taken(self, exchange: Exchange, size_bytes: int) -> None:
        raise AssertionError("a queued request has no answer")

    def on_detached(self, exchange: Exchange, reason: str) -> None:
        if reason == "client":
            exchange.meter.drops[Drop.CLIENT_LEFT] += 1
        self._pool.withdraw(self._state, exchange)

    def on_deadline(self, exchange: Exchange) -> None:
        exchange.meter.drops[Drop.TIMEOUT] += 1
        wait_s = self._pool.wait_s(self._state)
        exchange.fail(_overloaded("no worker was free in time", wait_s))


class _Preparing:
    """The place of a request whose app is being looked at for the first time."""

    def on_body(self, exchange: Exchange, data: bytes, ended: bool) -> None:
        raise AssertionError("a request that waits has no credit for a body")

    def on_taken(self, exchange: Exchange, size_bytes: int) -> None:
        raise AssertionError("a request that waits has no answer")

    def on_detached(self, exchange: Exchange, reason: str) -> None:
        """Nothing is kept of it: `_learned` passes over what has ended."""

    def on_deadline(self, exchange: Exchange) -> None:
        exchange.fail(_overloaded("the app is still being prepared", retry_after_s=5))


_PREPARING = _Preparing()


class Pool:
    """All workers of the runtime."""

    def __init__(
        self,
        loop: Loop,
        settings: Settings,
        log: Log,
        *,
        interpreters: Interpreters,
        bundle: str,
        environ: dict[str, str],
    ) -> None:
        self._loop = loop
        self._settings = settings
        self._log = log
        self._interpreters = interpreters
        self._bundle = bundle
        self._environ = environ  # the runtime's own, which workers get little of
        self._scheduler = Scheduler(
            PoolLimits(
                pool_size=settings.pool_size,
                ephemeral_concurrency=settings.ephemeral_concurrency,
                ephemeral_queue_limit=settings.ephemeral_queue_limit,
                queue_limit=_QUEUE_LIMIT,
                spare_workers=settings.spare_workers,
                boots_at_once=_BOOTS_PER_CORE * (os.cpu_count() or 1),
            ),
            jitter=random.random,
        )
        self._workers: dict[int, Worker] = {}
        self._hosted: dict[str, Hosted] = {}  # by App.key
        self._by_state: dict[AppState, Hosted] = {}
        self._learning: dict[App, list[Exchange]] = {}  # requests that wait for an interpreter
        self._boot_timers: dict[int, Timer] = {}
        self._decisions: deque[Decision] = deque()
        self._is_carrying_out = False
        self._is_refilling = False  # spares are missing, and started in the next turn
        self._on_empty: Callable[[], None] | None = None
        self._orphans = Orphans(log)
        self.stats = PoolStats()
        self.report = PoolReport(
            self._scheduler,
            workers=self._workers,
            hosted=self._hosted,
            by_state=self._by_state,
            stats=self.stats,
        )
        self.vetting = Vetting(loop, self, interpreters, log)

    def __repr__(self) -> str:
        return f"Pool({len(self._workers)} workers, {len(self._hosted)} apps)"

    # From outside

    def start(self) -> None:
        """Start the spares of the default interpreter, and the ticking."""
        if not become_subreaper():
            self._log.debug("processes that leave their worker's group cannot be found")
        default = self._interpreters.default
        self._carry_out(self._scheduler.keep_spares(Kit(default.executable, False), self._loop.now))
        self._loop.call_later(_TICK_S, self._tick)

    def submit(self, exchange: Exchange, app: App) -> None:
        """Have the request answered by a worker of the app, now or when one is free."""
        hosted = self._hosted.get(app.key)
        if hosted is None or hosted.app is not app or hosted.may_change():
            interpreter = self._interpreters.known(app)
            if interpreter is None:
                self._learn_interpreter(exchange, app)
                return
            if hosted is None or hosted.has_changed(app, interpreter):
                hosted = self._host(app, interpreter)
        self.stats.on_request(app.key)
        self._enqueue(exchange, hosted)

    def prepare(self, app: App) -> None:
        """Start what the app wants to have ready before its first request (`prewarm`)."""
        if app.manifest.prewarm and not app.is_static and app.key not in self._hosted:
            self._loop.run_blocking(
                lambda: self._interpreters.find(app),
                lambda found: self._prepared(app, found),
            )

    def withdraw(self, state: AppState, exchange: Exchange) -> None:
        """A queued request is over: answered for, or its client has left."""
        self._scheduler.withdraw(state, exchange)

    def wait_s(self, state: AppState) -> float:
        """How long a request that came now would wait for a worker, about."""
        return state.wait_s(self._loop.now)

    def recycle_worker(self, name: str) -> bool:
        """Have a fresh worker take the place of this one ("w3"); False if it has no app."""
        for number, worker in self._workers.items():
            if worker.name == name and self._scheduler.workers[number].app is not None:
                worker.log.info("worker is recycled by an operator")
                self._carry_out(self._scheduler.recycle(number, self._loop.now))
                return True
        return False

    def recycle_app(self, name: str, key: str | None) -> list[str]:
        """The same for all workers of an app, or of one version; returns their names."""
        found = [
            worker.name
            for number, worker in self._workers.items()
            if (state := self._scheduler.workers[number].app) is not None
            and (app := self._by_state[state].app).name == name
            and key in (None, app.key)
        ]
        return [each for each in found if self.recycle_worker(each)]

    def close(self, on_empty: Callable[[], None]) -> None:
        """End every worker; `on_empty` is called when the last process is gone."""
        self._on_empty = on_empty
        self._carry_out(self._scheduler.close())
        self._tell_if_empty()

    def end_orphans(self) -> None:
        """After the last worker: end what is left of what they have started."""
        self._orphans.end()

    def kill_all(self) -> None:
        for worker in self._workers.values():
            worker.process.kill()

    # Overseer: what workers tell

    def on_up(self, worker: Worker) -> None:
        if worker.number in self._scheduler.workers:
            self._carry_out(self._scheduler.up(worker.number, self._loop.now))

    def on_ready(self, worker: Worker, message: Message) -> None:
        timer = self._boot_timers.pop(worker.number, None)
        if timer is not None:
            timer.cancel()
        worker.log.debug("worker ready", kind=message["kind"], boot_ms=message["boot_ms"])
        record = self._scheduler.workers.get(worker.number)
        if record is not None and record.app is not None:
            hosted = self._by_state[record.app]
            hosted.boot_error = ""
            self.stats.meters.of(hosted.app).on_boot(self._loop.now - record.born_s)
            capacity = hosted.app.manifest.concurrency or int(message["concurrency"])
            self.vetting.loaded(hosted)
            self._carry_out(self._scheduler.loaded(worker.number, capacity, self._loop.now))

    def on_boot_error(self, worker: Worker, message: str, stack: str) -> None:
        worker.boot_error = f"{message}\n{stack}" if stack else message
        worker.log.error("an app cannot be loaded", error=message, stack=stack)

    def on_request_error(
        self, worker: Worker, exchange: Exchange, message: str, stack: str
    ) -> None:
        self._log.error(
            "an app failed at a request",
            error=message,
            stack=stack,
            request_id=exchange.id,
            method=exchange.head.method,
            path=exchange.head.path,
            app=worker.app_name,
            version=worker.app_version,
            worker=worker.name,
        )
        exchange.fail(self._fault(500, "app_error", "the app failed at this request", stack))

    def on_open_ended(self, worker: Worker) -> None:
        self._carry_out(self._scheduler.opened(worker.number, self._loop.now))

    def on_finished(self, worker: Worker, exchange: Exchange) -> None:
        self.stats.on_done((self._loop.now - exchange.started_s) * 1000)
        self._carry_out(
            self._scheduler.finished(
                worker.number, self._loop.now, was_open_ended=exchange.is_open_ended
            )
        )
        if worker.has_only_stuck():
            self._kill(worker, Cause.STUCK)

    def on_stuck(self, worker: Worker, exchange: Exchange) -> None:
        worker.log.warn("worker is stuck in a request and is replaced", request_id=exchange.id)
        self._carry_out(self._scheduler.give_up(worker.number, self._loop.now))
        if worker.has_only_stuck():
            self._kill(worker, Cause.STUCK)

    def on_broken(self, worker: Worker, why: str) -> None:
        """Without its channel a worker is of no use; where it is not dying yet, it is ended."""
        worker.log.debug("worker's channel is closed", why=why)
        record = self._scheduler.workers.get(worker.number)
        if record is not None and record.state is not State.ENDING:
            self.stats.on_unasked_end(worker.number)
        if record is not None and record.state in TAKES_WORK:
            self._carry_out(self._scheduler.retire(worker.number))
        worker.process.kill()

    # Requests

    def _enqueue(self, exchange: Exchange, hosted: Hosted) -> None:
        exchange.place = _Queued(self, hosted.state)
        if exchange.deadlines is None:
            exchange.deadlines = self._loop.timeouts(hosted.app.manifest.timeout_s)
            exchange.restart_deadline()
        self._carry_out(self._scheduler.submit(hosted.state, exchange, self._loop.now))

    def _learn_interpreter(self, exchange: Exchange, app: App) -> None:
        """The first requests of an app wait while its interpreter is looked at, off the loop."""
        exchange.place = _PREPARING
        exchange.deadlines = self._loop.timeouts(app.manifest.timeout_s)
        exchange.restart_deadline()
        waiting = self._learning.get(app)
        if waiting is not None:
            waiting.append(exchange)
            return
        self._learning[app] = [exchange]
        self._loop.run_blocking(
            lambda: self._interpreters.find(app), lambda found: self._learned(app, found)
        )

    def _learned(self, app: App, found: Interpreter | BaseException) -> None:
        waiting = [each for each in self._learning.pop(app) if not each.is_ended]
        for exchange in waiting:
            exchange.place = None
        if isinstance(found, Interpreter):
            for exchange in waiting:
                self.submit(exchange, app)
            return
        self._log.error("an app cannot be started", app=app.key, error=str(found))
        for exchange in waiting:
            exchange.fail(
                self._fault(
                    500,
                    "app_misconfigured",
                    "the app's folder or manifest is faulty; the log says how",
                    str(found),
                )
            )
        if not isinstance(found, ManifestError):
            raise found

    def _prepared(self, app: App, found: Interpreter | BaseException) -> None:
        if isinstance(found, Interpreter):
            if app.key not in self._hosted:
                self._host(app, found)
        else:
            self._log.error("an app cannot be started", app=app.key, error=str(found))

    def _fault(self, status: int, code: str, message: str, detail: str) -> ServerFault:
        """A trace is for the author's eyes: it goes into the answer in development only."""
        shown = detail if self._settings.is_development else ""
        return ServerFault(status, code, message, detail=shown)

    # Apps

    def hosted(self, key: str) -> Hosted | None:
        """The app as it is served under this key."""
        return self._hosted.get(key)

    def make(self, app: App, interpreter: Interpreter) -> Hosted:
        """The app as it will be served, or tried."""
        watch = TreeWatch(app.dir) if self._settings.is_development else None
        hosted = Hosted(app, interpreter, watch)
        self._by_state[hosted.state] = hosted
        return hosted

    def put_on(self, hosted: Hosted) -> None:
        """Serve the app from now on, in the place of the one with the same key."""
        app = hosted.app
        old = self._hosted.get(app.key)
        self._hosted[app.key] = hosted
        if old is not None:
            self._log.info("app changed", app=app.name, version=app.version)
            self.take_off(old)
        self._carry_out(self._scheduler.add_app(hosted.state, self._loop.now))

    def take_off(self, hosted: Hosted) -> None:
        """The app's workers finish what they have; new ones are for what has queued."""
        self._carry_out(self._scheduler.drop_app(hosted.state, self._loop.now))
        self._forget(hosted.state)

    def try_out(self, hosted: Hosted) -> None:
        """Have a worker load the app, if none does."""
        self._carry_out(self._scheduler.try_out(hosted.state, self._loop.now))

    def _host(self, app: App, interpreter: Interpreter) -> Hosted:
        hosted = self.vetting.take(app) or self.make(app, interpreter)
        self.put_on(hosted)
        return hosted

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
            case Spawn(worker, kit):
                self._spawn(worker, kit)  # type: ignore[arg-type]  # kits are of our making
            case Adopt(worker, app):
                self._adopt(worker, app)
            case End(worker, was_idle):
                self._end(worker, was_idle)
            case Refuse(ticket, retry_after_s):
                self._refuse(self._give_back(ticket), retry_after_s)
            case Fail(ticket):
                self._fail_boot(ticket)
            case _:
                raise AssertionError(f"unknown decision {decision!r}")

    def _assign(self, decision: Assign) -> None:
        exchange: Exchange = decision.ticket  # type: ignore[assignment]  # tickets are exchanges
        worker = self._workers.get(decision.worker)
        if worker is None:  # it could not be started, see _spawn
            exchange.place = None
            exchange.fail(ServerFault(502, "worker_died", "the app's worker could not be started"))
            return
        is_hit = self._scheduler.workers[decision.worker].is_loaded
        self.stats.on_assign(exchange, self._loop.now, is_hit=is_hit)
        worker.assign(exchange)

    def _give_back(self, ticket: object) -> Exchange:
        exchange: Exchange = ticket  # type: ignore[assignment]  # tickets are exchanges
        exchange.place = None
        return exchange

    def _refuse(self, exchange: Exchange, retry_after_s: float) -> None:
        exchange.meter.drops[Drop.REFUSED] += 1
        hosted = self._hosted.get(exchange.app.key) if exchange.app is not None else None
        if hosted is not None and hosted.state.is_crash_looping(self._loop.now):
            fault = self._boot_fault(hosted)
            fault = ServerFault(
                503,
                fault.code,
                f"the app could not be loaded, {hosted.state.boot_failures} times in a row",
                detail=fault.detail,
                headers=_retry_after(retry_after_s),
            )
        else:
            fault = _overloaded("the app has more requests than it can take", retry_after_s)
        exchange.fail(fault)

    def _fail_boot(self, ticket: object) -> None:
        exchange = self._give_back(ticket)
        hosted = self._hosted.get(exchange.app.key) if exchange.app is not None else None
        fallback = hosted.fallback if hosted is not None else None
        if fallback is not None and is_meant(fallback, exchange.head.target):
            exchange.app = fallback
            exchange.meter = self.stats.meters.of(fallback)
            self.submit(exchange, fallback)
        else:
            exchange.meter.drops[Drop.BOOT_FAILED] += 1
            exchange.fail(self._boot_fault(hosted))

    def _boot_fault(self, hosted: Hosted | None) -> ServerFault:
        detail = hosted.boot_error if hosted is not None else ""
        return self._fault(500, "app_boot_failed", "the app could not be loaded", detail)

    def _spawn(self, number: int, kit: Kit) -> None:
        main = f"{kit.bundle or self._bundle}/__main__.py"
        command = [kit.executable, "-I", "-S", "-X", "utf8", main]
        inherited = self._environ
        environ = {name: inherited[name] for name in INHERITED_NAMES if name in inherited}
        environ["WORKER_ID"] = f"w{number}"  # for `Orphans`, before the app's own has come
        if kit.low_memory:
            environ["MALLOC_ARENA_MAX"] = "1"
        log = self._log.child(worker=f"w{number}")
        try:
            process = Process(
                self._loop,
                command,
                environ,
                on_line=lambda stream, line: self._on_line(number, stream, line),
                on_exit=lambda returncode: self._on_exit(number, returncode),
            )
        except OSError as exc:
            log.error("a worker cannot be started", python=kit.executable, error=str(exc))
            # Told a turn later: the scheduler is still waiting for its decisions to be done.
            self._loop.call_soon(lambda: self._on_never_started(number))
            return
        self._workers[number] = Worker(number, self._loop, process, self, log)
        self.stats.worker_created += 1

    def _adopt(self, number: int, state: AppState) -> None:
        worker = self._workers.get(number)
        if worker is None:
            return
        hosted = self._by_state[state]
        app = hosted.app
        worker.log = self._log.child(app=app.name, version=app.version, worker=worker.name)
        init, blocked = init_message(hosted, worker.name, self._settings, self._environ)
        if blocked and not hosted.told_blocked:
            hosted.told_blocked = True
            worker.log.info("variables kept from an app's workers", names=list(blocked))
        if not self._is_refilling:
            self._is_refilling = True
            # In the next turn: this one's REQUEST must not wait for an interpreter's start.
            self._loop.call_soon(self._refill)
        worker.memory_max_bytes = app.manifest.max_memory_bytes or 0
        worker.adopt(init, name=app.name, version=app.version, timeout_s=app.manifest.timeout_s)
        self._boot_timers[number] = self._loop.call_later(
            self._settings.boot_timeout_s, lambda: self._on_boot_timeout(number)
        )

    def _refill(self) -> None:
        self._is_refilling = False
        self._carry_out(self._scheduler.refill(self._loop.now))

    def _end(self, number: int, was_idle: bool) -> None:
        worker = self._workers.get(number)
        if worker is None:
            return
        if was_idle:
            self.stats.will_end(number, Cause.IDLE)
        worker.terminate(after_idle=was_idle)
        self._loop.call_later(_END_GRACE_S, lambda: self._kill_if_there(number, worker))

    def _kill(self, worker: Worker, cause: Cause) -> None:
        self.stats.will_end(worker.number, cause)
        worker.process.kill()

    def _kill_if_there(self, number: int, worker: Worker) -> None:
        if self._workers.get(number) is worker:
            worker.log.warn("worker did not end when told to and is killed")
            self._kill(worker, Cause.UNRESPONSIVE)

    # What happens to processes

    def _on_line(self, number: int, stream: str, line: str) -> None:
        worker = self._workers.get(number)
        if worker is not None:
            self._log.app_output(
                worker.app_name or _KIND_OF,
                worker.app_version,
                worker.name,
                "stdout" if stream == "stdout" else "stderr",
                line,
            )

    def _on_boot_timeout(self, number: int) -> None:
        worker = self._workers.get(number)
        record = self._scheduler.workers.get(number)
        if worker is None or record is None or record.is_loaded:
            return
        seconds = self._settings.boot_timeout_s
        worker.boot_error = f"the app did not load in {seconds:g} s"
        worker.log.error(worker.boot_error)
        self._kill(worker, Cause.BOOT_TIMEOUT)

    def _on_never_started(self, number: int) -> None:
        decisions, _ = self._scheduler.died(number, self._loop.now)
        self.stats.worker_failed += 1
        self._carry_out(decisions)
        self._tell_if_empty()

    def _on_exit(self, number: int, returncode: int) -> None:
        worker = self._workers[number]
        record = self._scheduler.workers[number]
        state = record.app
        was_told = record.state is State.ENDING
        if record.state in TAKES_WORK:
            self._scheduler.retire(number)  # what `drain` still finishes must not bring new work
        left = worker.drain()
        del self._workers[number]
        timer = self._boot_timers.pop(number, None)
        if timer is not None:
            timer.cancel()
        was_killed = -returncode in _FROM_OUTSIDE and not worker.boot_error
        decisions, failed_to_load = self._scheduler.died(
            number, self._loop.now, was_killed=was_killed
        )
        how = _death(returncode)
        hosted = self._by_state.get(state) if state is not None else None
        cause, was_told = self.stats.on_death(
            number, returncode, was_told=was_told, failed_to_load=failed_to_load
        )
        meter = self.stats.meters.of(hosted.app) if hosted else self.stats.meters.of_none
        meter.deaths[cause] += 1
        if not was_told:
            worker.log.warn("worker died", how=how, requests=len(left))
        if failed_to_load and hosted is not None:
            meter.boots_failed += 1
            hosted.boot_error = worker.boot_error or f"the worker died while it loaded: {how}"
            self.vetting.failed(hosted)
        # First: what the scheduler decides on the requests below rests on what it has decided here.
        self._carry_out(decisions)
        for exchange in left:
            # Killed from outside is no fault of the app's, unless it happens again and again.
            is_broken = failed_to_load and (not was_killed or exchange.tries > 1)
            self._on_worker_lost(worker, exchange, hosted, is_broken)
        self._forget(state)
        self._tell_if_empty()

    def _on_worker_lost(
        self, worker: Worker, exchange: Exchange, hosted: Hosted | None, is_broken: bool
    ) -> None:
        """A request was in the hands of a worker that died, maybe as its app cannot be loaded."""
        exchange.place = None
        told = bool(worker.boot_error)  # then another worker would fail in the same way
        if hosted is not None and worker.can_try_again(exchange) and not told:
            exchange.meter.retries += 1
            self._enqueue(exchange, self._hosted.get(hosted.app.key, hosted))
        elif hosted is not None and is_broken:
            exchange.fail(self._boot_fault(hosted))
        else:
            exchange.fail(
                ServerFault(502, "worker_died", "the app's worker died over this request")
            )

    def _forget(self, state: AppState | None) -> None:
        """A dropped app without workers or queue is nobody's business any more."""
        if state is not None and state.is_dropped and not state.workers and not state.queue:
            self._by_state.pop(state, None)

    def _tick(self) -> None:
        self._carry_out(self._scheduler.tick(self._loop.now))
        for worker in tuple(self._workers.values()):
            self._end_streams_of_leaving(worker)
            if worker.memory_max_bytes:
                self._check_memory(worker, worker.memory_max_bytes)
        names = {worker.name: worker.process.pid for worker in self._workers.values()}
        self._orphans.sweep(names, self._loop.now)
        self._loop.call_later(_TICK_S, self._tick)

    def _end_streams_of_leaving(self, worker: Worker) -> None:
        """WebSockets and event streams may keep a leaving worker for another ttl, not for ever.

        In development they are closed at once: their pages are to come back to the new code.
        """
        record = self._scheduler.workers[worker.number]
        if record.state is not State.RETIRING or record.app is None:
            return
        now = self._loop.now
        if worker.leaving_since_s is None:
            worker.leaving_since_s = now
        grace_s = 0.0 if self._settings.is_development else record.app.policy.ttl_s
        if now - worker.leaving_since_s >= grace_s:
            worker.end_streams(_SERVICE_RESTART)

    def _check_memory(self, worker: Worker, limit_bytes: int) -> None:
        """maxMemory: above it a worker is replaced, above one and a half of it killed."""
        size_bytes = worker.process.resident_bytes()
        if size_bytes <= limit_bytes:
            return
        sizes = {"size": format_size(size_bytes), "limit": format_size(limit_bytes)}
        if size_bytes > 1.5 * limit_bytes:
            worker.log.error("worker is far above its maxMemory and is killed", **sizes)
            self._kill(worker, Cause.MEMORY)
            return
        decisions = self._scheduler.replace(worker.number, self._loop.now)
        if decisions:
            worker.log.warn("worker is above its maxMemory and is replaced", **sizes)
            self._carry_out(decisions)

    def _tell_if_empty(self) -> None:
        if self._on_empty is not None and not self._workers:
            on_empty, self._on_empty = self._on_empty, None
            on_empty()


def _death(returncode: int) -> str:
    """`-9` -> "killed by SIGKILL"; `3` -> "exit code 3"."""
    if returncode < 0:
        try:
            return f"killed by {signal.Signals(-returncode).name}"
        except ValueError:
            return f"killed by signal {-returncode}"
    return f"exit code {returncode}"


def _overloaded(message: str, retry_after_s: float) -> ServerFault:
    return ServerFault(503, "overloaded", message, headers=_retry_after(retry_after_s))


def _retry_after(seconds: float) -> tuple[tuple[str, str], ...]:
    return (("Retry-After", str(max(1, math.ceil(seconds)))),)
