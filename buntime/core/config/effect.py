"""What a config file means for the plugins that exist, and whether it may replace another.

At start-up, a plugin is left out where the file says something wrong about it, or where it lacks a
required option. A file that is read again while plugins run is refused as a whole where

1. it says something wrong about a plugin that exists, or
2. a plugin would lose something required that it has now,

so that a slip changes nothing. What was lacking before is not the new file's fault.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from buntime.core.config.configfile import ConfigFile
from buntime.core.plugins.keptoptions import NONE, NOTHING, KeptOptions, OfPlugin
from buntime.core.plugins.manifest import PluginManifest
from buntime.core.plugins.options import Options, resolve
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.wording import nearest, suggestion


class Effect(NamedTuple):
    """What the file means for one plugin."""

    options: Options
    faults: tuple[str, ...]  # in what the file says
    lacks: tuple[str, ...]  # required and not given

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the plugin cannot be started."""
        return self.faults + self.lacks


def effect_of(
    config: ConfigFile,
    manifest: PluginManifest,
    environ: Mapping[str, str],
    kept: OfPlugin = NONE,
) -> Effect:
    """What the file means for this plugin. `environ` holds the variables that options refer to, and
    `kept` the options that operators have set.
    """
    name, written = manifest.name, config.of(manifest.name)
    where = f"plugins.{name}.options"
    options = resolve(manifest.config, written.options, environ, where=where, kept=kept)
    offered = [service for service, _ in manifest.provides]
    slips = [
        f"{grant.place}: plugins.{name}.grants: {name} offers no service {service}"
        f"{suggestion(service, offered)}"
        for service, grant in written.grants.items()
        if service not in offered
    ]
    return Effect(options, (*options.faults, *slips), options.lacks)


def faults_of_change(
    old: ConfigFile,
    new: ConfigFile,
    manifests: Iterable[PluginManifest],
    environ: Mapping[str, str],
    kept: KeptOptions = NOTHING,
) -> list[str]:
    """Why `new` must not replace `old`, in sentences; empty where it may."""
    faults: list[str] = []
    for manifest in manifests:
        options = kept.get(manifest.name, NONE)
        effect = effect_of(new, manifest, environ, options)
        faults += effect.faults
        if effect.lacks and not effect_of(old, manifest, environ, options).problems:
            faults += effect.lacks
    return faults


def unknown_plugins(config: ConfigFile, names: Collection[str]) -> Iterator[str]:
    """Sentences about plugins that the file names and that do not exist."""
    for name, written in config.plugins.items():
        if name not in names:
            yield f"{written.place}: plugins: there is no plugin {name}{suggestion(name, names)}"


def mistyped_apps(config: ConfigFile, names: Collection[str]) -> Iterator[str]:
    """Sentences about names in `apps` and `access` that are no app's, but close to one.

    Others may be meant for apps that are deployed later.
    """
    places = [
        (row.glob, f"{next(iter(row.words.values())).place}: apps")
        for row in config.apps.rows
        if row.words
    ]
    places += [(name, f"{rule.place}: access") for rule in config.access for name in rule.apps]
    for name, place in places:
        if name not in names and "*" not in name:
            near = nearest(name, names)
            if near is not None:
                yield f"{place}: there is no app {name} in these folders; did you mean {near}?"


def changed_plugins(old: ConfigFile, new: ConfigFile) -> list[str]:
    """The plugins about which the two files say different things, anywhere in them."""
    names = sorted(old.plugins.keys() | new.plugins.keys())
    return [name for name in names if _content(old, name) != _content(new, name)]


def _content(config: ConfigFile, name: str) -> tuple[object, ...]:
    written = config.of(name)
    return (
        written.enabled and written.enabled.value,
        repr([(option, given.value) for option, given in written.options.items()]),
        {service: grant.opening for service, grant in written.grants.items()},
    )
