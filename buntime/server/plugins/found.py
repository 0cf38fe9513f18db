"""A plugin as found in its folder, and what the pool runs of it."""

import json
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path

from buntime import __version__
from buntime.core.access.publicroutes import Patterns
from buntime.core.apps.app import App
from buntime.core.apps.watching import Watching
from buntime.core.config.effect import Effect
from buntime.core.plugins.manifest import PluginManifest
from buntime.core.plugins.options import Options
from buntime.core.plugins.plan import owner_of
from buntime.core.values.frozen import frozen
from buntime.core.values.tuples import NamedTuple

API = 1  # the version of `buntime.plugin` and of the messages


class Folder(NamedTuple):
    """What was read from a plugin's folder: its manifest, or why there is none.

    With both a `manifest` and an `error` the manifest is valid, but the plugin cannot be started.
    With `is_last_good` the manifest is an earlier one, because the one in the folder cannot be
    read; `error` says why.
    """

    name: str
    path: Path
    source: Path  # the manifest's file, as the operator wrote it
    manifest: PluginManifest | None
    error: str = ""
    is_last_good: bool = False
    is_bundled: bool = False  # it comes with Buntime


@frozen(eq=False)
class Found:
    """A plugin as described by its folder and the config file. Compares by identity: if one of the
    two changes, it is a new object.

    `manifest`, `error`, `is_last_good` and `is_bundled` come from its `Folder`; `error` also covers
    options.
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
    is_bundled: bool = False

    def starts_as(self, other: "Found") -> bool:
        """Whether both would start the same way, judging by their manifests and options.

        Files of code are compared elsewhere.
        """
        return (
            self.manifest is other.manifest
            and self.folder == other.folder
            and (self.app is None) == (other.app is None)
            and _values(self) == _values(other)
        )

    def with_options(self, options: Options) -> "Found":
        """The same plugin, with other values of its options."""
        if self.app is None or self.app.plugin is None:
            return replace(self, options=options)
        app = replace(self.app, plugin={**self.app.plugin, "config": options.values()})
        return replace(self, app=app, options=options)

    @property
    def watching(self) -> Watching:
        """Which files are its code."""
        return Watching(self.manifest.app.watch if self.manifest is not None else ())

    def is_as(self, folder: Folder, effect: Effect) -> bool:
        """Whether making it again would give the same, except for line numbers of the config
        file."""
        return self.error == _error(folder, effect) and _values(self) == _json(effect.options)


def make_found(folder: Folder, effect: Effect | None, environment: str) -> Found:
    """The plugin, made from a manifest that was read now. `effect` is None without a manifest."""
    manifest = folder.manifest
    found = Found(folder.name, folder.path, manifest, folder.error, is_bundled=folder.is_bundled)
    if manifest is None or effect is None:
        return found
    error = _error(folder, effect)
    if error:
        return replace(found, error=error, options=effect.options)
    return replace(
        found,
        app=_code(manifest, folder, effect.options, environment) if _has_code(folder) else None,
        page=_page(manifest, folder),
        routes=Patterns(manifest.routes),
        options=effect.options,
    )


def _error(folder: Folder, effect: Effect) -> str:
    return folder.error or "; ".join(effect.problems)


def _values(found: Found) -> str | None:
    return None if found.options is None else _json(found.options)


def _json(options: Options) -> str:
    """The values as JSON, as the plugin gets them, because 1 and true are equal in Python."""
    return json.dumps(options.values())


def _has_code(folder: Folder) -> bool:
    """Whether its file with code is there."""
    return folder.manifest is not None and (folder.path / folder.manifest.entry_file).is_file()


def _code(manifest: PluginManifest, folder: Folder, options: Options, environment: str) -> App:
    """Its code, as the pool runs it. It has a name and no version: a change is loaded beside it."""
    runtime = {"version": __version__, "api": API, "environment": environment}
    plugin: Mapping[str, object] = {
        "name": manifest.name,
        "config": options.values(),
        "runtime": runtime,
        "uses": list(manifest.uses),
        "body": manifest.body,
    }
    return App(
        owner_of(manifest.name),
        None,
        folder.path,
        manifest.entry_file,
        replace(manifest.app, prewarm=0 if manifest.start == "lazy" else 1),
        folder.source,
        plugin=plugin,
        base=manifest.base or "",
        overlaps=manifest.overlap,
    )


def _page(manifest: PluginManifest, folder: Folder) -> App | None:
    """Its page, as a static app. Python files beside it are never published: they are the
    plugin's."""
    if manifest.page is None:
        return None
    return App(
        owner_of(manifest.name),
        None,
        folder.path,
        manifest.page,
        replace(manifest.app, entrypoint=None),
        folder.source,
        base=manifest.base or "",
    )
