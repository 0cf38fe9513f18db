"""Finds plugins in their folders, and reads their manifests.

    plugin folder/     audit/           a plugin, with buntime.yaml
                       @acme/audit/     the same, within a scope

A folder has the name of its plugin. If two have the same name the first counts, and a missing
plugin folder is no error. A plugin whose folder is gone is gone too, except for guards: a disk that
is no longer mounted, or a folder that is being replaced, must not open what they cover. The plugins
that come with Buntime follow those of the settings.

Used by one thread at a time, which may wait for the disk.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from buntime.core.apps.app import RELEASES
from buntime.core.apps.floors import NO_FLOORS
from buntime.core.apps.router import is_app_name
from buntime.core.config.configfile import NO_CONFIG, ConfigFile
from buntime.core.config.effect import effect_of
from buntime.core.errors import ManifestError
from buntime.core.plugins.keptoptions import NONE, NOTHING, KeptOptions, OfPlugin
from buntime.core.plugins.manifest import PluginManifest, parse_plugin_manifest
from buntime.core.plugins.menus import icons_of
from buntime.core.plugins.plan import owner_of
from buntime.core.settings.load import Settings
from buntime.core.telemetry.records import Tell
from buntime.core.values.tuples import NamedTuple
from buntime.server.apps.appfolder import (
    lies_in,
    list_folders,
    printable,
    read_manifest,
    resolve_folder,
)
from buntime.server.plugins.found import Folder, Found, make_found

# The config file that is to hold beside these manifests.
Choose = Callable[[Sequence[PluginManifest]], ConfigFile]


class _Read(NamedTuple):
    """What is read of a folder."""

    path: Path  # links resolved
    inode: int
    source: Path
    text: bytes | None
    trouble: str = ""  # why there is no text


class Known(NamedTuple):
    """The result of the last look at a folder."""

    read: _Read
    lack: str  # a file that its manifest names and that does not exist
    folder: Folder
    found: Found | None  # None until it is looked up in the config file


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
        """`bundled` is the folder of the plugins that come with Buntime."""
        self._body_default = body_default
        self._body_max = body_max
        self._environment = environment
        self._warn = warn
        self._warned: set[str] = set()
        self._bundled = bundled
        self._environ = environ
        self._known: dict[str, Known] = {}
        self._expected: dict[str, Known] = {}  # of what operators install
        self._forgotten: set[str] = set()
        self._listed: dict[Path, list[str]] = {}

    def __repr__(self) -> str:
        return f"PluginFolders({len(self._known)} plugins)"

    def look(
        self,
        folders: Sequence[str | Path],
        choose: Choose = lambda _: NO_CONFIG,
        kept: KeptOptions = NOTHING,
    ) -> dict[str, Found]:
        """All plugins by name. While nothing changes, a name keeps the same `Found`, and while its
        code and the values of its options are unchanged, that keeps the same `app`.

        `choose` is called once, with all manifests, for the config file that is to hold; `kept` are
        the options that operators have set.
        """
        for name in self._forgotten & self._known.keys():
            del self._known[name]
        self._forgotten.clear()
        places: dict[str, Path] = {}
        for name, path in self._places(folders):
            first = places.setdefault(name, path)
            if first != path and not _is_same(first, path):
                self._warn_once(
                    "plugin.duplicate",
                    "plugin skipped: another folder has a plugin of the same name",
                    plugin=name,
                    served=printable(first),
                    ignored=printable(path),
                )
        for name, known in self._known.items():
            if known.folder.manifest is not None and known.folder.manifest.guards:
                places.setdefault(name, known.folder.path)
        looked = (self._look_at(*place, self._known.get(place[0])) for place in places.items())
        self._known = {each.folder.name: each for each in looked if each is not None}
        listed = [each.folder for each in self._known.values()]
        config = choose([each.manifest for each in listed if each.manifest is not None])
        found = {
            name: self._equip(each, config, kept.get(name, NONE))
            for name, each in self._known.items()
        }
        self._known = {name: each._replace(found=found[name]) for name, each in self._known.items()}
        return found

    # What operators install and remove

    def examine(self, name: str, folder: Path, at: Path) -> Known:
        """What is in a folder that will be found at `at`, through a link. May run on any thread."""
        read = _read(folder)
        if read.text is None and not read.trouble:
            read = read._replace(trouble=f"{printable(at)}: there is no manifest, buntime.yaml")
        read = read._replace(source=at / read.source.name)
        return Known(read, *self._read_folder(name, at, read, None), None)

    def known(self, name: str) -> Known | None:
        """What the last look found for this plugin."""
        return self._known.get(name)

    def expect(self, name: str, known: Known | None) -> None:
        """Make the next look treat what it finds there as this, if it is the same."""
        if known is None:
            self._expected.pop(name, None)
        else:
            self._expected[name] = known

    def forget(self, name: str) -> None:
        """Once its folder is gone the plugin is gone for good, even if it is a guard."""
        self._forgotten.add(name)

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
        """The names in a folder. If it cannot be read, the earlier names still count: a guard must
        not disappear because of that.
        """
        try:
            names = sorted(list_folders(folder)[0])
        except (FileNotFoundError, NotADirectoryError):
            names = []
        except OSError as exc:
            self._warn_once(
                "plugin.folder_unreadable",
                "folder cannot be read; keeping the plugins found in it before",
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

    def _look_at(self, name: str, path: Path, known: Known | None) -> Known | None:
        read = _read(path)
        expected = self._expected.get(name)
        if expected is not None and expected.read == read:
            known = expected
        if read.text is None and not read.trouble:
            if known is None:
                self._warn_once(
                    "plugin.no_manifest",
                    "folder skipped: a plugin needs a manifest, buntime.yaml",
                    folder=printable(path),
                )
                return None
            read = read._replace(trouble=f"{printable(path)}: its manifest is gone")
        if known is not None and known.read == read and known.lack == _lack(known.folder, read):
            return known
        lack, folder = self._read_folder(name, path, read, known and known.folder)
        found = known.found if known is not None and folder.is_last_good else None
        if found is not None:
            found = replace(found, error=folder.error, is_last_good=True)
        return Known(read, lack, folder, found)

    def _read_folder(
        self, name: str, path: Path, read: _Read, before: Folder | None
    ) -> tuple[str, Folder]:
        """The file that its manifest names and that does not exist, see `_lack`; and the folder."""
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
                is_bundled = self._is_bundled(path)
                return "", Folder(name, path, path, None, str(exc), is_bundled=is_bundled)
            folder = before._replace(error=str(exc), is_last_good=True)
            return _lack(folder, read), folder
        for warning in (*warnings, *_missing_icons(manifest, read)):
            self._warn_once("manifest.warning", warning, plugin=name)
        is_bundled = self._is_bundled(path)
        if RELEASES in read.path.parts:
            # It was installed by the API, so it may decide no more about itself than such an app.
            app = NO_FLOORS.applied(manifest.app, owner_of(name), by_api=True)
            manifest = replace(manifest, app=app)
        folder = Folder(name, read.path, read.source, manifest, is_bundled=is_bundled)
        lack = _lack(folder, read)
        if manifest.name == name:
            return lack, folder._replace(error=lack)
        error = (
            f"{printable(read.source)}: name {manifest.name}: its folder is {name}; "
            "give both the same name"
        )
        return lack, folder._replace(manifest=replace(manifest, name=name), error=error)

    def _is_bundled(self, path: Path) -> bool:
        return self._bundled is not None and path.is_relative_to(self._bundled)

    # What the config file makes of them

    def _equip(self, known: Known, config: ConfigFile, kept: OfPlugin) -> Found:
        folder, found = known.folder, known.found
        if found is not None and (folder.is_last_good or folder.manifest is None):
            return found
        if folder.manifest is None:
            return make_found(folder, None, self._environment)
        effect = effect_of(config, folder.manifest, self._environ, kept)
        if found is None or not found.is_as(folder, effect):
            return make_found(folder, effect, self._environment)
        is_same = found.options == effect.options
        return found if is_same else replace(found, options=effect.options)  # other places

    def _warn_once(self, event: str, message: str, /, **fields: object) -> None:
        once = f"{message}\n{fields}"
        if once not in self._warned:
            self._warned.add(once)
            self._warn(event, message, **fields)


def folders_for(settings: Settings, warn: Tell, *, bundled: Path | None) -> PluginFolders:
    """The plugins of a runtime with these settings, and those that come with Buntime."""
    return PluginFolders(
        body_default=settings.body_size_default_bytes,
        body_max=settings.body_size_max_bytes,
        environment=settings.env,
        warn=warn,
        bundled=bundled,
    )


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


def _lack(folder: Folder, read: _Read) -> str:
    """Which of the files that the manifest names is missing, in words; "" for none."""
    manifest = folder.manifest
    if manifest is None or read.text is None:
        return ""
    where, path = printable(read.source), str(read.path)
    has_code = os.path.isfile(f"{path}/{manifest.entry_file}")
    if not has_code and (manifest.plugin_entry or manifest.page is None):
        return f"{where}: there is no {manifest.entry_file} in its folder; add it, or a pluginEntry"
    for file in filter(None, (manifest.page, manifest.entry_file)):
        if os.path.exists(f"{path}/{file}") and not lies_in(read.path, file):
            return f"{where}: {file} is outside of its folder, where a link leads"
    if manifest.page is not None and not os.path.isfile(f"{path}/{manifest.page}"):
        return f"{where}: entrypoint {manifest.page} is not a file in its folder; add it"
    return ""


def _missing_icons(manifest: PluginManifest, read: _Read) -> list[str]:
    """A sentence for each icon of its menus that does not exist."""
    return [
        f"{printable(read.source)}: menus: the icon {icon} is not a file in its folder; add it"
        for icon in sorted(icons_of(manifest.menus))
        if not os.path.isfile(f"{read.path}/{icon}")
    ]


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths are one folder: that of the checkout may be named by the settings too."""
    return os.path.realpath(one) == os.path.realpath(other)
