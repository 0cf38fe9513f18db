"""The worker folders and the scopes in them: which folder bears which name.

    worker folder/shop/, /shop@1.2.0/   -> "shop": two places
                 /@acme/shop/           -> "@acme/shop"

`catalog` looks at what is in the folders of a name: its versions or its app.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path

from buntime.core.telemetry.records import Tell
from buntime.server.apps.appfolder import Listing, hidden_apps, holds_app, printable
from buntime.server.apps.labels import can_route, split_label
from buntime.server.apps.named import Place


class WorkerFolders:
    """What was in the worker folders at the last `look`."""

    def __init__(
        self,
        paths: Sequence[str | Path],
        *,
        reserved: Iterable[str],
        warn: Tell,
        wall_ns: Callable[[], int],
    ) -> None:
        """`reserved` are names that no app may have; for `wall_ns` see `Catalog`."""
        self._reserved = frozenset(reserved)
        self._warn = warn
        self._wall_ns = wall_ns
        self._roots = [Listing(Path(path), wall_ns) for path in dict.fromkeys(paths)]
        self._scopes: dict[Path, Listing] = {}

    def __repr__(self) -> str:
        return f"WorkerFolders({self.paths})"

    @property
    def paths(self) -> list[str]:
        """The worker folders, in the order in which they are looked at."""
        return [str(root.path) for root in self._roots]

    def look(self) -> bool:
        """Look at the disk; returns whether folders have come or gone."""
        changed = [listing.refresh() for listing in (*self._roots, *self._scopes.values())]
        return any(changed)

    def replace(self, paths: Sequence[str | Path]) -> None:
        """Use these worker folders from now on, and look at them."""
        known = {root.path: root for root in self._roots}
        wanted = map(Path, dict.fromkeys(paths))
        self._roots = [known.get(path) or Listing(path, self._wall_ns) for path in wanted]
        for root in self._roots:
            root.refresh()

    def places(self) -> dict[str, list[Place]]:
        """The folders that bear each name, in order of worker folder, then of name."""
        places: dict[str, list[Place]] = {}
        scopes: dict[Path, Listing] = {}
        for root in self._roots:
            self._tell_of_root(root)
            found = [(*split_label(label), path) for label, path in self._labelled(root, scopes)]
            for name, version, path in sorted(found, key=itemgetter(0)):
                if can_route(name, version, path, reserved=self._reserved, warn=self._warn):
                    places.setdefault(name, []).append(Place(path, version, root.path))
        self._scopes = scopes
        return places

    def _labelled(self, root: Listing, scopes: dict[Path, Listing]) -> Iterator[tuple[str, Path]]:
        """The folders in a worker folder and in its scopes: ("@acme/shop@1.2.0", its path)."""
        for folder in root.folders:
            path = root.path / folder
            if not folder.startswith("@"):
                yield folder, path
                continue
            scope = scopes[path] = self._scopes.get(path) or Listing(path, self._wall_ns)
            if path not in self._scopes:
                scope.refresh()
            self._tell_of_trouble(scope)
            for child in scope.folders:
                yield f"{folder}/{child}", path / child

    def _tell_of_root(self, root: Listing) -> None:
        self._tell_of_trouble(root)
        if holds_app(root.path):
            self._warn(
                "folder.is_app",
                "worker folder looks like an app itself; name the folder above it",
                folder=printable(root.path),
            )

        for folder in hidden_apps(root.path):
            self._warn(
                "folder.hidden",
                "folder skipped: its name begins with a dot; rename it if it is an app",
                folder=printable(folder),
            )

    def _tell_of_trouble(self, listing: Listing) -> None:
        if listing.trouble:
            self._warn(
                "folder.unreadable",
                "folder cannot be read; its apps are not served",
                folder=printable(listing.path),
                error=listing.trouble,
            )
