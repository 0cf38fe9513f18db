"""Which apps are served, in which state of their code, and who decides when that changes.

An app's code in one state is one `Deployment`: when its manifest or, in development, a file of it
changes, the old one is dropped (its workers finish what they have) and a new one is made.
"""

from collections.abc import Callable

from buntime.core.apps.app import App
from buntime.core.apps.router import split_target
from buntime.core.errors import ManifestError
from buntime.core.pool.scheduler import Scheduler
from buntime.core.pool.workforce import AppState, Decision
from buntime.server.apps.changes import TreeWatch
from buntime.server.http1.exchange import Exchange
from buntime.server.loop import Loop
from buntime.server.pool import faults
from buntime.server.pool.deployment import Deployment
from buntime.server.pool.places import PREPARING
from buntime.server.pool.rollout import Rollout, is_meant
from buntime.server.pythons.interpreter import Interpreter, Interpreters
from buntime.server.telemetry.logs import Log


class Hosts:
    """Finds, or makes, what a request for an app is to be queued for."""

    def __init__(
        self,
        loop: Loop,
        log: Log,
        interpreters: Interpreters,
        scheduler: Scheduler,
        *,
        is_development: bool,
        carry_out: Callable[[list[Decision]], None],
        enqueue: Callable[[Exchange, Deployment], None],
    ) -> None:
        """`enqueue` takes a request and its deployment; `carry_out` the scheduler's decisions."""
        self.by_key: dict[str, Deployment] = {}  # by App.key
        self.by_state: dict[AppState, Deployment] = {}  # those that are tried or dropped as well
        self.rollout = Rollout(loop, self, interpreters, log)
        self._loop = loop
        self._log = log
        self._interpreters = interpreters
        self._scheduler = scheduler
        self._is_development = is_development
        self._carry_out = carry_out
        self._enqueue = enqueue
        self._learning: dict[App, list[Exchange]] = {}  # requests that wait for an interpreter

    def __repr__(self) -> str:
        return f"Hosts({len(self.by_key)} apps)"

    def submit(self, exchange: Exchange, app: App) -> None:
        """Queue the request for the app as it is now; the app's first ones may have to wait."""
        deployment = self.by_key.get(app.key)
        if deployment is None or deployment.app is not app or deployment.may_change():
            interpreter = self._interpreters.known(app)
            if interpreter is None:
                self._learn_interpreter(exchange, app)
                return
            if deployment is None or deployment.has_changed(app, interpreter):
                deployment = self._host(app, interpreter)
        self._enqueue(exchange, deployment)

    def prepare(self, app: App) -> None:
        """Start what the app wants to have ready before its first request (`prewarm`)."""
        if app.manifest.prewarm and not app.is_static and app.key not in self.by_key:
            self._loop.run_blocking(
                lambda: self._interpreters.find(app),
                lambda found: self._prepared(app, found),
            )

    def of(self, exchange: Exchange) -> Deployment | None:
        """What the request's app is now."""
        return self.by_key.get(exchange.app.key) if exchange.app is not None else None

    def fall_back(self, exchange: Exchange) -> App | None:
        """The app that answers, where the one that the request waited for cannot be loaded."""
        deployment = self.of(exchange)
        fallback = deployment.fallback if deployment is not None else None
        target = split_target(exchange.head.target)
        return fallback if fallback and is_meant(fallback, target) else None

    def forget(self, state: AppState | None) -> None:
        """A dropped app without workers or queue is nobody's business any more."""
        if state is not None and state.is_dropped and not state.workers and not state.queue:
            self.by_state.pop(state, None)

    # Stage of the rollout

    def deployment(self, key: str) -> Deployment | None:
        """The app as it is served under this key."""
        return self.by_key.get(key)

    def make(self, app: App, interpreter: Interpreter) -> Deployment:
        """The app as it will be served, or tried."""
        watch = TreeWatch(app.dir) if self._is_development else None
        deployment = Deployment(app, interpreter, watch)
        self.by_state[deployment.state] = deployment
        return deployment

    def put_on(self, deployment: Deployment) -> None:
        """Serve the app from now on, in the place of the one with the same key."""
        app = deployment.app
        old = self.by_key.get(app.key)
        self.by_key[app.key] = deployment
        if old is not None:
            self._log.info("app.changed", "app changed", app=app.name, version=app.version)
            self.take_off(old)
        self._carry_out(self._scheduler.add_app(deployment.state, self._loop.now))

    def take_off(self, deployment: Deployment) -> None:
        """The app's workers finish what they have; new ones are for what has queued."""
        self._carry_out(self._scheduler.drop_app(deployment.state, self._loop.now))
        self.forget(deployment.state)

    def try_out(self, deployment: Deployment) -> None:
        """Have a worker load the app, if none does."""
        self._carry_out(self._scheduler.try_out(deployment.state, self._loop.now))

    # How it is done

    def _host(self, app: App, interpreter: Interpreter) -> Deployment:
        deployment = self.rollout.take(app) or self.make(app, interpreter)
        self.put_on(deployment)
        return deployment

    def _learn_interpreter(self, exchange: Exchange, app: App) -> None:
        """The first requests of an app wait while its interpreter is looked at, off the loop."""
        exchange.place = PREPARING
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
        self._log.error("app.start_failed", "app cannot be started", app=app.key, error=str(found))
        for exchange in waiting:
            exchange.fail(faults.misconfigured(str(found)))
        if not isinstance(found, ManifestError):
            raise found

    def _prepared(self, app: App, found: Interpreter | BaseException) -> None:
        if isinstance(found, Interpreter):
            if app.key not in self.by_key:
                self._host(app, found)
        else:
            self._log.error(
                "app.start_failed", "app cannot be started", app=app.key, error=str(found)
            )
