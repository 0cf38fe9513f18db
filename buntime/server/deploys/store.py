"""The releases of a worker folder: where they are, which links lead to them, which is active.

    shop/1.2.0 -> ../.releases/shop/1.2.0-3f2a81c09d4e
    shop/latest -> 1.2.0                                   the active version
    shop@1.2.0 -> .releases/shop/1.2.0-3f2a81c09d4e        where shop/ is an app itself
    shop@latest -> shop@1.2.0
    .releases/shop/1.2.0-3f2a81c09d4e/                     its files, which never move

A careful operator would do the same by hand, and folders that an operator has copied can stand
beside these. A deploy of an app holds `turn` there, so that only one is under way at a time,
whichever runtime carries it out.

All of this waits for the disk; for each app, one thread at a time uses it.
"""

import contextlib
import fcntl
import os
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from buntime.core.apps.app import RELEASES
from buntime.core.apps.versions import LATEST, is_version
from buntime.core.deploys.names import (
    LOCK,
    RECORD,
    Release,
    app_of_folder,
    flat_link_target,
    folder_of_app,
    is_preview,
    leads_to,
    link_target,
    split_folder,
)
from buntime.core.errors import ClientFault
from buntime.server.apps.releaselinks import alias_of
from buntime.server.bundle.cachefolder import remove_whole
from buntime.server.deploys.places import Layout, Places
from buntime.server.deploys.records import (
    FILES,
    ReleaseRecord,
    read_record,
    read_withheld,
    write_record,
    write_withheld,
)
from buntime.server.deploys.switching import (
    Switch,
    Switching,
    link_at,
    replace_link,
    sync_folder,
    take_lock,
)

_TURN = "turn"


class Unfinished:
    """A release that is being made; nobody sees it before `activate`."""

    def __init__(self, store: "Store", release: Release, lock: int) -> None:
        self.release = release
        self.folder = os.path.join(store.root, release.path)
        self._store = store
        self._switching = Switching(store.root, release.path, lock)

    def __repr__(self) -> str:
        return f"Unfinished({self.release.folder})"

    def prepare(self, record: ReleaseRecord, *, replaces: bool) -> None:
        """Prepare everything that will be seen: its record, and how its links were before."""
        store, release = self._store, self.release
        layout = store.layout_of(release.app)
        store.check_free(release.app, release.version, replaces=replaces)
        write_record(self.folder, record)
        switches = [self._to_version(layout)]
        if switches[0].before is None:
            store.withhold(release.app, release.version, is_withheld=True)
        if not record.expires_s:
            switches.append(store.to_active(layout, release.version))
        folders = filter(None, (os.path.dirname(layout.folder), layout.folder))
        self._switching.prepare(
            [each for each in switches if each.target != each.before],
            made=[each for each in folders if not os.path.isdir(os.path.join(store.root, each))],
        )

    def switch(self) -> None:
        """Point the links at it. `undo` is possible until `finish`."""
        self._switching.switch()

    def finish(self) -> None:
        """The release is valid from now on, and stays."""
        release = self.release
        self._switching.finish()
        if not is_preview(release.version):
            self._store.withhold(release.app, release.version, is_withheld=False)

    def undo(self) -> None:
        """Remove every trace of it. Raises OSError; the next sweep then goes on."""
        try:
            self._switching.undo()
            self._store.remove_release(self.folder)
            self._store.forget_withheld(self.release.app)
        finally:
            self._switching.let_go()

    def _to_version(self, layout: Layout) -> Switch:
        target = (flat_link_target if layout.is_flat else link_target)(self.release)
        path = layout.path_of(self.release.version)
        return Switch(path, target, link_at(os.path.join(self._store.root, path)))


