"""Knows which apps have jobs or processes, even without requests to them.

`Deploys`, which looks at the folders of apps anyway, reports which have changed. All names are
looked up once at the start, and again when a tried version may serve now. It takes a few per tick,
those with jobs first: finding an app takes 0.2 ms, and there may be thousands.

What counts is the version that serves requests without a pinned version. Used on the loop's thread.
"""

from collections.abc import Callable, Iterable, Mapping

from buntime.core.apps.app import App
from buntime.core.deploys.names import is_preview
from buntime.core.errors import ClientFault, ManifestError
from buntime.server.apps.catalog import Catalog
from buntime.server.loop.loop import Loop
from buntime.server.pool.deployments import Deployments

TICK_S = 0.25
_LOOKED_AT_MAX = 8  # apps per tick: 2 ms


class Roll:
    """The apps that have jobs or processes, by their names."""

    def __init__(self, loop: Loop, catalog: Catalog, deployments: Deployments) -> None:
        self.apps: Mapping[str, App] = {}
        self._loop = loop
        self._catalog = catalog
        self._deployments = deployments
        self._revision = -1
        self._waiting: dict[str, None] = {}  # each once, in their order
        self._followers: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"Roll({len(self.apps)} apps, {len(self._waiting)} to look at)"

    @property
    def has_looked(self) -> bool:
        return not self._waiting

    def follow(self, callback: Callable[[], None]) -> None:
        """Call it when the set of apps with jobs or processes, or the state of one, changes."""
        self._followers.append(callback)

    def changed(self, names: Iterable[str]) -> None:
        """The folders of these names have changed, or are gone: look at them next."""
        self._waiting = dict.fromkeys((*names, *self._waiting))

    def find(self, name: str) -> App | None:
        """The app as it is now, if it has jobs or processes; while it is faulty, as it was
        before."""
        try:
            app = self._catalog.find(name, None, self._loop.now)
        except ClientFault:  # gone
            return None
        except ManifestError:  # reported like any app's fault
            return self.apps.get(name)
        has_any = app.plugin is None and (app.manifest.cron or app.manifest.processes)
        return app if has_any and not is_preview(app.version) else None

    def look_again(self) -> None:
        """Look at some apps, even if nothing is known to have changed."""
        self._revision = -1
        self.look()

    def look(self) -> None:
        """Look at some of those that may have changed."""
        revision = self._deployments.revision
        if revision != self._revision:
            self._revision = revision
            self._catalog.edition(self._loop.now)  # nobody may have looked at the folders yet
            self._waiting |= dict.fromkeys((*self.apps, *self._catalog.folders))
        if not self._waiting:
            return
        seen: dict[str, App | None] = {}
        while self._waiting and len(seen) < _LOOKED_AT_MAX:
            name = next(iter(self._waiting))
            del self._waiting[name]
            seen[name] = self.find(name)
        apps = {name: app for name, app in self.apps.items() if name not in seen}
        apps |= {name: app for name, app in seen.items() if app is not None}
        if apps != self.apps:
            self.apps = apps
            for callback in self._followers:
                callback()
