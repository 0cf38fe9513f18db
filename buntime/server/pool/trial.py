"""Loads apps in workers, each once and a few at a time, and reports the results in their order.

It uses the same parts as when apps are served, without a listening socket: what loads here loads
there. An app has its turn until its worker has ended, so that all of its output is there.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

from buntime.core.apps.app import App, Fault
from buntime.core.apps.floors import NO_FLOORS, Floors
from buntime.core.apps.router import RESERVED, default_target
from buntime.core.errors import ManifestError
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import Settings
from buntime.core.telemetry.records import Tell
from buntime.core.values.frozen import frozen
from buntime.server.apps.catalog import Catalog
from buntime.server.apps.hostindex import HostIndex, check_default
from buntime.server.bundle.bundle import default_cache_dir, ensure_bundle
from buntime.server.loop.loop import Loop
from buntime.server.pool.cores import cores
from buntime.server.pool.deployment import Deployment
from buntime.server.pool.pool import Pool
from buntime.server.pool.stacks import ignore_stacks_signals
from buntime.server.pool.worker import Worker
from buntime.server.pythons.interpreter import Interpreters
from buntime.server.pythons.probe import Interpreter
from buntime.server.pythons.users import Users
from buntime.server.sandbox.probe import find_kernel
from buntime.server.sandbox.sandboxes import Sandboxes
from buntime.server.sites.published import Published, links_away, list_published
from buntime.server.state.secretstore import Secrets
from buntime.server.telemetry.logs import Log
from buntime.wire import Message

_LOOK_S = 0.005  # how often to check whether an app has loaded, and its worker has ended


@frozen()
class Verdict:
    """The result for one app; `error` is "" if it is well.

    A static one has no Python, and `published` says what can be seen of its folder.
    """

    key: str
    error: str
    note: str = ""  # what the runtime adds to the error
    seconds: float = 0.0
    python: str | None = None
    published: Published | None = None
    links_away: tuple[str, ...] = ()
    floors: tuple[str, ...] = ()  # what operators have changed of its manifest


def find_apps(settings: Settings, warn: Tell, floors: Floors = NO_FLOORS) -> list[App | Fault]:
    """All apps of the worker folders, with operators' changes, and the faulty folders."""
    catalog = Catalog(
        settings.worker_dirs,
        body_default=settings.body_size_default_bytes,
        body_max=settings.body_size_max_bytes,
        warn=warn,
        reserved=RESERVED,
    )
    catalog.take_floors(floors)
    apps = catalog.all(0.0)
    HostIndex(catalog, warn=warn, operators=settings.admin_host).look(0.0)
    check_default(catalog, default_target(settings.default_app), warn, 0.0)
    return apps


class _Loaded:
    """Knows which apps a worker has loaded, even if that worker has ended since."""

    def __init__(self) -> None:
        self.deployments: set[Deployment] = set()

    def on_adopted(self, deployment: Deployment) -> None: ...

    def on_loaded(self, deployment: Deployment, worker: Worker, message: Message) -> None:
        self.deployments.add(deployment)

    def on_not_loaded(self, deployment: Deployment, why: str) -> None: ...

    def on_gone(
        self, deployment: Deployment, worker: Worker, how: str, *, was_ordered: bool
    ) -> None: ...


