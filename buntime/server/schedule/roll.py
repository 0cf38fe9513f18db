"""Knows which apps have jobs or processes, though nobody asks for them.

Who looks at the folders of apps anyway (`Deploys`) tells which have changed; all names are looked
at once at the start, and again where a tried version may serve now. A few in a tick, those with
jobs first: finding an app takes 0.2 ms, and there may be thousands.

What counts is the app that serves where nobody pins a version. Used on the loop's thread.
"""

from collections.abc import Callable, Iterable, Mapping

from buntime.core.apps.app import App
from buntime.core.deploys.names import is_preview
from buntime.core.errors import ClientFault, ManifestError
from buntime.server.apps.catalog import Catalog
from buntime.server.loop import Loop
from buntime.server.pool.deployments import Deployments

TICK_S = 0.25
_LOOKED_AT_MAX = 8  # apps in a tick: 2 ms


class Roll:
    """The apps that do something unasked, by their names."""

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
        """Have it called when another app, or another state of one, does something unasked."""
        self._followers.append(callback)

    def changed(self, names: Iterable[str]) -> None:
        """The folders of these names are others than before, or gone: look at them next."""
        self._waiting = dict.fromkeys((*names, *self._waiting))

    def find(self, name: str) -> App | None:
        """The app as it is now, if it does something unasked; as it was, while it is faulty."""
        try:
            app = self._catalog.find(name, None, self._loop.now)
        except ClientFault:  # gone
            return None
        except ManifestError:  # told as each app's fault is
            return self.apps.get(name)
        has_any = app.plugin is None and (app.manifest.cron or app.manifest.processes)
        return app if has_any and not is_preview(app.version) else None

    def look_again(self) -> None:
        """Look at some, whether or not anything is known to have changed."""
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
