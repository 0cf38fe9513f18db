"""Which apps are served, in which state of their code, and which changes are being tried.

An app's code in one state is one `Deployment`: when its manifest or, in development, a file of it
changes, the old one is dropped (its workers finish what they have) and a new one is made.
`core/pool/rollout.py` decides which one serves; this finds its interpreter and carries that out.
"""

from collections.abc import Callable
from weakref import WeakKeyDictionary, WeakSet

from buntime.core.apps.app import App
from buntime.core.errors import ManifestError
from buntime.core.pool.decisions import Decision
from buntime.core.pool.rollout import Placement, Rollout, is_meant
from buntime.core.pool.scheduler import Scheduler
from buntime.core.pool.workforce import AppState
from buntime.server.loop.loop import Loop
from buntime.server.pool import faults
from buntime.server.pool.deployment import Deployment
from buntime.server.pool.unstarted import Unstarted
from buntime.server.pythons.interpreter import Interpreters
from buntime.server.pythons.probe import Interpreter
from buntime.server.telemetry.logs import Log

_UNFIT_S = 60.0  # until an app's interpreter is looked for again, where that failed


class Deployments:
    """Finds, or makes, the deployment that a request for an app is queued for."""

    def __init__(
        self,
        loop: Loop,
        log: Log,
        interpreters: Interpreters,
        scheduler: Scheduler,
        *,
        is_development: bool,
        carry_out: Callable[[list[Decision]], None],
    ) -> None:
        """`carry_out` does what the scheduler decides, at once or after its current work."""
        self.by_state: dict[AppState, Deployment] = {}  # including those being tried or dropped
        self.rollout: Rollout[Deployment] = Rollout()
        self.served = self.rollout.served  # by App.key
        self.unstarted = Unstarted()
        self.follow: Callable[[Deployment], None] | None = None  # watches what has loaded
        self._loop = loop
        self._log = log
        self._interpreters = interpreters
        self._scheduler = scheduler
        self._is_development = is_development
        self._carry_out = carry_out
        # Changes that cannot be tried, because there is no interpreter for them yet
        self._learning: WeakSet[App] = WeakSet()
        # Loaded before requests can reach them: they serve as soon as requests can
        self._ready: WeakKeyDictionary[App, Deployment] = WeakKeyDictionary()
        self._unfit_until: WeakKeyDictionary[App, float] = WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"Deployments({len(self.served)} served, {len(self.by_state)} in all)"

    # For requests

    def current(self, app: App) -> Deployment | None:
        """The app as it is now; None while its interpreter must first be looked at, off the loop.

        Raises ManifestError if it has none.
        """
        deployment = self.served.get(app.key)
        if app.plugin is not None:  # plugins decide what serves for it
            if deployment is None:
                raise faults.plugin_stopped(app.name)
            return deployment
        if deployment is None or deployment.app is not app or deployment.may_change():
            try:
                interpreter = self._interpreters.known(app)
            except ManifestError as exc:
                self.unstarted.add(app, str(exc))
                raise
            if interpreter is None:
                return None
            self.unstarted.remove(app)
            if deployment is None or deployment.has_changed(app, interpreter):
                deployment = self.serve(app, interpreter)
        return deployment

    def serving(self, app: App | None) -> Deployment | None:
        """What serves under the app's key now, possibly another state of its code."""
        return self.served.get(app.key) if app is not None else None

    def of(self, state: AppState | None) -> Deployment | None:
        """The deployment that belongs to this state in the scheduler."""
        return self.by_state.get(state) if state is not None else None

    def all_of(self, name: str, key: str | None) -> list[Deployment]:
        """All states of an app's code, or of one version's, including those being tried or
        dropped."""
        return [
            each
            for each in self.by_state.values()
            if each.app.name == name and key in (None, each.app.key)
        ]

    def fallback(self, app: App | None, spec: str | None) -> App | None:
        """The deployment that answers requests for versions in the range `spec` if the app is not
        loaded."""
        deployment = self.serving(app)
        fallback = deployment.fallback if deployment is not None else None
        return fallback if fallback is not None and is_meant(fallback, spec) else None

    def tell_of_fault(self, app: App, fault: BaseException) -> None:
        """No worker of the app can be started, as it has no interpreter that is fit."""
        self.unstarted.add(app, str(fault))
        self._log.error("app.start_failed", "app cannot be started", app=app.key, error=str(fault))

    # Changes

    def prepare(self, app: App, *, is_active: bool = True) -> None:
        """Start what the app should have ready before its first request (`prewarm`).

        Versions other than the active one are started when they are requested. If packages must be
        installed, report already what will prevent that.
        """
        before = self.served.get(app.key)
        if app.is_static or (before is not None and before.app is app):
            return
        if app.manifest.prewarm and is_active:
            self._loop.run_blocking(
                lambda: self._interpreters.find(app),
                lambda found: self._prepared(app, before, found),
            )
        elif app.manifest.auto_install:
            self._loop.run_blocking(
                lambda: self._interpreters.inspect(app), lambda fault: self._inspected(app, fault)
            )

    def serve(self, app: App, interpreter: Interpreter) -> Deployment:
        """Serve the app from now on, instead of what serves under its key."""
        deployment = (
            self.rollout.tried(app, Placement.BESIDE)
            or self._ready.pop(app, None)
            or self._make(app, interpreter)
        )
        self.put_on(deployment)
        return deployment

    def hold_ready(self, deployment: Deployment) -> None:
        """It was loaded beside what serves; as soon as its app is served, its workers do that."""
        self._ready[deployment.app] = deployment

    def load_beside(self, app: App, interpreter: Interpreter) -> Deployment:
        """Let a worker load the app, which gets no requests before `put_on`."""
        deployment = self._make(app, interpreter)
        self.try_out(deployment)
        return deployment

    def put_on(self, deployment: Deployment) -> None:
        """Make it serve from now on; what served under its key is dropped."""
        replaced = self.rollout.serve(deployment)
        if replaced is not None:
            _join(deployment.state, replaced.state)
            if deployment.app.plugin is None:
                self._log.info(
                    "app.changed",
                    "app changed",
                    app=deployment.app.name,
                    version=deployment.app.version,
                    file=replaced.changed_file,
                )
            self.drop(replaced, is_replaced=True)
        self._carry_out(self._scheduler.add_app(deployment.state, self._loop.now))

    def take_off(self, deployment: Deployment) -> None:
        """Stop serving it; nothing replaces it."""
        if self.served.get(deployment.app.key) is deployment:
            del self.served[deployment.app.key]
        self.drop(deployment)

    def try_out(self, deployment: Deployment) -> None:
        """Let a worker load it, if none does."""
        self._carry_out(self._scheduler.try_out(deployment.state, self._loop.now))

    def drop(self, deployment: Deployment, *, is_replaced: bool = False) -> None:
        """Its workers finish what they have; new ones are for what has queued."""
        state, now = deployment.state, self._loop.now
        self._ready.pop(deployment.app, None)
        self._carry_out(self._scheduler.drop_app(state, now, is_replaced=is_replaced))
        self.forget(state)

    def forget(self, state: AppState | None) -> None:
        """Let go of a dropped app that has neither workers nor a queue."""
        if state is not None and state.is_dropped and not state.workers and not state.queue:
            self.by_state.pop(state, None)

    # For the catalog

    @property
    def revision(self) -> int:
        """Changes whenever `choose` may have another answer."""
        return self.rollout.revision

    def is_proven(self, app: App) -> bool:
        """Whether the app may serve without a trial. In development nothing is ever tried: people
        who edit an app want to see its faults."""
        return not self._is_development and self.rollout.is_proven(app)

    def choose(self, new: App, proven: App) -> App:
        """Which of the two serves now: `new` has never been loaded, `proven` has."""
        choice = self.rollout.choose(new, proven)
        if choice.placement is None:
            return choice.serves
        deployment = self._tried(new, choice.placement)
        if deployment is None:
            return proven
        if choice.placement is Placement.APART:
            deployment.fallback = proven
        if choice.serves is proven:
            self.try_out(deployment)
        return choice.serves

    # Results of boots

    def loaded(self, deployment: Deployment) -> None:
        """A worker has loaded it."""
        if self.rollout.loaded(deployment):
            self.put_on(deployment)
        if self.follow is not None:
            self.follow(deployment)

    def failed(self, deployment: Deployment) -> None:
        """A worker could not load it."""
        if self.rollout.failed(deployment):
            self._log.error(
                "app.change_boot_failed",
                "new version failed to load; still serving the previous one",
                app=deployment.app.name,
                version=deployment.app.version,
                failures=deployment.state.boot_failures,
                retry_s=max(0.0, round(deployment.state.retry_at_s - self._loop.now, 1)),
            )

    # How it is done

    def _make(self, app: App, interpreter: Interpreter) -> Deployment:
        is_watched = self._is_development and app.plugin is None
        deployment = Deployment(app, interpreter, is_watched=is_watched)
        self.by_state[deployment.state] = deployment
        self.unstarted.remove(app)
        return deployment

    def _tried(self, new: App, placement: Placement) -> Deployment | None:
        """The deployment by which `new` is tried; None while its interpreter is not known."""
        tried = self.rollout.tried(new, placement)
        if tried is not None:
            return tried
        interpreter = self._interpreter(new)
        if interpreter is None:
            return None
        if placement is Placement.APART:
            self._log.info(
                "app.version_tried", "loading a new version", app=new.name, version=new.version
            )
            made = self._make(new, interpreter)
            self.put_on(made)
            return made
        made = self._make(new, interpreter)
        replaced = self.rollout.try_beside(made)
        if replaced is not None:
            self.drop(replaced)
        self._log.info(
            "app.change_tried",
            "app changed; loading the new code",
            app=new.name,
            version=new.version,
        )
        return made

    def _interpreter(self, app: App) -> Interpreter | None:
        """The interpreter of a change; None while it is unknown, or if it cannot be found."""
        if app in self._learning or self._loop.now < self._unfit_until.get(app, 0.0):
            return None
        try:
            known = self._interpreters.known(app)
        except ManifestError as exc:
            self._is_unfit(app, exc)
            return None
        if known is None:
            self._learning.add(app)
            self._loop.run_blocking(
                lambda: self._interpreters.find(app), lambda found: self._learned(app, found)
            )
        return known

    def _learned(self, app: App, found: Interpreter | BaseException) -> None:
        self._learning.discard(app)
        if isinstance(found, ManifestError):
            self._is_unfit(app, found)
        elif isinstance(found, BaseException):
            raise found
        self.rollout.reconsider()

    def _is_unfit(self, app: App, why: ManifestError) -> None:
        self._unfit_until[app] = self._loop.now + _UNFIT_S
        self._log.error(
            "app.change_start_failed",
            "new version cannot be started; still serving the previous one",
            app=app.key,
            error=str(why),
        )

    def _prepared(
        self, app: App, before: Deployment | None, found: Interpreter | BaseException
    ) -> None:
        if isinstance(found, Interpreter):
            if self.served.get(app.key) is before:  # else a request has come first
                self.serve(app, found)
        else:
            self.tell_of_fault(app, found)

    def _inspected(self, app: App, fault: BaseException | None) -> None:
        if fault is not None:
            self.tell_of_fault(app, fault)


def _join(state: AppState, replaced: AppState) -> None:
    """If the workers of an app never overlap, those of its other states count too."""
    if state.policy.is_single:
        kin = {each for each in replaced.kin if each.workers or each is replaced}
        state.kin = replaced.kin = {state, *kin}
        for each in kin:
            each.kin = state.kin
