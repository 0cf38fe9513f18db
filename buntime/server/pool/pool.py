"""Carries out what the scheduler decides: hands requests over, starts and ends workers.

submit ─> Deployments ─> Scheduler ─> [Spawn, Adopt, Assign, End, Refuse, Fail]
                                                        ─> Supervisor, Worker
a worker's READY, ERROR, end of request, death ─> Scheduler ─> ...
"""

from collections import deque
from collections.abc import Callable, Mapping

from buntime.core.apps.app import App
from buntime.core.pool.decisions import Adopt, Assign, Decision, End, Fail, GiveBack, Refuse, Spawn
from buntime.core.pool.gathering import Gathering
from buntime.core.pool.lifecycle import State
from buntime.core.pool.scheduler import Scheduler
from buntime.core.pool.workforce import TAKES_WORK, AppState
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import Settings
from buntime.core.telemetry.meters import Drop
from buntime.server.http1.exchange import Exchange
from buntime.server.loop.loop import Loop, Timer
from buntime.server.pool import faults
from buntime.server.pool.bounds import chance, pool_limits
from buntime.server.pool.calling import Switchboard
from buntime.server.pool.deployment import Deployment, SpareKey
from buntime.server.pool.deployments import Deployments
from buntime.server.pool.gatherers import Gatherers
from buntime.server.pool.onlooker import Onlooker
from buntime.server.pool.orders import Orders
from buntime.server.pool.preparing import Preparing
from buntime.server.pool.programs import Counts
from buntime.server.pool.reactions import Reactions
from buntime.server.pool.report import PoolReport
from buntime.server.pool.responders import Queued
from buntime.server.pool.sessions import Sessions
from buntime.server.pool.stats import PoolStats
from buntime.server.pool.supervisor import Supervisor
from buntime.server.pool.upkeep import Upkeep
from buntime.server.pool.worker import Worker
from buntime.server.pythons.interpreter import Interpreters
from buntime.server.pythons.probe import Interpreter
from buntime.server.sandbox.sandboxes import Sandboxes
from buntime.server.state.datafolders import NoData
from buntime.server.state.secretstore import NoSecrets, Secrets
from buntime.server.telemetry.logs import Log

_TICK_S = 0.5
_REFILL_S = 0.05
_ONCE = State.ONCE  # a global costs less than an attribute of a class


