"""What happens when a folder of apps has changed, as if each app in it had got a request.

The change is tried, a fault is reported, what `prewarm` asks for is started, and what is gone is
ended.
"""

from collections.abc import Callable, Iterable

from buntime.core.apps.app import App, Fault, app_key
from buntime.core.apps.quiet import Edit, Edits
from buntime.core.errors import ClientFault, ManifestError
from buntime.server.apps.catalog import Catalog
from buntime.server.loop.loop import Loop
from buntime.server.pool.deployment import Deployment
from buntime.server.pool.deployments import Deployments
from buntime.server.telemetry.logs import Log

GONE_S = 10.0  # a folder that is being replaced may be gone for a moment
_EDITS_MOST = 5  # edits of one file within _EDITS_WITHIN_S
_EDITS_WITHIN_S = 600.0


class Deploys:
    """Acts on the loop's thread."""

    def __init__(
        self,
        loop: Loop,
        log: Log,
        catalog: Catalog,
        deployments: Deployments,
        *,
        gone_s: float = GONE_S,
    ) -> None:
        self._loop = loop
        self._log = log
        self._catalog = catalog
        self._deployments = deployments
        self._gone_s = gone_s
        self._edits = Edits(most=_EDITS_MOST, within_s=_EDITS_WITHIN_S)
        self._faults: dict[str, frozenset[str]] = {}  # faults, by the name of their app
        self._followers: list[Callable[[Iterable[str]], None]] = []

    def __repr__(self) -> str:
        return f"Deploys({len(self._faults)} faulty)"

    @property
    def faults(self) -> dict[str, frozenset[str]]:
        """Why apps cannot be served, by their names."""
        return {name: errors for name, errors in self._faults.items() if errors}

    def follow(self, callback: Callable[[Iterable[str]], None]) -> None:
        """Call this with the names whose folders have changed."""
        self._followers.append(callback)

    def serves(self, deployment: Deployment) -> bool:
        """Whether it gets requests, and is neither replaced nor on trial."""
        return self._deployments.served.get(deployment.app.key) is deployment

    def found_faulty(self, fault: Fault) -> None:
        """Report a fault found at the start; report again only when something else is wrong."""
        self._log.warn("app.invalid", "app cannot be served", app=fault.key, error=fault.error)
        self._faults[fault.name] = self._faults.get(fault.name, frozenset()) | {fault.error}

    def changed(self, names: Iterable[str]) -> None:
        """The folders with these names have changed or are gone."""
        self._catalog.refresh()
        names = sorted(names)
        for name in names:
            self._review(name)
            self._look_for_gone(name)
        for callback in self._followers:
            callback(names)

    def changed_all(self) -> None:
        """Something else that all apps depend on has changed."""
        self.changed({name for name, _ in self._catalog.names(self._loop.now)})

    def edited(self, deployment: Deployment, file: str) -> None:
        """A file of the code that its workers have loaded has changed; `changed` follows."""
        app = deployment.app
        if not self.serves(deployment):
            return
        edit = self._edits.judge(app.key, file, self._loop.now)
        if edit is Edit.COUNTS:
            self._log.info(
                "app.edited", "code was changed in place", app=app.name, version=app.version,
                file=file,
            )  # fmt: skip
            self._catalog.outdate(app)
        elif edit is Edit.ONE_TOO_MANY:
            self._log.warn(
                "app.edits_ignored",
                "a file of the code keeps changing: it is treated as the app's own data",
                app=app.name, version=app.version, file=file,
                advice=f"write `watch: [\"!{file}\"]` into the manifest",
            )  # fmt: skip

    def reload(self, then: Callable[[], None]) -> None:
        """An operator asks for it: check the files of all apps, whatever has been noticed.

        `then` is called in any case, because a service manager waits for it.
        """
        # In development each request checks for changes itself.
        deployed = [each for each in self._deployments.served.values() if each.watch is None]

        def looked(outdated: list[App] | BaseException) -> None:
            try:
                self._reloaded(outdated)
            finally:
                then()

        self._loop.run_blocking(
            lambda: [each.app for each in deployed if each.has_changed_files()], looked
        )

    def _reloaded(self, outdated: list[App] | BaseException) -> None:
        if isinstance(outdated, BaseException):
            raise outdated
        for app in outdated:
            self._catalog.outdate(app)
        keys = [app.key for app in outdated]
        self._log.info("runtime.reloaded", "reloaded", changed_apps=keys)
        self.changed({app.name for app in outdated if app.plugin is None})

    def give_up(self, deployment: Deployment, why: str) -> None:
        """It has too many files to be watched."""
        app = deployment.app
        self._log.warn(
            "app.edits_unwatched",
            "changes to code in place go unnoticed: too many files; touch the manifest instead",
            app=app.name, version=app.version, error=why,
        )  # fmt: skip

    def _review(self, name: str) -> None:
        faults: set[str] = set()
        versions = self._catalog.versions_of(name, self._loop.now)
        for version in dict.fromkeys((*versions, None)):  # None: no version is pinned
            try:
                app = self._catalog.find(name, version, self._loop.now)
            except ClientFault:  # gone just now
                continue
            except ManifestError as exc:
                self._tell(name, version, str(exc), faults)
            else:
                is_active = self._catalog.is_active(app, self._loop.now)
                self._deployments.prepare(app.code, is_active=is_active)
        self._faults[name] = frozenset(faults)
        if not versions:
            del self._faults[name]

    def _tell(self, name: str, version: str | None, error: str, faults: set[str]) -> None:
        if error not in faults and error not in self._faults.get(name, ()):
            self._log.error(
                "app.invalid", "app cannot be served", app=app_key(name, version), error=error
            )
        faults.add(error)

    def _look_for_gone(self, name: str) -> None:
        gone = [each for each in self._deployments.served.values() if self._is_gone(each, name)]
        if gone:
            self._loop.call_later(self._gone_s, lambda: self._take_off(gone))

    def _is_gone(self, deployment: Deployment, name: str) -> bool:
        app = deployment.app
        return (
            app.plugin is None
            and app.name == name
            and not self._catalog.holds(name, app.version, self._loop.now)
        )

    def _take_off(self, gone: Iterable[Deployment]) -> None:
        for deployment in gone:
            app: App = deployment.app
            if self.serves(deployment) and self._is_gone(deployment, app.name):
                self._log.info(
                    "app.removed", "app's folder is gone", app=app.name, version=app.version
                )
                self._edits.forget(app.key)
                self._deployments.take_off(deployment)