class Store(Places):
    """The releases in one worker folder; `earlier` are worker folders that hide what is in it."""

    unfinished: type[Unfinished] = Unfinished

    # What exists

    def apps(self) -> list[str]:
        """All apps that have had a release."""
        with contextlib.suppress(FileNotFoundError):
            folders = os.listdir(os.path.join(self.root, RELEASES))
            return sorted(app_of_folder(each) for each in folders if not each.startswith("."))
        return []

    def releases(self, app: str) -> dict[str, ReleaseRecord]:
        """The releases that links lead to, by version."""
        found: dict[str, ReleaseRecord] = {}
        layout = self.layout_of(app)
        for version, target in self._links(layout):
            folder = leads_to(target)
            record = read_record(os.path.join(self.folder_of(app), folder)) if folder else None
            if record is not None:
                found[version] = record
        return found

    def previews(self) -> list[ReleaseRecord]:
        """The previews of all apps."""
        found = []
        for app in self.apps():
            with contextlib.suppress(ClientFault):
                for version, _ in self._links(self.layout_of(app)):
                    record = self.record_of(app, version) if is_preview(version) else None
                    found += [record] if record is not None else []
        return found

    def record_of(self, app: str, version: str) -> ReleaseRecord | None:
        """The record of the release that is this version."""
        folder = self.release_at(app, version)
        return read_record(os.path.join(self.folder_of(app), folder)) if folder else None

    @property
    def folder_of_uploads(self) -> str:
        """The folder in whose file system archives are stored while they arrive."""
        return os.path.join(self.root, RELEASES)

    def release_at(self, app: str, version: str) -> str | None:
        """The folder of the release that is this version, relative to the folder of its app."""
        path = os.path.join(self.root, self.layout_of(app).path_of(version))
        with contextlib.suppress(OSError):
            return leads_to(os.readlink(path))
        return None

    def active(self, app: str) -> str | None:
        """The version that `latest` leads to; None if it leads to none."""
        return alias_of(Path(self.root, self.layout_of(app).path_of(LATEST)))

    def withheld(self, app: str) -> frozenset[str]:
        return read_withheld(self.folder_of(app))

    def _links(self, layout: Layout) -> Iterator[tuple[str, str]]:
        """Each version that is a link, and where it leads."""
        folder = os.path.join(self.root, layout.folder)
        names = os.listdir(folder) if os.path.isdir(folder) else []
        for name in names:
            version = name.removeprefix(layout.begin)
            if name.startswith(layout.begin) and version != LATEST and is_version(version):
                with contextlib.suppress(OSError):
                    yield version, os.readlink(os.path.join(folder, name))

    # Changes

    @contextlib.contextmanager
    def turn(self, app: str) -> Iterator[None]:
        """Have the app to yourself. Raises ClientFault (409) if another runtime has it, or has just
        given it back."""
        folder = self.folder_of(app)
        os.makedirs(folder, 0o755, exist_ok=True)
        turn = None
        with contextlib.suppress(FileNotFoundError):  # another runtime removes the folder
            turn = take_lock(os.path.join(folder, _TURN), is_new=True)
        if turn is None:
            raise ClientFault(
                409, "deploy_under_way", f"another runtime is deploying {app}; try again"
            )
        try:
            yield
        finally:
            _remove_if_unused(folder)
            # Closing alone would not release it: a process that is being started at this moment
            # has all descriptors until it executes another program.
            fcntl.flock(turn, fcntl.LOCK_UN)
            os.close(turn)

    def begin(self, release: Release) -> Unfinished:
        """Reserve a place for the release. Raises ClientFault (409) and OSError."""
        os.makedirs(self.folder_of(release.app), 0o755, exist_ok=True)
        path = os.path.join(self.root, release.path)
        lock = take_lock(f"{path}{LOCK}", is_new=True)
        if lock is None:
            raise ClientFault(
                409, "deploy_under_way", f"{release.app}@{release.version} is being deployed; wait"
            )
        try:
            left = Switching(self.root, release.path, lock)
            left.read()
            left.undo()  # from a deploy that was killed
            if self.release_at(release.app, release.version) != release.folder:
                self.remove_release(path, keeps_lock=True)  # nothing leads to it any more
        except BaseException:
            os.close(lock)
            raise
        return self.unfinished(self, release, lock)

    def to_active(self, layout: Layout, version: str) -> Switch:
        """The switch of `latest` to a version."""
        path = layout.path_of(LATEST)
        return Switch(path, f"{layout.begin}{version}", link_at(os.path.join(self.root, path)))

    def activate(
        self, app: str, version: str | None, *, leaves: str | None = None, now_s: float
    ) -> None:
        """Point `latest` at the version or, with None, at the flat folder of the app.

        Ranges no longer choose the version `leaves`. `now_s` is in seconds since 1970.
        """
        layout = self.layout_of(app)
        path = os.path.join(self.root, layout.path_of(LATEST))
        self.check_active(app)
        if leaves is not None:
            self.withhold(app, leaves, is_withheld=True)
        if version is None:
            os.unlink(path)
            sync_folder(os.path.dirname(path))
            return
        os.makedirs(self.folder_of(app), 0o755, exist_ok=True)
        fresh = os.path.join(self.folder_of(app), f"{LATEST}.new")
        replace_link(path, f"{layout.begin}{version}", fresh)
        self.withhold(app, version, is_withheld=False)
        folder = self.release_at(app, version)
        release = os.path.join(self.folder_of(app), folder) if folder else ""
        record = read_record(release) if release else None
        if record is not None:
            write_record(release, replace(record, active_s=now_s))

    def deactivate(self, app: str, versions: Collection[str]) -> None:
        """Remove the link `latest` if it leads to one of these."""
        if self.active(app) in versions:
            path = os.path.join(self.root, self.layout_of(app).path_of(LATEST))
            os.unlink(path)
            sync_folder(os.path.dirname(path))

    def withhold(self, app: str, version: str, *, is_withheld: bool) -> None:
        """Keep ranges from choosing a version, or let them choose it again."""
        folder, known = self.folder_of(app), self.withheld(app)
        if os.path.isdir(folder):
            write_withheld(folder, known | {version} if is_withheld else known - {version})

    def remove(self, app: str, version: str) -> None:
        """Remove the link of a version that is not active; `tidy` removes its files."""
        layout = self.layout_of(app)
        path = os.path.join(self.root, layout.path_of(version))
        os.unlink(path)
        sync_folder(os.path.dirname(path))
        if not layout.is_flat:
            with contextlib.suppress(OSError):  # others are left
                os.rmdir(os.path.dirname(path))

    # What is left over

    def sweep(self) -> list[str]:
        """Undo what killed runtimes have left; returns the paths of these releases.

        Another runtime holds the releases that it is working on; they are left alone.
        """
        swept: list[str] = []
        for app in self.apps():
            with contextlib.suppress(ClientFault), self.turn(app):
                for name in self._listed(app):
                    if name.endswith(LOCK) and split_folder(name.removesuffix(LOCK)):
                        swept += self._undo(app, name)
                self._tidy_files(app)
                self.forget_withheld(app)
        return swept

    def _undo(self, app: str, lock_name: str) -> list[str]:
        lock = take_lock(os.path.join(self.folder_of(app), lock_name), is_new=False)
        if lock is None:
            return []
        release = f"{RELEASES}/{folder_of_app(app)}/{lock_name.removesuffix(LOCK)}"
        switching = Switching(self.root, release, lock)
        try:
            switching.read()
            switching.undo()
            self.remove_release(os.path.join(self.root, release))
        finally:
            switching.let_go()
        return [release]

    def _tidy_files(self, app: str) -> None:
        """Remove files that were to replace something or to be put back, unless their release is
        under way."""
        folder, listed = self.folder_of(app), self._listed(app)
        held = {*(each.removesuffix(LOCK) for each in listed if each.endswith(LOCK))}
        for name in listed:
            release = name.removeprefix(".").rsplit(".", 2)[0]
            path = os.path.join(folder, name)
            if name.endswith((".new", ".old")) and release not in held and not os.path.isdir(path):
                os.unlink(path)

    def tidy(self, app: str, in_use: Collection[str] = ()) -> list[str]:
        """Remove releases that no link leads to, except `in_use` (paths); returns those removed."""
        folder = self.folder_of(app)
        listed = self._listed(app)
        linked = {leads_to(target) for _, target in self._links(self.layout_of(app))}
        unfinished = {name.removesuffix(LOCK) for name in listed if name.endswith(LOCK)}
        removed = []
        for name in sorted({_release_of(name) for name in listed} - {None}, key=str):
            path = os.path.join(folder, str(name))
            if name not in linked | unfinished and path not in in_use:
                self.remove_release(path)
                removed.append(path)
        self._tidy_files(app)
        self.forget_withheld(app)
        return removed

    def has_surplus(self, app: str) -> bool:
        """Whether there are releases that no link leads to."""
        linked = {leads_to(target) for _, target in self._links(self.layout_of(app))}
        return any(split_folder(name) and name not in linked for name in self._listed(app))

    def forget_withheld(self, app: str) -> None:
        """Stop withholding versions that do not exist, and the active one."""
        known = self.withheld(app)
        if known:
            versions = {version for version, _ in self._links(self.layout_of(app))}
            write_withheld(self.folder_of(app), known & versions - {self.active(app)})

    def remove_release(self, path: str, *, keeps_lock: bool = False) -> None:
        """Remove a release's folder and the files beside it, its lock last."""
        parent, name = os.path.split(path)
        for folder in (path, os.path.join(parent, f".{name}.new")):
            if os.path.lexists(folder):
                remove_whole(folder)
        for end in (RECORD, FILES):
            for file in (f"{path}{end}", os.path.join(parent, f".{name}{end}.new")):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(file)
        if not keeps_lock:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{path}{LOCK}")

    def _listed(self, app: str) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return sorted(os.listdir(self.folder_of(app)))
        return []


def _remove_if_unused(folder: str) -> None:
    """Remove an app's folder that holds no release. The caller has its turn; whoever has opened the
    file in the meantime sees that it has gone. What cannot be removed stays for the next turn."""
    with contextlib.suppress(OSError):
        if os.listdir(folder) == [_TURN]:
            os.unlink(os.path.join(folder, _TURN))
            os.rmdir(folder)


def _release_of(name: str) -> str | None:
    """`"1.2.0-3f2a81c09d4e.json"` -> "1.2.0-3f2a81c09d4e"; None if it belongs to no release."""
    begin = name.removeprefix(".")
    for end in (".new", RECORD, FILES, LOCK):
        begin = begin.removesuffix(end)
    return begin if split_folder(begin) else None
