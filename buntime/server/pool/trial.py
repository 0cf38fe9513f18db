"""Loads apps in workers, each once and one after the other, and tells what came of it.

The same parts as when apps are served, without a socket to listen on: what loads here loads there.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from buntime.core.apps.app import App, Fault
from buntime.core.apps.router import RESERVED
from buntime.core.errors import ManifestError
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import Settings
from buntime.core.telemetry.records import Tell
from buntime.server.apps.catalog import Catalog
from buntime.server.apps.hostindex import HostIndex
from buntime.server.bundle.bundle import default_cache_dir, ensure_bundle
from buntime.server.loop import Loop
from buntime.server.pool.deployment import Deployment
from buntime.server.pool.pool import Pool
from buntime.server.pool.stacks import ignore_stacks_signals
from buntime.server.pythons.interpreter import Interpreters
from buntime.server.pythons.probe import Interpreter
from buntime.server.pythons.users import Users
from buntime.server.sandbox.probe import find_kernel
from buntime.server.sandbox.sandboxes import Sandboxes
from buntime.server.sites.published import Published, links_away, list_published
from buntime.server.telemetry.logs import Log

_LOOK_S = 0.005  # how often it is looked whether an app has loaded


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one app; `error` is "" where it is well.

    A static one has no Python, and `published` says what can be seen of its folder.
    """

    key: str
    error: str
    note: str = ""  # what the runtime adds to the error
    seconds: float = 0.0
    python: str | None = None
    published: Published | None = None
    links_away: tuple[str, ...] = ()


def find_apps(settings: Settings, warn: Tell) -> list[App | Fault]:
    """All apps of the worker folders, and the folders that are faulty."""
    catalog = Catalog(
        settings.worker_dirs,
        body_default=settings.body_size_default_bytes,
        body_max=settings.body_size_max_bytes,
        warn=warn,
        reserved=RESERVED,
    )
    apps = catalog.all(0.0)
    HostIndex(catalog, warn=warn).look(0.0)
    return apps


class Trial:
    """Loads apps; `tell` gets the verdict of each as soon as it is known."""

    def __init__(self, settings: Settings, log: Log, tell: Callable[[Verdict], None]) -> None:
        self._tell = tell
        self._loop = Loop(self._on_error)
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
            self._loop,
            live,
            log,
            interpreters=self._interpreters,
            sandboxes=sandboxes,
            bundle=bundle,
            environ=environ,
        )
        self._left: list[App | Fault] = []
        self._began_s = 0.0  # of the app that is tried

    def run(self, apps: Sequence[App | Fault]) -> None:
        """Try them all, in their order."""
        ignore_stacks_signals()
        self._left = list(apps)
        self._loop.call_soon(self._next)
        self._loop.run()
        self._pool.sandboxes.close()
        self._interpreters.close()
        self._loop.close()
        if self._failure is not None:
            raise self._failure

    def _next(self) -> None:
        if not self._left:
            self._pool.close(self._loop.stop)
            return
        self._began_s = self._loop.now
        found = self._left.pop(0)
        if isinstance(found, Fault):
            self._settle(Verdict(found.key, found.error))
        elif found.is_static:
            self._settle(
                Verdict(
                    found.key, "", published=list_published(found), links_away=links_away(found)
                )
            )
        else:
            self._loop.run_blocking(
                lambda: self._interpreters.find(found), lambda told: self._boot(found, told)
            )

    def _boot(self, app: App, told: Interpreter | BaseException) -> None:
        if isinstance(told, ManifestError):
            self._settle(Verdict(app.key, str(told)))
        elif isinstance(told, BaseException):
            raise told
        else:
            self._began_s = self._loop.now
            deployment = self._pool.deployments.serve(app, told)
            self._pool.deployments.try_out(deployment)  # `prewarm` may have had it loaded already
            self._wait(deployment)

    def _wait(self, deployment: Deployment) -> None:
        if not deployment.has_failed and not deployment.has_workers():
            self._loop.call_later(_LOOK_S, lambda: self._wait(deployment))
            return
        seconds = self._loop.now - self._began_s
        error, note = deployment.state.boot_error, deployment.boot_note
        self._pool.deployments.drop(deployment)
        self._settle(
            Verdict(deployment.app.key, error, note, seconds, deployment.interpreter.version)
        )

    def _settle(self, verdict: Verdict) -> None:
        self._tell(verdict)
        self._loop.call_soon(self._next)

    def _on_error(self, exc: BaseException) -> None:
        """A callback raised: a bug, which must not look like an app that never loads."""
        self._failure = exc
        self._pool.kill_all()
        self._loop.stop()