class Trial:
    """Loads apps, as many at a time as there are cores.

    `tell` gets each result once all results before it are known.
    """

    def __init__(
        self,
        settings: Settings,
        log: Log,
        tell: Callable[[Verdict], None],
        *,
        at_once: int | None = None,
        secrets: Secrets | None = None,
    ) -> None:
        """`at_once`: how many apps to load at a time; by default one for each core. `secrets` are
        given to apps; by default none."""
        self.loop = Loop(self._on_error)
        self._tell = tell
        self._failure: BaseException | None = None
        live, environ = LiveSettings(settings), dict(os.environ)
        bundle = str(ensure_bundle(default_cache_dir(os.environ), warn=log.warn))
        sandboxes = Sandboxes(find_kernel(), live, bundle=bundle, environ=environ, warn=log.warn)
        self._interpreters = Interpreters(
            settings.python,
            tell=log.info,
            users=Users(fixed=settings.app_users, warn=log.warn),
            confinement=sandboxes.starts,
        )
        self._pool = Pool(
            self.loop,
            live,
            log,
            interpreters=self._interpreters,
            sandboxes=sandboxes,
            bundle=bundle,
            environ=environ,
        )
        self._pool.grant(secrets or Secrets())
        self._loaded = _Loaded()
        self._pool.tell(self._loaded)
        self._at_once = min(at_once or cores(), settings.pool_size)
        self._apps: Sequence[App | Fault] = ()
        self._verdicts: dict[int, Verdict] = {}  # not reported yet, by the app's position
        self._begun = 0  # apps
        self._settled = 0
        self._reported = 0
        self._is_over = False

    def run(self, apps: Sequence[App | Fault]) -> None:
        """Try them all. Raises what `interrupt` was given."""
        ignore_stacks_signals()
        self._apps = apps
        self.loop.call_soon(self._go_on)
        try:
            self.loop.run()
        finally:
            self._pool.kill_all()  # some are left only after a fault of our own
            self._interpreters.close()
            self._pool.sandboxes.close()
            self.loop.close()
        if self._failure is not None:
            raise self._failure

    def interrupt(self, why: BaseException) -> None:
        """End everything that was started, report what is known, and make `run` raise `why`.

        Asked once more, wait for nothing.
        """
        if self._is_over:
            self.loop.stop()
            return
        self._is_over = True
        self._failure = why
        self._interpreters.close()
        self._pool.kill_all()
        for _, verdict in sorted(self._verdicts.items()):
            self._tell(verdict)
        self._pool.close(self.loop.stop)

    def _go_on(self) -> None:
        """Start what there is room for; finish after the last one."""
        while self._begun < len(self._apps) and self._begun - self._settled < self._at_once:
            self._begun += 1
            self._begin(self._begun - 1)
        if self._settled == len(self._apps) and not self._is_over:
            self._is_over = True
            self._pool.close(self.loop.stop)

    def _begin(self, place: int) -> None:
        found = self._apps[place]
        if isinstance(found, Fault):
            self._settle(place, Verdict(found.key, found.error))
        elif found.is_static:
            self.loop.run_blocking(
                lambda: Verdict(
                    found.key, "", published=list_published(found), links_away=links_away(found)
                ),
                lambda result: self._settle(place, result),
            )
        else:
            self.loop.run_blocking(
                lambda: self._interpreters.find(found),
                lambda result: self._boot(place, found, result),
            )

    def _boot(self, place: int, app: App, result: Interpreter | BaseException) -> None:
        if self._is_over:
            return
        if isinstance(result, ManifestError):
            self._settle(place, Verdict(app.key, str(result)))
        elif isinstance(result, BaseException):
            raise result
        else:
            began_s = self.loop.now
            deployment = self._pool.deployments.serve(app, result)
            self._pool.deployments.try_out(deployment)  # `prewarm` may have had it loaded already
            self._wait(place, deployment, began_s)

    def _wait(self, place: int, deployment: Deployment, began_s: float) -> None:
        """Wait for its result."""
        if not deployment.has_failed and deployment not in self._loaded.deployments:
            self.loop.call_later(_LOOK_S, lambda: self._wait(place, deployment, began_s))
            return
        seconds = self.loop.now - began_s
        error, note = deployment.state.boot_error, deployment.boot_note
        python = deployment.interpreter.version
        self._pool.deployments.drop(deployment)
        self._leave(place, deployment, Verdict(deployment.app.key, error, note, seconds, python))

    def _leave(self, place: int, deployment: Deployment, verdict: Verdict) -> None:
        """Wait until its workers have ended."""
        if deployment.state.workers:
            self.loop.call_later(_LOOK_S, lambda: self._leave(place, deployment, verdict))
        else:
            self._settle(place, verdict)

    def _settle(self, place: int, verdict: Verdict | BaseException) -> None:
        if self._is_over:
            return
        if isinstance(verdict, BaseException):
            raise verdict
        self._settled += 1
        found = self._apps[place]
        if isinstance(found, App):
            verdict = replace(verdict, floors=tuple(map(str, found.manifest.floors)))
        self._verdicts[place] = verdict
        while self._reported in self._verdicts:
            self._reported += 1
            self._tell(self._verdicts.pop(self._reported - 1))
        self.loop.call_soon(self._go_on)

    def _on_error(self, exc: BaseException) -> None:
        """A callback raised: a bug, which must not look like an app that never loads."""
        self._failure = exc
        self._pool.kill_all()
        self.loop.stop()
