"""From a checked release to a worker that has loaded it: packages, `release`, boot, `check`."""

import contextlib
from collections.abc import Callable, Generator
from typing import Any

from buntime.core.apps.app import App
from buntime.core.deploys.steps import Step
from buntime.core.errors import ClientFault, ManifestError, ServerFault
from buntime.core.settings.live import LiveSettings
from buntime.server.apps.catalog import Catalog
from buntime.server.deploys.booting import boot, let_go, probe, release
from buntime.server.deploys.course import Ask, Steps, after, in_thread
from buntime.server.deploys.deploy import Deploy
from buntime.server.deploys.installing import Tail
from buntime.server.http1.service import Service
from buntime.server.pool.deployment import Deployment
from buntime.server.pool.pool import Pool
from buntime.server.pythons.interpreter import Interpreters
from buntime.server.pythons.probe import Interpreter
from buntime.server.state.secretstore import NoSecrets

_TAIL_S = 0.3  # between looks at what pip prints


class Loading:
    """These steps, for all deploys. Used on the loop's thread."""

    def __init__(
        self,
        live: LiveSettings,
        service: Service,
        pool: Pool,
        catalog: Catalog,
        interpreters: Interpreters,
    ) -> None:
        self._live = live
        self._service = service
        self._loop = service.loop
        self._pool = pool
        self._catalog = catalog
        self._interpreters = interpreters

    def __repr__(self) -> str:
        return f"Loading({self._pool!r})"

    def foresee(self, deploy: Deploy, app: App) -> Steps:
        """For a dry run: find what would keep a worker from loading it, as far as this needs no
        code of the app. Raises ManifestError."""
        deploy.attempt(Step.TRIED)
        if app.is_static:
            return
        yield in_thread(self._loop, lambda: self._interpreters.check(app))
        try:
            self._pool.programs.check_secrets(app)
        except NoSecrets as exc:
            raise ManifestError(f"{app.source}: secrets: {exc}") from exc

    def install(self, deploy: Deploy, app: App) -> Generator[Ask, Any, Interpreter | None]:
        """Find the app's interpreter, and install its packages; None for a static site."""
        if app.is_static:
            return None
        if app.manifest.auto_install:
            deploy.attempt(Step.INSTALLING)
            deploy.reach(Step.INSTALLING)
        else:
            deploy.attempt(Step.BOOTED)
        ended = False
        if app.manifest.auto_install:
            where = yield in_thread(self._loop, lambda: self._interpreters.environments(app))
            self._tell_of_pip(deploy, Tail(*where), lambda: ended)
        try:
            found: Interpreter = yield in_thread(self._loop, lambda: self._interpreters.find(app))
        finally:
            ended = True
        return found

    def _tell_of_pip(self, deploy: Deploy, tail: Tail, has_ended: Callable[[], bool]) -> None:
        """Pass on to the deploy what pip prints, until it has ended."""

        def on_lines(lines: list[str] | BaseException) -> None:
            if deploy.is_over or isinstance(lines, BaseException):
                return
            for line in lines:
                deploy.say(Step.INSTALLING, line)
            if not has_ended():
                self._loop.call_later(_TAIL_S, look)

        def look() -> None:
            self._loop.run_blocking(tail.read, on_lines)

        look()

    def load(
        self, deploy: Deploy, app: App, interpreter: Interpreter | None
    ) -> Generator[Ask, Any, Deployment | None]:
        """Make a worker load a version that nobody can reach yet; None for a static site."""
        if interpreter is None:
            return None
        if app.manifest.release:
            deploy.attempt(Step.RELEASING)
            deploy.reach(Step.RELEASING)
            yield from release(
                self._pool,
                self._service,
                app,
                interpreter,
                lambda line: deploy.say(Step.RELEASING, line),
            )
        deployment = yield from self._boot(deploy, app, interpreter)
        return deployment

    def _boot(
        self, deploy: Deploy, app: App, interpreter: Interpreter
    ) -> Generator[Ask, Any, Deployment]:
        """Make a worker load it, and ask it whether it is well."""
        deploy.attempt(Step.BOOTED)
        began_s, timeout_s = self._loop.now, self._live.now.boot_timeout_s
        deployment = yield from boot(self._pool, self._service, app, interpreter, timeout_s)
        deploy.reach(Step.BOOTED, ms=round(1000 * (self._loop.now - began_s)))
        if app.manifest.check is not None:
            deploy.attempt(Step.PROBED)
            try:
                status = yield from probe(self._pool, self._service, deployment, app.manifest.check)
            except BaseException:
                yield from let_go(self._pool, self._service, deployment)
                raise
            deploy.reach(Step.PROBED, status=status)
        return deployment

    def load_served(self, deploy: Deploy, app: App) -> Steps:
        """Make a worker load a version that can already be reached, if none has loaded it."""
        deployments = self._pool.deployments
        serving = deployments.serving(app)
        if serving is None or serving.app is not app or not serving.has_workers():
            if app.is_static:
                return
            deploy.attempt(Step.BOOTED)
            interpreter = yield in_thread(self._loop, lambda: self._interpreters.find(app))
            deployment = yield from self._boot(deploy, app, interpreter)
            deployments.hold_ready(deployment)
            deployments.serve(app, interpreter)
            return
        deploy.attempt(Step.BOOTED)
        deploy.reach(Step.BOOTED, ms=0)

    def end_others(self, deploy: Deploy) -> Generator[Ask, Any, App | None]:
        """End the workers of all versions; requests wait meanwhile. Returns what was active."""
        pool, name = self._pool, deploy.app
        active = self.active(name)
        pool.preparing.hold(name)
        others = [each for each in pool.deployments.by_state.values() if each.app.name == name]
        for each in others:
            pool.deployments.take_off(each)
        latest_s = self._loop.now + self._live.now.shutdown_timeout_s + 5.0
        while any(each.state.workers for each in others):
            if self._loop.now > latest_s:
                raise ServerFault(
                    503, "still_running", "the previous version does not stop; recycle its workers"
                )
            yield after(self._loop, 0.01)
        return active

    def active(self, name: str) -> App | None:
        """The version that gets requests without a version."""
        with contextlib.suppress(ClientFault, ManifestError):
            return self._catalog.find(name, None, self._loop.now).code
        return None

    def alone(self, name: str, new: App | None) -> App | None:
        """The active version, if it must end before `new` is loaded (`replace: after`).

        `new` is None for the app's own folder, whose manifest is not known yet.
        """
        old = self.active(name)
        which = new or old
        is_alone = which is not None and which.manifest.replace == "after" and not which.is_static
        return old if is_alone else None
