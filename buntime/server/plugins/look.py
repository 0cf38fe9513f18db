"""One look at everything that says which plugins there are: their folders, and the config file.

Runs on a thread, which may wait for the disk; the result is reported on the loop.
"""

import os
from collections.abc import Callable, Mapping, Sequence

from buntime.core.config.configfile import NO_CONFIG, ConfigFile
from buntime.core.config.effect import changed_plugins, faults_of_change, unknown_plugins
from buntime.core.errors import ConfigError
from buntime.core.plugins.keptoptions import NOTHING, KeptOptions
from buntime.core.plugins.manifest import PluginManifest
from buntime.core.settings.load import Settings
from buntime.core.values.tuples import NamedTuple
from buntime.server.defence.configreading import ConfigReader, is_open_to_all
from buntime.server.plugins.folders import PluginFolders
from buntime.server.plugins.found import Found
from buntime.server.telemetry.logs import Log


class Look(NamedTuple):
    """What there is."""

    found: Mapping[str, Found]
    config: ConfigFile  # that holds
    faults: tuple[str, ...] = ()  # why another one does not


class Looker:
    """Looks at the folders and the file, and remembers which file holds."""

    def __init__(self, config: ConfigFile, reader: ConfigReader, folders: PluginFolders) -> None:
        """`config` is what `reader` has read for the start."""
        self._config = config
        self._reader = reader
        self._folders = folders

    def __repr__(self) -> str:
        return f"Looker({self._config.path!r}, {self._folders!r})"

    def first(self, settings: Settings, kept: KeptOptions = NOTHING) -> Look:
        """At the start: the file takes effect, and plugins that cannot start with it are left out.

        `kept` are the options that operators have set.
        """
        found = self._folders.look(settings.plugin_dirs, lambda _: self._config, kept)
        return Look(found, self._config)

    def again(self, settings: Settings, kept: KeptOptions = NOTHING) -> Look:
        """While plugins run: a file with a fault changes nothing."""
        faults: tuple[str, ...] = ()
        try:
            new = self._reader.read(settings)
        except ConfigError as exc:
            new, faults = self._config, exc.faults

        def choose(manifests: Sequence[PluginManifest]) -> ConfigFile:
            nonlocal faults
            if new is not self._config:
                faults = tuple(faults_of_change(self._config, new, manifests, os.environ, kept))
            return self._config if faults else new

        found = self._folders.look(settings.plugin_dirs, choose, kept)
        if not faults:
            self._config = new
        return Look(found, self._config, faults)


def tell_of_errors(log: Log, before: Mapping[str, Found], now: Mapping[str, Found]) -> None:
    """Report plugins that cannot be read or started, each once."""
    for name, found in now.items():
        if found.error and found is not before.get(name):
            log.error(
                "plugin.invalid",
                "plugin cannot be read, or cannot be started as it is",
                plugin=name,
                error=found.error,
                last_good_counts=found.is_last_good,
            )


def _ignore(file: str, plugins: list[str]) -> None:
    pass


class ConfigLog:
    """Reports changes and faults of the config file, each once."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.on_change: Callable[[str, list[str]], None] = _ignore  # of a file that was read before
        self._config = NO_CONFIG
        self._has_looked = False
        self.rejected: tuple[str, ...] = ()  # why the file as it is now is not in effect
        self._faults: tuple[str, ...] = ()
        self._unknown: list[str] = []

    def __repr__(self) -> str:
        return f"ConfigLog({self._config.path!r}, {len(self._faults)} faults)"

    def forget(self) -> None:
        """Report faults again, because somebody asked."""
        self._faults = ()

    def tell(self, look: Look) -> None:
        if look.faults and look.faults != self._faults:
            self._log.error(
                "config.rejected",
                "config file has faults; keeping its previous content",
                faults=list(look.faults),
            )
        self._faults = self.rejected = look.faults
        if look.config is not self._config:
            before, self._config = self._config, look.config
            changed = changed_plugins(before, look.config)
            self._log.info(
                "config.read", "config file read", file=look.config.path, plugins=changed
            )
            self._tell_if_open(look)
            if self._has_looked:
                self.on_change(look.config.path or before.path, changed)
        self._has_looked = True
        unknown = list(unknown_plugins(look.config, look.found))
        for words in unknown:
            if words not in self._unknown:
                self._log.warn(
                    "config.unknown_plugin",
                    "config file names a plugin that does not exist",
                    error=words,
                )
        self._unknown = unknown

    def _tell_if_open(self, look: Look) -> None:
        places = [
            place for each in look.found.values() if each.options for place in each.options.secrets
        ]
        if places and is_open_to_all(look.config.path):
            self._log.warn(
                "config.exposed",
                "every user of this machine can read the passwords in the config file; chmod it",
                places=places,
            )
