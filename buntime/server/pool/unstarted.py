"""Apps for which no worker can be started: no interpreter of theirs runs, or has their packages.

Such an app has no `Deployment`, so the reason is kept here for operators: until the app can be
started, or another `App` takes its place since its folder has changed. On the loop's thread.
"""

from collections.abc import Iterator
from weakref import ref

from buntime.core.apps.app import App


class Unstarted:
    """Why, by the apps' keys."""

    def __init__(self) -> None:
        self._why: dict[str, tuple[ref[App], str]] = {}

    def __repr__(self) -> str:
        return f"Unstarted({[app.key for app, _ in self]})"

    def add(self, app: App, why: str) -> None:
        """It could not be started just now."""
        self._why[app.key] = ref(app), why

    def remove(self, app: App) -> None:
        """It can be started."""
        self._why.pop(app.key, None)

    def __iter__(self) -> Iterator[tuple[App, str]]:
        for key, (found, why) in [*self._why.items()]:
            app = found()
            if app is None:
                del self._why[key]
            else:
                yield app, why
