"""Finds plugins in their folders, and reads their manifests.

    plugin folder/     audit/           a plugin, with buntime.yaml
                       @acme/audit/     the same, within a scope

A folder is called as its plugin is. Of two with one name the first counts, and a plugin folder that
is not there is no error. Behind those of the settings come the plugins that Buntime brings along.

Used by one thread at a time, which may wait for the disk.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from buntime import __version__
from buntime.core.access.publicroutes import Patterns
from buntime.core.apps.app import App
from buntime.core.apps.router import is_app_name
from buntime.core.errors import ManifestError
from buntime.core.plugins.manifest import PluginManifest, parse_plugin_manifest
from buntime.core.plugins.options import Options, resolve
from buntime.core.plugins.plan import owner_of
from buntime.core.telemetry.records import Tell
from buntime.server.apps.appfolder import list_folders, printable, read_manifest, resolve_folder

API = 1  # the version of what `buntime.plugin` and the messages are


@dataclass(frozen=True, eq=False)
class Found:
    """A plugin as its folder says. Compares by identity: when the folder changes it is another one.

    Without a `manifest` it cannot be read, `error` saying why. With both the manifest is to be
    believed, but the plugin cannot be started. With `last` the manifest is an earlier one, as that
    in the folder cannot be read; `error` says why.
    """

    name: str
    folder: Path
    manifest: PluginManifest | None
    error: str = ""
    is_last_good: bool = False
    app: App | None = field(default=None, repr=False)  # its code
    page: App | None = field(default=None, repr=False)
    routes: Patterns = field(default=Patterns(()), repr=False)
    options: Options | None = field(default=None, repr=False)
    is_bundled: bool = False  # it comes with Buntime


class _Read(NamedTuple):
    """What is read of a folder."""

    folder: Path  # links resolved
    inode: int
    source: Path
    text: bytes | None
    trouble: str = ""  # why there is no text


class _Known(NamedTuple):
    """What came of a folder at the last look."""

    read: _Read
    lack: str  # what its manifest names, and is not there
    found: Found


class PluginFolders:
    """The plugins of some folders; `warn` gets each warning once."""

    def __init__(
        self,
        *,
        body_default: int,
        body_max: int,
        environment: str,
        warn: Tell,
        bundled: Path | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """`bundled` is the folder of the plugins that Buntime brings along."""
        self._body_default = body_default
        self._body_max = body_max
        self._environment = environment
        self._warn = warn
        self._warned: set[str] = set()
        self._bundled = bundled
        self._environ = environ
        self._known: dict[str, _Known] = {}
        self._listed: dict[Path, list[str]] = {}

    def __repr__(self) -> str:
        return f"PluginFolders({len(self._known)} plugins)"

    def look(self, folders: Sequence[str | Path]) -> dict[str, Found]:
        """All plugins by name. While nothing changes, a name has the same `Found`."""
        places: dict[str, Path] = {}
        for name, path in self._places(folders):
            first = places.setdefault(name, path)
            if first != path and not _is_same(first, path):
                self._warn_once(
                    "plugin.duplicate",
                    "plugin skipped: another folder has one of the same name",
                    plugin=name,
                    served=printable(first),
                    ignored=printable(path),
                )
        known, self._known = self._known, {}
        for name, path in places.items():
            entry = self._look_at(name, path, known.get(name))
            if entry is not None:
                self._known[name] = entry
        return {name: each.found for name, each in self._known.items()}

    # Which there are

    def _places(self, folders: Sequence[str | Path]) -> Iterator[tuple[str, Path]]:
        bundled = [] if self._bundled is None else [self._bundled]
        for folder in map(Path, dict.fromkeys([*folders, *bundled])):
            for entry in self._entries(folder):
                if not entry.startswith("@"):
                    yield from self._place(entry, folder / entry)
                    continue
                for child in self._entries(folder / entry):
                    yield from self._place(f"{entry}/{child}", folder / entry / child)

    def _entries(self, folder: Path) -> list[str]:
        """The names in a folder. What was there before it could not be read counts on: a guard must
        not be gone by that.
        """
        try:
            names = sorted(list_folders(folder)[0])
        except (FileNotFoundError, NotADirectoryError):
            names = []
        except OSError as exc:
            self._warn_once(
                "plugin.folder_unreadable",
                "folder cannot be read; of its plugins those count that were known before",
                folder=printable(folder),
                error=exc.strerror or str(exc),
            )
            return self._listed.get(folder, [])
        self._listed[folder] = names
        return names

    def _place(self, name: str, path: Path) -> Iterator[tuple[str, Path]]:
        if is_app_name(name):
            yield name, path
        else:
            self._warn_once(
                "plugin.bad_name",
                "folder skipped: no plugin can have its name; use letters, digits and ._~-",
                folder=printable(path),
            )

    # What they hold

    def _look_at(self, name: str, path: Path, known: _Known | None) -> _Known | None:
        read = _read(path)
        if read.text is None and not read.trouble:
            if known is None:
                self._warn_once(
                    "plugin.no_manifest",
                    "folder skipped: a plugin needs a manifest, buntime.yaml",
                    folder=printable(path),
                )
                return None
            read = read._replace(trouble=f"{printable(path)}: its manifest is gone")
        is_same = known is not None and known.read == read
        if known is not None and is_same and known.lack == _lack(known.found.manifest, read):
            return known
        found = self._make(name, path, read, known and known.found)
        if self._bundled is not None and path.is_relative_to(self._bundled):
            found = replace(found, is_bundled=True)
        return _Known(read, _lack(found.manifest, read), found)

    def _make(self, name: str, path: Path, read: _Read, before: Found | None) -> Found:
        try:
            if read.text is None:
                raise ManifestError(read.trouble)
            manifest, warnings = parse_plugin_manifest(
                read.text,
                path=printable(read.source),
                body_default=self._body_default,
                body_max=self._body_max,
            )
        except ManifestError as exc:
            if before is None or before.manifest is None:
                return Found(name, path, None, str(exc))
            return replace(before, error=str(exc), is_last_good=True)
        for warning in warnings:
            self._warn_once("manifest.warning", warning, plugin=name)
        return self._found(name, manifest, read)

    def _found(self, name: str, manifest: PluginManifest, read: _Read) -> Found:
        if manifest.name != name:
            error = (
                f"{printable(read.source)}: name {manifest.name}: its folder is {name}; "
                "give both the same name"
            )
            return Found(name, read.folder, replace(manifest, name=name), error)
        options = resolve(manifest.config, {}, self._environ, place=f"plugins.{name}")
        error = "; ".join(options.problems) or _lack(manifest, read)
        if error:
            return Found(name, read.folder, manifest, error, options=options)
        return Found(
            name,
            read.folder,
            manifest,
            app=self._app(manifest, read, options) if _has_code(manifest, read.folder) else None,
            page=_page(manifest, read),
            routes=Patterns(manifest.routes),
            options=options,
        )

    def _app(self, manifest: PluginManifest, read: _Read, options: Options) -> App:
        """Its code, as the pool runs it. One name and no version: a change is loaded beside it."""
        runtime = {"version": __version__, "api": API, "environment": self._environment}
        return App(
            owner_of(manifest.name),
            None,
            read.folder,
            manifest.entry_file,
            replace(manifest.app, prewarm=0 if manifest.start == "lazy" else 1),
            read.source,
            plugin={
                "name": manifest.name,
                "config": options.values(),
                "runtime": runtime,
                "uses": list(manifest.uses),
                "body": manifest.body,
            },
            base=manifest.base or "",
            overlaps=manifest.overlap,
        )

    def _warn_once(self, event: str, message: str, /, **fields: object) -> None:
        once = f"{message}\n{fields}"
        if once not in self._warned:
            self._warned.add(once)
            self._warn(event, message, **fields)


def _read(path: Path) -> _Read:
    try:
        folder = resolve_folder(path)
        source, text, _ = read_manifest(path, folder)
        return _Read(folder, folder.stat().st_ino, source, text)
    except ManifestError as exc:
        return _Read(path, 0, path, None, str(exc))
    except OSError as exc:
        where = printable(exc.filename or path)
        return _Read(path, 0, path, None, f"{where}: cannot be read: {exc.strerror or exc}")


def _lack(manifest: PluginManifest | None, read: _Read) -> str:
    """Which of the files that the manifest names is not there, in words; "" for none."""
    if manifest is None or read.text is None:
        return ""
    where, folder = printable(read.source), read.folder
    if not _has_code(manifest, folder) and (manifest.plugin_entry or manifest.page is None):
        return f"{where}: there is no {manifest.entry_file} in its folder; add it, or a pluginEntry"
    for file in filter(None, (manifest.page, manifest.entry_file)):
        if (folder / file).exists() and not _real(folder / file).is_relative_to(folder):
            return f"{where}: {file} lies outside of its folder, where its links lead"
    if manifest.page is not None and not (folder / manifest.page).is_file():
        return f"{where}: entrypoint {manifest.page} is not a file in its folder; add it"
    return ""


def _has_code(manifest: PluginManifest, folder: Path) -> bool:
    return (folder / manifest.entry_file).is_file()


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _page(manifest: PluginManifest, read: _Read) -> App | None:
    """Its page, as a static app. Python beside it is never published: it is the plugin's."""
    if manifest.page is None:
        return None
    return App(
        owner_of(manifest.name),
        None,
        read.folder,
        manifest.page,
        replace(manifest.app, entrypoint=None),
        read.source,
        base=manifest.base or "",
    )


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths are one folder: that of the checkout may be named by the settings too."""
    return os.path.realpath(one) == os.path.realpath(other)
