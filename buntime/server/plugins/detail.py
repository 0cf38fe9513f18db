"""What operators see of one plugin: `GET /api/plugins/{plugin}`.

Imported when somebody asks for it.
"""

from collections.abc import Sequence
from typing import Any

from buntime.core.apps.app import RELEASES
from buntime.core.plugins.dependencies import dump_dependencies
from buntime.core.plugins.manifest import PluginManifest
from buntime.core.plugins.options import Option
from buntime.core.telemetry.pluginmeters import HookMeter, PluginMeter, PluginMeters
from buntime.server.plugins.plugins import Plugins
from buntime.server.plugins.report import describe, options_of
from buntime.server.plugins.roster import Roster


def detail_of(roster: Roster, meters: PluginMeters, name: str, now: float) -> dict[str, Any]:
    """Everything known about a plugin that was found: what the list has, and more.

    `now` is the loop's. Values of passwords are not in it.
    """
    found, manifest = roster.found[name], roster.serves_with(name).manifest
    meter = meters.of(name)
    return {
        **describe(roster, meters, name, now),
        "guards": manifest is not None and manifest.guards,
        "hookCounts": {hook: _counts(each) for hook, each in sorted(meter.hooks.items())},
        "keptVerdicts": {"used": meter.kept_hits, "notThere": meter.kept_misses},
        "calls": _calls(meter),
        **(_manifest_fields(manifest) if manifest is not None else _NOTHING),
        "options": options_json(options_of(roster, name)),
        "folder": str(found.folder),
        "isBundled": found.is_bundled,
        "isInstalled": RELEASES in found.folder.parts,
        "error": found.error or None,
        "isLastGood": found.is_last_good,
    }


_NOTHING: dict[str, Any] = {"uses": [], "dependencies": {}, "menus": [], "match": None}


def _manifest_fields(manifest: PluginManifest) -> dict[str, Any]:
    """What its manifest says that matters to others."""
    return {
        "uses": list(manifest.uses),
        "dependencies": dump_dependencies(manifest.dependencies),
        "optionalDependencies": dump_dependencies(manifest.optional_dependencies),
        "menus": [menu.dump() for menu in manifest.menus],
        "match": manifest.match.dump(),
        "onError": manifest.on_error,
        "start": manifest.start or "eager",
        "overlap": manifest.overlap,
    }


def options_json(options: Sequence[Option]) -> list[dict[str, Any]]:
    """Each option with its current value, where that comes from, and which values are allowed."""
    return [
        {**option.dump(), "schema": option.kind.dump(), "isSecret": option.kind.is_secret}
        for option in options
    ]


def changeable(plugins: Plugins, name: str) -> dict[str, Any]:
    """What operators can change of a plugin; its ETag covers this."""
    switch = plugins.roster.switches.of(name)
    kept = plugins.options.of(name)
    return {
        "folder": str(plugins.roster.found[name].folder),
        "enabled": plugins.roster.is_enabled(name),
        "switched": switch and switch._asdict(),
        "options": {
            option: [each.by, each.at, None if each.is_secret else each.value]
            for option, each in kept.items()
        },
    }


def _counts(meter: HookMeter) -> dict[str, Any]:
    return {
        "asked": meter.seconds.count,
        "seconds": round(meter.seconds.sum, 6),
        "verdicts": dict(meter.verdicts),
        "failures": {str(kind): count for kind, count in meter.failures.items()},
    }


def _calls(meter: PluginMeter) -> dict[str, Any]:
    """Of its services."""
    counts = {str(outcome): count for outcome, count in meter.calls.items()}
    return {**counts, "seconds": round(meter.call_seconds.sum, 6)}
