"""`buntime plugins list|check [DIR...]`: the plugins in folders, and what is wrong with them.

Their manifests and files are read, and the order of their start is determined; none is started. If
folders are given, the plugins that come with Buntime count for that order but are not listed. The
exit code of `check` is 1 if one is at fault, or there is none. Warnings go to stderr.
"""

import os
import sys
from collections.abc import Iterator, Sequence, Set
from pathlib import Path

from buntime.commands.arguments import Command
from buntime.commands.masterkey import take_environ
from buntime.commands.noting import noted
from buntime.commands.start import read_settings
from buntime.commands.tables import print_json
from buntime.core.config.configfile import ConfigFile
from buntime.core.errors import CommandError, UsageError
from buntime.core.plugins.manifest import PluginManifest
from buntime.core.settings.load import Settings
from buntime.core.settings.setting import Mode
from buntime.core.telemetry.records import Level, Tell, escape
from buntime.core.values.wording import counted
from buntime.server.bundle.carried import carried_plugins
from buntime.server.defence.configreading import ConfigReader
from buntime.server.plugins.folders import folders_for
from buntime.server.plugins.found import Found
from buntime.server.plugins.optionstore import OptionStore
from buntime.server.plugins.roster import BY_MANIFEST, Roster
from buntime.server.plugins.switches import Switches
from buntime.server.state.statefolder import StateFolder
from buntime.server.telemetry.logs import Log, LogSink

_STDERR = 2
_FLUSH_S = 2.0


def run_in_folders(command: Command, mode: Mode) -> int:
    """List or check; `command.words` begin with which of the two."""
    action, *dirs = command.words
    settings = _settings(command, mode)
    sink = LogSink(Level.WARN, format="pretty", stream_fd=_STDERR)
    try:
        roster = find_plugins(settings, dirs, ConfigReader().read(settings), Log(sink).warn)
    finally:
        sink.close(_FLUSH_S)
    names = {name for name, found in roster.found.items() if not dirs or not found.is_bundled}
    if not names and not command.args["json"]:
        sys.stdout.write(f"no plugins in {', '.join(dirs or settings.plugin_dirs)}\n")
        return 1 if action == "check" else 0
    if command.args["json"]:
        faults = _print_json(roster, names, settings)
        return 1 if (faults or not names) and action == "check" else 0
    if action == "list":
        sys.stdout.writelines(f"{escape(line)}\n" for line in _listed(roster, names))
        return 0
    return _check(roster, names, settings)


def find_plugins(settings: Settings, dirs: Sequence[str], config: ConfigFile, warn: Tell) -> Roster:
    """The plugins in these folders, else in those of the settings, as they would be started.

    Raises UsageError if there is no such folder.
    """
    for folder in dirs:
        if not os.path.isdir(folder):
            raise UsageError(f"there is no folder {folder}; name one with plugins")
    state = StateFolder.of(settings)
    roster = Roster(Switches(state, warn))
    folders = folders_for(settings, warn, bundled=carried_plugins())
    roster.config = config
    kept = OptionStore(state, warn).now
    roster.found = folders.look(dirs or settings.plugin_dirs, lambda _: config, kept)
    roster.reorder()
    return roster


def _settings(command: Command, mode: Mode) -> Settings:
    return read_settings(
        Command(command.name, command.args), mode, take_environ(), needs_apps=False
    )


def reset_here(command: Command, mode: Mode, names: Sequence[str]) -> list[str]:
    """Undo operators' switches, if no runtime has the state folder.

    Returns the plugins that were switched. Raises CommandError if a runtime has it.
    """
    settings = _settings(command, mode)
    sink, state = (
        LogSink(Level.WARN, format="pretty", stream_fd=_STDERR),
        StateFolder.of(settings),
    )
    try:
        state.take()
        if state.trouble:
            raise CommandError(state.fault("").code, state.trouble)
        switches = Switches(state, Log(sink).warn)
        return [name for name in names if _reset(state, switches, name)]
    finally:
        state.let_go()
        sink.close(_FLUSH_S)


def _reset(state: StateFolder, switches: Switches, name: str) -> bool:
    switch = switches.of(name)
    if switch is None:
        return False
    try:
        with noted(state, "plugins.reset", name, before={"enabled": switch.enabled}):
            return switches.reset(name)
    except OSError as exc:
        message = f"{exc.filename or state.path}: {exc.strerror or exc}"
        raise CommandError("state_unavailable", message) from exc


def _print_json(roster: Roster, names: Set[str], settings: Settings) -> int:
    """In the order of their start; those that do not start at the end. Returns the faults."""
    started = [name for name in roster.order.start if name in names]
    rows, faults = [], 0
    for name in [*started, *sorted(names - set(started))]:
        manifest, why = roster.found[name].manifest, list(_faults(roster, name, settings))
        faults += bool(why)
        rows.append(
            {
                "plugin": name,
                "version": manifest.version if manifest else None,
                "base": manifest.base if manifest else None,
                "enabled": roster.is_enabled(name),
                "switchedBy": roster.switched_by(name),
                "starts": name in started,
                "faults": why,
            }
        )
    print_json({"plugins": rows, "faults": faults})
    return faults


def _listed(roster: Roster, names: Set[str]) -> Iterator[str]:
    """`1. keyval 1.2.0 (base /keyval)`; those that are not started at the end."""
    started = [name for name in roster.order.start if name in names]
    for place, name in enumerate(started, 1):
        by = _switched_by(roster, name)
        yield f"{place}. {_described(roster.found[name])}{by and f', enabled{by}'}"
    for name in sorted(names - set(started)):
        found = roster.found[name]
        if roster.is_enabled(name):
            why = roster.order.left_out.get(name, "").removeprefix(f"{name} ")
            yield f"-  {_described(found)}: {why or found.error}"
        else:
            yield f"-  {_described(found)}: disabled{_switched_by(roster, name)}"


def _switched_by(roster: Roster, name: str) -> str:
    by = roster.switched_by(name)
    return "" if by == BY_MANIFEST else f" by {by}"


def _described(found: Found) -> str:
    manifest = found.manifest
    if manifest is None:
        return found.name
    base = f" (base {manifest.base})" if manifest.base else ""
    return f"{found.name} {manifest.version}{base}"


def _check(roster: Roster, names: Set[str], settings: Settings) -> int:
    faults = 0
    for name in sorted(names):
        found, why = roster.found[name], list(_faults(roster, name, settings))
        faults += bool(why)
        for each in why:
            sys.stdout.write(f"{escape(name)}: FAULT: {escape(each)}\n")
        if not why:
            state = "ok" if roster.is_enabled(name) else "ok, disabled"
            version = found.manifest.version if found.manifest else ""
            sys.stdout.write(f"{escape(name)} {version}: {state}\n")
    count = counted(len(names), "plugin")
    sys.stdout.write(f"{count}, {faults or 'none'} at fault\n")
    return 1 if faults else 0


def _faults(roster: Roster, name: str, settings: Settings) -> Iterator[str]:
    found = roster.found[name]
    if found.error:
        yield found.error
    elif name in roster.order.left_out:
        yield roster.order.left_out[name].removeprefix(f"{name} ")
    if found.manifest is not None:
        yield from _apps_at_base(found.manifest, settings)


def _apps_at_base(manifest: PluginManifest, settings: Settings) -> Iterator[str]:
    """An app that nobody can reach, because the plugin has its path."""
    for folder in settings.worker_dirs:
        place = Path(folder, (manifest.base or "/")[1:])
        if manifest.base and place.is_dir():
            yield f"its base {manifest.base} hides the app in {place}; rename one of the two"
