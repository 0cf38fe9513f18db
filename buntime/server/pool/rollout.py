"""Lets a changed app or a new version serve once it could be loaded, and the one before till then.

    the catalog finds an `App` it has not had before, and knows one that has served in its place
        `choose` says who serves now, and has the new one loaded by a worker of its own
            loaded: it is proven, and serves from the next request on
            not loaded: the log says why, the one before goes on, the next try backs off

A version beside another one has a folder of its own, so either can be started at any time. Where
the code in one folder has changed, the old one is there only in the workers that have loaded it:
when they are gone the new code serves, whatever it is. In development all of this is left out:
who edits an app wants to see its faults.
"""

from collections.abc import Callable
from typing import Protocol
from weakref import WeakKeyDictionary, WeakSet

from buntime.core.apps.app import App
from buntime.core.apps.router import Target
from buntime.core.apps.versions import UNVERSIONED, select
from buntime.core.errors import ManifestError
from buntime.server.loop import Loop
from buntime.server.pool.deployment import Deployment
from buntime.server.pythons.interpreter import Interpreter, Interpreters
from buntime.server.telemetry.logs import Log

_UNFIT_S = 60.0  # until an app's interpreter is looked for again, where that failed


class Stage(Protocol):
    """Where apps are served: the pool."""

    def deployment(self, key: str) -> Deployment | None: ...
    def make(self, app: App, interpreter: Interpreter) -> Deployment: ...
    def put_on(self, deployment: Deployment) -> None: ...
    def take_off(self, deployment: Deployment) -> None: ...
    def try_out(self, deployment: Deployment) -> None: ...


class Rollout:
    """Knows which apps have been loaded, and tries those that have not."""

    def __init__(self, loop: Loop, stage: Stage, interpreters: Interpreters, log: Log) -> None:
        self.on_proven: Callable[[], None] = lambda: None  # other apps may be chosen now
        self._loop = loop
        self._stage = stage
        self._interpreters = interpreters
        self._log = log
        self._proven: WeakSet[App] = WeakSet()
        self._candidates: dict[str, Deployment] = {}  # by key, beside the one that serves
        self._learning: WeakSet[App] = WeakSet()
        self._unfit_until: WeakKeyDictionary[App, float] = WeakKeyDictionary()

    def is_proven(self, app: App) -> bool:
        return app.is_static or app in self._proven

    def choose(self, new: App, proven: App) -> App:
        """Which of the two serves now: `new` has never been loaded, `proven` has."""
        if proven.is_static:
            return new
        before = self._stage.deployment(proven.key)
        is_served = before is not None and before.app is proven and before.has_workers()
        if new.key == proven.key:
            if not is_served:
                return new
            candidate = self._candidate(new)
        else:
            candidate = self._version(new, proven)
            if candidate is not None and not is_served and _may_stand_in(new, proven):
                return new if not candidate.boot_error else self._try(candidate, proven)
        return proven if candidate is None else self._try(candidate, proven)

    def take(self, app: App) -> Deployment | None:
        """The candidate for this app, which is to serve although it has not been loaded."""
        candidate = self._candidates.get(app.key)
        if candidate is None or candidate.app is not app:
            return None
        return self._candidates.pop(app.key)

    def loaded(self, deployment: Deployment) -> None:
        """A worker has loaded the app."""
        app = deployment.app
        if app in self._proven:
            return
        self._proven.add(app)
        deployment.fallback = None
        if self._candidates.get(app.key) is deployment:
            del self._candidates[app.key]
            self._stage.put_on(deployment)
        self.on_proven()

    def failed(self, deployment: Deployment) -> None:
        """A worker could not load the app."""
        if (
            self._candidates.get(deployment.app.key) is deployment
            or deployment.fallback is not None
        ):
            self._log.error(
                "app.change_boot_failed",
                "new version failed to load; still serving the previous one",
                app=deployment.app.name,
                version=deployment.app.version,
                failures=deployment.state.boot_failures,
                retry_s=max(0.0, round(deployment.state.retry_at_s - self._loop.now, 1)),
            )
            self.on_proven()

    def _try(self, candidate: Deployment, proven: App) -> App:
        self._stage.try_out(candidate)
        return proven

    def _candidate(self, new: App) -> Deployment | None:
        """`new`, beside the app of the same key that serves."""
        candidate = self._candidates.get(new.key)
        if candidate is not None and candidate.app is new:
            return candidate
        interpreter = self._interpreter(new)
        if interpreter is None:
            return None
        if candidate is not None:
            self._stage.take_off(candidate)
        self._log.info(
            "app.change_tried",
            "app changed; loading the new code",
            app=new.name,
            version=new.version,
        )
        self._candidates[new.key] = made = self._stage.make(new, interpreter)
        return made

    def _version(self, new: App, proven: App) -> Deployment | None:
        """`new`, a version that is on its own, with the one to answer where it cannot."""
        deployment = self._stage.deployment(new.key)
        if deployment is None or deployment.app is not new:
            interpreter = self._interpreter(new)
            if interpreter is None:
                return None
            self._log.info(
                "app.version_tried", "loading a new version", app=new.name, version=new.version
            )
            deployment = self._stage.make(new, interpreter)
            self._stage.put_on(deployment)
        deployment.fallback = proven
        return deployment

    def _interpreter(self, app: App) -> Interpreter | None:
        """The app's interpreter; None while, or when, it cannot be told."""
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
        self.on_proven()

    def _is_unfit(self, app: App, why: ManifestError) -> None:
        self._unfit_until[app] = self._loop.now + _UNFIT_S
        self._log.error(
            "app.change_start_failed",
            "new version cannot be started; still serving the previous one",
            app=app.key,
            error=str(why),
        )


def is_meant(app: App, named: Target | None) -> bool:
    """Whether a request for what is `named` asks for a range of versions that `app` is in."""
    return named is not None and select([app.version or UNVERSIONED], named.spec) is not None


def _may_stand_in(new: App, proven: App) -> bool:
    """May a request that was let in for `new`, and waits for it, be answered by `proven`?

    Only where both let everybody in. And an ephemeral app is started for each request anyway.
    """
    return new.manifest.visibility == proven.manifest.visibility == "public" and bool(
        proven.manifest.ttl_s
    )
