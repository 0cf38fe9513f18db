"""Finds apps in the worker folders, and caches for a second what it found.

    worker folder/          shop/              an app without a version, if it holds a manifest or a
                                               default entrypoint; everything below belongs to it
                            shop@1.2.0/        a version
                            shop/1.2.0/        the same, if shop/ is not an app itself
                            shop/latest ->     an alias of the version that it leads to, if that is
                                               beside it; otherwise a version of its own
                            @acme/shop/...     all of the above, within a scope

Guarantees:
- `find` costs one dictionary lookup (0.5 us) and no system call, unless the last look at the disk
  is older than CHECK_INTERVAL_S. Then it costs a `stat` of each worker folder, and whatever it
  takes to know that the app asked for has not changed (0.2 ms).
- What it finds is at most CHECK_INTERVAL_S old. Manifests are compared by content and entrypoints
  are looked up each time, so neither a clock nor coarse file times can hide a change to them; for
  folders see `appfolder.Listing`.
- While nothing changes, `find` returns the same `App` object; a change makes a new one.
- A faulty folder affects no other folder.

Used on the loop's thread only.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from buntime.core.apps.app import App, Fault, FaultyApp, app_key
from buntime.core.apps.floors import NO_FLOORS, Floors
from buntime.core.apps.manifest import Manifest, default_manifest, parse_manifest
from buntime.core.apps.succession import AtOnce, Rollout, Succession
from buntime.core.apps.versions import UNVERSIONED, is_version, sort_key
from buntime.core.errors import ClientFault
from buntime.core.telemetry.records import Tell
from buntime.server.apps.appfolder import AppFolder, Listing, holds_app, printable
from buntime.server.apps.expected import Expected
from buntime.server.apps.named import Named, Place
from buntime.server.apps.releaselinks import Withheld
from buntime.server.apps.suggestion import is_odd_version
from buntime.server.apps.workerfolders import WorkerFolders

CHECK_INTERVAL_S = 1.0
# Part of the answer for every app that is not found, hidden ones included.
LIST_APPS = "see which apps there are by: buntime list; the log says which folders are skipped"

_WARM_MAX = 4096  # entries; a client may ask for any number of ranges within a second

_AT_ONCE = AtOnce()


class Catalog:
    """The apps of the worker folders; see the module for its guarantees."""

    def __init__(
        self,
        worker_dirs: Sequence[str | Path],
        *,
        body_default: int,
        body_max: int,
        warn: Tell,
        reserved: Iterable[str] = (),
        check_interval_s: float = CHECK_INTERVAL_S,
        rollout: Rollout = _AT_ONCE,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`reserved` are first path segments that never reach an app, such as "api".

        `warn` gets each warning once.
        `check_interval_s` is how long to trust what was found on disk.
        `rollout` chooses between an app that has never been loaded and the one before it.
        `wall_ns` is the clock that file times come from.
        """
        self._body_default = body_default
        self._body_max = body_max
        self._warn = warn
        self._warned: set[str] = set()
        self._check_interval_s = check_interval_s
        self._rollout = rollout
        self.floors = NO_FLOORS  # the operators' settings for apps
        self._revision = rollout.revision  # the rollout's when `_warm` was filled
        self._wall_ns = wall_ns
        self._worker_folders = WorkerFolders(
            worker_dirs, reserved=reserved, warn=self._warn_once, wall_ns=wall_ns
        )
        self._withheld = Withheld()
        self.expected = Expected()  # folders of releases that are about to be linked
        self._names: dict[str, Named] = {}
        # The folders that bear each name, in order of worker folder, then of name.
        self.folders: Mapping[str, Sequence[Path]] = {}
        # Valid for this check only; after the next one, apps are looked at again when asked for.
        self._warm: dict[tuple[str, str | None], App] = {}
        self._check = 0
        self._fresh_until = float("-inf")
        self._edition = 0  # how often `_warm` has been cleared

    def __repr__(self) -> str:
        return f"Catalog({self._worker_folders.paths}, {len(self._names)} names)"

    def find(self, name: str, spec: str | None, now: float) -> App:
        """The app that `name` and the range `spec` refer to. `now` is in monotonic seconds.

        Raises ClientFault (404) if there is none, and ManifestError if its folder is faulty.
        """
        self.edition(now)
        app = self._warm.get((name, spec))
        if app is not None:
            return app
        app = self._find(name, spec)
        if len(self._warm) < _WARM_MAX:
            self._warm[name, spec] = app
        return app

    def edition(self, now: float) -> int:
        """A number that changes when `find` may answer differently, for callers that cache answers.

        Looks at the disk, as `find` does, if the last look is too old.
        """
        if now >= self._fresh_until:
            self._look(now)
        if self._rollout.revision != self._revision:
            self._revision = self._rollout.revision
            self._forget()
        return self._edition

    def holds(self, name: str, version: str | None, now: float) -> bool:
        """Whether there is a folder for this version, even a faulty one. Loads nothing."""
        return version in self.versions_of(name, now)

    def versions_of(self, name: str, now: float) -> list[str | None]:
        """The versions that have folders, even faulty ones. Loads nothing."""
        self._look_if_due(now)
        named = self._names.get(name)
        return [each or None for each in self._versions(name, named)] if named is not None else []

    def names(self, now: float) -> list[tuple[str, str | None]]:
        """Each name and version that has a folder, even a faulty one. Loads nothing."""
        self._look_if_due(now)
        return [
            (name, version or None)
            for name, named in sorted(self._names.items())
            for version in sorted(self._versions(name, named), key=sort_key)
        ]

    def is_settled(self, app: App) -> bool:
        """Whether `app`, which `find` returned, is what is on disk now, with no other on trial."""
        named = self._names[app.name]
        newest = named.versions.get(named.choose(None) or UNVERSIONED)
        folder = None if newest is None else named.folders.get(newest)
        return folder is not None and folder.found is app

    def is_active(self, found: App | Fault, now: float) -> bool:
        """Whether it has the version that requests without a version get."""
        self._look_if_due(now)
        named = self._names.get(found.name)
        if named is None:
            return False
        self._versions(found.name, named)
        return (found.version or UNVERSIONED) == named.choose(None)

    def examine(self, name: str, version: str, path: Path, *, at: Path) -> AppFolder:
        """What is in the folder `at`, as it will later be found at `path`; see `expected`."""
        folder = AppFolder(name, version, path, self._parse, at=at)
        folder.look()
        return folder

    def outdate(self, app: App) -> None:
        """The app's code has changed: make a new App when it is next asked for."""
        named = self._names.get(app.name)
        for folder in named.folders.values() if named is not None else ():
            if folder.found is app:
                folder.outdate()
        self.refresh()

    def outdate_those(self, are_meant: Callable[[App], bool]) -> set[str]:
        """`outdate` each app for which `are_meant` is true; returns their names."""
        names = set()
        for folder in self._known_folders():
            if isinstance(folder.found, App) and are_meant(folder.found):
                folder.outdate()
                names.add(folder.found.name)
        self.refresh()
        return names

    def take_floors(self, floors: Floors) -> bool:
        """Apply these from now on; returns whether they differ from those before."""
        if floors == self.floors:
            return False
        self.floors = floors
        for folder in self._known_folders():
            folder.reparse()
        self.refresh()
        return True

    def refresh(self) -> None:
        """Trust nothing that was found on disk so far."""
        self._forget()
        self._fresh_until = float("-inf")

    def serve_from(self, worker_dirs: Sequence[str | Path]) -> None:
        """Use these worker folders from now on."""
        self._worker_folders.replace(worker_dirs)
        self._index()
        self.refresh()

    def all(self, now: float) -> list[App | Fault]:
        """Every version of every name, in an order for people; for a faulty folder, its Fault."""
        self._look_if_due(now)
        return [each for name in sorted(self._names) for each in self.all_of(name, now)]

    def all_of(self, name: str, now: float) -> list[App | Fault]:
        """The same for one name; empty if there is no such app."""
        self._look_if_due(now)
        named = self._names.get(name)
        if named is None:
            return []
        versions = sorted(self._versions(name, named), key=sort_key)
        return list(filter(None, [self._load(name, version, named) for version in versions]))

    def newest(self, name: str, now: float) -> str | None:
        """The version that answers requests without a range, whether or not it can be loaded."""
        has_folders = bool(self.versions_of(name, now))
        return self._names[name].choose(None) or None if has_folders else None

    def seen(self, name: str, version: str | None) -> App | Fault | None:
        """What the last look found in a version's folder, whenever that was; None before the first
        look. Looks at no disk, so it can be asked of thousands of apps."""
        named = self._names.get(name)
        path = named.versions.get(version or UNVERSIONED) if named is not None else None
        folder = named.folders.get(path) if named is not None and path is not None else None
        return folder.found if folder is not None else None

    def _known_folders(self) -> Iterator[AppFolder]:
        return (folder for named in self._names.values() for folder in named.folders.values())

    def _forget(self) -> None:
        self._edition += 1
        self._warm.clear()

    # Which names there are

    def _look_if_due(self, now: float) -> None:
        if now >= self._fresh_until:
            self._look(now)

    def _look(self, now: float) -> None:
        """Begin a new check: find out which names there are, and clear `_warm`."""
        self._fresh_until = now + self._check_interval_s
        self._check += 1
        self._forget()
        if self._worker_folders.look():
            self._index()

    def _index(self) -> None:
        places, known = self._worker_folders.places(), self._names
        self._names = {name: known.get(name) or Named(Succession(self._rollout)) for name in places}
        for name, named in self._names.items():
            named.places = places[name]
        self.folders = {name: [each.path for each in places[name]] for name in places}

    # Which versions a name has

    def _find(self, name: str, spec: str | None) -> App:
        named = self._names.get(name)
        versions = self._versions(name, named) if named else {}
        while named and versions:
            version = named.choose(spec)
            if version is None:
                break
            found = self._load(name, version, named)
            if found is not None:
                return self._serving(found, named, spec)
            # The folder vanished just now, and `_load` has dropped the version.
        # The same words whether the name or the version is unknown: to outsiders, an internal app
        # does not exist.
        wanted = name if spec is None else f"{name}@{spec}"
        raise ClientFault(404, "app_not_found", f"there is no app /{wanted}", hint=LIST_APPS)

    def _serving(self, found: App | Fault, named: Named, spec: str | None) -> App:
        """The app that serves. Raises ManifestError if `found` is faulty and nothing stands in."""
        is_active = named.is_active(found, spec)
        versions = named.versions.keys() - named.withheld
        if isinstance(found, App):
            return named.succession.choose(found, versions, spec, is_active=is_active)
        other = named.succession.stand_in(found, versions, spec, is_active=is_active)
        if other is None:
            raise FaultyApp(found)
        self._warn_once(
            "app.version_invalid",
            "new version is faulty; still serving the previous one",
            app=found.key,
            error=found.error,
        )
        return other

    def _versions(self, name: str, named: Named) -> dict[str, Path]:
        """Version -> folder, looked up once per check."""
        if named.checked == self._check:
            return named.versions
        named.checked = self._check
        empty: list[Path] = []
        found = [each for place in named.places for each in self._versions_at(place, named, empty)]
        for version, served, ignored in named.take(found):
            self._warn_once(
                "folder.duplicate",
                "folder skipped: another one has the same name and version",
                app=app_key(name, version or None),
                served=printable(served),
                ignored=printable(ignored),
            )
        named.withheld = self._withheld.of_all({place.root for place in named.places}, name)
        if not named.versions and empty:
            named.versions[UNVERSIONED] = empty[0]
        left = named.folders.keys() - set(named.versions.values())
        for path in left:
            del named.folders[path]
        return named.versions

    def _versions_at(
        self, place: Place, named: Named, empty: list[Path]
    ) -> Iterator[tuple[str, Path]]:
        """What the folder provides. One with neither an app nor versions is added to `empty`.

        An empty folder counts as an app, so that its author is told what is missing, but only if
        no other folder has that name: it must not hide one.
        """
        if place.version is not None:
            yield place.version, place.path
        elif holds_app(place.path):
            yield UNVERSIONED, place.path
        else:
            listing = named.listings.setdefault(place.path, Listing(place.path, self._wall_ns))
            listing.refresh()
            versions = [folder for folder in listing.folders if is_version(folder)]
            for version in versions:
                yield version, place.path / version
            if not versions:
                empty.append(place.path)
            for folder in filter(is_odd_version, listing.folders if versions else ()):
                if holds_app(place.path / folder):
                    self._warn_once(
                        "folder.bad_version",
                        'folder skipped: its version must be like 1.2.0, 1.2.0-rc.1 or "latest"; '
                        "rename it",
                        folder=printable(place.path / folder),
                    )

    # What a version's folder holds

    def _load(self, name: str, version: str, named: Named) -> App | Fault | None:
        """The App or Fault in a version's folder; None, and no longer listed, if it is gone."""
        path = named.versions[version]
        folder = self.expected.arrived(path) or named.folders.get(path)
        if folder is None:
            folder = AppFolder(name, version or None, path, self._parse)
        named.folders[path] = folder
        if folder.checked != self._check:
            folder.checked = self._check
            folder.look()
            self._tell_of_unread(folder, name, version)
        if folder.found is None:
            del named.versions[version], named.folders[path]
        return folder.found

    def _tell_of_unread(self, folder: AppFolder, name: str, version: str) -> None:
        for path in folder.unread:
            self._warn_once(
                "manifest.second",
                "a second manifest is not read; merge it into the first if it is for Buntime",
                app=app_key(name, version or None),
                file=path,
            )

    def _parse(
        self, name: str, version: str | None, source: Path, text: bytes | None, by_api: bool
    ) -> Manifest:
        """The manifest `text` (None: the default one), with the operators' settings applied."""
        manifest, warnings = default_manifest(self._body_default), tuple[str, ...]()
        if text is not None:
            path, usual, most = printable(source), self._body_default, self._body_max
            manifest, warnings = parse_manifest(text, path=path, body_default=usual, body_max=most)
        for warning in warnings:
            self._warn_once("manifest.warning", warning, app=app_key(name, version))
        return self.floors.applied(manifest, name, by_api=by_api)

    def _warn_once(self, event: str, message: str, /, **fields: object) -> None:
        once = f"{message}\n{fields}"
        if once not in self._warned:
            self._warned.add(once)
            self._warn(event, message, **fields)
