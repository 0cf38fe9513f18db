"""Where plugins that operators install are stored, and the folder for them.

    plugins/.releases/@acme+audit/0.0.0-3f2a81c09d4e/   its files, where they stay
    plugins/@acme/audit                                 a link to them

This is the `Store` of deploys, except for the link: there is one for each plugin, and none per
version. An existing plugin is replaced by one rename of the link.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from buntime.core.deploys.names import flat_link_target, leads_to
from buntime.core.errors import ClientFault, StateOff
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import Settings
from buntime.server.deploys.opening import unwritable
from buntime.server.deploys.places import Layout
from buntime.server.deploys.records import ReleaseRecord, write_record
from buntime.server.deploys.store import Store, Unfinished
from buntime.server.deploys.switching import Switch, is_real, link_at, sync_folder
from buntime.server.telemetry.logs import Log

VERSION = "0.0.0"  # for every release: the manifest says which version it is
_ADVICE = (
    "RUNTIME_PLUGIN_DIRS names folders of plugins, and one of them must exist and be writable by "
    "the runtime; to let a systemd service write there, add a drop-in (systemctl edit buntime, "
    "[Service] ReadWritePaths=FOLDER)"
)


class UnfinishedPlugin(Unfinished):
    """A plugin that is being installed; nobody sees it before `switch`."""

    def prepare(self, record: ReleaseRecord, *, replaces: bool = True) -> None:
        """Make everything visible in place: its record, and what its link was."""
        store, release = self._store, self.release
        write_record(self.folder, record)
        folder = os.path.dirname(release.app)
        before = link_at(os.path.join(store.root, release.app))
        self._switching.prepare(
            [Switch(release.app, flat_link_target(release), before)],
            made=[folder] if folder and not os.path.isdir(os.path.join(store.root, folder)) else [],
        )


class PluginStore(Store):
    """The plugins installed into one folder; `earlier` are folders that take precedence over it."""

    unfinished = UnfinishedPlugin

    def layout_of(self, app: str) -> Layout:
        return Layout(os.path.dirname(app), os.path.basename(app))

    def release_at(self, app: str, version: str) -> str | None:
        try:
            return leads_to(os.readlink(os.path.join(self.root, app)))
        except OSError:
            return None

    def active(self, app: str) -> str | None:
        return None

    def withheld(self, app: str) -> frozenset[str]:
        return frozenset()

    def withhold(self, app: str, version: str, *, is_withheld: bool) -> None:
        pass

    def _links(self, layout: Layout) -> Iterator[tuple[str, str]]:
        path = os.path.join(self.root, layout.folder, layout.begin)
        if os.path.islink(path):
            yield VERSION, os.readlink(path)

    def refuse_in_the_way(self, name: str) -> None:
        """Raises ClientFault (409) if something occupies the plugin's place, or hides it."""
        path = os.path.join(self.root, name)
        if is_real(path) or (os.path.islink(path) and self.release_at(name, VERSION) is None):
            raise ClientFault(
                409,
                "plugin_in_the_way",
                f"{path} was not put there by an install; change it there, or move it away",
            )
        for folder in self.earlier:
            if os.path.lexists(os.path.join(folder, name)):
                raise ClientFault(
                    409,
                    "plugin_hidden",
                    f"{os.path.join(folder, name)} is used instead of {path}; move it away",
                )

    def unlink(self, name: str) -> None:
        """Remove the plugin; `tidy` removes its files. Raises OSError."""
        path = os.path.join(self.root, name)
        os.unlink(path)
        sync_folder(os.path.dirname(path))


class PluginPlace:
    """The folder that plugins are installed into, as settings say. On the loop's thread."""

    def __init__(self, live: LiveSettings, log: Log, bundled: Path | None) -> None:
        """`bundled` is the folder of the plugins that come with Buntime, which is never used."""
        self.store: PluginStore | None = None
        self.trouble = ""  # why there is no store
        self._log = log
        self._bundled = bundled
        self._adopt(live.now)
        live.follow(self._adopt)

    def __repr__(self) -> str:
        return f"PluginPlace({self.store or self.trouble})"

    def open(self) -> PluginStore:
        """The store. Raises ClientFault (403) where there is none."""
        if self.store is None:
            raise ClientFault(403, "plugins_off", self.trouble)
        return self.store

    def _adopt(self, settings: Settings) -> None:
        """Undo what was left unfinished there, before any plugin is looked for."""
        before = self.store
        if not settings.has_state:  # what is there belongs to another runtime, which may be at work
            self.trouble = StateOff.WHY
            return
        self.store, self.trouble = find_plugin_store(settings.plugin_dirs, self._bundled)
        if self.store is None or (before is not None and before.root == self.store.root):
            return
        try:
            for release in self.store.sweep():
                self._log.warn(
                    "plugin.install_undone",
                    "the installation of a plugin that was cut short has been undone",
                    release=release,
                )
            for name in self.store.apps():
                with contextlib.suppress(ClientFault), self.store.turn(name):
                    self.store.tidy(name)
        except OSError as exc:
            self._log.error(
                "plugin.undo_failed",
                "the installation of a plugin that was cut short cannot be undone",
                folder=self.store.root,
                error=str(exc),
            )


def find_plugin_store(
    plugin_dirs: Sequence[str], bundled: Path | None
) -> tuple[PluginStore | None, str]:
    """The store in the first writable folder, else why there is none. Waits for the disk."""
    troubles = []
    for place, folder in enumerate(plugin_dirs):
        trouble = unwritable(folder)
        if bundled is not None and os.path.realpath(folder) == os.path.realpath(bundled):
            trouble = "has the plugins that come with Buntime"
        if not trouble:
            return PluginStore(folder, plugin_dirs[:place]), ""
        troubles.append(f"{folder} {trouble}")
    return None, f"no plugin can be installed: {'; '.join(troubles)}. {_ADVICE}"
