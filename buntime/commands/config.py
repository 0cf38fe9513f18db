"""`buntime config check [FILE]`, `buntime config show`: what is wrong in it, and what is in effect.

Both describe a start here and now, with these flags, this environment and these folders of plugins;
nothing is started. The exit code of `check` is 1 if something is at fault, or there is no file.
"""

import json
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from buntime.commands.arguments import Command, Parser
from buntime.commands.masterkey import take_environ
from buntime.commands.pluginfolders import find_plugins
from buntime.commands.start import read_settings
from buntime.commands.valuetexts import in_words, key_in_words
from buntime.core.apps.app import App
from buntime.core.config.configfile import ConfigFile
from buntime.core.config.effect import effect_of, mistyped_apps, unknown_plugins
from buntime.core.errors import ConfigError, UsageError
from buntime.core.settings.load import SETTINGS, Setting, Settings
from buntime.core.settings.setting import Mode
from buntime.core.telemetry.records import Level, escape
from buntime.core.values.units import format_duration, format_size
from buntime.core.values.wording import counted, shown
from buntime.server.defence.configreading import (
    ADVICE,
    ConfigReader,
    config_path,
    is_open_to_all,
)
from buntime.server.deploys.opening import find_store
from buntime.server.plugins.effective import Held, effective, effective_json, rows_of
from buntime.server.plugins.roster import Roster
from buntime.server.pool.trial import find_apps
from buntime.server.telemetry.logs import Log, LogSink

_ACTIONS = ("check", "show")
_STDERR = 2
_FLUSH_S = 2.0


def parser() -> Parser:
    made = Parser(
        "buntime config check|show [FILE] [--FLAG VALUE...]",
        "Check a config file, or show all settings and options of plugins and where each "
        "comes from; passwords and keys are not shown. check exits with code 1 if it finds a "
        "fault.",
        examples=(
            "buntime config check /etc/buntime/buntime.config.yaml",
            "buntime config show --json",
        ),
    )
    made.add_words("PATH", "check or show, then a config file [RUNTIME_CONFIG]")
    made.add_argument("--json", action="store_true", help="show as JSON")
    made.add_settings()
    return made


def run(command: Command, mode: Mode) -> int:
    action, *files = command.words or ("",)
    if action not in _ACTIONS or len(files) > 1:
        raise UsageError(
            f"config {shown(action)}: write check [FILE] or show (see buntime config --help)"
        )
    environ = take_environ()
    line = Command(command.name, {**command.args, **({"config": files[0]} if files else {})})
    settings = read_settings(line, mode, environ, needs_apps=False)
    if action == "check":
        return _check(settings)
    _show(settings, as_json=bool(command.args.get("json")))
    return 0


# Check


def _check(settings: Settings) -> int:
    path, reader = config_path(settings), ConfigReader()
    try:
        config = reader.read(settings)
        if not config.path:
            raise ConfigError([f"{path}: there is no such file; {ADVICE}"])
        faults, warnings = _looked_through(config, _find(settings, config))
    except ConfigError as exc:
        faults, warnings = list(exc.faults), []
    for fault in faults:
        sys.stdout.write(f"FAULT: {escape(fault)}\n")
    if not faults:
        _print_effects_on_apps(settings, config)
    for warning in warnings:
        sys.stdout.write(f"WARNING: {escape(warning)}\n")
    count = counted(len(faults), "fault")
    sys.stdout.write(f"{escape(path)}: {count}\n")
    return 1 if faults else 0


def _looked_through(config: ConfigFile, roster: Roster) -> tuple[list[str], list[str]]:
    """What is or may be wrong with the file, given these plugins."""
    faults = list(unknown_plugins(config, roster.found))
    warnings: list[str] = []
    secrets: list[str] = []
    for name, found in roster.found.items():
        if found.manifest is None:
            if name in config.plugins:
                place = config.of(name).place
                warnings.append(f"{place}: plugins.{name} is not checked: {found.error}")
            continue
        effect = effect_of(config, found.manifest, os.environ)
        faults += effect.faults
        if roster.is_enabled(name):
            faults += (f"{config.path}: {lack}" for lack in effect.lacks)
        secrets += effect.options.secrets
    if secrets and is_open_to_all(config.path):
        warnings.append(
            f"{secrets[0]}: every user of this machine can read this password; chmod 600 the "
            "file, or put the password into a variable"
        )
    return sorted(faults, key=_line_of), warnings


def _line_of(fault: str) -> float:
    """The position of a fault in the file; after all lines if it has none."""
    found = re.search(r":([0-9]+): ", fault)
    return int(found[1]) if found else math.inf


def _find(settings: Settings, config: ConfigFile) -> Roster:
    sink = LogSink(Level.WARN, format="pretty", stream_fd=_STDERR)
    try:
        return find_plugins(settings, (), config, Log(sink).warn)
    finally:
        sink.close(_FLUSH_S)


# Show


def _show(settings: Settings, *, as_json: bool) -> None:
    config = ConfigReader().read(settings)
    roster = _find(settings, config)
    store, _ = find_store(settings.worker_dirs, settings.deploy_dir)
    deploys_to = store.root if store is not None else None
    if as_json:
        values = effective_json(settings, roster, deploys_to=deploys_to)
        json.dump(values, sys.stdout, indent=1)
        sys.stdout.write("\n")
        return
    held, plugins = effective(settings, roster, deploys_to=deploys_to)
    rows = [(row.variable, _text(row, held[row.variable]), held[row.variable].origin)
            for row in SETTINGS]  # fmt: skip
    rows += (row for name in plugins for row in _rows(name, plugins[name]))
    rows += (
        (f"apps.{glob}.{key}", key_in_words(key, held.value), held.origin)
        for glob, values in rows_of(config.apps).items()
        for key, held in values.items()
    )
    width = min(max(len(name) for name, _, _ in rows), 40)
    for name, value, origin in rows:
        sys.stdout.write(f"{escape(name):{width}}  {escape(value)}  ({escape(origin)})\n")
    _print_effects_on_apps(settings, config)


def _print_effects_on_apps(settings: Settings, config: ConfigFile) -> None:
    """What the file changes in the manifests of existing apps, and for which apps it cannot."""
    if not (config.apps.rows or config.access) or not settings.worker_dirs:
        return
    apps = find_apps(settings, lambda *_, **__: None, config.apps)
    for each in mistyped_apps(config, {app.name for app in apps}):
        sys.stdout.write(f"WARNING: {escape(each)}\n")
    for app in apps:
        if isinstance(app, App):
            lines = [str(each) for each in app.manifest.floors]
        else:
            lines = [f"FAULT: {app.error}"] if config.apps.words_for(app.name) else []
        for each in lines:
            sys.stdout.write(f"{escape(app.key)}: {escape(each)}\n")


def _text(row: Setting, held: Held) -> str:
    value = held.value
    if row.field.endswith("_s"):
        return format_duration(value)
    if row.field.endswith("_bytes"):
        return format_size(value)
    return in_words(value)


def _rows(name: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The values of one plugin, by the keys of the config file."""
    place = f"plugins.{name}"
    yield f"{place}.enabled", in_words(values["enabled"].value), values["enabled"].origin
    for key in ("options", "grants"):
        for each, held in values[key].items():
            yield f"{place}.{key}.{each}", in_words(held.value), held.origin