class Pool:
    """All workers of the runtime."""

    def __init__(
        self,
        loop: Loop,
        live: LiveSettings,
        log: Log,
        *,
        interpreters: Interpreters,
        sandboxes: Sandboxes,
        bundle: str,
        environ: Mapping[str, str],
    ) -> None:
        settings, is_development = live.now, live.now.is_development
        self._loop = loop
        self._default_python = interpreters.default.executable
        self._scheduler = scheduler = Scheduler(pool_limits(settings), jitter=chance)
        self.stats = PoolStats()
        self.sandboxes = sandboxes
        self.deployments = Deployments(
            loop,
            log,
            interpreters,
            self._scheduler,
            is_development=is_development,
            carry_out=self.carry_out,
        )
        self.preparing = Preparing(
            loop,
            interpreters,
            submit=self.submit,
            tell_of_fault=self.deployments.tell_of_fault,
        )
        self._supervisor = supervisor = Supervisor(
            loop,
            settings,
            log,
            bundle=bundle,
            environ=environ,
            stats=self.stats,
            sandboxes=sandboxes,
            counts=Counts(scheduler.program_begins, self._on_program_gone),
        )
        self.groups = supervisor.groups
        self.programs = supervisor.programs
        self._upkeep = Upkeep(
            scheduler, supervisor, is_development=is_development, carry_out=self.carry_out
        )
        self.report = self._make_report()
        self._reactions = self._make_reactions(log)
        self.orders = Orders(
            loop, scheduler, supervisor, self.deployments, carry_out=self.carry_out
        )
        self.sessions = Sessions(loop, scheduler, self)
        self._gatherers = Gatherers(
            loop, slots=lambda: scheduler.limits.ephemeral_concurrency, submit=self.submit
        )
        self._decisions: deque[Decision] = deque()
        self._is_carrying_out = False
        self._refilling: Timer | None = None  # workers have been taken, and others must start
        self._on_empty: Callable[[], None] | None = None
        live.follow(self._take_settings)

    def __repr__(self) -> str:
        return f"Pool({self._supervisor!r}, {self.deployments!r})"

    def _make_report(self) -> PoolReport:
        return PoolReport(
            self._scheduler,
            workers=self._supervisor.workers,
            programs=self.programs.running,
            deployments=self.deployments,
            stats=self.stats,
        )

    def _make_reactions(self, log: Log) -> Reactions:
        return Reactions(
            self._loop,
            log,
            scheduler=self._scheduler,
            supervisor=self._supervisor,
            deployments=self.deployments,
            stats=self.stats,
            acts=self,
        )

    # From outside

    def tell(self, onlooker: Onlooker) -> None:
        """Tell it when workers start and end."""
        self._reactions.onlooker = onlooker

    def connect(self, board: Switchboard) -> None:
        """Use it to connect the calls of workers to services."""
        self._supervisor.board = board

    def grant(self, secrets: Secrets) -> None:
        """Give workers these."""
        self._supervisor.secrets = secrets

    def hold_back(self, deployment: Deployment, seconds: float) -> None:
        """For this long, start no worker that no request waits for."""
        self._scheduler.hold_back(deployment.state, self._loop.now + seconds)

    def takes_work(self, worker: Worker) -> bool:
        """Whether the worker has loaded its app, and is not ending."""
        record = self._scheduler.workers.get(worker.number)
        return record is not None and record.state in TAKES_WORK

    def serve_instead(
        self, old: Deployment | None, app: App, interpreter: Interpreter
    ) -> Deployment:
        """Serve the app from now on, instead of `old`, whose waiting requests it gets."""
        tickets = [] if old is None else old.state.queue.tickets()
        if old is not None:
            for ticket in tickets:  # first: otherwise workers would be started for its queue
                self._scheduler.withdraw(old.state, ticket)
        new = self.deployments.serve(app, interpreter)
        for ticket in tickets:
            self.enqueue(self._give_back(ticket), new)
        return new

    def start(self) -> None:
        """Start the first spare of the default interpreter, and the ticking. Other spares follow
        when it is up: until then they would slow the first app that is asked for."""
        self._supervisor.start()
        key = SpareKey(self._default_python, False)
        self.carry_out(self._scheduler.keep_spares(key, self._loop.now))
        self._loop.call_later(_TICK_S, self._tick)

    def submit(self, exchange: Exchange, app: App) -> None:
        """Let a worker of the app answer the request, now or when one is free."""
        if app.name in self.preparing.held:
            self.preparing.keep(exchange, app)
            return
        deployment = self.deployments.current(app)
        if deployment is None:
            self.preparing.add(exchange, app)
            return
        if deployment.state.is_ephemeral and exchange.may_gather:
            self._gather(exchange, deployment)
            return
        self.stats.on_request(app.key)
        self.enqueue(exchange, deployment)

    def withdraw(self, state: AppState, exchange: Exchange) -> None:
        """A queued request is over: answered, or its client has left."""
        self._scheduler.withdraw(state, exchange)

    def put_last(self, state: AppState, exchange: Exchange) -> None:
        """The client of a queued request may have left."""
        self._scheduler.put_last(state, exchange)

    @property
    def slots_taken(self) -> int:
        """Requests that have their own worker."""
        return self._scheduler.slots_taken

    @property
    def gathering(self) -> Gathering:
        """The memory of bodies that are waited for, or kept."""
        return self._gatherers.gathering

    @property
    def is_short_of_memory(self) -> bool:
        """Whether bodies that are waited for take more than half of what they may."""
        return self._gatherers.is_pressed

    def wait_s(self, state: AppState) -> float:
        """About how long a request that came now would wait for a worker."""
        return state.wait_s(self._loop.now)

    def ask_boot(self, state: AppState, then: Callable[[str], None]) -> bool:
        """Ask a worker that loads the app where it is; False if one has loaded it, or none is
        loading."""
        if not state.workers or any(each.boot.is_loaded for each in state.workers.values()):
            return False
        worker = self._supervisor.workers.get(next(iter(state.workers)))
        return worker is not None and self._reactions.ask_where(worker, then)

    def close(self, on_empty: Callable[[], None]) -> None:
        """End every worker; `on_empty` is called when the last process is gone."""
        self._on_empty = on_empty
        self.carry_out(self._scheduler.close())
        self.programs.end_all()
        self.on_worker_gone()

    def end_orphans(self) -> None:
        """After the last worker: end and remove what workers have left behind."""
        self._supervisor.end_orphans()
        self.sandboxes.close()

    def kill_all(self) -> None:
        self._supervisor.kill_all()

    # Acts: what follows from what workers do

    def enqueue(self, exchange: Exchange, deployment: Deployment) -> None:
        """Queue the request for the deployment."""
        state = deployment.state
        exchange.hand_over(Queued(exchange, self, state), deployment.app.manifest.timeout_s)
        self.carry_out(self._scheduler.submit(state, exchange, self._loop.now))

    def carry_out(self, decisions: list[Decision]) -> None:
        """Do what was decided, in its order.

        Answering one request may begin the next one on its connection, and cause more decisions:
        they are carried out after those made before.
        """
        if not decisions:
            return
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

    def on_request_over(self) -> None:
        """Do what was put off until a request is over."""
        if self._refilling is not None:
            self._refilling.cancel()
            self._refilling = None
            self._loop.call_soon(self._refill)  # the answer leaves in this turn

    def on_worker_gone(self) -> None:
        """One worker, or program, less."""
        is_empty = not self._supervisor.workers and not self.programs.running
        if self._on_empty is not None and is_empty:
            on_empty, self._on_empty = self._on_empty, None
            on_empty()

    def _on_program_gone(self) -> None:
        self.carry_out(self._scheduler.program_ended(self._loop.now))
        self.on_worker_gone()

    # Decisions

    def _carry_out_rare(self, decision: Decision) -> None:
        match decision:
            case Spawn(worker, key):
                self._supervisor.spawn(worker, key, self._reactions)  # type: ignore[arg-type]  # keys are of our making
            case Adopt(worker, app):
                self._adopt(worker, app)
            case End(worker, was_idle):
                self._supervisor.end(worker, was_idle=was_idle)
            case Refuse(ticket, retry_after_s):
                self._refuse(self._give_back(ticket), retry_after_s)
            case Fail(ticket):
                self._fail_boot(ticket)
            case GiveBack(ticket):
                self.sessions.lose(self._give_back(ticket))
            case _:
                raise AssertionError(f"unknown decision {decision!r}")

    def _assign(self, decision: Assign) -> None:
        exchange: Exchange = decision.ticket  # type: ignore[assignment]  # tickets are exchanges
        worker = self._supervisor.workers.get(decision.worker)
        record = self._scheduler.workers[decision.worker]
        if worker is None:  # starting it failed, see Supervisor.spawn
            exchange.take_back()
            if self._scheduler.is_short and record.app is not None:
                self.enqueue(exchange, self.deployments.by_state[record.app])
            else:
                exchange.fail(faults.worker_died(message="the app's worker could not be started"))
            return
        self.stats.on_assign(exchange, self._loop.now, record.boot)
        worker.assign(exchange)
        if record.state is _ONCE:
            self.refill_later()

    def _give_back(self, ticket: object) -> Exchange:
        exchange: Exchange = ticket  # type: ignore[assignment]  # tickets are exchanges
        exchange.take_back()
        return exchange

    def _gather(self, exchange: Exchange, deployment: Deployment) -> None:
        """Read the body first, unless no worker is available: then say so at once."""
        wait_s = self._scheduler.refuses(deployment.state, self._loop.now)
        if wait_s is None:
            self._gatherers.add(exchange, deployment.app)
        else:
            self.stats.on_request(deployment.app.key)
            self._refuse(exchange, wait_s)

    def _refuse(self, exchange: Exchange, retry_after_s: float) -> None:
        exchange.meter.drops[Drop.REFUSED] += 1
        deployment = self.deployments.serving(exchange.app)
        exchange.fail(faults.refused(deployment, retry_after_s, self._loop.now))

    def _fail_boot(self, ticket: object) -> None:
        exchange = self._give_back(ticket)
        serving = self.deployments.serving(exchange.app)
        if serving is not None and serving.app.plugin is not None and not serving.has_failed:
            self.enqueue(exchange, serving)  # the code before is started again
            return
        fallback = self.deployments.fallback(exchange.app, exchange.spec)
        if fallback is not None:
            exchange.route_to(fallback, base=exchange.base, spec=exchange.spec)
            self.submit(exchange, fallback)
            return
        exchange.meter.drops[Drop.BOOT_FAILED] += 1
        exchange.fail(faults.not_loaded(self.deployments.serving(exchange.app)))

    def _adopt(self, number: int, state: AppState) -> None:
        deployment = self.deployments.by_state[state]
        try:
            self._supervisor.adopt(number, deployment)
        except NoData as exc:
            self._reactions.on_no_data(number, f"{deployment.app.source}: data: {exc}")
        except NoSecrets as exc:
            self._reactions.on_no_data(number, f"{deployment.app.source}: secrets: {exc}")
        onlooker = self._reactions.onlooker
        if deployment.app.manifest.uses and onlooker is not None:
            onlooker.on_adopted(deployment)
        self.refill_later()

    def refill_later(self) -> None:
        """Start what is missing once the present request is over or takes long: a worker in place
        of one that was taken, and the next one when one is up.

        Starting an interpreter blocks the runtime for 1 ms, and keeps a core busy for 20 more; done
        at once, that would be most of what a request waits for.
        """
        if self._refilling is None:
            self._refilling = self._loop.call_later(_REFILL_S, self._refill)

    def _refill(self) -> None:
        self._refilling = None
        self.carry_out(self._scheduler.refill(self._loop.now))

    def _tick(self) -> None:
        # First: a look that fails is logged, and the next one still comes.
        self._loop.call_later(_TICK_S, self._tick)
        self.carry_out(self._scheduler.tick(self._loop.now))
        self._upkeep.look(self._loop.now)

    def _take_settings(self, settings: Settings) -> None:
        """These apply from now on. A pool that is now too large shrinks as workers end."""
        self._scheduler.limits = pool_limits(settings)
        self._supervisor.boot_timeout_s = settings.boot_timeout_s
